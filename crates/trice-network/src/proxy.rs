//! Published ports that the packet filter cannot lead to a container: this process takes what comes and passes it on.
//!
//! ```text
//! caller ──► host's side, kept for us ──► accepted here ──► a container, the next one each time
//!            [::1]:8080                    └── with the caller's address, if it is to be transparent
//! ```
//!
//! `::1` is one of them: the kernel routes no answer to it. From IPv6 to a container without it there is no other way
//! either. And a port that the host's own packet filter is to have its say about must be the host's.
//!
//! A proxy that speaks to one container from one address runs out of ports, since the kernel keeps each one for a
//! minute after its connection; so it asks the kernel to use them again sooner.
//!
//! What comes by UDP to a port of all addresses is answered from the one that the route back has; on a machine with
//! several, a caller of another one does not know the answer for its own.

mod held;
mod tcp;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use ipnet::IpNet;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use trice_model::port::Protocol;
use trice_sys::socket_filter::{drop_all, take_all};
use trice_sys::transparent::{Version, allow_any_address};

use crate::sysctl::{self, SysctlError};
use held::Held;

/// Why nothing is passed on.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The kept socket cannot be used.
    #[error("take what comes to {at}")]
    Take {
        /// The host's side.
        at: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// There is no proxy for the protocol.
    #[error("{protocol} cannot be passed on")]
    Protocol {
        /// The protocol.
        protocol: Protocol,
    },
    /// Ports cannot be used again soon enough.
    #[error(transparent)]
    Setting(#[from] SysctlError),
}

/// Where a port leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// The containers.
    pub backends: Vec<SocketAddr>,
    /// They see the caller's address and not this machine's.
    pub transparent: bool,
    /// Callers from there would not get their answers by way of this machine, and so are not seen.
    pub near: Vec<IpNet>,
}

/// A port that is passed on, until this is dropped: then its descriptor is closed at once.
#[derive(Debug)]
#[must_use = "nothing is passed on once this is dropped"]
pub struct Proxy {
    targets: watch::Sender<Targets>,
    listener: Listener,
    /// The loop; connections end with it.
    _loop: JoinSet<()>,
    kept: OwnedFd,
}

/// What comes in by.
#[derive(Debug)]
enum Listener {
    Tcp(Held<TcpListener>),
    Udp(Held<UdpSocket>),
}

impl Proxy {
    /// Leads what comes from now on elsewhere. What is on its way goes on.
    pub fn lead(&self, targets: Targets) {
        self.targets.send_if_modified(|known| {
            let changed = *known != targets;
            *known = targets;
            changed
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The port stays kept: nobody else gets in, and nothing waits for an answer that cannot come. A socket that
        // refuses this is about to be closed.
        let _ = drop_all(self.kept.as_fd());
        match &self.listener {
            Listener::Tcp(listener) => listener.close(),
            Listener::Udp(socket) => socket.close(),
        }
    }
}

/// Passes on what comes to `socket`, a copy of one that [`crate::port::reserve_port`] has made. Must be called inside a
/// tokio runtime, in the namespace of the host.
///
/// # Errors
/// [`ProxyError`].
pub fn serve(socket: OwnedFd, protocol: Protocol, targets: Targets) -> Result<Proxy, ProxyError> {
    let at = rustix::net::getsockname(&socket).ok().and_then(|at| SocketAddr::try_from(at).ok());
    let at = at.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    let fail = |source| ProxyError::Take { at, source };
    use_ports_again()?;
    let kept = socket.try_clone().map_err(fail)?;
    let targets = watch::Sender::new(targets);
    let aim = Aim { targets: targets.subscribe(), turn: AtomicUsize::new(0) };
    let mut tasks = JoinSet::new();
    let listener = match protocol {
        Protocol::Tcp => {
            listen(&socket, BACKLOG).map_err(|errno| fail(errno.into()))?;
            let adopt = || {
                let listener = std::net::TcpListener::from(socket);
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            };
            let listener = Held::new(adopt().map_err(fail)?);
            tasks.spawn(tcp::pass_on(listener.clone(), aim));
            Listener::Tcp(listener)
        }
        Protocol::Udp => {
            let adopt = || {
                let socket = std::net::UdpSocket::from(socket);
                socket.set_nonblocking(true)?;
                UdpSocket::from_std(socket)
            };
            let socket = Held::new(adopt().map_err(fail)?);
            tasks.spawn(udp::pass_on(socket.clone(), aim));
            Listener::Udp(socket)
        }
        Protocol::Sctp => return Err(ProxyError::Protocol { protocol }),
    };
    match take_all(kept.as_fd()) {
        Err(error) if error.raw_os_error() != Some(Errno::NOENT.raw_os_error()) => return Err(fail(error)),
        Ok(()) | Err(_) => {}
    }
    Ok(Proxy { targets, listener, _loop: tasks, kept })
}

/// How many connections may wait to be taken.
const BACKLOG: i32 = 4096;

/// Lets the kernel use a port again for another connection once the caller's clock tells them apart.
///
/// Source: Linux `Documentation/networking/ip-sysctl.rst`, "tcp_tw_reuse".
fn use_ports_again() -> Result<(), SysctlError> {
    const SETTING: &str = "net.ipv4.tcp_tw_reuse";
    if sysctl::exists(SETTING) { sysctl::set(SETTING, "1") } else { Ok(()) }
}

/// Chooses containers, and the address to speak to them from.
struct Aim {
    targets: watch::Receiver<Targets>,
    turn: AtomicUsize,
}

impl Aim {
    /// Returns the next container; `None` if there is none.
    fn next(&self) -> Option<SocketAddr> {
        let backends = &self.targets.borrow().backends;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        backends.get(turn.checked_rem(backends.len())?).copied()
    }

    /// Returns whether `caller` is to be seen by `backend`.
    fn shows(&self, caller: SocketAddr, backend: SocketAddr) -> bool {
        let targets = self.targets.borrow();
        let ip = caller.ip().to_canonical();
        targets.transparent
            && !ip.is_loopback()
            && !is_link_local(ip)
            && ip.is_ipv4() == backend.is_ipv4()
            && !targets.near.iter().any(|net| net.contains(&ip))
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Makes a socket that speaks from the address of `caller`.
fn as_caller(caller: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let caller = SocketAddr::new(caller.ip().to_canonical(), caller.port());
    let (family, version) = match caller {
        SocketAddr::V4(_) => (AddressFamily::INET, Version::V4),
        SocketAddr::V6(_) => (AddressFamily::INET6, Version::V6),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    allow_any_address(socket.as_fd(), version)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &caller)?;
    Ok(socket)
}
