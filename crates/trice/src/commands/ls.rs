//! `ls`: projects, and how many of their containers are in which state.

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use trice_api::call::ListProjects;
use trice_api::view::ProjectView;

use crate::directories;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::listing::{self, Filter, Format};
use crate::output;
use crate::table::Table;

/// The least width of a column of projects, as Compose has it.
const WIDE: usize = 20;
/// The fields of a row.
const FIELDS: [&str; 3] = ["Name", "Status", "ConfigFiles"];

/// What is typed after `ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Stopped ones too
    #[arg(short, long)]
    all: bool,
    /// Only their names
    #[arg(short, long)]
    quiet: bool,
    /// With this property: `name=TEXT`, where `^` and `$` hold on to the name's ends
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// `table`, `json`, or a template
    #[arg(long, default_value = "table")]
    format: Format,
}

/// Carries out `ls`.
pub(crate) async fn run(args: &LsArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    args.check()?;
    let directories = invocation.directories()?;
    let projects = match directories::are_used(&directories) {
        true => Engine::new(directories).call(&ListProjects {}).await?,
        false => Vec::new(),
    };
    output::print(&render(args, &projects)?)?;
    Ok(0)
}

impl LsArgs {
    fn check(&self) -> Result<(), Failure> {
        match self.filter.iter().find(|filter| filter.key != "name") {
            Some(filter) => Err(Failure::usage(format!("there is no filter `{}`: use `name`", filter.key))),
            None => Ok(()),
        }
    }

    fn shows(&self, project: &ProjectView) -> bool {
        let is_running =
            ["running", "paused", "restarting"].iter().any(|state| project.states.contains_key(*state));
        let name = project.name.as_str();
        (self.all || is_running)
            && (self.filter.is_empty() || self.filter.iter().any(|filter| matches(&filter.value, name)))
    }
}

/// Tells whether `pattern` is in `name`, at the end that it holds on to.
fn matches(pattern: &str, name: &str) -> bool {
    let (begins, pattern) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
    let (ends, pattern) = pattern.strip_suffix('$').map_or((false, pattern), |rest| (true, rest));
    match (begins, ends) {
        (true, true) => name == pattern,
        (true, false) => name.starts_with(pattern),
        (false, true) => name.ends_with(pattern),
        (false, false) => name.contains(pattern),
    }
}

fn render(args: &LsArgs, projects: &[ProjectView]) -> Result<String, Failure> {
    let rows: Vec<LsRow> = projects.iter().filter(|project| args.shows(project)).map(LsRow::of).collect();
    if args.quiet {
        return Ok(rows.into_iter().map(|row| row.name + "\n").collect());
    }
    // Texts always have a JSON form.
    let value = |row: &LsRow| serde_json::to_value(row).unwrap_or_default();
    let values = || rows.iter().map(value).collect::<Vec<Value>>();
    match &args.format {
        Format::Json => Ok(serde_json::to_string(&rows).unwrap_or_default()),
        Format::Text(template) => listing::text(template, &values()),
        Format::TableOf(template) => listing::table(template, &values(), &FIELDS, header),
        Format::Table => {
            let mut table = Table::new(WIDE, ["NAME", "STATUS", "CONFIG FILES"]);
            rows.iter()
                .for_each(|row| table.row([row.name.clone(), row.status.clone(), row.config_files.clone()]));
            Ok(table.to_string())
        }
    }
}

fn header(field: &str) -> String {
    if field == "ConfigFiles" { "CONFIG FILES".to_owned() } else { field.to_uppercase() }
}

/// A project as scripts know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LsRow {
    name: String,
    status: String,
    config_files: String,
}

impl LsRow {
    fn of(project: &ProjectView) -> Self {
        let states = project.states.iter().map(|(state, count)| format!("{state}({count})"));
        let files = project.files.iter().map(|file| file.display().to_string());
        Self {
            name: project.name.to_string(),
            status: states.collect::<Vec<_>>().join(", "),
            config_files: files.collect::<Vec<_>>().join(","),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::arguments::{Command, parse};

    fn project(name: &str, states: &[(&str, usize)]) -> ProjectView {
        let states = states.iter().map(|(state, count)| ((*state).to_owned(), *count));
        ProjectView {
            name: name.parse().unwrap(),
            files: vec![format!("/srv/{name}/compose.yaml").into()],
            states: BTreeMap::from_iter(states),
        }
    }

    fn ls(line: &str) -> String {
        let typed = ["trice", "ls"].into_iter().chain(line.split_whitespace());
        let Some(Command::Ls(args)) = parse(typed).unwrap().command else { panic!("not ls") };
        let projects = [project("shop", &[("exited", 1), ("running", 2)]), project("old", &[("exited", 3)])];
        render(&args, &projects).unwrap()
    }

    #[test]
    fn running_projects_are_listed_unless_all_are_asked_for() {
        insta::assert_snapshot!(ls("-a"), @r"
        NAME                STATUS                  CONFIG FILES
        shop                exited(1), running(2)   /srv/shop/compose.yaml
        old                 exited(3)               /srv/old/compose.yaml
        ");
        assert_eq!(ls("-q"), "shop\n");
    }

    #[test]
    fn the_json_is_one_array() {
        insta::assert_snapshot!(
            ls("--format json"),
            @r#"[{"Name":"shop","Status":"exited(1), running(2)","ConfigFiles":"/srv/shop/compose.yaml"}]"#
        );
    }

    #[test]
    fn names_are_filtered_by_a_part_or_by_their_ends() {
        assert_eq!(ls("-a -q --filter name=o"), "shop\nold\n");
        assert_eq!(ls("-a -q --filter name=^o"), "old\n");
        assert_eq!(ls("-a -q --filter name=^shop$"), "shop\n");
        assert_eq!(ls("-a -q --filter name=ho$"), "");
    }
}
