//! A scenario: a Compose file that runs by hand too, a machine of its own, steps, and what must be seen.
//!
//! The machine is a network namespace and two directories: nothing that a scenario does is seen by another one, or by
//! whoever runs the tests. When it ends, everything must be gone; that is part of every scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use trice_plan::realm::Realm;
use trice_sys::namespace::{Unshare, unshare};
use trice_test::traces;
use trice_test::waiting::until;

/// Runs `steps` on a machine of their own, with the Compose file at `path` in the project.
pub(crate) fn scenario(path: &str, steps: impl FnOnce(&Scenario) + Send) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap().join(path);
    on_a_machine(|home| Scenario { file, home }, steps);
}

/// Runs `steps` on a machine of their own, with a Compose file that says `text`.
pub(crate) fn scenario_of(text: &str, steps: impl FnOnce(&Scenario) + Send) {
    let write = |home: PathBuf| {
        let file = home.join("project/compose.yaml");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        Scenario { file, home }
    };
    on_a_machine(write, steps);
}

fn on_a_machine(begin: impl FnOnce(PathBuf) -> Scenario + Send, steps: impl FnOnce(&Scenario) + Send) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
    fs::create_dir_all(&home).unwrap();
    // A thread of its own: it never returns to the network of whoever runs the tests.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(Unshare::Net).expect("the tests need root, to make network namespaces");
            run("ip", &["link", "set", "lo", "up"]);
            let scenario = begin(home);
            steps(&scenario);
            scenario.end();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A machine and the Compose file that is used on it.
pub(crate) struct Scenario {
    file: PathBuf,
    home: PathBuf,
}

impl Scenario {
    /// The Compose file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// A place for files of the scenario's own.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Writes another Compose file in place of the one that [`scenario_of`] wrote.
    pub(crate) fn rewrite(&self, text: &str) {
        assert!(self.file.starts_with(&self.home), "files of the project stay as they are");
        fs::write(&self.file, text).unwrap();
    }

    /// Where the engine keeps what outlives a reboot.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Where the engine keeps what does not.
    pub(crate) fn run_directory(&self) -> PathBuf {
        self.home.join("run")
    }

    /// A command that is about to be run in the Compose file's folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trice"));
        command
            .args(arguments)
            .current_dir(self.file.parent().unwrap())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("COMPOSE_FILE", &self.file)
            .env("TRICE_DATA", self.data())
            .env("TRICE_RUN", self.run_directory())
            .stdin(Stdio::null());
        command
    }

    /// Runs trice with the words of `line`, which are separated by blanks.
    pub(crate) fn trice(&self, line: &str) -> Ran {
        self.trice_with(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs trice with `arguments`.
    pub(crate) fn trice_with(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().expect("run trice");
        Ran { line: arguments.join(" "), output }
    }

    /// Runs a shell's `script` in a service's container, and returns what it wrote.
    pub(crate) fn shell(&self, service: &str, script: &str) -> String {
        self.trice_with(&["exec", "-T", service, "sh", "-c", script]).success().stdout()
    }

    /// Begins to run trice with the words of `line`.
    pub(crate) fn begin(&self, line: &str) -> Running {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let mut command = self.command(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { line: line.to_owned(), child: command.spawn().expect("run trice") }
    }

    /// Returns the containers, as `ps --all --format json` lists them.
    pub(crate) fn ps(&self) -> Vec<Value> {
        let ran = self.trice("ps --all --format json").success();
        ran.stdout().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Returns a member of every container, by the containers' names.
    pub(crate) fn members(&self, member: &str) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.ps().iter().map(|one| (text(&one["Name"]), text(&one[member]))).collect()
    }

    /// Returns `name state` of every container, in the order of the names.
    pub(crate) fn states(&self) -> Vec<String> {
        self.members("State").into_iter().map(|(name, state)| format!("{name} {state}")).collect()
    }

    /// Returns the ids of all containers by their names.
    pub(crate) fn ids(&self) -> BTreeMap<String, String> {
        self.members("ID")
    }

    /// Returns the numbers of the processes that were started with this scenario's directories.
    pub(crate) fn processes(&self, role: &str) -> Vec<u32> {
        let run = self.run_directory();
        let is_ours = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.contains(&role.as_bytes()) && words.contains(&run.as_os_str().as_encoded_bytes())
        };
        let entries = fs::read_dir("/proc").expect("read /proc").flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let all: Vec<u32> = numbers.filter(is_ours).collect();
        // A child of the keeper looks like the keeper until it becomes another program; it outlives it.
        let is_first = |pid: &u32| {
            parent(*pid).is_none_or(|parent| !all.contains(&parent))
                && namespaces(*pid) == namespaces(std::process::id())
        };
        all.iter().copied().filter(is_first).collect()
    }

    /// Kills the processes of a role, as nobody should; returns how many there were, once they are dead.
    pub(crate) fn kill(&self, role: &str) -> usize {
        let pids = self.processes(role);
        for pid in &pids {
            // It may have ended by itself since it was looked.
            let _ = Pid::from_raw(*pid as i32).map(|pid| kill_process(pid, Signal::KILL));
        }
        self.wait_for("them to be dead", || !self.processes(role).iter().any(|pid| pids.contains(pid)));
        pids.len()
    }

    /// Kills the first process of a container from outside, as a crash would.
    pub(crate) fn crash(&self, container: &str) {
        let id = &self.ids()[container];
        let is_inside = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(id.as_str()))
        };
        let is_first = |pid: &i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            // One that died before, and whose end its foster parent has not looked at, is nobody to crash.
            status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"))
                && !status.contains("\nState:\tZ")
        };
        let entries = fs::read_dir("/proc").expect("read /proc").flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let init = pids.find(|pid| is_inside(pid) && is_first(pid)).expect("the container runs");
        kill_process(Pid::from_raw(init).expect("a process has a number"), Signal::KILL).expect("kill it");
    }

    /// Returns the file that says whether a container is held still, and has it held still.
    pub(crate) fn freezer(&self, container: &str) -> PathBuf {
        let id = &self.ids()[container];
        let groups = traces::cgroups(Realm::new(&self.run_directory(), "").tag());
        let groups = groups.iter().filter_map(|line| line.strip_prefix("cgroup ")).map(Path::new);
        let of_container = |group: &&Path| {
            group.file_name().is_some_and(|name| name.to_str().is_some_and(|name| name.starts_with(id)))
        };
        // Only a group of v2 can stand still.
        let mut switches = groups.filter(of_container).map(|group| group.join("cgroup.freeze"));
        switches.find(|switch| switch.exists()).expect("this test needs cgroup v2")
    }

    /// Waits until `condition` holds.
    pub(crate) fn wait_for(&self, what: &str, mut condition: impl FnMut() -> bool) {
        until(what, || condition().then_some(()));
    }

    /// Returns what the engine wrote to its log, for messages.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.data().join("engine.log")).unwrap_or_default()
    }

    /// Takes everything down; nothing may be left.
    fn end(self) {
        let file = self.file.to_str().unwrap_or_default();
        self.trice_with(&["-f", file, "down", "--volumes", "--remove-orphans", "--timeout", "0"]);
        self.must_be_gone();
        fs::remove_dir_all(&self.home).expect("remove the scenario's home");
    }

    /// Waits until keeper and engine have left, and the machine is as it was before they came.
    pub(crate) fn must_be_gone(&self) {
        let mut left = Vec::new();
        let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.wait_for("the machine to be as it was", || {
                left = self.traces();
                left.is_empty()
            });
        }));
        assert!(gone.is_ok(), "left behind:\n{}", left.join("\n"));
    }

    /// Returns what is on the machine: processes, mounts, cgroups, links, tables, rules, files of containers and volumes.
    pub(crate) fn traces(&self) -> Vec<String> {
        let realm = Realm::new(&self.run_directory(), "");
        let mut traces = traces::of(realm.tag(), &self.home);
        let links = run("ip", &["-o", "link"]);
        let links = links.lines().filter(|line| !line.contains(": lo:"));
        traces.extend(links.map(|line| format!("link {line}")));
        let tables = run("nft", &["list", "tables"]);
        traces.extend(tables.lines().map(|line| format!("nftables {line}")));
        for version in ["-4", "-6"] {
            let rules = run("ip", &[version, "rule"]);
            let marked = rules.lines().filter(|line| line.contains("fwmark"));
            traces.extend(marked.map(|line| format!("rule {version} {line}")));
        }
        for folder in ["data/containers", "data/volumes", "data/trash", "data/tmp", "run/containers"] {
            let files = traces::files(&self.home.join(folder));
            traces.extend(files.into_iter().map(|file| format!("file {file}")));
        }
        traces
    }
}

impl Drop for Scenario {
    /// After a failure: as little as possible stays behind.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the engine's log\n{}", self.log());
            eprintln!("--- containers\n{}", self.trice("ps --all").stdout());
            eprintln!("--- links\n{}", run("ip", &["-o", "address"]));
            eprintln!("--- packet filters\n{}", run("nft", &["list", "ruleset"]));
            let _ = self.command(&["down", "--volumes", "--remove-orphans", "--timeout", "0"]).output();
            traces::wipe(Realm::new(&self.run_directory(), "").tag(), &self.home);
        }
    }
}

/// A command that has run.
pub(crate) struct Ran {
    line: String,
    output: Output,
}

impl Ran {
    /// Runs `command`, known as `line`, which reads `input`.
    pub(crate) fn with_input(command: Command, line: &str, input: &str) -> Self {
        Self::with_bytes(command, line, input.as_bytes())
    }

    /// The same with what is no text.
    pub(crate) fn with_bytes(mut command: Command, line: &str, input: &[u8]) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("run trice");
        // Who does not read has ended.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        let output = child.wait_with_output().expect("wait for trice");
        Self { line: line.to_owned(), output }
    }

    /// It must have ended with 0.
    pub(crate) fn success(self) -> Self {
        self.code(0)
    }

    /// It must have ended with this code.
    pub(crate) fn code(self, code: i32) -> Self {
        let ended = self.output.status.code();
        assert_eq!(ended, Some(code), "trice {}\n{}{}", self.line, self.stdout(), self.stderr());
        self
    }

    /// The code that it ended with; `None` if a signal ended it.
    pub(crate) fn ended_with(&self) -> Option<i32> {
        self.output.status.code()
    }

    /// What it wrote to its standard output.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// What it wrote to its standard error.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// The lines of its standard output, in no order.
    pub(crate) fn lines(&self) -> BTreeSet<String> {
        self.stdout().lines().map(str::to_owned).collect()
    }
}

/// A command that runs.
pub(crate) struct Running {
    line: String,
    pub(crate) child: Child,
}

impl Running {
    /// Writes to its standard input.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().expect("a pipe").write_all(bytes).expect("write to trice");
    }

    /// Reads its standard output until `word` has come, and returns all that was read.
    pub(crate) fn read_until(&mut self, word: &str) -> String {
        let stdout = self.child.stdout.as_mut().expect("a pipe");
        let mut read = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&read).contains(word) {
            let count = stdout.read(&mut byte).expect("read from trice");
            assert!(count > 0, "trice {} ended before it wrote `{word}`", self.line);
            read.extend(byte);
        }
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process has a number");
        kill_process(pid, signal).expect("signal trice");
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Ran {
        let output = self.child.wait_with_output().expect("wait for trice");
        Ran { line: self.line, output }
    }
}

/// Returns in how many namespaces of processes this one has a number.
fn namespaces(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.unwrap_or_default().split_whitespace().count()
}

/// Returns the number of a process's parent; `None` if it has gone.
fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Runs a program of the machine and returns what it wrote.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}: `tests/run` installs what is needed"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asks for a page on this scenario's own network; `None` if nobody answers.
pub(crate) fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}
