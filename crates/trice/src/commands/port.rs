//! `port`: which port of the host leads to a container's.

use std::fmt::Write;

use clap::Args;
use trice_api::call::ListContainers;
use trice_api::fault::Code;
use trice_api::view::ContainerView;
use trice_model::name::ServiceName;
use trice_model::port::{ContainerPort, Protocol};

use super::exec::choose;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

/// What is typed after `port`.
#[derive(Debug, Args)]
pub(crate) struct PortArgs {
    /// The service
    service: ServiceName,
    /// The container's port
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// `tcp` or `udp`
    #[arg(long, default_value = "tcp")]
    protocol: Protocol,
    /// Which of the service's containers
    #[arg(long)]
    index: Option<u32>,
}

/// Carries out `port`.
pub(crate) async fn run(args: &PortArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    let of = scope.selection(std::slice::from_ref(&args.service));
    let containers = engine.call(&ListContainers { of }).await?;
    let container = choose(&containers, &args.service, args.index)?;
    output::print(&answer(container, ContainerPort { protocol: args.protocol, number: args.port })?)?;
    Ok(0)
}

/// Returns a line for each port of the host that leads to `wanted`.
fn answer(container: &ContainerView, wanted: ContainerPort) -> Result<String, Failure> {
    let mut text = String::new();
    for port in container.published.iter().filter(|port| port.target == wanted) {
        // Writing into a text does not fail.
        let _ = writeln!(text, "{}", port.host_side());
    }
    if text.is_empty() {
        let known: Vec<String> = container.published.iter().map(ToString::to_string).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message =
            format!("no port of the host leads to {wanted} of {}: there are {known}", container.name);
        return Err(Failure::fault(Code::NotFound, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use trice_model::container::ContainerState;
    use trice_model::port::PublishedPort;

    use super::*;
    use crate::commands::ps::tests::container;

    #[test]
    fn the_hosts_side_is_printed_and_a_port_that_is_not_there_names_those_that_are() {
        let mut web = container("web", 1, ContainerState::Running { health: None, paused: false });
        let tcp = |number| ContainerPort { protocol: Protocol::Tcp, number };
        let host_ip = [127, 0, 0, 1].into();
        web.published = vec![
            PublishedPort { host_ip: [0, 0, 0, 0].into(), host_port: 8080, target: tcp(80) },
            PublishedPort { host_ip, host_port: 8081, target: tcp(80) },
        ];
        assert_eq!(answer(&web, tcp(80)).unwrap(), "0.0.0.0:8080\n127.0.0.1:8081\n");
        assert_eq!(
            answer(&web, tcp(81)).unwrap_err().to_string(),
            "no port of the host leads to 81/tcp of shop-web-1: \
             there are 0.0.0.0:8080->80/tcp, 127.0.0.1:8081->80/tcp"
        );
    }
}
