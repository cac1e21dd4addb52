//! `ps`: containers, as a table or for scripts.
//!
//! The JSON has Docker Compose's keys, one object a line, since scripts read it.

use std::collections::BTreeSet;

use clap::{ArgAction, Args};
use serde::Serialize;
use serde_json::Value;
use trice_api::call::ListContainers;
use trice_api::view::{ContainerView, state_word};
use trice_model::name::ServiceName;
use trice_model::time::Timestamp;

use crate::clock;
use crate::directories;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::listing::{self, Filter, Format, NARROW};
use crate::output;
use crate::table::Table;
use crate::words;

/// States that containers can be in for Docker; trice knows no others.
const STATES: [&str; 7] = ["paused", "restarting", "removing", "running", "dead", "created", "exited"];
/// How much of a command a table shows.
const COMMAND_WIDTH: usize = 20;

/// What is typed after `ps`.
#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Of these services
    services: Vec<ServiceName>,
    /// Stopped ones and one-offs too
    #[arg(short, long)]
    all: bool,
    /// Only their ids
    #[arg(short, long)]
    quiet: bool,
    /// Only the names of their services
    #[arg(long = "services")]
    only_services: bool,
    /// In this state
    #[arg(long, value_name = "STATE", value_parser = STATES, value_delimiter = ',')]
    status: Vec<String>,
    /// With this property: `status=STATE`
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// `table`, `json`, or a template
    #[arg(long, default_value = "table")]
    format: Format,
    /// Whole ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Also those of services that are not in the files
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t = true, default_missing_value = "true")]
    orphans: bool,
}

/// Carries out `ps`.
pub(crate) async fn run(args: &PsArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let states = args.states()?;
    let directories = invocation.directories()?;
    let scope = invocation.scope()?;
    let is_used = directories::are_used(&directories);
    let engine = Engine::new(directories);
    let mut containers = Vec::new();
    if is_used {
        containers = engine.call(&ListContainers { of: scope.selection(&args.services) }).await?;
    }
    let has = |service: &ServiceName| containers.iter().any(|container| container.service == *service);
    let known = scope.known();
    let is_known = |service: &ServiceName| known.as_ref().is_some_and(|known| known.contains(service));
    if let Some(unknown) = args.services.iter().find(|service| !is_known(service) && !has(service)) {
        return Err(scope.no_service(unknown));
    }
    containers.retain(|container| args.shows(container, &states));
    if !args.orphans {
        containers.retain(|container| is_known(&container.service));
    }
    output::print(&render(args, &containers, clock::now())?)?;
    Ok(0)
}

impl PsArgs {
    /// Returns the states that are asked for; none is the usual ones.
    fn states(&self) -> Result<BTreeSet<&str>, Failure> {
        let mut states: BTreeSet<&str> = self.status.iter().map(String::as_str).collect();
        for filter in &self.filter {
            if filter.key != "status" {
                return Err(Failure::usage(format!("there is no filter `{}`: use `status`", filter.key)));
            }
            if !STATES.contains(&filter.value.as_str()) {
                let known = STATES.join(", ");
                return Err(Failure::usage(format!(
                    "there is no state `{}`: there are {known}",
                    filter.value
                )));
            }
            states.insert(&filter.value);
        }
        Ok(states)
    }

    fn shows(&self, container: &ContainerView, states: &BTreeSet<&str>) -> bool {
        let state = state_word(&container.state);
        if !container.role.is_replica() && !self.all {
            return false;
        }
        if states.is_empty() {
            self.all || matches!(state, "running" | "paused" | "restarting")
        } else {
            states.contains(state)
        }
    }
}

fn render(args: &PsArgs, containers: &[ContainerView], now: Timestamp) -> Result<String, Failure> {
    if args.quiet {
        return Ok(lines(containers.iter().map(|container| container.id.to_string())));
    }
    if args.only_services {
        let services: BTreeSet<String> =
            containers.iter().map(|container| container.service.to_string()).collect();
        return Ok(lines(services));
    }
    let rows: Vec<PsRow> =
        containers.iter().map(|container| PsRow::of(container, now, !args.no_trunc)).collect();
    match &args.format {
        Format::Table => Ok(table(&rows)),
        Format::Json => Ok(lines(rows.iter().map(PsRow::json))),
        Format::Text(template) => listing::text(template, &values(&rows)),
        Format::TableOf(template) => listing::table(template, &values(&rows), &FIELDS, header),
    }
}

fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}

fn values(rows: &[PsRow]) -> Vec<Value> {
    rows.iter().map(PsRow::value).collect()
}

fn table(rows: &[PsRow]) -> String {
    let mut table = Table::new(NARROW, ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"]);
    for row in rows {
        let cells =
            [&row.name, &row.image, &row.command, &row.service, &row.running_for, &row.status, &row.ports];
        table.row(cells.map(Clone::clone));
    }
    table.to_string()
}

/// A container as scripts know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PsRow {
    command: String,
    created_at: String,
    exit_code: i32,
    health: &'static str,
    #[serde(rename = "ID")]
    id: String,
    image: String,
    labels: String,
    local_volumes: String,
    mounts: String,
    name: String,
    names: String,
    networks: String,
    ports: String,
    project: String,
    publishers: Vec<Publisher>,
    running_for: String,
    service: String,
    size: &'static str,
    state: &'static str,
    status: String,
}

/// The fields of a row.
const FIELDS: [&str; 20] = [
    "Command",
    "CreatedAt",
    "ExitCode",
    "Health",
    "ID",
    "Image",
    "Labels",
    "LocalVolumes",
    "Mounts",
    "Name",
    "Names",
    "Networks",
    "Ports",
    "Project",
    "Publishers",
    "RunningFor",
    "Service",
    "Size",
    "State",
    "Status",
];

/// A port as scripts know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Publisher {
    #[serde(rename = "URL")]
    url: String,
    target_port: u16,
    published_port: u16,
    protocol: String,
}

impl PsRow {
    fn of(container: &ContainerView, now: Timestamp, shortens: bool) -> Self {
        let command = container.command.join(" ");
        let command = if shortens { words::shortened(&command, COMMAND_WIDTH) } else { command };
        let id = if shortens { container.id.short().to_owned() } else { container.id.to_string() };
        let labels = container.labels.iter().map(|(name, value)| format!("{name}={value}"));
        let networks = container.networks.keys().map(ToString::to_string);
        Self {
            // With quotes, as Docker's tools show it.
            command: format!("{command:?}"),
            created_at: words::moment(container.created_at),
            exit_code: words::exit_code(&container.state),
            health: words::health(&container.state),
            id,
            image: container.image.clone(),
            labels: labels.collect::<Vec<_>>().join(","),
            local_volumes: container.local_volumes.to_string(),
            mounts: container.mounts.join(","),
            name: container.name.to_string(),
            names: container.name.to_string(),
            networks: networks.collect::<Vec<_>>().join(","),
            ports: words::ports(container),
            project: container.project.to_string(),
            publishers: publishers(container),
            running_for: words::ago(container.created_at, now),
            service: container.service.to_string(),
            size: "0B",
            state: state_word(&container.state),
            status: words::status(container, now),
        }
    }

    // Texts, numbers and lists always have a JSON form.

    fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

fn publishers(container: &ContainerView) -> Vec<Publisher> {
    let published = container.published.iter().map(|port| Publisher {
        url: port.host_ip.to_string(),
        target_port: port.target.number,
        published_port: port.host_port,
        protocol: port.target.protocol.to_string(),
    });
    let unpublished = words::unpublished(container).map(|port| Publisher {
        url: String::new(),
        target_port: port.number,
        published_port: 0,
        protocol: port.protocol.to_string(),
    });
    published.chain(unpublished).collect()
}

/// Returns the head of a field's column.
fn header(field: &str) -> String {
    match field {
        "ID" => "CONTAINER ID".to_owned(),
        "RunningFor" => "CREATED".to_owned(),
        "CreatedAt" => "CREATED AT".to_owned(),
        "ExitCode" => "EXIT CODE".to_owned(),
        "LocalVolumes" => "LOCAL VOLUMES".to_owned(),
        other => other.to_uppercase(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use trice_model::container::{ContainerState, ExitStatus, Role};
    use trice_model::health::Health;
    use trice_model::port::{ContainerPort, Protocol, PublishedPort};

    use super::*;
    use crate::arguments::{Command, parse};

    const SECOND: u64 = 1_000_000_000;
    const NOW: Timestamp = Timestamp(1_795_243_785 * SECOND);

    /// Makes a replica of a service of the project `shop`, made ten minutes ago.
    pub(crate) fn container(service: &str, number: u32, state: ContainerState) -> ContainerView {
        ContainerView {
            id: format!("{:0>64}", format!("{number}abc")).parse().unwrap(),
            name: format!("shop-{service}-{number}").parse().unwrap(),
            project: "shop".parse().unwrap(),
            service: service.parse().unwrap(),
            role: Role::Replica(number),
            image: "redis:7".to_owned(),
            image_id: String::new(),
            command: vec!["docker-entrypoint.sh".to_owned(), "redis-server".to_owned()],
            state,
            created_at: Timestamp(NOW.0 - 600 * SECOND),
            started_at: Some(Timestamp(NOW.0 - 300 * SECOND)),
            finished_at: Some(Timestamp(NOW.0 - 30 * SECOND)),
            restarts: 0,
            exposed: vec![ContainerPort { protocol: Protocol::Tcp, number: 6379 }],
            published: Vec::new(),
            networks: BTreeMap::from([("shop_default".parse().unwrap(), Vec::new())]),
            mounts: vec!["shop_data".to_owned()],
            local_volumes: 1,
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            tty: false,
            attach: true,
        }
    }

    fn shop() -> Vec<ContainerView> {
        let running = ContainerState::Running { health: Some(Health::Healthy), paused: false };
        let mut web = container("web", 1, running);
        let target = ContainerPort { protocol: Protocol::Tcp, number: 80 };
        web.published = vec![PublishedPort { host_ip: [127, 0, 0, 1].into(), host_port: 8080, target }];
        let exited = ContainerState::Exited { exit: ExitStatus::Signal(15) };
        let mut one_off = container("web", 2, ContainerState::Running { health: None, paused: false });
        one_off.role = Role::OneOff("0a1b".to_owned());
        vec![container("db", 1, exited), web, one_off]
    }

    fn ps(line: &str) -> Result<String, Failure> {
        let typed = ["trice", "ps"].into_iter().chain(line.split_whitespace());
        let Some(Command::Ps(args)) = parse(typed).unwrap().command else { panic!("not ps") };
        let states = args.states()?;
        let mut containers = shop();
        containers.retain(|container| args.shows(container, &states));
        render(&args, &containers, NOW)
    }

    #[test]
    fn the_table_has_dockers_columns() {
        insta::assert_snapshot!(ps("--all").unwrap(), @r#"
        NAME         IMAGE     COMMAND                  SERVICE   CREATED          STATUS                        PORTS
        shop-db-1    redis:7   "docker-entrypoint.s…"   db        10 minutes ago   Exited (143) 30 seconds ago   6379/tcp
        shop-web-1   redis:7   "docker-entrypoint.s…"   web       10 minutes ago   Up 5 minutes (healthy)        127.0.0.1:8080->80/tcp, 6379/tcp
        shop-web-2   redis:7   "docker-entrypoint.s…"   web       10 minutes ago   Up 5 minutes                  6379/tcp
        "#);
    }

    #[test]
    fn the_json_is_one_object_a_line_with_composes_keys() {
        insta::assert_snapshot!(ps("--format json").unwrap(), @r#"{"Command":"\"docker-entrypoint.s…\"","CreatedAt":"2026-11-21 06:39:45 +0000 UTC","ExitCode":0,"Health":"healthy","ID":"000000000000","Image":"redis:7","Labels":"a=b","LocalVolumes":"1","Mounts":"shop_data","Name":"shop-web-1","Names":"shop-web-1","Networks":"shop_default","Ports":"127.0.0.1:8080->80/tcp, 6379/tcp","Project":"shop","Publishers":[{"URL":"127.0.0.1","TargetPort":80,"PublishedPort":8080,"Protocol":"tcp"},{"URL":"","TargetPort":6379,"PublishedPort":0,"Protocol":"tcp"}],"RunningFor":"10 minutes ago","Service":"web","Size":"0B","State":"running","Status":"Up 5 minutes (healthy)"}"#);
    }

    #[test]
    fn running_replicas_are_shown_unless_others_are_asked_for() {
        let names = |line: &str| ps(&format!("{line} --format {{{{.Name}}}}")).unwrap().replace('\n', " ");
        assert_eq!(names(""), "shop-web-1 ");
        assert_eq!(names("-a"), "shop-db-1 shop-web-1 shop-web-2 ");
        assert_eq!(names("--status exited"), "shop-db-1 ");
        assert_eq!(names("--filter status=exited --status running"), "shop-db-1 shop-web-1 ");
        assert!(ps("--filter name=x").is_err());
        assert!(ps("--filter status=lazy").is_err());
        assert_eq!(ps("-a --services").unwrap(), "db\nweb\n");
        assert_eq!(ps("-q").unwrap(), format!("{:0>64}\n", "1abc"));
    }
}
