//! `network ls`: networks, and whose they are.
//!
//! Source: docker/cli `cli/command/network/list.go`.

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use trice_api::view::NetworkView;

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::listing::{self, Filter, Format, NARROW};
use crate::output;
use crate::table::Table;

/// The fields of a row.
const FIELDS: [&str; 8] = ["Name", "Driver", "Scope", "Subnets", "Project", "Internal", "IPv6", "Labels"];

/// What is typed after `network ls`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only their names
    #[arg(short, long)]
    quiet: bool,
    /// With this property: `name=TEXT`, `driver=NAME`, `label=KEY` or `label=KEY=VALUE`
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// `table`, `json`, or a template
    #[arg(long, default_value = "table")]
    format: Format,
    #[arg(long, hide = true)]
    no_trunc: bool,
}

/// Carries out `network ls`.
pub(crate) async fn run(args: &ListArgs, invocation: &Invocation) -> Result<u8, Failure> {
    args.check()?;
    let networks = super::networks(invocation).await?;
    output::print(&render(args, &networks)?)?;
    Ok(0)
}

impl ListArgs {
    fn check(&self) -> Result<(), Failure> {
        match self.filter.iter().find(|filter| !["name", "driver", "label"].contains(&filter.key.as_str())) {
            Some(filter) => Err(Failure::usage(format!(
                "there is no filter `{}`: use `name`, `driver` or `label`",
                filter.key
            ))),
            None => Ok(()),
        }
    }

    /// Tells whether a network meets one filter of each kind.
    fn shows(&self, network: &NetworkView) -> bool {
        let of = |key| self.filter.iter().filter(move |filter| filter.key == key);
        let meets = |key| of(key).next().is_none() || of(key).any(|filter| meets(filter, network));
        ["name", "driver", "label"].into_iter().all(meets)
    }
}

fn meets(filter: &Filter, network: &NetworkView) -> bool {
    let spec = &network.spec;
    match filter.key.as_str() {
        "name" => spec.name.as_str().contains(&filter.value),
        "driver" => spec.medium.driver() == filter.value,
        _ => match filter.value.split_once('=') {
            Some((key, value)) => spec.labels.get(key).is_some_and(|has| has == value),
            None => spec.labels.contains_key(&filter.value),
        },
    }
}

fn render(args: &ListArgs, networks: &[NetworkView]) -> Result<String, Failure> {
    let rows = || networks.iter().filter(|network| args.shows(network)).map(NetworkRow::of);
    if args.quiet {
        return Ok(rows().map(|row| row.name + "\n").collect());
    }
    // Texts always have a JSON form.
    let values = || rows().map(|row| serde_json::to_value(row).unwrap_or_default()).collect::<Vec<Value>>();
    match &args.format {
        Format::Json => Ok(values().iter().map(|row| format!("{row}\n")).collect()),
        Format::Text(template) => listing::text(template, &values()),
        Format::TableOf(template) => listing::table(template, &values(), &FIELDS, str::to_uppercase),
        Format::Table => {
            let mut table = Table::new(NARROW, ["NAME", "DRIVER", "SCOPE", "SUBNETS", "PROJECT"]);
            rows().for_each(|row| table.row([row.name, row.driver, row.scope, row.subnets, row.project]));
            Ok(table.to_string())
        }
    }
}

/// A network as scripts know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkRow {
    name: String,
    driver: String,
    scope: String,
    subnets: String,
    project: String,
    internal: String,
    #[serde(rename = "IPv6")]
    ipv6: String,
    labels: String,
}

impl NetworkRow {
    fn of(network: &NetworkView) -> Self {
        let spec = &network.spec;
        let ipv4 = spec.ipv4.as_ref().map(|pool| pool.subnet.to_string());
        let ipv6 = spec.ipv6.as_ref().map(|pool| pool.subnet.to_string());
        let labels = spec.labels.iter().map(|(key, value)| format!("{key}={value}"));
        Self {
            name: spec.name.to_string(),
            driver: spec.medium.driver().to_owned(),
            scope: "local".to_owned(),
            subnets: ipv4.into_iter().chain(ipv6).collect::<Vec<_>>().join(", "),
            project: spec.owner.as_ref().map(|(project, _)| project.to_string()).unwrap_or_default(),
            internal: spec.internal.to_string(),
            ipv6: spec.ipv6.is_some().to_string(),
            labels: labels.collect::<Vec<_>>().join(","),
        }
    }
}

#[cfg(test)]
mod tests {
    use trice_model::network::Medium;

    use super::super::NetworkCommand;
    use super::super::tests::network;
    use super::*;
    use crate::arguments::{Command, parse};

    fn ls(line: &str) -> String {
        let typed = ["trice", "network", "ls"].into_iter().chain(line.split_whitespace());
        let Some(Command::Network(NetworkCommand::Ls(args))) = parse(typed).unwrap().command else {
            panic!("not network ls")
        };
        let mut lan = network("lan");
        lan.spec.medium = Medium::Macvlan { parent: "eth0".parse().unwrap(), mode: Default::default() };
        lan.spec.ipv6 = None;
        lan.spec.labels.clear();
        args.check().and_then(|()| render(&args, &[network("default"), lan])).unwrap()
    }

    #[test]
    fn networks_are_listed_with_their_subnets_and_their_projects() {
        insta::assert_snapshot!(ls(""), @"
        NAME           DRIVER    SCOPE     SUBNETS                       PROJECT
        shop_default   bridge    local     172.27.98.0/24, fd00:7::/64   shop
        shop_lan       macvlan   local     172.27.98.0/24                shop
        ");
    }

    #[test]
    fn the_json_is_one_object_a_line() {
        insta::assert_snapshot!(ls("--format json --filter driver=bridge"), @r#"{"Driver":"bridge","IPv6":"true","Internal":"false","Labels":"tier=front","Name":"shop_default","Project":"shop","Scope":"local","Subnets":"172.27.98.0/24, fd00:7::/64"}"#);
    }

    #[test]
    fn networks_are_filtered_by_a_part_of_the_name_the_driver_and_labels() {
        assert_eq!(ls("-q --filter name=def"), "shop_default\n");
        assert_eq!(ls("-q --filter driver=macvlan"), "shop_lan\n");
        assert_eq!(ls("-q --filter label=tier=front"), "shop_default\n");
        assert_eq!(ls("-q --filter label=tier --filter name=lan"), "");
        assert_eq!(ls("-q --filter name=lan --filter name=def"), "shop_default\nshop_lan\n");
    }
}
