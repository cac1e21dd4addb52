//! What others are told: names, the packet filter, and the variables of links.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use trice_model::container::{ContainerState, ExitStatus};
use trice_model::port::{ContainerPort, HostPort, Protocol};
use trice_model::service::LinksEnv;

use crate::firewall::firewall;
use crate::links;
use crate::names::names;
use crate::testing::{World, name, realm};
use trice_model::intent::{Intent, RunOptions};

fn table(world: &World) -> String {
    let table = names(&world.machine.found, &world.project.name);
    let mut lines = Vec::new();
    for (network, endpoints) in &table.networks {
        for endpoint in endpoints {
            let ip = endpoint.ipv4.unwrap();
            let ids = |name: &&String| !(name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit()));
            let names: Vec<&str> = endpoint.names.iter().filter(ids).map(String::as_str).collect();
            lines.push(format!("{network} {ip} {}", names.join(" ")));
        }
    }
    lines.sort();
    for (instance, view) in &table.views {
        let networks: Vec<&str> = view.networks.iter().map(|network| network.as_str()).collect();
        let outside = if view.external { "and outside" } else { "and nothing else" };
        lines.push(format!("{instance} asks {} {outside}", networks.join(" ")));
        lines.extend(view.links.iter().map(|(alias, names)| format!("  {alias} is {}", names.join(" "))));
    }
    lines.join("\n")
}

fn shop() -> World {
    let mut world = World::new(&[("api", "shop:1"), ("db", "pg:16"), ("web", "shop:1")]);
    world.attach("api", "back");
    world.attach("db", "back").aliases = vec!["Database".into(), "db".into()];
    world.service("db").networks.remove("default");
    world.service("db").hostname = Some(name("pg"));
    world.network("back").internal = true;
    world.service("api").replicas = 2;
    world.link("web", "api", "Backend");
    world
}

#[test]
fn a_container_answers_to_its_names_on_its_networks_and_links_are_private() {
    let mut world = shop();
    world.up();
    assert_snapshot!(table(&world), @"
    shop_back 172.29.61.2 shop-api-1 api
    shop_back 172.29.61.3 shop-api-2 api
    shop_back 172.29.61.4 shop-db-1 db database pg
    shop_default 172.27.98.2 shop-api-1 api
    shop_default 172.27.98.3 shop-api-2 api
    shop_default 172.27.98.4 shop-web-1 web
    shop-api-1 asks shop_back shop_default and outside
    shop-api-2 asks shop_back shop_default and outside
    shop-db-1 asks shop_back and nothing else
    shop-web-1 asks shop_default and outside
      api-1 is shop-api-1
      api-2 is shop-api-2
      backend is shop-api-1 shop-api-2
      shop-api-1 is shop-api-1
      shop-api-2 is shop-api-2
    ");
}

#[test]
fn only_running_containers_answer_and_a_link_to_nobody_is_still_a_name() {
    let mut world = shop();
    world.up();
    for number in [1, 2] {
        world.set_state("api", number, ContainerState::Exited { exit: ExitStatus::Code(0) });
    }
    assert_snapshot!(table(&world), @"
    shop_back 172.29.61.4 shop-db-1 db database pg
    shop_default 172.27.98.4 shop-web-1 web
    shop-api-1 asks shop_back shop_default and outside
    shop-api-2 asks shop_back shop_default and outside
    shop-db-1 asks shop_back and nothing else
    shop-web-1 asks shop_default and outside
      api-1 is shop-api-1
      api-2 is shop-api-2
      backend is shop-api-1 shop-api-2
      shop-api-1 is shop-api-1
      shop-api-2 is shop-api-2
    ");
}

#[test]
fn the_short_id_is_a_name_and_a_one_off_has_only_its_own() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.up();
    let options = RunOptions::new(name("web"), name("0123456789ab"));
    let intent = Intent::Run { project: Box::new(world.project.clone()), options: Box::new(options) };
    world.satisfy(&intent);
    let one_off =
        world.machine.found.containers.values_mut().find(|one| !one.spec.role.is_replica()).unwrap();
    one_off.state = ContainerState::Running { health: None, paused: false };
    let table = names(&world.machine.found, &world.project.name);
    let mut all: Vec<_> = table.networks.values().flatten().map(|endpoint| endpoint.names.clone()).collect();
    all.sort();
    let short = world.replica("web", 1).spec.id.short();
    assert_eq!(all, [vec!["shop-web-1", "web", short], vec!["shop-web-run-0123456789ab"]]);
}

#[test]
fn a_port_leads_to_the_running_replicas_and_to_nobody_when_none_runs() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.service("web").replicas = 2;
    world.publish("web", HostPort::Fixed(8080), 80);
    world.attach("web", "back");
    world.network("back").internal = true;
    world.up();
    let lines = |world: &World| -> String {
        let filter = firewall(&world.machine.found, &realm(), &world.project.name);
        let bridges = filter.bridges.iter().map(|bridge| {
            let subnets: Vec<String> = bridge.subnets.iter().map(ToString::to_string).collect();
            format!(
                "{} {}{}\n",
                bridge.link,
                subnets.join(" "),
                if bridge.internal { " internal" } else { "" }
            )
        });
        let ports = filter.published.iter().map(|port| {
            let backends: Vec<String> = port.backends.iter().map(|backend| backend.to_string()).collect();
            format!("{}/{} -> {}\n", port.host_port, port.protocol, backends.join(" ")).replace(" \n", "\n")
        });
        [filter.table.clone() + "\n"].into_iter().chain(bridges).chain(ports).collect()
    };
    assert_snapshot!(lines(&world), @"
    trice-9c49af30f4e7-shop
    tr9c497b1c8e44 172.29.61.0/24 internal
    tr9c494aececf0 172.27.98.0/24
    8080/tcp -> 172.27.98.2:80 172.27.98.3:80
    8080/tcp -> 172.27.98.2:80 172.27.98.3:80
    ");
    let at = trice_model::time::Timestamp(0);
    world.set_state("web", 1, ContainerState::Exited { exit: ExitStatus::Code(0) });
    world.set_state("web", 2, ContainerState::Restarting { exit: ExitStatus::Code(1), at });
    assert!(lines(&world).ends_with("8080/tcp ->\n"), "{}", lines(&world));
    world.set_state("web", 2, ContainerState::Exited { exit: ExitStatus::Code(1) });
    assert!(!lines(&world).contains("8080"), "{}", lines(&world));
}

/// Returns the variables that `web`, which links `db` as `my-db`, is told, in order.
fn variables(ports: &[&str], replicas: u32, mode: LinksEnv) -> String {
    let mut world = World::new(&[("db", "pg:16"), ("web", "shop:1")]);
    world.ipv4("default").subnet = Some(name("10.5.0.0/24"));
    world.service("db").replicas = replicas;
    world.service("db").expose = ports.iter().map(|text| port(text)).collect();
    world.service("db").environment = [("PASSWORD".into(), "secret".into())].into();
    world.service("web").links_env = mode;
    world.link("web", "db", "my-db");
    world.up();
    let web = world.replica("web", 1);
    assert_eq!(links::variables(&world.machine.found, web), web.spec.process.link_env);
    web.spec.process.link_env.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

fn port(text: &str) -> ContainerPort {
    let (number, protocol) = text.split_once('/').unwrap();
    ContainerPort { protocol: protocol.parse::<Protocol>().unwrap(), number: number.parse().unwrap() }
}

/// Returns the lines of the alias without those of single replicas.
fn of_the_alias(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("MY_DB_1_")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn link_variables_tell_of_each_port_and_the_first_of_all_is_tcp() {
    assert_snapshot!(of_the_alias(&variables(&["53/udp", "5432/tcp"], 1, LinksEnv::Ports)), @"
    MY_DB_NAME=/shop-web-1/my-db
    MY_DB_PORT=tcp://10.5.0.2:5432
    MY_DB_PORT_53_UDP=udp://10.5.0.2:53
    MY_DB_PORT_53_UDP_ADDR=10.5.0.2
    MY_DB_PORT_53_UDP_PORT=53
    MY_DB_PORT_53_UDP_PROTO=udp
    MY_DB_PORT_5432_TCP=tcp://10.5.0.2:5432
    MY_DB_PORT_5432_TCP_ADDR=10.5.0.2
    MY_DB_PORT_5432_TCP_PORT=5432
    MY_DB_PORT_5432_TCP_PROTO=tcp
    ");
}

/// What `docker run --link db:my-db` of Docker 28.5.2 prints on the default bridge, the linked container with
/// `--expose 53/udp --expose 53 --expose 5432 --expose 8000-8002 --env PASSWORD=secret`; with our address and name.
#[test]
fn link_variables_are_those_of_docker() {
    const DOCKER: &str = "
        ENV_PASSWORD=secret
        NAME=/shop-web-1/my-db
        PORT=tcp://10.5.0.2:53
        PORT_53_TCP=tcp://10.5.0.2:53
        PORT_53_TCP_ADDR=10.5.0.2
        PORT_53_TCP_PORT=53
        PORT_53_TCP_PROTO=tcp
        PORT_53_UDP=udp://10.5.0.2:53
        PORT_53_UDP_ADDR=10.5.0.2
        PORT_53_UDP_PORT=53
        PORT_53_UDP_PROTO=udp
        PORT_5432_TCP=tcp://10.5.0.2:5432
        PORT_5432_TCP_ADDR=10.5.0.2
        PORT_5432_TCP_PORT=5432
        PORT_5432_TCP_PROTO=tcp
        PORT_8000_TCP=tcp://10.5.0.2:8000
        PORT_8000_TCP_ADDR=10.5.0.2
        PORT_8000_TCP_END=tcp://10.5.0.2:8002
        PORT_8000_TCP_PORT=8000
        PORT_8000_TCP_PORT_END=8002
        PORT_8000_TCP_PORT_START=8000
        PORT_8000_TCP_PROTO=tcp
        PORT_8000_TCP_START=tcp://10.5.0.2:8000
        PORT_8001_TCP=tcp://10.5.0.2:8001
        PORT_8001_TCP_ADDR=10.5.0.2
        PORT_8001_TCP_PORT=8001
        PORT_8001_TCP_PROTO=tcp
        PORT_8002_TCP=tcp://10.5.0.2:8002
        PORT_8002_TCP_ADDR=10.5.0.2
        PORT_8002_TCP_PORT=8002
        PORT_8002_TCP_PROTO=tcp
    ";
    let docker: BTreeSet<String> = DOCKER.split_whitespace().map(|line| format!("MY_DB_{line}")).collect();
    let ports = ["53/udp", "53/tcp", "5432/tcp", "8000/tcp", "8001/tcp", "8002/tcp"];
    let ours = of_the_alias(&variables(&ports, 1, LinksEnv::Full));
    assert_eq!(ours.lines().map(str::to_owned).collect::<BTreeSet<String>>(), docker);
}

#[test]
fn link_variables_tell_of_runs_of_ports_of_one_protocol() {
    let ports = ["6379/tcp", "6380/tcp", "6381/tcp", "6381/udp", "7000/tcp"];
    let text = variables(&ports, 1, LinksEnv::Ports);
    let runs: String = of_the_alias(&text)
        .lines()
        .filter(|line| line.contains("_START=") || line.contains("_END="))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_snapshot!(runs, @"
    MY_DB_PORT_6379_TCP_END=tcp://10.5.0.2:6381
    MY_DB_PORT_6379_TCP_PORT_END=6381
    MY_DB_PORT_6379_TCP_PORT_START=6379
    MY_DB_PORT_6379_TCP_START=tcp://10.5.0.2:6379
    ");
}

#[test]
fn link_variables_tell_of_each_replica_and_without_ports_only_of_names() {
    assert_snapshot!(variables(&[], 2, LinksEnv::Ports), @"
    MY_DB_1_NAME=/shop-web-1/my-db_1
    MY_DB_2_NAME=/shop-web-1/my-db_2
    MY_DB_NAME=/shop-web-1/my-db
    ");
}

#[test]
fn variables_of_the_linked_service_are_told_only_when_asked_and_nothing_with_off() {
    assert_snapshot!(of_the_alias(&variables(&[], 1, LinksEnv::Full)), @"
    MY_DB_ENV_PASSWORD=secret
    MY_DB_NAME=/shop-web-1/my-db
    ");
    assert_eq!(variables(&["80/tcp"], 1, LinksEnv::Off), "");
}

#[test]
fn a_linked_service_on_no_common_network_is_not_told_of() {
    let mut world = World::new(&[("db", "pg:16"), ("web", "shop:1")]);
    world.attach("db", "back");
    world.service("db").networks.remove("default");
    world.link("web", "db", "db");
    world.up();
    assert!(world.replica("web", 1).spec.process.link_env.is_empty());
}
