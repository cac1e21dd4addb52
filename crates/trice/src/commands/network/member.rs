//! `network connect` and `disconnect`: a container joins or leaves a network while its program runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;
use trice_api::call::{ListContainers, Selection};
use trice_api::fault::{Code, Fault};
use trice_model::intent::{ConnectOptions, Intent};
use trice_model::name::{ContainerName, NetworkName, ProjectName};

use crate::engine::Engine;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::project::Places;

/// What is typed after `network connect`.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// The network
    network: NetworkName,
    /// The container
    container: ContainerName,
    /// Another name for it on the network
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// Its IPv4 address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// Its IPv6 address
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// One more address of the link alone
    #[arg(long, value_name = "ADDRESS")]
    link_local_ip: Vec<IpAddr>,
    /// The network with the highest gives the default route
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    gw_priority: i32,
}

/// What is typed after `network disconnect`.
#[derive(Debug, Args)]
pub(crate) struct DisconnectArgs {
    /// The network
    network: NetworkName,
    /// The container
    container: ContainerName,
}

/// Carries out `network connect`.
pub(crate) async fn connect(args: &ConnectArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let intent = Intent::Connect {
        project: project_of(&args.container, &engine).await?,
        container: args.container.clone(),
        network: args.network.clone(),
        options: args.options(),
    };
    invocation.operate("network connect", &engine, intent, &Places::default()).await
}

/// Carries out `network disconnect`.
pub(crate) async fn disconnect(args: &DisconnectArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let intent = Intent::Disconnect {
        project: project_of(&args.container, &engine).await?,
        container: args.container.clone(),
        network: args.network.clone(),
    };
    invocation.operate("network disconnect", &engine, intent, &Places::default()).await
}

impl ConnectArgs {
    fn options(&self) -> ConnectOptions {
        ConnectOptions {
            aliases: self.alias.clone(),
            ipv4: self.ip,
            ipv6: self.ip6,
            link_local_ips: self.link_local_ip.clone(),
            gw_priority: self.gw_priority,
        }
    }
}

/// Returns the project of a container.
async fn project_of(container: &ContainerName, engine: &Engine) -> Result<ProjectName, Failure> {
    let of = Selection { names: [container.clone()].into(), ..Selection::default() };
    let found = engine.call(&ListContainers { of }).await?.into_iter().next();
    found.map(|container| container.project).ok_or_else(|| {
        let fault = Fault::new(Code::NotFound, format!("container `{container}` is not there"))
            .hint("`trice ps -a` in its project shows those that are");
        Failure::Faults(vec![(fault, None)])
    })
}

#[cfg(test)]
mod tests {
    use super::super::NetworkCommand;
    use super::*;
    use crate::arguments::{Command, parse};

    #[test]
    fn names_addresses_and_the_priority_of_the_way_out_are_typed() {
        let line = "trice network connect --alias db --alias sql --ip 10.0.0.9 --ip6 fd00::9 \
                    --link-local-ip 169.254.7.7 --gw-priority -1 shop_lan shop-web-1";
        let Some(Command::Network(NetworkCommand::Connect(args))) =
            parse(line.split_whitespace()).unwrap().command
        else {
            panic!("not network connect")
        };
        let options = ConnectOptions {
            aliases: vec!["db".to_owned(), "sql".to_owned()],
            ipv4: Some([10, 0, 0, 9].into()),
            ipv6: Some("fd00::9".parse().unwrap()),
            link_local_ips: vec![[169, 254, 7, 7].into()],
            gw_priority: -1,
        };
        assert_eq!(args.options(), options);
        assert_eq!((args.network.as_str(), args.container.as_str()), ("shop_lan", "shop-web-1"));
    }
}
