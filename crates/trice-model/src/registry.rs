//! Registries: who is asked for a host's images, what is trusted, and what one shows to get in.
//!
//! ```text
//! docker.io ──mirrors──► mirror.local:5000, then registry-1.docker.io
//!           ──insecure─► without a valid certificate, or without TLS at all
//!           ──keyring──► credentials, for that host alone
//! ```
//!
//! All of it is the caller's to say: nobody below the command line looks for files or variables.
//!
//! Sources: dockerd(8), `registry-mirrors` and `insecure-registries`; docker-login(1).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::written_as_text;

/// How registries are reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RegistrySettings {
    /// Who is asked before a host itself, by host.
    pub mirrors: BTreeMap<String, Vec<Mirror>>,
    /// Hosts that need neither a valid certificate nor TLS. This machine itself never does.
    pub insecure: Vec<InsecureHost>,
    /// Folders with a folder `HOST` each, which has authorities as `*.crt`, and `NAME.cert` with `NAME.key` to
    /// show who we are.
    pub certificates: Vec<PathBuf>,
    /// Who stands between here and there.
    pub proxies: Proxies,
}

/// How a caller gets to registries and into them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RegistryAccess {
    /// How they are reached.
    pub settings: RegistrySettings,
    /// What is shown to them.
    pub keyring: Keyring,
}

/// Who stands between here and there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Proxies {
    /// For plain HTTP, as `HTTP_PROXY` has it.
    pub http: Option<String>,
    /// For HTTPS, as `HTTPS_PROXY` has it.
    pub https: Option<String>,
    /// Where none is used, as `NO_PROXY` has it.
    pub except: Option<String>,
}

/// A registry that has another one's images: `[http[s]://]HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Its host, with a port if it has one.
    pub host: String,
    /// It is asked without TLS.
    pub plain: bool,
}

/// A host by its name, with its port if it has one, or all addresses of a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsecureHost {
    /// A host.
    Host(String),
    /// The hosts that are written as addresses of this subnet.
    Subnet(IpNet),
}

/// A text that names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a registry: write `HOST[:PORT]`, for a mirror with `http://` or `https://` before it")]
pub struct RegistryHostError(String);

impl RegistrySettings {
    /// Tells whether `host` may be spoken to without a valid certificate, and without TLS.
    pub fn is_insecure(&self, host: &str) -> bool {
        let name = without_port(host);
        let address: Option<IpAddr> = name.trim_matches(['[', ']']).parse().ok();
        let is_meant = |insecure: &InsecureHost| match insecure {
            InsecureHost::Host(listed) => listed == host,
            InsecureHost::Subnet(subnet) => address.is_some_and(|address| subnet.contains(&address)),
        };
        let is_here = name == "localhost" || address.is_some_and(|address| address.is_loopback());
        is_here || self.insecure.iter().any(is_meant)
    }
}

/// Returns the name or address of `host`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// Tells whether `text` is a host as references have them: a name or an address, and a port if it has one.
pub fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        Some(_) | None => (text, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_name = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.len() <= 253 && name.split('.').all(is_label),
    };
    is_name && port.is_none_or(is_port)
}

impl FromStr for Mirror {
    type Err = RegistryHostError;

    fn from_str(text: &str) -> Result<Self, RegistryHostError> {
        let (plain, host) = match text.split_once("://") {
            Some(("http", host)) => (true, host),
            Some(("https", host)) => (false, host),
            Some(_) => return Err(RegistryHostError(text.to_owned())),
            None => (false, text),
        };
        let host = host.trim_end_matches('/');
        if is_host(host) {
            Ok(Self { host: host.to_owned(), plain })
        } else {
            Err(RegistryHostError(text.to_owned()))
        }
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.plain { "http" } else { "https" }, self.host)
    }
}

impl FromStr for InsecureHost {
    type Err = RegistryHostError;

    fn from_str(text: &str) -> Result<Self, RegistryHostError> {
        match text.parse() {
            Ok(subnet) => Ok(Self::Subnet(subnet)),
            Err(_) if is_host(text) => Ok(Self::Host(text.to_owned())),
            Err(_) => Err(RegistryHostError(text.to_owned())),
        }
    }
}

impl fmt::Display for InsecureHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => f.pad(host),
            Self::Subnet(subnet) => subnet.fmt(f),
        }
    }
}

written_as_text!(Mirror, "A registry that has what another one has: a URL.");

written_as_text!(
    InsecureHost,
    "A registry that is asked without a certificate: a host, or the subnet it is in."
);

/// What one shows to a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Credentials {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token of OAuth 2, for which the registry's token server gives tokens.
    IdentityToken(Secret),
    /// A token that is shown as it is.
    RegistryToken(Secret),
}

/// Credentials by the host that they are for. None is ever shown to another one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Keyring(pub BTreeMap<String, Credentials>);

impl Keyring {
    /// Returns what `host` may see.
    pub fn of(&self, host: &str) -> Option<&Credentials> {
        self.0.get(host)
    }
}

/// A text that no message and no log shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` for a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_a_port_and_nothing_that_could_change_an_address() {
        for good in
            ["a", "quay.io", "localhost:5000", "Host", "10.0.0.1:80", "[::1]:5000", "[fe80::1]", "a_b.c"]
        {
            assert!(is_host(good), "{good}");
        }
        for bad in [
            "", "a..b", "-a", "a-", "a:", "a:0", "a:70000", "a:x", "a/b", "a?b", "a#b", "u@a", "[::1", "[x]",
            "a b", "é",
        ] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn this_machine_and_what_is_listed_is_insecure_and_nothing_else() {
        let insecure = ["reg.local:5000", "10.1.0.0/16", "plain"].map(|text| text.parse().unwrap()).into();
        let settings = RegistrySettings { insecure, ..RegistrySettings::default() };
        for host in [
            "localhost",
            "localhost:1",
            "127.3.2.1:5000",
            "[::1]:80",
            "reg.local:5000",
            "10.1.9.9:443",
            "plain",
        ] {
            assert!(settings.is_insecure(host), "{host}");
        }
        for host in [
            "reg.local",
            "reg.local:5001",
            "10.2.0.1",
            "localhost.evil.com",
            "docker.io",
            "127.0.0.1.evil.com",
        ] {
            assert!(!settings.is_insecure(host), "{host}");
        }
    }

    #[test]
    fn settings_are_written_as_they_are_read_and_secrets_are_not_shown() {
        let text = r#"{"mirrors":{"docker.io":["http://m:5000","https://n"]},"insecure":["10.0.0.0/8","a"]}"#;
        let settings: RegistrySettings = serde_json::from_str(text).unwrap();
        let written = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<RegistrySettings>(&written).unwrap(), settings);
        assert!(settings.mirrors["docker.io"][0].plain && !settings.mirrors["docker.io"][1].plain);
        for bad in ["ftp://m", "http://", "http://m/path", "u:p@m"] {
            assert!(bad.parse::<Mirror>().is_err(), "{bad}");
        }
        let credentials = Credentials::Password { user: "me".to_owned(), password: Secret::new("hidden") };
        assert!(!format!("{credentials:?}").contains("hidden"));
    }
}
