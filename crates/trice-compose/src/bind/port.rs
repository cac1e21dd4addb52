//! Ports: published and exposed ones.

use std::collections::BTreeSet;
use std::net::IpAddr;

use trice_model::port::{ContainerPort, HostPort, Port, Protocol};

use crate::bind::{BindMistake, Binder};
use crate::check::port::range;
use crate::tree::node::Node;
use crate::tree::path::Path;

impl Binder<'_> {
    pub(super) fn ports(&mut self, service: &Node, path: &Path<'_>) -> Vec<Port> {
        let list = path.key("ports");
        let items = service.list_at("ports").iter().enumerate();
        items.filter_map(|(index, item)| self.port(item, &list.index(index))).collect()
    }

    fn port(&mut self, item: &Node, path: &Path<'_>) -> Option<Port> {
        let protocol = self.value_at(item, "protocol", path).unwrap_or(Protocol::Tcp);
        let number: u16 = self.number_at(item, "target", path)?;
        if number == 0 {
            self.mistake(item, &path.key("target"), BindMistake::OutOfRange(0));
        }
        let published = match item.get("published").filter(|node| node.as_text() != Some("")) {
            None => HostPort::Any,
            Some(node) => self.host_port(node, &path.key("published"))?,
        };
        let host_ip = self.value_at::<IpAddr>(item, "host_ip", path);
        let target = ContainerPort { protocol, number };
        Some(Port { target, published, host_ip })
    }

    fn host_port(&mut self, node: &Node, path: &Path<'_>) -> Option<HostPort> {
        match range("host", node.as_text()?) {
            Ok((0, 0)) => Some(HostPort::Any),
            Ok((first, last)) if first == last => Some(HostPort::Fixed(first)),
            Ok((first, last)) => Some(HostPort::OneOf { first, last }),
            Err(mistake) => {
                let hint = mistake.hint();
                self.mistake(node, path, mistake).hint = hint;
                None
            }
        }
    }

    pub(super) fn expose(&mut self, service: &Node, path: &Path<'_>) -> BTreeSet<ContainerPort> {
        let list = path.key("expose");
        let mut ports = BTreeSet::new();
        for (index, item) in service.list_at("expose").iter().enumerate() {
            let Some(text) = item.as_text() else { continue };
            let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let here = list.index(index);
            match (range("container", numbers), protocol.parse()) {
                (Ok((first, last)), Ok(protocol)) => {
                    ports.extend((first..=last).map(|number| ContainerPort { protocol, number }));
                }
                (Err(mistake), _) => {
                    self.mistake(item, &here, mistake);
                }
                (_, Err(mistake)) => {
                    self.mistake(item, &here, mistake);
                }
            }
        }
        ports
    }
}
