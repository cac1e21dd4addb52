//! The last steps of a child: who it is, what it may do, and the program it becomes.
//!
//! The order matters. Limits and descriptors need privileges or nothing; groups go before the user, since afterwards
//! they could not change; the filter comes while `CAP_SYS_ADMIN` lasts, because `no_new_privs` may be off, and lets
//! `capset` through; capabilities fall last.
//!
//! Sources: credentials(7), capabilities(7), seccomp(2).

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{Access, AtFlags, CWD, OFlags, ResolveFlags};
use rustix::process::{Gid, Resource, Rlimit, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use trice_sys::resolve::open_below;
use trice_sys::seccomp::SockFilter;

use crate::handshake::{Failure, FailureKind};
use crate::operation::ProcessPlan;
use crate::user::{self, Identity};

/// Looks up who the process is in the container's files.
pub fn identity(plan: &ProcessPlan) -> Result<Identity, Failure> {
    let (passwd, group) = (read_small("/etc/passwd"), read_small("/etc/group"));
    user::look_up(&plan.user, &plan.groups, &passwd, &group).map_err(|error| Failure {
        what: error.to_string(),
        errno: None,
        kind: FailureKind::Setup,
    })
}

/// Reads a text file of the container, up to 16 MiB; what cannot be read says nothing.
fn read_small(path: &str) -> String {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    // A link leads where it leads in the container, but not through a descriptor of this process.
    let resolve = ResolveFlags::NO_MAGICLINKS;
    let Ok(fd) = open_below(CWD, path, flags, resolve) else { return String::new() };
    // Room for what such files usually are: they are read at every start.
    let mut bytes = Vec::with_capacity(16 << 10);
    let _ = File::from(fd).take(16 << 20).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Goes to the working directory.
///
/// Done as root and inside the container's root. A folder that is not below it is refused, so that a descriptor of the
/// host, had one survived, would not help anybody out (CVE-2024-21626).
pub fn enter_cwd(cwd: &str) -> io::Result<()> {
    rustix::process::chdir(cwd)?;
    // An absolute path; the kernel answers `(unreachable)…` for a folder outside of the root.
    let here = rustix::process::getcwd(Vec::new())?;
    if here.as_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(io::Error::other("it is outside of the container's root"))
    }
}

/// The standard streams of a process.
#[derive(Debug)]
pub enum Streams {
    /// A terminal, its inner end.
    Terminal(OwnedFd),
    /// Input, output and error, each with whether it was made for this process.
    Three([(OwnedFd, bool); 3]),
}

/// Makes `streams` the standard input, output and error, and the process's user the owner of those that were made for
/// it, so that a program may open `/dev/stdout` again.
pub fn connect_streams(streams: Streams, identity: &Identity) -> io::Result<()> {
    match streams {
        Streams::Terminal(terminal) => {
            rustix::process::ioctl_tiocsctty(&terminal)?;
            give(terminal.as_fd(), identity)?;
            connect([terminal.as_fd(); 3])
        }
        Streams::Three(streams) => {
            for (stream, own) in &streams {
                if *own || is_anonymous_pipe(stream.as_fd())? {
                    give(stream.as_fd(), identity)?;
                }
            }
            connect([&streams[0].0, &streams[1].0, &streams[2].0].map(AsFd::as_fd))
        }
    }
}

fn connect(streams: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    rustix::stdio::dup2_stdin(streams[0])?;
    rustix::stdio::dup2_stdout(streams[1])?;
    Ok(rustix::stdio::dup2_stderr(streams[2])?)
}

fn give(stream: BorrowedFd<'_>, identity: &Identity) -> io::Result<()> {
    Ok(rustix::fs::fchown(stream, Some(Uid::from_raw(identity.uid)), Some(Gid::from_raw(identity.gid)))?)
}

/// Whether nobody else can have `stream` by a name: a caller's file, terminal or device stays its owner's.
fn is_anonymous_pipe(stream: BorrowedFd<'_>) -> io::Result<bool> {
    const PIPEFS_MAGIC: rustix::fs::FsWord = 0x5049_5045;
    Ok(rustix::fs::fstatfs(stream)?.f_type == PIPEFS_MAGIC)
}

/// Sets the limits of the process; an error comes with the limit's name.
pub fn limit(plan: &ProcessPlan) -> Result<(), (&'static str, io::Error)> {
    for limit in &plan.rlimits {
        let Some((resource, name)) = resource(limit.resource) else { continue };
        let wanted = Rlimit { current: limit.soft, maximum: limit.hard };
        rustix::process::setrlimit(resource, wanted).map_err(|error| (name, error.into()))?;
    }
    Ok(())
}

/// The kernel's resources in the order of their numbers, with the names that users know them by.
const RESOURCES: [(Resource, &str); 16] = [
    (Resource::Cpu, "cpu"),
    (Resource::Fsize, "fsize"),
    (Resource::Data, "data"),
    (Resource::Stack, "stack"),
    (Resource::Core, "core"),
    (Resource::Rss, "rss"),
    (Resource::Nproc, "nproc"),
    (Resource::Nofile, "nofile"),
    (Resource::Memlock, "memlock"),
    (Resource::As, "as"),
    (Resource::Locks, "locks"),
    (Resource::Sigpending, "sigpending"),
    (Resource::Msgqueue, "msgqueue"),
    (Resource::Nice, "nice"),
    (Resource::Rtprio, "rtprio"),
    (Resource::Rttime, "rttime"),
];

fn resource(number: u32) -> Option<(Resource, &'static str)> {
    RESOURCES.get(number as usize).copied()
}

/// Returns the kernel's number of the limit that users call `name`.
pub(crate) fn resource_number(name: &str) -> Option<u32> {
    RESOURCES.iter().position(|(_, known)| *known == name).map(|number| number as u32)
}

/// Takes on the identity, the filter and the capabilities.
pub fn drop_privileges(
    plan: &ProcessPlan,
    identity: &Identity,
    filter: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let program = filter.map(read_filter).transpose()?;
    if plan.no_new_privileges {
        rustix::thread::set_no_new_privs(true)?;
    }
    let wanted = plan
        .capabilities
        .iter()
        .fold(CapabilitySet::empty(), |set, number| set | CapabilitySet::from_bits_retain(1 << number));
    // What this process does not have it cannot pass on: root of a sandbox may lack some.
    let held = rustix::thread::capabilities(None)?;
    let wanted = wanted & held.permitted;
    drop_bounding(wanted)?;
    rustix::thread::set_keep_capabilities(true)?;
    let groups: Vec<Gid> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    rustix::thread::set_thread_groups(&groups)?;
    let gid = Gid::from_raw(identity.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    let uid = Uid::from_raw(identity.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    if identity.uid != 0 {
        // Keeping capabilities keeps the permitted set alone; the filter needs one in force.
        let kept = CapabilitySets { effective: held.permitted, ..held };
        rustix::thread::set_capabilities(None, kept)?;
    }
    if let Some(program) = program {
        trice_sys::seccomp::install(&program)?;
    }
    let sets = CapabilitySets { effective: wanted, permitted: wanted, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)?;
    Ok(())
}

/// Takes every capability but `wanted` out of the bounding set, from which no program file gets it back.
fn drop_bounding(wanted: CapabilitySet) -> io::Result<()> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if wanted.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Beyond the last that this kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads the whole of `filter`, which other children may be reading too: by place, not by position.
fn read_filter(filter: BorrowedFd<'_>) -> io::Result<Vec<SockFilter>> {
    let size = usize::try_from(rustix::fs::fstat(filter)?.st_size).unwrap_or(0);
    let mut bytes = vec![0; size];
    File::from(filter.try_clone_to_owned()?).read_exact_at(&mut bytes, 0)?;
    let instruction = |bytes: &[u8]| SockFilter {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    };
    Ok(bytes.chunks_exact(size_of::<SockFilter>()).map(instruction).collect())
}

/// Becomes the program; returns only if that failed.
///
/// A name without a slash is looked for in `PATH`, as a shell does: a file that is there but cannot be run does not
/// end the search.
pub fn exec(plan: &ProcessPlan, identity: &Identity) -> Result<Infallible, Failure> {
    let args = plan.args.iter().cloned().map(c_string).collect::<Result<Vec<_>, _>>()?;
    let mut env = plan.env.clone();
    env.entry("HOME".to_owned()).or_insert_with(|| identity.home.clone());
    let pairs = env.iter().map(|(key, value)| c_string(format!("{key}={value}")));
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    let path = env.get("PATH").map_or("", String::as_str);
    let mut refused = None;
    for candidate in candidates(&plan.args[0], path) {
        let error = trice_sys::exec::execve(&c_string(candidate.clone())?, &args, &pairs);
        if rustix::fs::accessat(CWD, &candidate, Access::EXISTS, AtFlags::EACCESS).is_ok() {
            refused.get_or_insert((candidate, error));
        }
    }
    Err(match refused {
        None => not_found(plan, identity, path),
        Some((candidate, error)) => not_executable(&candidate, identity, &error),
    })
}

fn c_string(text: String) -> Result<CString, Failure> {
    CString::new(text).map_err(|error| Failure {
        what: format!("an argument or variable holds a zero byte: {error}"),
        errno: None,
        kind: FailureKind::Setup,
    })
}

/// Returns the files that `command` may mean.
fn candidates(command: &str, path: &str) -> Vec<String> {
    if command.contains('/') {
        return vec![command.to_owned()];
    }
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| format!("{folder}/{command}"))
        .collect()
}

fn not_found(plan: &ProcessPlan, identity: &Identity, path: &str) -> Failure {
    let command = &plan.args[0];
    let place = if command.contains('/') { String::new() } else { format!(" in PATH={path}") };
    Failure {
        what: format!("command `{command}` not found{place}, as user {}", identity.uid),
        errno: Some(rustix::io::Errno::NOENT.raw_os_error()),
        kind: FailureKind::CommandNotFound,
    }
}

fn not_executable(candidate: &str, identity: &Identity, error: &io::Error) -> Failure {
    let why = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOENT) => "the interpreter that it names is missing".to_owned(),
        Some(rustix::io::Errno::NOEXEC) => {
            "it is neither a program for this machine nor begins with `#!`".to_owned()
        }
        _ => error.to_string(),
    };
    Failure {
        what: format!("command `{candidate}` cannot be run as user {}: {why}", identity.uid),
        errno: error.raw_os_error(),
        kind: FailureKind::CommandNotExecutable,
    }
}
