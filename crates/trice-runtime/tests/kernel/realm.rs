//! One keeper, its folders, and the test in the engine's place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::pipe::{PipeFlags, pipe_with};
use trice_model::container::{ContainerSpec, ExecSpec, ProcessSpec};
use trice_model::name::VolumeName;
use trice_runtime::container::{Containers, CreateError, ExecStdio, Prepared, Surroundings};
use trice_runtime::keeper::launch;
use trice_runtime::keeper::link::{Inventory, Link, Told};
use trice_runtime::keeper::start::Directories;
use trice_runtime::logs::pump::Pump;
use trice_runtime::logs::reader::LogReader;
use trice_runtime::logs::{LogFolder, Stream};
use trice_runtime::lower::MadeFile;
use trice_sys::namespace::{Unshare, unshare};
use trice_test::traces;
use trice_test::waiting::DEADLINE;

/// How many realms there have been.
static REALMS: AtomicU32 = AtomicU32::new(0);

/// The folders of a test, which are its alone, and go with it.
pub(crate) struct Folders {
    pub(crate) top: PathBuf,
}

impl Folders {
    pub(crate) fn new() -> Self {
        let number = REALMS.fetch_add(1, Ordering::Relaxed);
        let top = std::env::temp_dir().join(format!("trice-kernel-{}-{number}", std::process::id()));
        for folder in ["data", "run", "volume", "outside"] {
            fs::create_dir_all(top.join(folder)).unwrap();
        }
        Self { top }
    }

    pub(crate) fn directories(&self) -> Directories {
        Directories { data: self.top.join("data"), run: self.top.join("run") }
    }

    /// A folder of the host that a test may give to containers.
    pub(crate) fn volume(&self) -> PathBuf {
        self.top.join("volume")
    }

    /// A folder of the host that no container may reach.
    pub(crate) fn outside(&self) -> PathBuf {
        self.top.join("outside")
    }
}

/// Returns what the names of all that the engine of these directories makes have in them.
pub(crate) fn tag(directories: &Directories) -> String {
    let name = directories.run.parent().and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().replace("trice-kernel-", "t")
}

/// A keeper, and the test in the engine's place.
pub(crate) struct Realm {
    pub(crate) folders: Folders,
    pub(crate) containers: Containers,
    pub(crate) directories: Directories,
    pub(crate) keeper: Mutex<Child>,
    listener: OwnedFd,
    lock: OwnedFd,
    namespace: OwnedFd,
    told: Mutex<Receiver<Told>>,
    tell: Sender<Told>,
    exits: Mutex<BTreeMap<String, i32>>,
}

/// A container that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) spec: ContainerSpec,
    pub(crate) prepared: Prepared,
}

/// How a process ended, and what it wrote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// As wait(2) has it.
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Returns what it wrote, if it ended well and wrote no error.
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }
}

/// Runs `test` in a realm of its own, and fails if it leaves anything behind.
pub(crate) fn in_realm(test: impl FnOnce(&Realm)) {
    let realm = Realm::new(Folders::new());
    let result = catch_unwind(AssertUnwindSafe(|| test(&realm)));
    if let Err(panic) = result {
        traces::wipe(&tag(&realm.directories), &realm.folders.top);
        resume_unwind(panic);
    }
    let left = realm.leave();
    assert_eq!(left, Vec::<String>::new(), "the test left something behind");
}

impl Realm {
    fn new(folders: Folders) -> Self {
        let directories = folders.directories();
        let listener = OwnedFd::from(UnixListener::bind(directories.socket()).unwrap());
        let lock = OwnedFd::from(File::create(directories.lock()).unwrap());
        let (keeper, socket) = launch::succeed(&directories, listener.as_fd(), lock.as_fd()).unwrap();
        let (tell, told) = channel();
        let (link, _) = Link::open(socket, tell.clone()).unwrap();
        let pump = Pump::start(Box::new(|_| {})).unwrap();
        let containers = Containers::open(directories.clone(), &tag(&directories), link, pump).unwrap();
        let (keeper, told, exits) = (Mutex::new(keeper), Mutex::new(told), Mutex::default());
        let namespace = network_namespace();
        Self { folders, containers, directories, keeper, listener, lock, namespace, told, tell, exits }
    }

    /// Ends all that is left, and returns what could not be.
    fn leave(self) -> Vec<String> {
        for name in self.containers.groups() {
            let _ = self.containers.remove_group(&name);
        }
        for id in self.containers.folders() {
            let _ = self.containers.remove(&id);
        }
        let _ = self.containers.empty_trash();
        self.containers.leave();
        let _ = self.containers.link().leave();
        let keeper_ended = self.keeper.lock().unwrap().wait();
        let mut left = traces::of(&tag(&self.directories), &self.folders.top);
        let usual = ["containers", "trash", "engine.sock", "lock"];
        let is_usual = |path: &String| usual.iter().any(|name| path.ends_with(name));
        for directory in [&self.directories.data, &self.directories.run] {
            left.extend(traces::files(directory).into_iter().filter(|path| !is_usual(path)));
        }
        left.extend(keeper_ended.err().map(|error| format!("the keeper: {error}")));
        fs::remove_dir_all(&self.folders.top).unwrap();
        left
    }

    /// Starts a keeper in place of one that has died, as an engine does.
    pub(crate) fn succeed(&self) -> Inventory {
        let succeeded = launch::succeed(&self.directories, self.listener.as_fd(), self.lock.as_fd());
        let (keeper, socket) = succeeded.unwrap();
        let (link, inventory) = Link::open(socket, self.tell.clone()).unwrap();
        self.containers.relink(link);
        *self.keeper.lock().unwrap() = keeper;
        inventory
    }

    /// Makes a container up to the last step before its program.
    pub(crate) fn prepare(&self, spec: &ContainerSpec) -> Result<Prepared, CreateError> {
        self.prepare_with(spec, None)
    }

    pub(crate) fn prepare_with(
        &self,
        spec: &ContainerSpec,
        stdin: Option<OwnedFd>,
    ) -> Result<Prepared, CreateError> {
        prepare(&self.containers, spec, &self.namespace, &self.folders.volume(), stdin)
    }

    /// Starts a container.
    pub(crate) fn start(&self, spec: ContainerSpec) -> Running {
        let mut prepared = self.prepare(&spec).unwrap();
        prepared.start().unwrap();
        Running { spec, prepared }
    }

    /// Runs a container to its end.
    pub(crate) fn run(&self, spec: ContainerSpec) -> Ended {
        let running = self.start(spec);
        self.end(running)
    }

    /// Waits for a container's end, and removes it.
    pub(crate) fn end(&self, running: Running) -> Ended {
        let status = self.exit_of(running.spec.id.as_str());
        self.containers.finish(&running.spec.id).unwrap();
        let (out, err) = read_log(self.containers.log(&running.spec.id));
        self.containers.link().forget(running.spec.id.as_str()).unwrap();
        self.containers.remove(&running.spec.id).unwrap();
        Ended { status, out, err }
    }

    /// Ends a container at once, and removes it.
    pub(crate) fn kill(&self, running: Running) -> Ended {
        self.containers.kill(&running.spec.id).unwrap();
        self.end(running)
    }

    /// Begins a process in a container, with its own ends of pipes for its streams.
    pub(crate) fn begin_exec(
        &self,
        running: &Running,
        key: &str,
        process: ProcessSpec,
        stdio: ExecStdio,
    ) -> Result<Prepared, CreateError> {
        let spec = ExecSpec { container: running.spec.id.clone(), process };
        self.containers.exec(key, &spec, &running.spec, running.prepared.pidfd.as_fd(), stdio)
    }

    /// Runs a process in a container to its end.
    pub(crate) fn exec(&self, running: &Running, process: ProcessSpec) -> Result<Ended, CreateError> {
        let number = REALMS.fetch_add(1, Ordering::Relaxed);
        let key = format!("exec/{number}");
        let (out, stdout) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (err, stderr) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let result =
            self.begin_exec(running, &key, process, ExecStdio::Streams { stdin: None, stdout, stderr });
        let status = match &result {
            // No child was made where there was not even a group to put it into.
            Err(CreateError::Cgroup(_) | CreateError::Spawn(_)) => 0,
            Ok(_) | Err(_) => self.exit_of(&key),
        };
        self.containers.link().forget(&key).unwrap();
        result?;
        Ok(Ended { status, out: read_all(out), err: read_all(err) })
    }

    /// Runs a shell's `script` in a container.
    pub(crate) fn shell(&self, running: &Running, script: &str) -> Ended {
        self.exec(running, crate::spec::process(["/bin/sh", "-c", script])).unwrap()
    }

    /// Waits until the keeper tells the end of the child `key`, and returns its status.
    pub(crate) fn exit_of(&self, key: &str) -> i32 {
        loop {
            if let Some(status) = self.exits.lock().unwrap().remove(key) {
                return status;
            }
            match self.next_told() {
                Told::Exited { key, status } => drop(self.exits.lock().unwrap().insert(key, status)),
                Told::Gone => panic!("the keeper has died"),
            }
        }
    }

    /// Returns the next thing that the keeper tells.
    pub(crate) fn next_told(&self) -> Told {
        self.told.lock().unwrap().recv_timeout(DEADLINE).expect("the keeper tells nothing")
    }

    /// The number of the keeper's process, once it has done all that it was asked.
    pub(crate) fn keeper_at_rest(&self) -> u32 {
        // A child that is refused: the keeper answers one question after the other.
        self.containers.link().spawn("refused", true, true, &[]).unwrap_err();
        self.keeper_pid()
    }

    /// The number of the keeper's process.
    pub(crate) fn keeper_pid(&self) -> u32 {
        self.keeper.lock().unwrap().id()
    }
}

/// Makes a container in `namespace`, whose volume is the folder `volume`.
pub(crate) fn prepare(
    containers: &Containers,
    spec: &ContainerSpec,
    namespace: &OwnedFd,
    volume: &Path,
    stdin: Option<OwnedFd>,
) -> Result<Prepared, CreateError> {
    let open_volume = |_: &VolumeName, inside: Option<&Path>| {
        let path = inside.map_or_else(|| volume.to_owned(), |inside| volume.join(inside));
        File::open(path).map(OwnedFd::from).map_err(Into::into)
    };
    let text = |file: MadeFile| (file, format!("made for {}\n", file.name()));
    let mut surroundings = Surroundings {
        namespace: Some(namespace.as_fd()),
        volumes: &open_volume,
        files: MadeFile::ALL.map(text).into(),
        stdin,
    };
    let prepared = containers.prepare(spec.id.as_str(), spec, &mut surroundings);
    if prepared.is_err() {
        let _ = containers.finish(&spec.id);
    }
    prepared
}

/// Returns a network namespace with nothing in it.
pub(crate) fn network_namespace() -> OwnedFd {
    let make = || {
        unshare(Unshare::Net).expect("these tests make network namespaces, which takes root");
        OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap())
    };
    thread::spawn(make).join().unwrap()
}

/// Something mounted on the host below a folder of the test, while this lives.
pub(crate) struct HostMount(pub(crate) PathBuf);

impl HostMount {
    pub(crate) fn tmpfs(at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        mount("tmpfs", &at, "tmpfs", MountFlags::empty(), None).unwrap();
        Self(at)
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

/// Returns what is in a log, as standard output and standard error.
pub(crate) fn read_log(log: LogFolder) -> (String, String) {
    let mut reader = LogReader::new(log);
    let mut streams = [Vec::new(), Vec::new()];
    while let Some((piece, bytes)) = reader.next_bytes().unwrap() {
        streams[usize::from(piece.stream == Stream::Stderr)].extend(bytes);
    }
    let [out, err] = streams.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (out, err)
}

/// Reads to the end.
pub(crate) fn read_all(from: OwnedFd) -> String {
    let mut text = String::new();
    File::from(from).read_to_string(&mut text).unwrap();
    text
}

/// Reads a container's file below `/proc`, as the host sees it.
pub(crate) fn host_proc(prepared: &Prepared, file: &str) -> String {
    fs::read_to_string(format!("/proc/{}/{file}", prepared.pid)).unwrap()
}
