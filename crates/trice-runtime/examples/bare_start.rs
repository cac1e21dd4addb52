//! The least that a start can cost on this machine: a bare loop of the system calls by which a container is made, with
//! nothing around it: no plan, no keeper, no engine, no store, no limits, no log. What `trice up` takes beyond that is
//! its own.
//!
//! ```text
//! sudo cargo run --release -p trice-runtime --example bare_start [COUNT]
//! ```
//!
//! Each start is a child with its own mount, pid, UTS, IPC and network namespaces, an overlay of `/`, the kernel's file
//! systems, devices, masks, a new root, and `execve` of `true`. Nothing is left behind.

#![allow(clippy::print_stdout, reason = "a command")]

use std::error::Error;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::{MountPropagationFlags, OpenTreeFlags, mount_change, open_tree};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::thread::{CapabilitySet, set_no_new_privs};
use trice_runtime::litter::Litter;
use trice_runtime::operation::{Attributes, DeviceKind, DeviceNode, Filesystem};
use trice_runtime::{mounts, rootfs};
use trice_sys::exec::execveat;
use trice_sys::fork::{NewNamespace, SingleThread, spawn};
use trice_sys::resolve::open_below;
use trice_sys::signals;

const NAMESPACES: [NewNamespace; 5] =
    [NewNamespace::Mount, NewNamespace::Pid, NewNamespace::Uts, NewNamespace::Ipc, NewNamespace::Net];

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(50), |count| count.parse())?;
    let proof = SingleThread::prove()?;
    let home = std::env::temp_dir().join(format!("trice-bare-{}", std::process::id()));
    for name in ["layers", "writable", "root"] {
        fs::create_dir_all(home.join("base").join(name))?;
    }
    let mut times = Vec::new();
    for number in 0..count {
        let began = Instant::now();
        let pidfd = start(&proof, &home, number)?;
        // The pipe is closed by the `execve`: the child is the program, or has failed.
        times.push(began.elapsed());
        let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
        assert_eq!(status.and_then(|status| status.exit_status()), Some(0), "the program ran");
    }
    fs::remove_dir_all(&home)?;
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let median = milliseconds(times[times.len() / 2]);
    println!("{count} bare starts: median {median:.2} ms, least {:.2} ms", milliseconds(times[0]));
    Ok(())
}

/// Makes one container, and returns when its program runs.
fn start(proof: &SingleThread, home: &Path, number: usize) -> io::Result<OwnedFd> {
    let own = home.join(number.to_string());
    for name in ["upper", "work"] {
        fs::create_dir_all(own.join(name))?;
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let trees = [Path::new("/"), &own, &home.join("base")].map(|path| open_tree(CWD, path, flags));
    let [lower, own, base] = trees.map(|tree| tree.map_err(io::Error::from));
    let (reads, writes) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let child = spawn(proof, &NAMESPACES, None, vec![lower?, own?, base?, writes], begin)?;
    let mut word = [0];
    match rustix::io::read(&reads, &mut word)? {
        0 => Ok(child.pidfd),
        _ => Err(io::Error::other("a start failed")),
    }
}

fn begin(descriptors: Vec<OwnedFd>) -> i32 {
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().expect("four were given");
    let (lower, own, base, told) = (next(), next(), next(), next());
    let failed = become_container(&lower, &own, &base);
    let _ = rustix::io::write(&told, b"x");
    i32::from(failed.is_err())
}

fn become_container(lower: &OwnedFd, own: &OwnedFd, base: &OwnedFd) -> io::Result<()> {
    let mut litter = Litter::default();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // The folders that the runtime's functions mount in are those of a keeper's root.
    rootfs::attach(base.as_fd(), "/mnt")?;
    rustix::process::chroot("/mnt")?;
    rustix::process::chdir("/")?;
    rustix::system::sethostname(b"bare")?;
    rootfs::attach_layer(lower.as_fd(), 0)?;
    rootfs::attach(own.as_fd(), rootfs::WRITABLE)?;
    rootfs::mount_overlay(1, &mut litter)?;
    let root = rootfs::open_root()?;
    mounts::mount_filesystem(root.as_fd(), &filesystem("proc", "/proc", &[]), &mut litter)?;
    let dev = mounts::mount_filesystem(
        root.as_fd(),
        &filesystem("tmpfs", "/dev", &[("mode", "755")]),
        &mut litter,
    )?;
    mounts::make_devices(dev.as_fd(), &devices())?;
    let null = open_below(&dev, "null", OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::BENEATH)?;
    for (kind, target) in [("devpts", "/dev/pts"), ("mqueue", "/dev/mqueue"), ("tmpfs", "/dev/shm")] {
        mounts::mount_in_fresh(dev.as_fd(), &filesystem(kind, target, &[]), &mut litter)?;
    }
    mounts::mount_filesystem(root.as_fd(), &filesystem("sysfs", "/sys", &[]), &mut litter)?;
    rootfs::pivot(root.as_fd())?;
    let mut empty = None;
    for path in ["/proc/acpi", "/proc/interrupts", "/proc/keys", "/proc/timer_list", "/sys/firmware"] {
        mounts::mask(null.as_fd(), &mut empty, Path::new(path), &mut litter)?;
    }
    for path in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"] {
        mounts::make_read_only(Path::new(path), &mut litter)?;
    }
    drop(litter);
    signals::reset();
    for capability in CapabilitySet::all() & !CapabilitySet::CHOWN {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    set_no_new_privs(true)?;
    let program = rustix::fs::open("/bin/true", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    match execveat(program.as_fd(), &[CString::new("true")?], &[])? {}
}

fn filesystem(kind: &str, target: &str, options: &[(&str, &str)]) -> Filesystem {
    let options = options.iter().map(|(key, value)| (key.to_string(), Some(value.to_string())));
    Filesystem {
        kind: kind.to_owned(),
        target: PathBuf::from(target),
        follow: false,
        options: options.collect(),
        attributes: Attributes { nosuid: true, ..Attributes::default() },
    }
}

fn devices() -> Vec<DeviceNode> {
    let device = |(name, minor): (&str, u32)| DeviceNode::Device {
        name: name.to_owned(),
        kind: DeviceKind::Character,
        major: 1,
        minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    };
    [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)].map(device).into()
}
