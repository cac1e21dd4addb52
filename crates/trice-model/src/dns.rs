//! Who may ask for which names, and what they stand for: the whole table of one project.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::NetworkName;
use crate::network::InstanceName;

/// The names of one project's networks and the views of its instances. It is replaced whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NameTable {
    /// What runs on each network.
    pub networks: BTreeMap<NetworkName, Vec<NamedEndpoint>>,
    /// What each instance may ask.
    pub views: BTreeMap<InstanceName, NameView>,
}

/// A running container on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedEndpoint {
    /// Its names there, in lower case; the first is the one that a reverse look-up gives.
    pub names: Vec<String>,
    /// Its address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

/// What one instance may ask.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NameView {
    /// The networks that it is on, in the order in which they are asked.
    pub networks: Vec<NetworkName>,
    /// Names of its own, in lower case, each for names on its networks. They come before all others.
    pub links: BTreeMap<String, Vec<String>>,
    /// Whether names from outside are looked up for it: it is on a network that has a way out.
    pub external: bool,
    /// The resolvers to ask from inside its namespace; the host's if there are none.
    pub servers: Vec<IpAddr>,
}
