//! Published ports in their short form: `[[address:]host:]container[/protocol]`, ranges included.
//!
//! ```text
//! 80                  any free port of the host
//! 8080:80             one
//! 127.0.0.1:8080:80   on one address;  [::1]:8080:80 for IPv6
//! 8000-8010:80        a free one of a range
//! 8000-8001:80-81     two of each
//! ```
//!
//! Source: Compose Specification, `05-services.md`, "ports"; docker/go-connections `nat/nat.go`.

use std::net::IpAddr;

use crate::tree::node::{Node, Value};
use crate::tree::span::Span;

/// Why a text is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PortMistake {
    #[error("{side} port `{text}` is not a number or a range of numbers")]
    NotANumber { side: &'static str, text: String },
    #[error("{side} port `{text}` is above 65535")]
    TooHigh { side: &'static str, text: String },
    #[error("the range `{0}` ends before it begins")]
    Backwards(String),
    #[error("`{0}` is not a protocol")]
    Protocol(String),
    #[error("`{0}` is not an IP address here")]
    Address(String),
    #[error("there is no container port")]
    NoContainerPort,
    #[error("the ranges `{host}` and `{container}` are not of the same length")]
    Unequal { host: String, container: String },
}

impl PortMistake {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NotANumber { .. } | Self::NoContainerPort => {
                Some("write `8080:80`: the host's port, then the container's".to_owned())
            }
            Self::TooHigh { .. } => Some("ports end at 65535".to_owned()),
            Self::Protocol(_) => Some("write `tcp`, `udp` or `sctp`".to_owned()),
            Self::Address(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
                Some("write `8080:80`: of three parts, the first is an address".to_owned())
            }
            Self::Address(_) => {
                Some("names are not allowed here; IPv6 stands in brackets: `[::1]:80:80`".to_owned())
            }
            Self::Backwards(_) | Self::Unequal { .. } => None,
        }
    }
}

/// A port in its long form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    host_ip: Option<String>,
    target: u16,
    published: Option<String>,
    protocol: String,
}

impl Parsed {
    /// Returns the long form, all of it at `span`.
    pub(crate) fn into_node(self, span: Span) -> Node {
        let mut node = Node::fields([("mode", Value::Text("ingress".to_owned()))], span);
        if let Some(map) = node.as_map_mut() {
            let fields = [
                ("host_ip", self.host_ip.map(Value::Text)),
                ("target", Some(Value::Int(i64::from(self.target)))),
                ("published", self.published.map(Value::Text)),
                ("protocol", Some(Value::Text(self.protocol))),
            ];
            for (name, value) in fields {
                if let Some(value) = value {
                    map.insert(name, span, Node::new(value, span));
                }
            }
        }
        node
    }
}

/// What a text says: one port, or as many as its range has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    host_ip: Option<String>,
    targets: (u16, u16),
    published: Option<(u16, u16)>,
    protocol: String,
}

impl Ports {
    /// Returns how many ports there are.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.targets.1 - self.targets.0) + 1
    }

    /// Returns the ports, in the order of their texts.
    pub(crate) fn ports(self) -> Vec<Parsed> {
        let (first, last) = self.targets;
        let published = |target: u16| match self.published {
            None => None,
            Some((from, to)) if from == to && first == last => Some(from.to_string()),
            Some((from, to)) if first == last => Some(format!("{from}-{to}")),
            Some((from, _)) => Some((from + (target - first)).to_string()),
        };
        let port = |target: u16| Parsed {
            host_ip: self.host_ip.clone(),
            target,
            published: published(target),
            protocol: self.protocol.clone(),
        };
        let mut ports: Vec<Parsed> = (first..=last).map(port).collect();
        ports.sort_by_cached_key(|port| port.target.to_string());
        ports
    }
}

/// Reads a port, or a range of them.
pub(crate) fn parse(text: &str) -> Result<Ports, PortMistake> {
    let (rest, container) = text.rsplit_once(':').unwrap_or(("", text));
    let (address, host) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (container, protocol) = match container.split_once('/') {
        Some((container, protocol)) => (container, protocol.to_ascii_lowercase()),
        None => (container, "tcp".to_owned()),
    };
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(PortMistake::Protocol(protocol));
    }
    let host_ip = address_of(address)?;
    if container.is_empty() {
        return Err(PortMistake::NoContainerPort);
    }
    let targets = range("container", container)?;
    if targets.0 == 0 {
        return Err(PortMistake::NoContainerPort);
    }
    let published = if host.is_empty() { None } else { Some(range("host", host)?) };
    // A range of the host may lead to one port: then a free one of it is taken.
    let one = targets.0 == targets.1;
    if published.is_some_and(|(from, to)| !one && to - from != targets.1 - targets.0) {
        return Err(PortMistake::Unequal { host: host.to_owned(), container: container.to_owned() });
    }
    Ok(Ports { host_ip, targets, published, protocol })
}

fn address_of(text: &str) -> Result<Option<String>, PortMistake> {
    if text.is_empty() {
        return Ok(None);
    }
    let in_brackets = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match in_brackets.unwrap_or(text).parse::<IpAddr>() {
        // Without brackets nobody can tell where the address ends.
        Ok(ip) if ip.is_ipv4() || in_brackets.is_some() => Ok(Some(in_brackets.unwrap_or(text).to_owned())),
        Ok(_) | Err(_) => Err(PortMistake::Address(text.to_owned())),
    }
}

/// Reads `80` or `80-90`. `side` is whose port it is, for the message.
pub(crate) fn range(side: &'static str, text: &str) -> Result<(u16, u16), PortMistake> {
    let number = |part: &str| {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PortMistake::NotANumber { side, text: text.to_owned() });
        }
        part.parse().map_err(|_| PortMistake::TooHigh { side, text: part.to_owned() })
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last { Err(PortMistake::Backwards(text.to_owned())) } else { Ok((first, last)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> String {
        let port = |port: Parsed| {
            let host = port.host_ip.map(|ip| format!("{ip} ")).unwrap_or_default();
            format!("{host}{}->{}/{}", port.published.unwrap_or_default(), port.target, port.protocol)
        };
        match parse(text) {
            Ok(found) => found.ports().into_iter().map(port).collect::<Vec<_>>().join(", "),
            Err(mistake) => format!("error: {mistake}"),
        }
    }

    #[test]
    fn every_short_form_is_read() {
        let rows = [
            ("80", "->80/tcp"),
            ("80/udp", "->80/udp"),
            ("8080:80", "8080->80/tcp"),
            ("127.0.0.1:8080:80/SCTP", "127.0.0.1 8080->80/sctp"),
            ("127.0.0.1::80", "127.0.0.1 ->80/tcp"),
            ("[::1]:8080:80", "::1 8080->80/tcp"),
            ("8000-8002:80", "8000-8002->80/tcp"),
            ("9-10:99-100", "10->100/tcp, 9->99/tcp"),
            ("80-81", "->80/tcp, ->81/tcp"),
        ];
        for (text, found) in rows {
            assert_eq!(ports(text), found, "{text}");
        }
    }

    #[test]
    fn a_bad_port_says_why() {
        let rows = [
            ("", "error: there is no container port"),
            ("8080:", "error: there is no container port"),
            ("8080:0", "error: there is no container port"),
            ("http:80", "error: host port `http` is not a number or a range of numbers"),
            ("80800:80", "error: host port `80800` is above 65535"),
            ("80-90:80-85", "error: the ranges `80-90` and `80-85` are not of the same length"),
            ("9-8:1", "error: the range `9-8` ends before it begins"),
            ("80/icmp", "error: `icmp` is not a protocol"),
            ("localhost:80:80", "error: `localhost` is not an IP address here"),
            ("::1:80:80", "error: `::1` is not an IP address here"),
            ("-1:80", "error: host port `-1` is not a number or a range of numbers"),
        ];
        for (text, found) in rows {
            assert_eq!(ports(text), found, "{text}");
        }
    }
}
