//! Which servers stand for a host, and how they are spoken to.
//!
//! ```text
//! docker.io       mirrors, then registry-1.docker.io      https
//! quay.io         mirrors, then quay.io                   https
//! localhost:5000  localhost:5000                          https with any certificate, else http
//! ```

use std::net::Ipv6Addr;

use trice_model::registry::RegistrySettings;

use super::trust::Trust;

/// A server that has a host's repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Whose credentials it may see.
    pub(crate) host: String,
    /// Its address, with a port if it has one.
    pub(crate) address: String,
    /// The ways to speak to it, the best first.
    pub(crate) ways: Vec<Way>,
}

/// A way to speak to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// With TLS.
    Tls(Trust),
    /// Without.
    Plain,
}

impl Way {
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Tls(_) => "https",
            Self::Plain => "http",
        }
    }
}

/// The name of Docker's own registry, and where it is.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// Returns who is asked for the repositories of `host`, in this order.
pub(crate) fn servers(host: &str, settings: &RegistrySettings, with_mirrors: bool) -> Vec<Server> {
    let mirrors =
        settings.mirrors.get(host).filter(|_| with_mirrors).into_iter().flatten().map(|mirror| Server {
            ways: if mirror.plain { vec![Way::Plain] } else { ways(&mirror.host, settings) },
            address: mirror.host.clone(),
            host: mirror.host.clone(),
        });
    let address = if host == DOCKER_HUB.0 { DOCKER_HUB.1 } else { host };
    let own = Server { host: host.to_owned(), address: address.to_owned(), ways: ways(host, settings) };
    mirrors.chain([own]).collect()
}

fn ways(host: &str, settings: &RegistrySettings) -> Vec<Way> {
    if settings.is_insecure(host) {
        vec![Way::Tls(Trust::Anybody), Way::Plain]
    } else {
        vec![Way::Tls(Trust::Authorities)]
    }
}

/// Returns the name of the folder with a host's certificates.
pub(crate) fn certificates_name(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    debug_assert!(!host.contains('/'), "a host of a URL is no path");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Tells whether two addresses are of the same server: what one may see, the other may.
pub(crate) fn is_same_server(one: &reqwest::Url, other: &reqwest::Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Returns the host of an address as settings have it, with its port if that is not the usual one.
pub(crate) fn host_of(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let host = match host.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_owned(),
    };
    url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(host: &str, settings: &str, with_mirrors: bool) -> Vec<String> {
        let settings: RegistrySettings = serde_json::from_str(settings).unwrap();
        let ways = |server: Server| -> Vec<String> {
            server.ways.iter().map(|way| format!("{way:?} {}", server.address)).collect()
        };
        servers(host, &settings, with_mirrors).into_iter().flat_map(ways).collect()
    }

    #[test]
    fn mirrors_come_first_and_only_for_those_who_read() {
        let settings = r#"{"mirrors":{"docker.io":["http://m:5000","n"]}}"#;
        let own = "Tls(Authorities) registry-1.docker.io";
        assert_eq!(addresses("docker.io", settings, true), ["Plain m:5000", "Tls(Authorities) n", own]);
        assert_eq!(addresses("docker.io", settings, false), [own]);
        assert_eq!(addresses("quay.io", settings, true), ["Tls(Authorities) quay.io"]);
    }

    #[test]
    fn only_insecure_hosts_are_asked_without_tls() {
        let settings = r#"{"insecure":["plain.local"]}"#;
        for host in ["plain.local", "localhost:5000", "127.0.0.1:1"] {
            let wanted = [format!("Tls(Anybody) {host}"), format!("Plain {host}")];
            assert_eq!(addresses(host, settings, true), wanted, "{host}");
        }
    }

    #[test]
    fn a_server_is_another_one_with_another_scheme_host_or_port() {
        let same = |one: &str, other: &str| is_same_server(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(same("https://a/x", "https://a:443/y"));
        for other in ["http://a/", "https://b/", "https://a:444/", "https://a.b/"] {
            assert!(!same("https://a/x", other), "{other}");
        }
        assert_eq!(host_of(&"http://[::1]:50/x".parse().unwrap()), "[::1]:50");
    }
}
