//! Ports as they are typed: `[[IP:]HOST:]CONTAINER[/PROTOCOL]`.

use std::net::IpAddr;

use trice_model::port::{ContainerPort, HostPort, Port, Protocol};

/// Reads a port.
pub(super) fn port(text: &str) -> Result<Port, String> {
    let (sides, protocol) = match text.split_once('/') {
        Some((sides, protocol)) => (sides, protocol.parse::<Protocol>().map_err(|error| error.to_string())?),
        None => (text, Protocol::Tcp),
    };
    let (host, container) =
        sides.rsplit_once(':').map_or((None, sides), |(host, container)| (Some(host), container));
    let (host_ip, host_port) = match host.map(|host| host.rsplit_once(':').ok_or(host)) {
        None => (None, None),
        Some(Err(port)) => (None, Some(port)),
        Some(Ok((ip, port))) => (Some(address(ip)?), Some(port)),
    };
    let published = match host_port {
        None | Some("") => HostPort::Any,
        Some(port) => HostPort::Fixed(number(port)?),
    };
    Ok(Port { target: ContainerPort { protocol, number: number(container)? }, published, host_ip })
}

fn address(text: &str) -> Result<IpAddr, String> {
    let plain = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    plain.parse().map_err(|_| format!("`{text}` is not an address"))
}

fn number(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("`{text}` is not a port from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_typed_in_composes_forms() {
        let cases = [
            ("80", HostPort::Any, None, 80, Protocol::Tcp),
            ("8080:80", HostPort::Fixed(8080), None, 80, Protocol::Tcp),
            ("127.0.0.1:8080:80/udp", HostPort::Fixed(8080), Some("127.0.0.1"), 80, Protocol::Udp),
            ("127.0.0.1::80", HostPort::Any, Some("127.0.0.1"), 80, Protocol::Tcp),
            ("[::1]:8080:80", HostPort::Fixed(8080), Some("::1"), 80, Protocol::Tcp),
        ];
        for (text, published, ip, number, protocol) in cases {
            let host_ip = ip.map(|ip| ip.parse().unwrap());
            let expected = Port { target: ContainerPort { protocol, number }, published, host_ip };
            assert_eq!(port(text), Ok(expected), "{text}");
        }
        for bad in ["", "0", "80:abc", "70000:80", "x:1:2", "80/icmp"] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }
}
