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
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use trice_model::name::LinkName;
use trice_model::network::{
    EndpointSpec, FirewallBridge, FirewallPort, FirewallSpec, GuardedPort, InstanceSpec, Ipv4PoolSpec,
    Ipv6PoolSpec, MacAddress, Medium, NetworkSpec, Plug, Way,
};
use trice_model::port::{ContainerPort, Protocol, PublishedPort};
use trice_network::bridge::create_network;
use trice_network::firewall::{apply_firewall, remove_firewall};
use trice_network::instance::{Connected, connect};
use trice_network::nftables::TableOwner;
use trice_network::resolver::DnsSockets;

use crate::place::{Place, attach, attach_ipv6};
use crate::server::Server;

/// The table of routes by which answers to the proxy come back.
pub(crate) const WAY_BACK: u32 = 4242;
pub(crate) const HOST: &str = "192.0.2.1";
pub(crate) const REMOTE: &str = "192.0.2.2";
pub(crate) const HOST6: &str = "2001:db8::1";
pub(crate) const REMOTE6: &str = "2001:db8::2";

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
        self.spec.endpoints[0].address.unwrap().addr()
    }

    pub(crate) fn address6(&self) -> Ipv6Addr {
        self.spec.endpoints[0].address6.unwrap().addr()
    }

    /// Returns the host's end of its first interface.
    pub(crate) fn host_link(&self) -> &str {
        self.spec.endpoints[0].host_link().unwrap().as_str()
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
        if networks.iter().any(|words| words.contains("ipv6")) {
            attach_ipv6(&host, &remote, "lan0", "2001:db8");
        }
        let networks = networks.iter().zip(1..).map(|(words, number)| network(words, number));
        let networks: BTreeMap<_, _> = networks.map(|net| (net.name.to_string(), net)).collect();
        let firewall = FirewallSpec {
            table: "trice-test-shop".to_owned(),
            bridges: networks.values().map(firewall_bridge).collect(),
            guarded: Vec::new(),
            published: Vec::new(),
            way_back: WAY_BACK,
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
        const SWITCH6: &str = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
        if !self.host.run(|| fs::exists(SWITCH).unwrap()) {
            check("without br_netfilter, which this kernel has not loaded");
            return;
        }
        for value in ["0", "1"] {
            self.host.write(SWITCH, value);
            self.host.write(SWITCH6, value);
            check(&format!("with bridge-nf-call-iptables={value}"));
        }
    }

    /// Publishes a port: `8080`, `127.0.0.1:8080`, `[::]:8080` or `8080/udp`; then puts the packet filter in force.
    pub(crate) fn publish(&mut self, port: &str, backends: &[SocketAddr]) {
        let port = published(port, backends);
        let same = |other: &FirewallPort| {
            (other.host_ip, other.host_port, other.protocol) == (port.host_ip, port.host_port, port.protocol)
        };
        self.firewall.published.retain(|other| !same(other));
        self.firewall.published.push(port);
        self.apply();
    }

    /// Keeps an instance to its own addresses.
    pub(crate) fn guard(&mut self, instance: &Instance) {
        self.firewall.guarded.extend(instance.spec.endpoints.iter().map(|end| GuardedPort {
            link: end.host_link().unwrap().clone(),
            mac: end.mac.unwrap(),
            addresses: end.addresses().collect(),
        }));
        self.apply();
    }

    pub(crate) fn network(&self, name: &str) -> &NetworkSpec {
        &self.networks[name]
    }

    /// Returns what to ask for: an instance on these networks, with the addresses that end in `number`.
    pub(crate) fn instance_spec(&self, name: &str, networks: &[&str], number: u8) -> InstanceSpec {
        let endpoint = |(position, network): (usize, &&str)| {
            let network = self.network(network);
            let leads_out = position == 0 && !network.internal;
            let (ipv4, ipv6) = (network.ipv4.as_ref(), network.ipv6.as_ref());
            let address = ipv4.map(|pool| {
                let [a, b, c, _] = pool.gateway.octets();
                format!("{}/24", Ipv4Addr::new(a, b, c, number)).parse().unwrap()
            });
            let address6 = ipv6.map(|pool| {
                let first = u128::from(pool.subnet.network());
                format!("{}/64", Ipv6Addr::from(first + u128::from(number))).parse().unwrap()
            });
            let mac = address.map(|net: ipnet::Ipv4Net| MacAddress::of_ipv4(net.addr()));
            let mac6 = address6.map(|net: ipnet::Ipv6Net| MacAddress::of_ipv6(net.addr()));
            EndpointSpec {
                network: network.name.clone(),
                plug: Plug::Bridge {
                    bridge: network.medium.bridge().unwrap().clone(),
                    host_link: host_link(),
                    isolated: !network.icc,
                    guarded: false,
                },
                interface: format!("eth{position}").parse().unwrap(),
                mac: mac.or(mac6),
                address,
                address6,
                more_addresses: Vec::new(),
                gateway: ipv4.filter(|_| leads_out).map(|pool| pool.gateway),
                gateway6: ipv6.filter(|_| leads_out).map(|pool| pool.gateway),
                gw_priority: 0,
                mtu: network.mtu,
                sysctls: BTreeMap::new(),
                by_hand: None,
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
        let any = if instance.spec.endpoints[0].address6.is_some() { "[::]" } else { "0.0.0.0" };
        let server = Server::start(&instance.place, protocol, &format!("{any}:{port}"), name);
        (instance, server)
    }
}

/// Returns a name for a host's end of a pair that nothing had before.
pub(crate) fn host_link() -> LinkName {
    format!("trtest{}", LINKS.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

/// Returns the port that is to be kept for a published one.
pub(crate) fn published_port(port: &str) -> PublishedPort {
    let FirewallPort { host_ip, host_port, protocol, .. } = published(port, &[]);
    PublishedPort { host_ip, host_port, target: ContainerPort { protocol, number: 80 } }
}

pub(crate) fn published(port: &str, backends: &[SocketAddr]) -> FirewallPort {
    let (at, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let (ip, number) = at.rsplit_once(':').unwrap_or(("0.0.0.0", at));
    FirewallPort {
        host_ip: ip.trim_matches(['[', ']']).parse::<IpAddr>().unwrap(),
        host_port: number.parse().unwrap(),
        protocol: protocol.parse().unwrap(),
        backends: backends.to_vec(),
        way: Way::Direct,
    }
}

fn firewall_bridge(network: &NetworkSpec) -> FirewallBridge {
    FirewallBridge {
        link: network.medium.bridge().unwrap().clone(),
        subnets: network.subnets().collect(),
        internal: network.internal,
        icc: network.icc,
        masquerade: true,
    }
}

/// Reads `front`, `front ipv6`, `front only-ipv6`, `back internal` or `quiet no-icc`.
fn network(words: &str, number: u8) -> NetworkSpec {
    let name = words.split(' ').next().unwrap();
    let has = |word: &str| words.split(' ').any(|found| found == word);
    let subnet = format!("10.77.{number}.0/24").parse().unwrap();
    let ipv4 = Ipv4PoolSpec {
        subnet,
        gateway: Ipv4Addr::new(10, 77, number, 1),
        ip_range: subnet,
        aux_addresses: BTreeMap::new(),
    };
    let subnet = format!("fd00:77:{number}::/64").parse().unwrap();
    let gateway = format!("fd00:77:{number}::1").parse().unwrap();
    let ipv6 = Ipv6PoolSpec { subnet, gateway, ip_range: subnet, aux_addresses: BTreeMap::new() };
    NetworkSpec {
        name: name.parse().unwrap(),
        owner: None,
        medium: Medium::Bridge(format!("trtest{name}").parse().unwrap()),
        ipv4: (!has("only-ipv6")).then_some(ipv4),
        ipv6: (has("ipv6") || has("only-ipv6")).then_some(ipv6),
        internal: has("internal"),
        attachable: false,
        mtu: 1500,
        icc: !has("no-icc"),
        masquerade: true,
        host_binding: None,
        interface_prefix: None,
        labels: BTreeMap::new(),
    }
}
