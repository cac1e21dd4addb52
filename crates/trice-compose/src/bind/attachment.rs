//! How a service is on networks, and whom it knows there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use trice_model::name::Key;
use trice_model::network::{Attachment, MacAddress};
use trice_model::service::{ExternalLink, ExtraHost, NetworkMode};

use crate::bind::network::builtin;
use crate::bind::{BindMistake, Binder, list_at};
use crate::tree::node::Node;
use crate::tree::path::Path;

/// How the options of an endpoint begin.
const OPTION: &str = "com.docker.network.endpoint.";

impl Binder<'_> {
    /// Returns whose network a service uses, and how it is on the networks that it names.
    pub(super) fn networking(
        &mut self,
        service: &Node,
        path: &Path<'_>,
    ) -> (NetworkMode, BTreeMap<Key, Attachment>) {
        let mode = self.network_mode(service, path);
        let (attachments, builtin) = self.attachments(service, path);
        let mode = builtin.unwrap_or(mode);
        let attachments = self.settled(service, &mode, attachments, path);
        (mode, attachments)
    }

    fn network_mode(&mut self, service: &Node, path: &Path<'_>) -> NetworkMode {
        let Some(mode) = service.get("network_mode") else { return NetworkMode::Own };
        let here = path.key("network_mode");
        let of = |name: &str| Node::text(name, mode.span);
        match mode.as_text().unwrap_or_default() {
            "" | "bridge" | "default" => NetworkMode::Own,
            "host" => NetworkMode::Host,
            "none" => NetworkMode::None,
            other => {
                let named = match other.split_once(':') {
                    Some(("service", name)) => self.value(&of(name), &here).map(NetworkMode::Service),
                    Some(("container", name)) => self.value(&of(name), &here).map(NetworkMode::Container),
                    Some(_) | None => {
                        self.not_honoured(mode, &here, format!("network mode `{other}`"));
                        None
                    }
                };
                named.unwrap_or_default()
            }
        }
    }

    /// Returns the attachments to networks of the project, and what one that each machine has means instead.
    fn attachments(
        &mut self,
        service: &Node,
        path: &Path<'_>,
    ) -> (BTreeMap<Key, Attachment>, Option<NetworkMode>) {
        let model = self.model;
        let (mut attachments, mut instead) = (BTreeMap::new(), None);
        let list = path.key("networks");
        let count = service.entries_at("networks").count();
        for (key, node) in service.entries_at("networks") {
            let network = model.root.get("networks").and_then(|networks| networks.get(key));
            if let Some(mode) = network.and_then(builtin) {
                if count > 1 && mode != NetworkMode::Own {
                    let text = key.to_owned();
                    let wanted = "a network that can be joined beside others";
                    self.mistake(service, &list.key(key), BindMistake::NotA { text, wanted });
                }
                instead = Some(mode);
                continue;
            }
            let attachment = self.attachment(node, &list.key(key));
            attachments.extend(key.parse::<Key>().ok().zip(Some(attachment)));
        }
        (attachments, instead)
    }

    /// Puts a service that names no network on the default one, and gives the main one its hardware address.
    fn settled(
        &mut self,
        service: &Node,
        mode: &NetworkMode,
        mut attachments: BTreeMap<Key, Attachment>,
        path: &Path<'_>,
    ) -> BTreeMap<Key, Attachment> {
        // Docker's own `bridge` network is none of the project's; the nearest that is here is the default one.
        if *mode == NetworkMode::Own && attachments.is_empty() && service.get("provider").is_none() {
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
                None => {
                    self.mistake(service, &path.key("mac_address"), BindMistake::NoInterface);
                }
            }
        }
        attachments
    }

    fn attachment(&mut self, node: &Node, path: &Path<'_>) -> Attachment {
        let list = path.key("link_local_ips");
        let more = node.list_at("link_local_ips").iter().enumerate();
        let link_local_ips =
            more.filter_map(|(index, item)| self.address(item, &list.index(index))).collect();
        let mut attachment = Attachment {
            aliases: list_at(node, "aliases"),
            ipv4_address: self.address_at(node, "ipv4_address", path),
            ipv6_address: self.address_at(node, "ipv6_address", path),
            link_local_ips,
            mac_address: self.value_at(node, "mac_address", path),
            priority: self.number_at(node, "priority", path).unwrap_or_default(),
            gw_priority: self.number_at(node, "gw_priority", path).unwrap_or_default(),
            interface_name: self.value_at(node, "interface_name", path),
            sysctls: BTreeMap::new(),
        };
        self.endpoint_options(node, &mut attachment, path);
        attachment
    }

    fn address_at<T: std::str::FromStr>(&mut self, node: &Node, key: &str, path: &Path<'_>) -> Option<T> {
        node.get(key).and_then(|node| self.address(node, &path.key(key)))
    }

    fn endpoint_options(&mut self, node: &Node, attachment: &mut Attachment, path: &Path<'_>) {
        let list = path.key("driver_opts");
        for (key, value) in node.entries_at("driver_opts") {
            let here = list.key(key);
            let Some(text) = value.as_text() else { continue };
            match key.strip_prefix(OPTION) {
                Some("ifname") => attachment.interface_name = self.value(value, &here),
                Some("sysctls") => {
                    for setting in text.split(',').filter(|setting| !setting.is_empty()) {
                        match setting.split_once('=') {
                            Some((name, value)) if name.starts_with("net.") => {
                                attachment.sysctls.insert(name.to_owned(), value.to_owned());
                            }
                            Some(_) | None => {
                                let (text, wanted) =
                                    (setting.to_owned(), "a setting of a network, `net.…=VALUE`");
                                self.mistake(value, &here, BindMistake::NotA { text, wanted });
                            }
                        }
                    }
                }
                Some(_) | None => self.not_honoured(value, &here, format!("endpoint option `{key}`")),
            }
        }
    }

    pub(super) fn external_links(&mut self, service: &Node, path: &Path<'_>) -> Vec<ExternalLink> {
        let list = path.key("external_links");
        let mut links = Vec::new();
        for (index, item) in service.list_at("external_links").iter().enumerate() {
            let Some(text) = item.as_text() else { continue };
            let (name, alias) = text.split_once(':').unwrap_or((text, text));
            let name = Node::text(name, item.span);
            let Some(container) = self.value(&name, &list.index(index)) else { continue };
            links.push(ExternalLink { container, alias: alias.to_owned() });
        }
        links
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
}

/// Splits `host=address` or `host:address`.
pub(crate) fn split_host(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').or_else(|| text.split_once(':'))
}
