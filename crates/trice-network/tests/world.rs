//! A small world of network namespaces: the host under test, a neighbour on its network, and instances.
//!
//! ```text
//! remote 192.0.2.2 ──── 192.0.2.1 host ── bridges ── instances
//! ```
//!
//! Nothing of it is on the machine: all of it is gone when the last descriptor is closed. What a test wants to know it
//! asks by real packets, and by the programs `ip` and `nft`, which know nothing of the code under test.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use trice_model::network::{
    EndpointSpec, FirewallBridge, FirewallPort, FirewallSpec, InstanceSpec, MacAddress, NetworkSpec,
};
use trice_model::port::{ContainerPort, Protocol, PublishedPort};
use trice_network::bridge::create_network;
use trice_network::firewall::{apply_firewall, remove_firewall};
use trice_network::instance::{Connected, connect};
use trice_network::nftables::TableOwner;
use trice_network::resolver::DnsSockets;

use crate::place::{Place, attach};
use crate::server::Server;

pub(crate) const HOST: &str = "192.0.2.1";
pub(crate) const REMOTE: &str = "192.0.2.2";

/// How many host links there have been: each has a name of its own, since an old one may live on for a moment.
static LINKS: AtomicU32 = AtomicU32::new(0);
/// An instance, and what it was made of.
pub(crate) struct Instance {
    pub(crate) spec: InstanceSpec,
    pub(crate) place: Place,
    pub(crate) dns: Option<DnsSockets>,
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

fn firewall_bridge(network: &NetworkSpec) -> FirewallBridge {
    FirewallBridge {
        link: network.bridge.clone(),
        subnet: network.subnet,
        internal: network.internal,
        icc: network.icc,
    }
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
