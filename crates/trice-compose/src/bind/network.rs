//! Networks.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use trice_model::name::Key;
use trice_model::network::{Driver, IpvlanMode, MacvlanMode, Network, Pool};
use trice_model::service::NetworkMode;

use crate::bind::{BindMistake, Binder, texts_at};
use crate::tree::node::Node;
use crate::tree::path::Path;

/// How the options of Docker's drivers begin.
const OPTION: &str = "com.docker.network.";

/// What the options of a driver say.
#[derive(Debug)]
struct Options {
    mtu: Option<u32>,
    icc: bool,
    masquerade: bool,
    host_binding: Option<IpAddr>,
    interface_prefix: Option<trice_model::name::LinkName>,
    link: Option<trice_model::name::LinkName>,
    parent: Option<trice_model::name::LinkName>,
    macvlan_mode: MacvlanMode,
    ipvlan_mode: IpvlanMode,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mtu: None,
            icc: true,
            masquerade: true,
            host_binding: None,
            interface_prefix: None,
            link: None,
            parent: None,
            macvlan_mode: MacvlanMode::default(),
            ipvlan_mode: IpvlanMode::default(),
        }
    }
}

impl Binder<'_> {
    /// Returns the project's networks, without those that each machine has and that mean a way of having one. If
    /// `with_default`, one of them is `default`, even if the files do not say so: `network_mode: bridge` leads there.
    pub(super) fn networks(&mut self, with_default: bool) -> BTreeMap<Key, Network> {
        let model = self.model;
        let mut networks = BTreeMap::new();
        for (key, node) in model.root.entries_at("networks") {
            if builtin(node).is_some() {
                continue;
            }
            let section = Path::Root.key("networks");
            let network = self.network(node, &section.key(key));
            networks.extend(key.parse::<Key>().ok().zip(network));
        }
        if with_default && !networks.contains_key("default") {
            let name = format!("{}_default", model.name);
            let network = name.parse().ok().map(|name| Network {
                name,
                external: false,
                driver: Driver::Bridge { link: None },
                internal: false,
                attachable: false,
                ipv4: Some(Pool::default()),
                ipv6: None,
                mtu: None,
                icc: true,
                masquerade: true,
                host_binding: None,
                interface_prefix: None,
                labels: BTreeMap::new(),
            });
            networks.extend("default".parse().ok().zip(network));
        }
        networks
    }

    fn network(&mut self, node: &Node, path: &Path<'_>) -> Option<Network> {
        let options = self.driver_options(node, path);
        let driver = self.driver(node, &options, path);
        let (ipv4, ipv6) = self.pools(node, path);
        Some(Network {
            name: self.value_at(node, "name", path)?,
            external: node.get("external").is_some_and(Node::is_true),
            driver,
            internal: node.get("internal").is_some_and(Node::is_true),
            attachable: node.get("attachable").is_some_and(Node::is_true),
            ipv4,
            ipv6,
            mtu: options.mtu,
            icc: options.icc,
            masquerade: options.masquerade,
            host_binding: options.host_binding,
            interface_prefix: options.interface_prefix,
            labels: texts_at(node, "labels"),
        })
    }

    fn driver(&mut self, node: &Node, options: &Options, path: &Path<'_>) -> Driver {
        let bridge = || Driver::Bridge { link: options.link.clone() };
        let Some(driver) = node.get("driver") else { return bridge() };
        let here = path.key("driver");
        match (driver.as_text().unwrap_or_default(), &options.parent) {
            ("" | "bridge" | "default", _) => bridge(),
            ("macvlan", Some(parent)) => {
                Driver::Macvlan { parent: parent.clone(), mode: options.macvlan_mode }
            }
            ("ipvlan", Some(parent)) => Driver::Ipvlan { parent: parent.clone(), mode: options.ipvlan_mode },
            (name @ ("macvlan" | "ipvlan"), None) => {
                let what = format!("network driver `{name}` without the option `parent`");
                self.not_honoured(driver, &here, what);
                bridge()
            }
            (other, _) => {
                self.not_honoured(driver, &here, format!("network driver `{other}`"));
                bridge()
            }
        }
    }

    fn driver_options(&mut self, node: &Node, path: &Path<'_>) -> Options {
        let mut options = Options::default();
        let list = path.key("driver_opts");
        let driver = node.text_at("driver").unwrap_or_default();
        for (key, value) in node.entries_at("driver_opts") {
            let here = list.key(key);
            let Some(text) = value.as_text() else { continue };
            match (driver, key.strip_prefix(OPTION).unwrap_or(key)) {
                (_, "driver.mtu") => options.mtu = self.value(value, &here),
                (_, "container_iface_prefix") => options.interface_prefix = self.value(value, &here),
                ("" | "bridge", "bridge.name") => options.link = self.value(value, &here),
                ("" | "bridge", "bridge.enable_icc") => {
                    options.icc = self.flag(value, text, &here).unwrap_or(true);
                }
                ("" | "bridge", "bridge.enable_ip_masquerade") => {
                    options.masquerade = self.flag(value, text, &here).unwrap_or(true);
                }
                ("" | "bridge", "bridge.host_binding_ipv4") => {
                    options.host_binding = self.address(value, &here);
                }
                ("macvlan" | "ipvlan", "parent") => options.parent = self.value(value, &here),
                ("macvlan", "macvlan_mode") => match text {
                    "bridge" => options.macvlan_mode = MacvlanMode::Bridge,
                    "private" => options.macvlan_mode = MacvlanMode::Private,
                    "vepa" => options.macvlan_mode = MacvlanMode::Vepa,
                    "passthru" => options.macvlan_mode = MacvlanMode::Passthru,
                    _ => self.wrong(value, &here, text, "`bridge`, `private`, `vepa` or `passthru`"),
                },
                ("ipvlan", "ipvlan_mode") => match text {
                    "l2" => options.ipvlan_mode = IpvlanMode::L2,
                    "l3" => options.ipvlan_mode = IpvlanMode::L3,
                    "l3s" => options.ipvlan_mode = IpvlanMode::L3s,
                    _ => self.wrong(value, &here, text, "`l2`, `l3` or `l3s`"),
                },
                _ => self.not_honoured(value, &here, format!("driver option `{key}`")),
            }
        }
        options
    }

    fn wrong(&mut self, node: &Node, path: &Path<'_>, text: &str, wanted: &'static str) {
        self.mistake(node, path, BindMistake::NotA { text: text.to_owned(), wanted });
    }

    /// Reads what an option of a driver says for yes and no.
    fn flag(&mut self, node: &Node, text: &str, path: &Path<'_>) -> Option<bool> {
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => {
                self.wrong(node, path, text, "`true` or `false`");
                None
            }
        }
    }

    /// Returns the addresses of a network, in each version of IP that it has.
    fn pools(
        &mut self,
        node: &Node,
        path: &Path<'_>,
    ) -> (Option<trice_model::network::Ipv4Pool>, Option<trice_model::network::Ipv6Pool>) {
        let ipam = node.get("ipam");
        let here = path.key("ipam");
        if let Some(driver) = ipam
            .and_then(|ipam| ipam.get("driver"))
            .filter(|driver| !matches!(driver.as_text(), Some("" | "default")))
        {
            let what = format!("address driver `{}`", driver.as_text().unwrap_or_default());
            self.not_honoured(driver, &here, what);
        }
        let list = here.key("config");
        let mut first: [Option<(&Node, usize)>; 2] = [None, None];
        let pools = ipam.map(|ipam| ipam.list_at("config")).unwrap_or_default();
        for (index, pool) in pools.iter().enumerate() {
            match &mut first[usize::from(is_ipv6(pool))] {
                Some(_) => {
                    self.not_honoured(pool, &list.index(index), "a second subnet of the same version of IP")
                }
                none => *none = Some((pool, index)),
            }
        }
        let says = |key: &str| node.get(key).map(Node::is_true);
        let [ipv4, ipv6] = first;
        for (key, pool) in [("enable_ipv4", ipv4), ("enable_ipv6", ipv6)] {
            if let (Some(false), Some((pool, index))) = (says(key), pool) {
                self.mistake(pool, &list.index(index), BindMistake::Differ(key, "ipam.config"));
            }
        }
        let wants_ipv6 = says("enable_ipv6").unwrap_or(ipv6.is_some());
        let ipv4 = says("enable_ipv4")
            .unwrap_or(true)
            .then(|| ipv4.map(|(pool, index)| self.pool(pool, &list.index(index))).unwrap_or_default());
        let ipv6 = wants_ipv6
            .then(|| ipv6.map(|(pool, index)| self.pool(pool, &list.index(index))).unwrap_or_default());
        (ipv4, ipv6)
    }

    /// Returns a pool of one version of IP, having checked that it fits together.
    fn pool<Net, Address>(&mut self, node: &Node, path: &Path<'_>) -> Pool<Net, Address>
    where
        Net: FromStr + Copy + Into<IpNet>,
        Address: FromStr + Copy + Into<IpAddr> + Display,
    {
        let at = |binder: &mut Self, key: &str| node.get(key).and_then(|node| binder.address(node, path));
        let (subnet, ip_range): (Option<Net>, Option<Net>) = (at(self, "subnet"), at(self, "ip_range"));
        let gateway: Option<Address> = node.get("gateway").and_then(|node| self.address(node, path));
        let mut aux_addresses = BTreeMap::new();
        for (name, value) in node.entries_at("aux_addresses") {
            let address: Option<Address> = self.address(value, path);
            aux_addresses.extend(address.map(|address| (name.to_owned(), address)));
        }
        if let Some(subnet) = subnet.map(Into::<IpNet>::into) {
            let addresses = gateway.into_iter().chain(aux_addresses.values().copied());
            for address in addresses.map(Into::<IpAddr>::into).filter(|address| !subnet.contains(address)) {
                self.mistake(node, path, BindMistake::OutsideSubnet(address.to_string(), subnet.to_string()));
            }
            let range = ip_range.map(Into::<IpNet>::into);
            for range in range.into_iter().filter(|range| !subnet.contains(range)) {
                self.mistake(node, path, BindMistake::OutsideSubnet(range.to_string(), subnet.to_string()));
            }
        }
        Pool { subnet, gateway, ip_range, aux_addresses }
    }

    /// Parses an address, or a range of them.
    pub(super) fn address<T: FromStr>(&mut self, node: &Node, path: &Path<'_>) -> Option<T> {
        let text = node.as_text().filter(|text| !text.is_empty())?;
        let address = text.parse().ok();
        if address.is_none() {
            self.mistake(node, path, BindMistake::Address(text.to_owned()));
        }
        address
    }
}

/// Tells whether a pool is of IPv6, by whichever of its parts is there.
fn is_ipv6(pool: &Node) -> bool {
    ["subnet", "gateway", "ip_range"]
        .iter()
        .any(|key| pool.text_at(key).is_some_and(|text| text.contains(':')))
}

/// Returns what a network means that each machine has: a service on it has the host's network, none, or, on
/// `bridge`, one of its own.
pub(super) fn builtin(node: &Node) -> Option<NetworkMode> {
    let is_external = node.get("external").is_some_and(Node::is_true);
    let name = node.text_at("name").filter(|_| is_external);
    match (node.text_at("driver"), name) {
        (Some("host"), _) | (_, Some("host")) => Some(NetworkMode::Host),
        (Some("none" | "null"), _) | (_, Some("none")) => Some(NetworkMode::None),
        (_, Some("bridge")) => Some(NetworkMode::Own),
        (Some(_) | None, _) => None,
    }
}
