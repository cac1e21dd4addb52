//! Networks, and how a service is on them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::Ipv4Net;
use trice_model::name::Key;
use trice_model::network::{Attachment, MacAddress, Network};
use trice_model::service::{ExtraHost, NetworkMode};

use crate::bind::{BindMistake, Binder, list_at, texts_at};
use crate::tree::node::Node;
use crate::tree::path::Path;

/// The option that says the largest packet.
const MTU: &str = "com.docker.network.driver.mtu";
/// The option that says whether containers may talk to each other.
const ICC: &str = "com.docker.network.bridge.enable_icc";

impl Binder<'_> {
    /// Returns the project's networks. If `with_default`, one of them is `default`, even if the files do not say so:
    /// `network_mode: bridge` leads there.
    pub(super) fn networks(&mut self, with_default: bool) -> BTreeMap<Key, Network> {
        let model = self.model;
        let mut networks = BTreeMap::new();
        for (key, node) in model.root.entries_at("networks") {
            let section = Path::Root.key("networks");
            let network = self.network(node, &section.key(key));
            networks.extend(key.parse::<Key>().ok().zip(network));
        }
        if with_default && !networks.contains_key("default") {
            let name = format!("{}_default", model.name);
            let network = name.parse().ok().map(|name| Network {
                name,
                external: false,
                internal: false,
                subnet: None,
                gateway: None,
                ip_range: None,
                mtu: None,
                icc: true,
                labels: BTreeMap::new(),
            });
            networks.extend("default".parse().ok().zip(network));
        }
        networks
    }

    fn network(&mut self, node: &Node, path: &Path<'_>) -> Option<Network> {
        if let Some(driver) =
            node.get("driver").filter(|driver| !matches!(driver.as_text(), Some("" | "bridge")))
        {
            let what = format!("network driver `{}`", driver.as_text().unwrap_or_default());
            self.not_honoured(driver, &path.key("driver"), what);
        }
        if let Some(enabled) = node.get("enable_ipv4").filter(|enabled| !enabled.is_true()) {
            self.not_honoured(enabled, &path.key("enable_ipv4"), "a network without IPv4");
        }
        let (mtu, icc) = self.driver_options(node, path);
        let pool = self.pool(node, path);
        let at = |key: &str| pool.and_then(|pool| pool.get(key));
        let pools = path.key("ipam");
        let here = pools.key("config");
        let subnet: Option<Ipv4Net> = at("subnet").and_then(|node| self.address(node, &here));
        let gateway: Option<Ipv4Addr> = at("gateway").and_then(|node| self.address(node, &here));
        let ip_range: Option<Ipv4Net> = at("ip_range").and_then(|node| self.address(node, &here));
        if let (Some(subnet), Some(pool)) = (subnet, pool) {
            let outside = |inside: bool, text: String| {
                (!inside).then(|| BindMistake::OutsideSubnet(text, subnet.to_string()))
            };
            let checks = [
                gateway.and_then(|gateway| outside(subnet.contains(&gateway), gateway.to_string())),
                ip_range.and_then(|range| outside(subnet.contains(&range), range.to_string())),
            ];
            for mistake in checks.into_iter().flatten() {
                self.mistake(pool, &here, mistake);
            }
        }
        Some(Network {
            name: self.value_at(node, "name", path)?,
            external: node.get("external").is_some_and(Node::is_true),
            internal: node.get("internal").is_some_and(Node::is_true),
            subnet: subnet.map(|subnet| subnet.trunc()),
            gateway,
            ip_range: ip_range.map(|range| range.trunc()),
            mtu,
            icc,
            labels: texts_at(node, "labels"),
        })
    }

    fn driver_options(&mut self, node: &Node, path: &Path<'_>) -> (Option<u32>, bool) {
        let (mut mtu, mut icc) = (None, true);
        let here = path.key("driver_opts");
        for (key, value) in node.entries_at("driver_opts") {
            match (key, value.as_text()) {
                (MTU, Some(_)) => mtu = self.value(value, &here.key(key)),
                (ICC, Some(text @ ("true" | "false" | "1" | "0"))) => icc = matches!(text, "true" | "1"),
                (_, None) => {}
                (_, Some(_)) => self.not_honoured(value, &here.key(key), format!("driver option `{key}`")),
            }
        }
        (mtu, icc)
    }

    /// Returns the one IPv4 pool.
    fn pool<'n>(&mut self, node: &'n Node, path: &Path<'_>) -> Option<&'n Node> {
        let ipam = node.get("ipam")?;
        let here = path.key("ipam");
        if let Some(driver) =
            ipam.get("driver").filter(|driver| !matches!(driver.as_text(), Some("" | "default")))
        {
            let what = format!("address driver `{}`", driver.as_text().unwrap_or_default());
            self.not_honoured(driver, &here, what);
        }
        let mut first = None;
        for (index, pool) in ipam.list_at("config").iter().enumerate() {
            let list = here.key("config");
            let ipv6 = pool.text_at("subnet").is_some_and(|subnet| subnet.contains(':'));
            if ipv6 {
                self.not_honoured(pool, &list.index(index), "an IPv6 subnet");
            } else if first.is_some() {
                self.not_honoured(pool, &list.index(index), "a second subnet");
            } else {
                first = Some(pool);
            }
        }
        first
    }

    pub(super) fn network_mode(&mut self, service: &Node, path: &Path<'_>) -> NetworkMode {
        let Some(mode) = service.get("network_mode") else { return NetworkMode::Own };
        match mode.as_text().unwrap_or_default() {
            "" | "bridge" | "default" => NetworkMode::Own,
            "host" => NetworkMode::Host,
            "none" => NetworkMode::None,
            other => {
                let what = format!("network mode `{other}`");
                self.not_honoured(mode, &path.key("network_mode"), what);
                NetworkMode::Own
            }
        }
    }

    pub(super) fn attachments(
        &mut self,
        service: &Node,
        mode: NetworkMode,
        path: &Path<'_>,
    ) -> BTreeMap<Key, Attachment> {
        let mut attachments = BTreeMap::new();
        let list = path.key("networks");
        for (key, node) in service.entries_at("networks") {
            let attachment = self.attachment(node, &list.key(key));
            attachments.extend(key.parse::<Key>().ok().zip(Some(attachment)));
        }
        // Docker's own `bridge` network is none of the project's; the nearest that is here is the default one.
        if mode == NetworkMode::Own && attachments.is_empty() && service.get("provider").is_none() {
            attachments.extend("default".parse().ok().zip(Some(Attachment::default())));
        }
        if let Some(mac) = self.value_at::<MacAddress>(service, "mac_address", path) {
            let main = attachments
                .iter_mut()
                .max_by_key(|(key, on)| (on.priority, std::cmp::Reverse((*key).clone())));
            match main {
                Some((_, on)) if on.mac_address.is_some_and(|other| other != mac) => {
                    let mistake = BindMistake::Differ("mac_address", "networks.*.mac_address");
                    self.mistake(service, &path.key("mac_address"), mistake);
                }
                Some((_, on)) => on.mac_address = Some(mac),
                None => {}
            }
        }
        attachments
    }

    fn attachment(&mut self, node: &Node, path: &Path<'_>) -> Attachment {
        Attachment {
            aliases: list_at(node, "aliases"),
            ipv4_address: node
                .get("ipv4_address")
                .and_then(|node| self.address(node, &path.key("ipv4_address"))),
            mac_address: self.value_at(node, "mac_address", path),
            priority: self.number_at(node, "priority", path).unwrap_or_default(),
            gw_priority: self.number_at(node, "gw_priority", path).unwrap_or_default(),
            interface_name: self.value_at(node, "interface_name", path),
        }
    }

    pub(super) fn extra_hosts(&mut self, service: &Node, path: &Path<'_>) -> Vec<(String, ExtraHost)> {
        let mut hosts = Vec::new();
        let list = path.key("extra_hosts");
        for (index, item) in service.list_at("extra_hosts").iter().enumerate() {
            let Some((name, addresses)) = item.as_text().and_then(split_host) else { continue };
            for text in addresses.split(',') {
                let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
                match bare.parse::<IpAddr>() {
                    Ok(address) => hosts.push((name.to_owned(), ExtraHost::Address(address))),
                    Err(_) if bare == "host-gateway" => hosts.push((name.to_owned(), ExtraHost::HostGateway)),
                    Err(_) => {
                        let mistake = BindMistake::Address(text.to_owned());
                        self.mistake(item, &list.index(index), mistake);
                    }
                }
            }
        }
        hosts
    }

    pub(super) fn addresses(&mut self, service: &Node, key: &str, path: &Path<'_>) -> Vec<IpAddr> {
        let list = path.key(key);
        let items = service.list_at(key).iter().enumerate();
        items.filter_map(|(index, item)| self.address(item, &list.index(index))).collect()
    }

    /// Parses an address, or a range of them.
    fn address<T: FromStr>(&mut self, node: &Node, path: &Path<'_>) -> Option<T> {
        let text = node.as_text().filter(|text| !text.is_empty())?;
        let address = text.parse().ok();
        if address.is_none() {
            self.mistake(node, path, BindMistake::Address(text.to_owned()));
        }
        address
    }
}

/// Splits `host=address` or `host:address`.
pub(crate) fn split_host(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').or_else(|| text.split_once(':'))
}
