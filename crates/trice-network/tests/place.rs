//! A network namespace, what a program says there, and what comes back from an address.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use trice_model::port::Protocol;
use trice_sys::namespace::{Unshare, unshare};

/// Nothing came back.
pub(crate) const SILENCE: &str = "silence";
/// Somebody said that nobody is there.
pub(crate) const REFUSAL: &str = "refusal";

/// How long to wait for what must not come.
const NEVER: Duration = Duration::from_millis(300);
/// How long to wait for what must come, on a machine that is busy with something else.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// A network namespace.
pub(crate) struct Place {
    pub(crate) namespace: OwnedFd,
}

impl Place {
    /// Makes an empty one, whose `lo` is up.
    pub(crate) fn new() -> Self {
        let make = || {
            unshare(Unshare::Net).expect("these tests make network namespaces, which takes root");
            OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap())
        };
        let place = Self { namespace: thread::spawn(make).join().unwrap() };
        place.ip("link set lo up");
        place
    }

    /// Returns what `work` returns there.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let work = || {
            self.enter();
            work()
        };
        thread::scope(|scope| scope.spawn(work).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Moves the calling thread there for good.
    pub(crate) fn enter(&self) {
        move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Runs a program there and returns what it printed. It must succeed.
    pub(crate) fn program(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        let output = self.run(|| command.output());
        let output = output.unwrap_or_else(|error| panic!("`{line}`, which these tests need: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{line}`: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `ip` there.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        self.program(&format!("ip {arguments}"))
    }

    /// Returns the content of a file of the kernel's that is about the namespace.
    pub(crate) fn read(&self, path: &str) -> String {
        self.run(|| fs::read_to_string(path).unwrap()).trim().to_owned()
    }

    /// Writes such a file.
    pub(crate) fn write(&self, path: &str, content: &str) {
        self.run(|| fs::write(path, content).unwrap());
    }

    /// Returns what a TCP server at `address` says, and how long that took.
    pub(crate) fn ask_tcp(&self, address: &str, patience: Duration) -> io::Result<String> {
        let address: SocketAddr = address.parse().unwrap();
        self.run(|| {
            let mut stream = TcpStream::connect_timeout(&address, patience)?;
            stream.set_read_timeout(Some(patience))?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
    }

    /// Returns what an SCTP server at `address` says.
    pub(crate) fn ask_sctp(&self, address: &str, patience: Duration) -> io::Result<String> {
        let address: SocketAddr = address.parse().unwrap();
        self.run(|| {
            let socket = sctp_socket(address)?;
            // It is also how long to wait for the connection.
            set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
            set_socket_timeout(&socket, Timeout::Recv, Some(patience))?;
            connect(&socket, &address).map_err(|errno| match errno {
                Errno::INPROGRESS => io::ErrorKind::TimedOut.into(),
                other => io::Error::from(other),
            })?;
            let mut answer = String::new();
            TcpStream::from(socket).read_to_string(&mut answer)?;
            Ok(answer)
        })
    }

    /// Returns what a UDP server at `address` says.
    pub(crate) fn ask_udp(&self, address: &str, patience: Duration) -> io::Result<String> {
        let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = self.run(|| UdpSocket::bind(any))?;
        ask_udp_from(&socket, address, patience)
    }

    /// Returns what the server at `address` says, which must answer.
    pub(crate) fn ask(&self, protocol: Protocol, address: &str) -> String {
        let answer = match protocol {
            Protocol::Tcp => self.ask_tcp(address, SOON),
            Protocol::Udp => self.ask_udp(address, SOON),
            Protocol::Sctp => self.ask_sctp(address, SOON),
        };
        answer.unwrap_or_else(|error| panic!("nobody answers at {address}/{protocol}: {error}"))
    }

    /// Returns what comes back from `address`: an answer, [`REFUSAL`] or [`SILENCE`].
    pub(crate) fn outcome(&self, protocol: Protocol, address: &str) -> String {
        outcome(match protocol {
            Protocol::Tcp => self.ask_tcp(address, NEVER),
            Protocol::Udp => self.ask_udp(address, NEVER),
            Protocol::Sctp => self.ask_sctp(address, NEVER),
        })
    }

    /// Returns the same, for something that must come back sooner or later.
    pub(crate) fn eventual_outcome(&self, protocol: Protocol, address: &str) -> String {
        outcome(match protocol {
            Protocol::Tcp => self.ask_tcp(address, SOON),
            Protocol::Udp => self.ask_udp(address, SOON),
            Protocol::Sctp => self.ask_sctp(address, SOON),
        })
    }

    /// Returns what comes back from `address` to a packet with the source `from`.
    pub(crate) fn outcome_from(&self, from: &str, address: &str) -> String {
        let socket = self.run(|| UdpSocket::bind((from, 0))).unwrap();
        outcome(ask_udp_from(&socket, address, NEVER))
    }

    /// Makes packets for 127.0.0.1 go to another machine, which is an attack on it.
    pub(crate) fn send_loopback_to(&self, victim: &str, link: &str) {
        self.write("/proc/sys/net/ipv4/conf/all/route_localnet", "1");
        self.ip(&format!("route add 127.0.0.1 via {victim} dev {link} table 100"));
        self.ip("rule add preference 1 to 127.0.0.1 lookup 100");
        self.ip("rule add preference 2 lookup local");
        self.ip("rule delete preference 0");
    }
}

/// Opens a socket for one association of the version of IP that `address` is of.
pub(crate) fn sctp_socket(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::SCTP))
}

/// The protocols that ports are of. Says so aloud where the kernel lacks one; that of `tests/vm/run` has all.
#[allow(clippy::print_stderr, reason = "a test says aloud what this machine cannot")]
pub(crate) fn spoken() -> Vec<Protocol> {
    if sctp_socket(SocketAddr::from(([0; 4], 0))).is_ok() {
        vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
    } else {
        eprintln!("this kernel speaks no SCTP");
        vec![Protocol::Tcp, Protocol::Udp]
    }
}

/// Tells whether nobody can remove a table of an engine's: Linux 6.9 and later.
pub(crate) fn owned_tables_persist() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(9))
}

fn outcome(result: io::Result<String>) -> String {
    match result {
        Ok(answer) => answer,
        Err(error) => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => SILENCE.to_owned(),
            io::ErrorKind::ConnectionRefused => REFUSAL.to_owned(),
            _ => error.to_string(),
        },
    }
}

/// Asks over a socket that is open already.
pub(crate) fn ask_udp_from(socket: &UdpSocket, address: &str, patience: Duration) -> io::Result<String> {
    socket.connect(address.parse::<SocketAddr>().unwrap())?;
    socket.set_read_timeout(Some(patience))?;
    let mut buffer = [0; 200];
    socket.send(b"?")?;
    loop {
        match socket.recv(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return Ok(String::from_utf8_lossy(&buffer[..other?]).into_owned()),
        }
    }
}

/// Gives both ends of a connection made by [`attach`] an IPv6 address too.
pub(crate) fn attach_ipv6(host: &Place, neighbour: &Place, link: &str, subnet: &str) {
    host.ip(&format!("address add {subnet}::1/64 dev {link} nodad"));
    neighbour.ip(&format!("address add {subnet}::2/64 dev lan1 nodad"));
    // Its own address is the kernel's a moment later.
    for (place, own) in [(host, "1"), (neighbour, "2")] {
        wait_until("the address is usable", || {
            place.ip(&format!("route get {subnet}::{own}")).contains("local")
        });
    }
}

/// Connects `host` by its link of this name, and the address `subnet`.1, to the `lan1` of a neighbour, which has .2.
pub(crate) fn attach(host: &Place, neighbour: &Place, link: &str, subnet: &str) {
    let namespace = format!("/proc/{}/fd/{}", std::process::id(), neighbour.namespace.as_raw_fd());
    host.ip(&format!("link add {link} type veth peer name lan1 netns {namespace}"));
    host.ip(&format!("address add {subnet}.1/24 dev {link}"));
    host.ip(&format!("link set {link} up"));
    neighbour.ip(&format!("address add {subnet}.2/24 dev lan1"));
    neighbour.ip("link set lan1 up");
}

/// Returns when `is_so`; panics if it has not become so in time.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

/// Returns what `get` gives as soon as it gives something; panics if it has not in time.
pub(crate) fn wait_for<T>(what: &str, get: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = get() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {SOON:?}");
        thread::yield_now();
    }
}
