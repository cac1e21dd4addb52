//! `network inspect`: all about networks, in the form that scripts for Docker read.
//!
//! Source: moby `api/types/network/network.go` (`Inspect`).

use std::collections::BTreeMap;
use std::fmt::Display;

use clap::Args;
use serde::Serialize;
use trice_api::fault::{Code, Fault};
use trice_api::view::{EndpointView, NetworkView};
use trice_model::name::NetworkName;
use trice_model::network::PoolSpec;

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::listing::{self, Format};
use crate::output;

/// What is typed after `network inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The networks
    #[arg(required = true)]
    networks: Vec<NetworkName>,
    /// `json`, or a template
    #[arg(short, long, default_value = "json")]
    format: Format,
}

/// Carries out `network inspect`.
pub(crate) async fn run(args: &InspectArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let networks = super::networks(invocation).await?;
    output::print(&render(args, &networks)?)?;
    Ok(0)
}

fn render(args: &InspectArgs, networks: &[NetworkView]) -> Result<String, Failure> {
    let find = |name: &NetworkName| networks.iter().find(|network| network.spec.name == *name);
    let missing = args.networks.iter().filter(|name| find(name).is_none());
    let faults: Vec<_> = missing.map(|name| (no_network(name), None)).collect();
    if !faults.is_empty() {
        return Err(Failure::Faults(faults));
    }
    let chosen = args.networks.iter().filter_map(find).map(Inspected::of);
    // Texts always have a JSON form.
    let values: Vec<_> = chosen.map(|network| serde_json::to_value(network).unwrap_or_default()).collect();
    match &args.format {
        Format::Text(template) => listing::text(template, &values),
        Format::Json => Ok(serde_json::to_string_pretty(&values).unwrap_or_default() + "\n"),
        Format::Table | Format::TableOf(_) => {
            Err(Failure::usage("`network inspect` prints `json` or a template, not a table"))
        }
    }
}

/// The fault of naming a network that is not there.
pub(super) fn no_network(name: &NetworkName) -> Fault {
    Fault::new(Code::NotFound, format!("network `{name}` is not there"))
        .hint("`trice network ls` shows those that are")
}

/// A network as scripts know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    name: String,
    driver: &'static str,
    scope: &'static str,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    internal: bool,
    attachable: bool,
    containers: BTreeMap<String, Member>,
    options: BTreeMap<&'static str, String>,
    labels: BTreeMap<String, String>,
    present: bool,
}

/// Its addresses.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ipam {
    driver: &'static str,
    config: Vec<IpamConfig>,
}

/// Its addresses of one version.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct IpamConfig {
    subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    ip_range: Option<String>,
    gateway: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    auxiliary_addresses: BTreeMap<String, String>,
}

/// A container on it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Member {
    name: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
}

impl Inspected {
    fn of(network: &NetworkView) -> Self {
        let spec = &network.spec;
        let ipv4 = spec.ipv4.as_ref().map(IpamConfig::of);
        let ipv6 = spec.ipv6.as_ref().map(IpamConfig::of);
        let members = network.endpoints.iter().map(|end| (end.id.to_string(), Member::of(end)));
        let link = spec.medium.bridge().map(|link| ("com.docker.network.bridge.name", link.to_string()));
        let parent = spec.medium.parent().map(|link| ("parent", link.to_string()));
        let mtu = ("com.docker.network.driver.mtu", spec.mtu.to_string());
        Self {
            name: spec.name.to_string(),
            driver: spec.medium.driver(),
            scope: "local",
            enable_ipv4: spec.ipv4.is_some(),
            enable_ipv6: spec.ipv6.is_some(),
            ipam: Ipam { driver: "default", config: ipv4.into_iter().chain(ipv6).collect() },
            internal: spec.internal,
            attachable: spec.attachable,
            containers: members.collect(),
            options: link.into_iter().chain(parent).chain([mtu]).collect(),
            labels: spec.labels.clone(),
            present: network.present,
        }
    }
}

impl IpamConfig {
    fn of<Net: Display + PartialEq, Address: Display>(pool: &PoolSpec<Net, Address>) -> Self {
        let part = (pool.ip_range != pool.subnet).then(|| pool.ip_range.to_string());
        let aux = pool.aux_addresses.iter().map(|(name, address)| (name.clone(), address.to_string()));
        Self {
            subnet: pool.subnet.to_string(),
            ip_range: part,
            gateway: pool.gateway.to_string(),
            auxiliary_addresses: aux.collect(),
        }
    }
}

impl Member {
    fn of(endpoint: &EndpointView) -> Self {
        // The first of a version is the network's; more may have been asked for beside it.
        let first = |is_v4: bool| {
            let net = endpoint.addresses.iter().find(|net| net.addr().is_ipv4() == is_v4);
            net.map(ToString::to_string).unwrap_or_default()
        };
        Self {
            name: endpoint.container.to_string(),
            mac_address: endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            ipv4_address: first(true),
            ipv6_address: first(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::NetworkCommand;
    use super::super::tests::network;
    use super::*;
    use crate::arguments::{Command, parse};

    fn inspect(line: &str) -> Result<String, Failure> {
        let typed = ["trice", "network", "inspect"].into_iter().chain(line.split_whitespace());
        let Some(Command::Network(NetworkCommand::Inspect(args))) = parse(typed).unwrap().command else {
            panic!("not network inspect")
        };
        render(&args, &[network("default")])
    }

    #[test]
    fn a_network_is_shown_as_scripts_know_it() {
        insta::assert_snapshot!(inspect("shop_default").unwrap(), @r#"
        [
          {
            "Attachable": false,
            "Containers": {
              "0000000000000000000000000000000000000000000000000000000000000007": {
                "IPv4Address": "172.27.98.2/24",
                "IPv6Address": "fd00:7::2/64",
                "MacAddress": "02:42:ac:1b:62:02",
                "Name": "shop-web-1"
              }
            },
            "Driver": "bridge",
            "EnableIPv4": true,
            "EnableIPv6": true,
            "IPAM": {
              "Config": [
                {
                  "AuxiliaryAddresses": {
                    "printer": "172.27.98.9"
                  },
                  "Gateway": "172.27.98.1",
                  "IPRange": "172.27.98.0/25",
                  "Subnet": "172.27.98.0/24"
                },
                {
                  "Gateway": "fd00:7::1",
                  "Subnet": "fd00:7::/64"
                }
              ],
              "Driver": "default"
            },
            "Internal": false,
            "Labels": {
              "tier": "front"
            },
            "Name": "shop_default",
            "Options": {
              "com.docker.network.bridge.name": "trc123",
              "com.docker.network.driver.mtu": "1500"
            },
            "Present": true,
            "Scope": "local"
          }
        ]
        "#);
    }

    #[test]
    fn a_template_picks_from_it() {
        assert_eq!(inspect("shop_default --format {{.Driver}}").unwrap(), "bridge\n");
    }

    #[test]
    fn all_networks_that_are_not_there_are_named() {
        let failure = inspect("shop_default lan wan").unwrap_err();
        assert_eq!(failure.to_string(), "network `lan` is not there\nnetwork `wan` is not there");
        assert!(inspect("shop_default --format table").is_err());
    }
}
