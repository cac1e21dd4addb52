//! From a freshly executed process to an engine that serves.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use trice_api::fault::Fault;
use trice_dns::resolv_conf;
use trice_dns::server::Server;
use trice_model::id::Ids;
use trice_network::nftables::TableOwner;
use trice_plan::realm::Realm;
use trice_runtime::container::Containers;
use trice_runtime::keeper::start::{Directories, Shared};
use trice_runtime::logs::pump::Pump;
use trice_state::store::Store;

use crate::backends::Backends;
use crate::engine::Engine;
use crate::failure;
use crate::recover::{Recorded, recover};
use crate::serve::{Service, serve};
use crate::sockets::InNamespaces;
use crate::succession;
use crate::surroundings;

/// How many jobs wait for the kernel at the same time.
const JOBS: usize = 16;

/// Runs an engine in this process, until there is nothing left to keep. Returns the code to end with.
pub fn run(directories: Directories, shared: Shared) -> i32 {
    rustix::process::umask(Mode::from(0o022));
    begin_logging(&directories.data);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(JOBS * 8)
        .thread_stack_size(512 * 1024)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "start the engine");
            return 1;
        }
    };
    let listener = shared.listener.try_clone();
    let result = runtime.block_on(live(directories, shared));
    match (result, listener) {
        (Ok(()), _) => 0,
        (Err(fault), listener) => {
            tracing::error!(%fault, "the engine could not go on");
            // Whoever asks is told why, instead of waiting for an engine that cannot come.
            if let Ok(listener) = listener {
                runtime.block_on(serve_fault(listener, fault));
            }
            1
        }
    }
}

/// The file that the engine's own log goes to.
pub fn log_file(data: &Path) -> PathBuf {
    data.join("engine.log")
}

/// A log that has grown beyond this begins anew with the engine.
const LONGEST_LOG: u64 = 4 << 20;

fn begin_logging(data: &Path) {
    let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    let path = log_file(data);
    let too_long = fs::metadata(&path).is_ok_and(|file| file.len() > LONGEST_LOG);
    let file = OpenOptions::new()
        .create(true)
        .append(!too_long)
        .write(true)
        .truncate(too_long)
        .mode(0o600)
        .open(path);
    if let Ok(file) = file {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(std::sync::Mutex::new(file));
        // A second one in the same process would be refused; there is none.
        let _ = tracing::subscriber::set_global_default(subscriber.finish());
    }
}

async fn live(directories: Directories, shared: Shared) -> Result<(), Fault> {
    let failed = |error: io::Error| failure::of_io("start the engine", &error);
    allow_many_files();
    let listener = adopt_listener(shared.listener.as_fd()).map_err(failed)?;
    let (events, receiver) = mpsc::unbounded_channel();
    let (tick, ticks) = watch::channel(0_u64);
    let pump = Pump::start(Box::new(move |_| tick.send_modify(|count| *count += 1))).map_err(failed)?;
    let (link, inventory) = succession::listen_first(&directories, &shared, &events)?;
    let realm = Realm::new(&directories.run, env!("CARGO_PKG_VERSION")).on_machine(&machine());
    let containers = Containers::open(directories.clone(), realm.tag(), link, pump)
        .map_err(|error| failure::of("start the engine", &error))?;
    let backends = open_backends(directories, shared, realm, containers)?;
    let backends = Arc::new(backends);
    let recorded = Recorded::read(&backends)?;
    let tables = TableOwner::open().map_err(|error| failure::of("start the engine", &error))?;
    let ids = fresh_ids().map_err(failed)?;
    let mut engine = Engine::new(backends.clone(), events.clone(), Default::default(), ids, tables);
    recover(&mut engine, recorded, inventory)?;
    surroundings::watch_network(&events);
    let _resolvers = surroundings::watch_resolvers(&backends.resolv_conf, &events);
    let serving = tokio::spawn(serve(listener, Service::new(backends.clone(), events, ticks)));
    engine.run(receiver).await;
    serving.abort();
    leave(&backends);
    Ok(())
}

/// Returns what tells this machine from all others: its id, or else its name.
///
/// Source: machine-id(5).
fn machine() -> String {
    let files = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
    let id = files.iter().filter_map(|file| fs::read_to_string(file).ok()).find(|id| !id.trim().is_empty());
    id.map_or_else(
        || rustix::system::uname().nodename().to_string_lossy().into_owned(),
        |id| id.trim().to_owned(),
    )
}

fn open_backends(
    directories: Directories,
    shared: Shared,
    realm: Realm,
    containers: Containers,
) -> Result<Backends, Fault> {
    let what = "start the engine";
    let data = directories.data.clone();
    let store = Store::open(&data.join("state.redb")).map_err(|error| failure::of(what, &error))?;
    let images =
        trice_image::images::Images::open(&data, store.clone()).map_err(|error| failure::of(what, &error))?;
    let volumes = trice_volume::volumes::Volumes::open(&data, store.clone())
        .map_err(|error| failure::of(what, &error))?;
    let resolv_conf = PathBuf::from("/etc/resolv.conf");
    let upstreams = resolv_conf::parse(&fs::read_to_string(&resolv_conf).unwrap_or_default()).servers;
    let sockets = InNamespaces::default();
    let names = Server::new(upstreams, sockets.clone());
    Ok(Backends {
        containers,
        images,
        volumes,
        seeding: Default::default(),
        names,
        sockets,
        store,
        realm,
        build_folder: directories.data.join("build"),
        directories,
        shared,
        resolv_conf,
    })
}

async fn serve_fault(listener: OwnedFd, fault: Fault) {
    if let Ok(listener) = adopt_listener(listener.as_fd()) {
        crate::serve::serve_fault(listener, fault).await;
    }
}

/// The engine holds several descriptors a container.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn adopt_listener(listener: std::os::fd::BorrowedFd<'_>) -> io::Result<UnixListener> {
    let listener: OwnedFd = listener.try_clone_to_owned()?;
    let listener = StdListener::from(listener);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn fresh_ids() -> io::Result<Ids> {
    let mut bytes = [0_u8; 32];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    let (lanes, _) = bytes.as_chunks::<8>();
    let mut seed = [0; 4];
    for (lane, bytes) in seed.iter_mut().zip(lanes) {
        *lane = u64::from_ne_bytes(*bytes);
    }
    Ok(Ids::new(seed))
}

/// Lets go of the machine: nothing is running, and nobody asks.
fn leave(backends: &Backends) {
    if let Err(error) = backends.containers.empty_trash() {
        tracing::warn!(error = &error as &dyn std::error::Error, "empty the trash");
    }
    if let Err(error) = backends.store.sync() {
        tracing::error!(error = &error as &dyn std::error::Error, "bring records to the disk");
    }
    backends.containers.leave();
    let _ = fs::remove_file(backends.directories.socket());
    let _ = backends.containers.link().leave();
}
