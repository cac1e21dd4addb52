//! `network`: networks of all projects, and who is on them.

pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod member;
pub(crate) mod prune;

use clap::Subcommand;
use trice_api::call::ListNetworks;
use trice_api::view::NetworkView;

use self::inspect::InspectArgs;
use self::list::ListArgs;
use self::member::{ConnectArgs, DisconnectArgs};
use self::prune::PruneArgs;
use crate::directories;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// What is typed after `network`.
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// List networks
    #[command(alias = "list")]
    Ls(ListArgs),
    /// Print all about networks
    Inspect(InspectArgs),
    /// Let a container join a network while it runs
    Connect(ConnectArgs),
    /// Let a container leave a network while it runs
    Disconnect(DisconnectArgs),
    /// Remove networks that nobody is on
    Prune(PruneArgs),
}

/// Carries out `network`.
pub(crate) async fn run(command: &NetworkCommand, invocation: &mut Invocation) -> Result<u8, Failure> {
    match command {
        NetworkCommand::Ls(args) => list::run(args, invocation).await,
        NetworkCommand::Inspect(args) => inspect::run(args, invocation).await,
        NetworkCommand::Connect(args) => member::connect(args, invocation).await,
        NetworkCommand::Disconnect(args) => member::disconnect(args, invocation).await,
        NetworkCommand::Prune(args) => prune::run(args, invocation).await,
    }
}

/// Returns all networks: none where trice was never used, which starts no engine.
pub(in crate::commands) async fn networks(invocation: &Invocation) -> Result<Vec<NetworkView>, Failure> {
    let directories = invocation.directories()?;
    match directories::are_used(&directories) {
        true => Ok(Engine::new(directories).call(&ListNetworks {}).await?),
        false => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use trice_api::view::EndpointView;
    use trice_model::network::{Medium, NetworkSpec, PoolSpec};

    use super::*;

    /// Returns a network of project `shop` with a container on it.
    pub(super) fn network(key: &str) -> NetworkView {
        let name = format!("shop_{key}");
        let spec = NetworkSpec {
            name: name.parse().unwrap(),
            owner: Some(("shop".parse().unwrap(), key.parse().unwrap())),
            medium: Medium::Bridge("trc123".parse().unwrap()),
            ipv4: Some(PoolSpec {
                subnet: "172.27.98.0/24".parse().unwrap(),
                gateway: "172.27.98.1".parse().unwrap(),
                ip_range: "172.27.98.0/25".parse().unwrap(),
                aux_addresses: [("printer".to_owned(), "172.27.98.9".parse().unwrap())].into(),
            }),
            ipv6: Some(PoolSpec {
                subnet: "fd00:7::/64".parse().unwrap(),
                gateway: "fd00:7::1".parse().unwrap(),
                ip_range: "fd00:7::/64".parse().unwrap(),
                aux_addresses: [].into(),
            }),
            internal: false,
            attachable: false,
            mtu: 1500,
            icc: true,
            masquerade: true,
            host_binding: None,
            interface_prefix: None,
            labels: [("tier".to_owned(), "front".to_owned())].into(),
        };
        let endpoint = EndpointView {
            container: "shop-web-1".parse().unwrap(),
            id: format!("{:064}", 7).parse().unwrap(),
            mac: Some("02:42:ac:1b:62:02".parse().unwrap()),
            addresses: vec!["172.27.98.2/24".parse().unwrap(), "fd00:7::2/64".parse().unwrap()],
            leads_out: true,
        };
        NetworkView { spec, present: true, endpoints: vec![endpoint] }
    }
}
