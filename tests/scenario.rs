//! A scenario: a folder with a Compose file that runs by hand too, a machine of its own, steps, and what must be seen.
//!
//! The machine is a network namespace and two directories: nothing that a scenario does is seen by another one, or by
//! whoever runs the tests. When it ends, everything must be gone; that is part of every scenario.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use trice_sys::namespace::{Unshare, unshare};

/// How long anything may take that a scenario waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `steps` on a machine of their own.
pub(crate) fn scenario(folder: &str, steps: impl FnOnce(&Scenario) + Send) {
    // A thread of its own: it never returns to the network of whoever runs the tests.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(Unshare::Net).expect("the tests need root, to make network namespaces");
            run("ip", &["link", "set", "lo", "up"]);
            let scenario = Scenario::new(folder);
            steps(&scenario);
            scenario.end();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A machine and the folder whose Compose file is used on it.
pub(crate) struct Scenario {
    folder: PathBuf,
    home: PathBuf,
}

impl Scenario {
    fn new(folder: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the project's root");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&home).expect("make the scenario's home");
        Self { folder: root.join(folder), home }
    }

    /// The folder with the Compose file.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A place for files of the scenario's own.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Where the engine keeps what outlives a reboot.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Where the engine keeps what does not.
    pub(crate) fn run_directory(&self) -> PathBuf {
        self.home.join("run")
    }

    /// A command that is about to be run in the folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trice"));
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
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

    /// Begins to run trice with the words of `line`.
    pub(crate) fn begin(&self, line: &str) -> Running {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let child = self.command(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running { line: line.to_owned(), child: child.expect("run trice") }
    }

    /// Returns the containers, as `ps --all --format json` lists them.
    pub(crate) fn ps(&self) -> Vec<serde_json::Value> {
        let ran = self.trice("ps --all --format json").success();
        ran.stdout().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Returns `name state` of every container, in the order of the names.
    pub(crate) fn states(&self) -> Vec<String> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        self.ps().iter().map(|one| format!("{} {}", text(&one["Name"]), text(&one["State"]))).collect()
    }

    /// Returns the ids of all containers by their names.
    pub(crate) fn ids(&self) -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        self.ps().iter().map(|one| (text(&one["Name"]), text(&one["ID"]))).collect()
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
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
    }

    /// Kills the processes of a role, as nobody should.
    pub(crate) fn kill(&self, role: &str) {
        for pid in self.processes(role) {
            run("kill", &["-9", &pid.to_string()]);
        }
    }

    /// Waits until `condition` holds.
    pub(crate) fn wait_for(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "waited in vain for: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns what the engine wrote to its log, for messages.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.data().join("engine.log")).unwrap_or_default()
    }

    /// Takes everything down; nothing may be left.
    fn end(&self) {
        self.trice("down --volumes --remove-orphans --timeout 0");
        self.wait_for("keeper and engine to leave", || {
            self.processes("trice-keeper").is_empty() && self.processes("trice-engine").is_empty()
        });
        self.wait_for("the kernel to be as it was", || self.traces().is_empty());
        fs::remove_dir_all(&self.home).expect("remove the scenario's home");
    }

    /// Returns what is left on the machine: links, tables, cgroups, mounts, files of containers.
    pub(crate) fn traces(&self) -> BTreeSet<String> {
        let mut traces = BTreeSet::new();
        let links = run("ip", &["-o", "link"]);
        traces.extend(links.lines().filter(|line| line.contains(": tr")).map(|line| format!("link {line}")));
        let tables = run("nft", &["list", "tables"]);
        traces.extend(tables.lines().map(|line| format!("nftables {line}")));
        let home = self.home.to_str().unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        traces.extend(mounts.lines().filter(|line| line.contains(home)).map(|line| format!("mount {line}")));
        for part in ["data/containers", "data/volumes", "data/trash", "run/containers"] {
            let entries = fs::read_dir(self.home.join(part)).into_iter().flatten().flatten();
            traces.extend(entries.map(|entry| format!("file {}", entry.path().display())));
        }
        traces.extend(self.cgroups().into_iter().map(|path| format!("cgroup {}", path.display())));
        traces
    }

    /// Returns the cgroups of this scenario's engine in all hierarchies.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let tag = trice_plan::realm::Realm::new(&self.run_directory(), "").tag().to_owned();
        find_folders(Path::new("/sys/fs/cgroup"), &format!("trice-{tag}"), 5)
    }
}

impl Drop for Scenario {
    /// After a failure: as little as possible stays behind.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the engine's log\n{}", self.log());
            let _ = self.command(&["down", "--volumes", "--remove-orphans", "--timeout", "0"]).output();
        }
    }
}

fn find_folders(below: &Path, name: &str, depth: usize) -> Vec<PathBuf> {
    if depth == 0 {
        return Vec::new();
    }
    let entries = fs::read_dir(below).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .flat_map(|entry| {
            let found = entry.file_name().to_str() == Some(name);
            if found { vec![entry.path()] } else { find_folders(&entry.path(), name, depth - 1) }
        })
        .collect()
}

/// A command that has run.
pub(crate) struct Ran {
    line: String,
    output: Output,
}

impl Ran {
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

    /// What it wrote to its standard output.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// What it wrote to its standard error.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
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

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        run("kill", &["-s", name, &self.child.id().to_string()]);
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Ran {
        let output = self.child.wait_with_output().expect("wait for trice");
        Ran { line: self.line, output }
    }
}

/// Runs a program of the machine and returns what it wrote.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: `tests/run` installs what is needed"));
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
