//! A small world of network namespaces: the host under test, a neighbour on its network, and instances.
//!
//! ```text
//! remote 192.0.2.2 ──── 192.0.2.1 host ── bridges ── instances
//! ```
//!
//! Nothing of it is on the machine: all of it is gone when the last descriptor is closed. What a test wants to know it
//! asks by real packets, and by the programs `ip` and `nft`, which know nothing of the code under test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use trice_model::network::{
    EndpointSpec, FirewallBridge, FirewallPort, FirewallSpec, InstanceSpec, MacAddress, NetworkSpec,
};
use trice_model::port::{ContainerPort, Protocol, PublishedPort};
use trice_network::bridge::create_network;
use trice_network::firewall::{apply_firewall, remove_firewall};
use trice_network::instance::{Connected, connect};
use trice_network::nftables::TableOwner;
use trice_sys::namespace::{Unshare, unshare};

pub(crate) const HOST: &str = "192.0.2.1";
pub(crate) const REMOTE: &str = "192.0.2.2";

/// Nothing came back.
pub(crate) const SILENCE: &str = "silence";
/// Somebody said that nobody is there.
pub(crate) const REFUSAL: &str = "refusal";

/// How long to wait for what must not come.
const NEVER: Duration = Duration::from_millis(300);
/// How long to wait for what must come, on a machine that is busy with something else.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How many host links there have been: each has a name of its own, since an old one may live on for a moment.
static LINKS: AtomicU32 = AtomicU32::new(0);

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
            move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(work).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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

    /// Returns what a UDP server at `address` says.
    pub(crate) fn ask_udp(&self, address: &str, patience: Duration) -> io::Result<String> {
        let socket = self.run(|| UdpSocket::bind("0.0.0.0:0"))?;
        ask_udp_from(&socket, address, patience)
    }

    /// Returns what the server at `address` says, which must answer.
    pub(crate) fn ask(&self, protocol: Protocol, address: &str) -> String {
        let answer = match protocol {
            Protocol::Tcp => self.ask_tcp(address, SOON),
            Protocol::Udp => self.ask_udp(address, SOON),
            Protocol::Sctp => panic!("no test speaks SCTP"),
        };
        answer.unwrap_or_else(|error| panic!("nobody answers at {address}/{protocol}: {error}"))
    }

    /// Returns what comes back from `address`: an answer, [`REFUSAL`] or [`SILENCE`].
    pub(crate) fn outcome(&self, protocol: Protocol, address: &str) -> String {
        outcome(match protocol {
            Protocol::Tcp => self.ask_tcp(address, NEVER),
            Protocol::Udp => self.ask_udp(address, NEVER),
            Protocol::Sctp => panic!("no test speaks SCTP"),
        })
    }

    /// Returns the same, for something that must come back sooner or later.
    pub(crate) fn eventual_outcome(&self, protocol: Protocol, address: &str) -> String {
        outcome(match protocol {
            Protocol::Tcp => self.ask_tcp(address, SOON),
            Protocol::Udp => self.ask_udp(address, SOON),
            Protocol::Sctp => panic!("no test speaks SCTP"),
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

/// A server that answers with its name and the address of whoever asks: `web 192.0.2.2`.
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    listener: Option<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts one.
    pub(crate) fn start(place: &Place, protocol: Protocol, address: &str, name: &str) -> Self {
        match protocol {
            Protocol::Tcp => Self::tcp(place.run(|| TcpListener::bind(address)).unwrap(), name),
            Protocol::Udp => Self::udp(place.run(|| UdpSocket::bind(address)).unwrap(), name),
            Protocol::Sctp => panic!("no test speaks SCTP"),
        }
    }

    /// Answers at a socket that listens already.
    pub(crate) fn tcp(listener: TcpListener, name: &str) -> Self {
        listener.set_nonblocking(false).unwrap();
        let (accepting, name) = (listener.try_clone().unwrap(), name.to_owned());
        let serve = move || {
            while let Ok((mut stream, peer)) = accepting.accept() {
                stream.write_all(format!("{name} {}", peer.ip()).as_bytes()).ok();
            }
        };
        Self { stop: Arc::default(), listener: Some(listener), thread: Some(thread::spawn(serve)) }
    }

    /// Answers at a socket that is bound already.
    pub(crate) fn udp(socket: UdpSocket, name: &str) -> Self {
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (stop, name) = (Arc::new(AtomicBool::new(false)), name.to_owned());
        let stopped = Arc::clone(&stop);
        let serve = move || {
            let mut buffer = [0; 200];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                    socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer).ok();
                }
            }
        };
        Self { stop, listener: None, thread: Some(thread::spawn(serve)) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(listener) = &self.listener {
            shutdown(listener, Shutdown::Both).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// An instance, and what it was made of.
pub(crate) struct Instance {
    pub(crate) spec: InstanceSpec,
    pub(crate) place: Place,
    pub(crate) dns: Option<trice_network::resolver::DnsSockets>,
}

impl Instance {
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.spec.endpoints[0].address.addr()
    }
}

/// The host under test.
pub(crate) struct World {
    pub(crate) host: Place,
    pub(crate) remote: Place,
    pub(crate) firewall: FirewallSpec,
    pub(crate) owner: TableOwner,
    networks: BTreeMap<String, NetworkSpec>,
}

impl World {
    /// Makes a host and a neighbour, and these networks: `front`, or `back internal`, or `quiet no-icc`.
    pub(crate) fn new(networks: &[&str]) -> Self {
        let mut world = Self::without_firewall(networks);
        world.apply();
        world
    }

    /// Makes the same, where the packet filter comes later.
    pub(crate) fn without_firewall(networks: &[&str]) -> Self {
        let (host, remote) = (Place::new(), Place::new());
        attach(&host, &remote, "lan0", "192.0.2");
        let networks = networks.iter().zip(1..).map(|(words, number)| network(words, number));
        let networks: BTreeMap<_, _> = networks.map(|net| (net.name.to_string(), net)).collect();
        let firewall = FirewallSpec {
            table: "trice-test-shop".to_owned(),
            bridges: networks.values().map(firewall_bridge).collect(),
            published: Vec::new(),
        };
        for spec in networks.values() {
            host.run(|| create_network(spec)).unwrap();
        }
        let owner = host.run(|| TableOwner::open().unwrap());
        Self { host, remote, firewall, owner, networks }
    }

    /// Puts the packet filter in force.
    pub(crate) fn apply(&mut self) {
        let Self { host, firewall, owner, .. } = self;
        host.run(|| apply_firewall(owner, firewall)).unwrap();
    }

    /// Takes it away.
    pub(crate) fn remove_firewall(&mut self) {
        let Self { host, firewall, owner, .. } = self;
        host.run(|| remove_firewall(owner, firewall)).unwrap();
    }

    /// Runs `check` with packets on bridges going through the packet filter and without, where the kernel has both.
    pub(crate) fn with_and_without_br_netfilter(&self, check: impl Fn(&str)) {
        const SWITCH: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        if !self.host.run(|| fs::exists(SWITCH).unwrap()) {
            check("without br_netfilter, which this kernel has not loaded");
            return;
        }
        for value in ["0", "1"] {
            self.host.write(SWITCH, value);
            check(&format!("with bridge-nf-call-iptables={value}"));
        }
    }

    /// Publishes a port: `8080`, `127.0.0.1:8080` or `8080/udp`; then puts the packet filter in force.
    pub(crate) fn publish(&mut self, port: &str, backends: &[SocketAddr]) {
        let port = published(port, backends);
        let same = |other: &FirewallPort| {
            (other.host_ip, other.host_port, other.protocol) == (port.host_ip, port.host_port, port.protocol)
        };
        self.firewall.published.retain(|other| !same(other));
        self.firewall.published.push(port);
        self.apply();
    }

    /// Gives a network IPv6 addresses too.
    pub(crate) fn give_ipv6(&mut self, name: &str, subnet: &str) {
        let network = self.networks.get_mut(name).unwrap();
        network.subnet6 = Some(subnet.parse().unwrap());
        self.host.ip(&format!("link delete {}", network.bridge));
        self.host.run(|| create_network(network)).unwrap();
        self.apply();
    }

    pub(crate) fn network(&self, name: &str) -> &NetworkSpec {
        &self.networks[name]
    }

    /// Returns what to ask for: an instance on these networks, with the address that ends in `number`.
    pub(crate) fn instance_spec(&self, name: &str, networks: &[&str], number: u8) -> InstanceSpec {
        let endpoint = |(position, network): (usize, &&str)| {
            let network = self.network(network);
            let [a, b, c, _] = network.gateway.octets();
            let address = Ipv4Addr::new(a, b, c, number);
            EndpointSpec {
                network: network.name.clone(),
                bridge: network.bridge.clone(),
                host_link: format!("trtest{}", LINKS.fetch_add(1, Ordering::Relaxed)).parse().unwrap(),
                interface: format!("eth{position}").parse().unwrap(),
                mac: MacAddress::of_ipv4(address),
                address: format!("{address}/24").parse().unwrap(),
                address6: None,
                gateway: (position == 0 && !network.internal).then_some(network.gateway),
                gateway6: None,
                mtu: network.mtu,
                isolated: !network.icc,
            }
        };
        InstanceSpec {
            name: name.parse().unwrap(),
            project: "shop".parse().unwrap(),
            endpoints: networks.iter().enumerate().map(endpoint).collect(),
            sysctls: BTreeMap::new(),
            dns: false,
        }
    }

    /// Makes an instance on these networks.
    pub(crate) fn instance(&self, name: &str, networks: &[&str], number: u8) -> Instance {
        self.connect(self.instance_spec(name, networks, number))
    }

    pub(crate) fn connect(&self, spec: InstanceSpec) -> Instance {
        let Connected { namespace, dns } = self.host.run(|| connect(&spec)).unwrap();
        Instance { spec, place: Place { namespace }, dns }
    }

    /// Makes an instance with a server that says its name.
    pub(crate) fn server(
        &self,
        name: &str,
        network: &str,
        number: u8,
        protocol: Protocol,
        port: u16,
    ) -> (Instance, Server) {
        let instance = self.instance(name, &[network], number);
        let server = Server::start(&instance.place, protocol, &format!("0.0.0.0:{port}"), name);
        (instance, server)
    }
}

/// Returns the port that is to be kept for a published one.
pub(crate) fn published_port(port: &str) -> PublishedPort {
    let FirewallPort { host_ip, host_port, protocol, .. } = published(port, &[]);
    PublishedPort { host_ip, host_port, target: ContainerPort { protocol, number: 80 } }
}

pub(crate) fn published(port: &str, backends: &[SocketAddr]) -> FirewallPort {
    let (at, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let (ip, number) = at.rsplit_once(':').map_or((None, at), |(ip, number)| (Some(ip), number));
    FirewallPort {
        host_ip: ip.map(|ip| ip.trim_matches(['[', ']']).parse::<IpAddr>().unwrap()),
        host_port: number.parse().unwrap(),
        protocol: protocol.parse().unwrap(),
        backends: backends.to_vec(),
    }
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

pub(crate) fn firewall_bridge(network: &NetworkSpec) -> FirewallBridge {
    FirewallBridge {
        link: network.bridge.clone(),
        subnet: network.subnet,
        internal: network.internal,
        icc: network.icc,
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

fn network(words: &str, number: u8) -> NetworkSpec {
    let name = words.split(' ').next().unwrap();
    let subnet = format!("10.77.{number}.0/24").parse().unwrap();
    NetworkSpec {
        name: name.parse().unwrap(),
        owner: None,
        bridge: format!("trtest{name}").parse().unwrap(),
        subnet,
        gateway: Ipv4Addr::new(10, 77, number, 1),
        ip_range: subnet,
        subnet6: None,
        internal: words.contains(" internal"),
        mtu: 1500,
        icc: !words.contains(" no-icc"),
        labels: BTreeMap::new(),
    }
}
