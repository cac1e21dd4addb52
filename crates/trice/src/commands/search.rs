//! `search`: repositories of a registry, where it offers that.
//!
//! Source: docker/cli `cli/command/registry/search.go`.

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use trice_api::image::{RepositoryView, SearchImages};
use trice_model::registry::is_host;

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::listing::{self, Filter, Format, NARROW};
use crate::output;
use crate::registries::{self, DOCKER_HUB, Use};
use crate::table::Table;
use crate::words;

/// The fields of a row.
const FIELDS: [&str; 5] = ["Description", "IsAutomated", "IsOfficial", "Name", "StarCount"];
/// How much of a description is shown.
const DESCRIPTION_WIDTH: usize = 45;

/// What is typed after `search`.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// What to look for, after a registry and `/` if it is another one than that of names without a host
    term: String,
    /// At most so many
    #[arg(long, default_value_t = 25, value_name = "NUMBER")]
    limit: u32,
    /// With this property: `is-official=true`, `stars=NUMBER`
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// `table`, `json`, or a template
    #[arg(long, default_value = "table")]
    format: Format,
    /// Whole descriptions
    #[arg(long)]
    no_trunc: bool,
}

/// Carries out `search`.
pub(crate) async fn run(args: &SearchArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let (host, words) = args.place();
    let access = registries::access_to(invocation, host, Use::Read)?;
    let call = SearchImages { host: host.to_owned(), words: words.to_owned(), most: args.limit, access };
    let found = invocation.engine()?.call(&call).await?;
    output::print(&render(args, &found)?)?;
    Ok(0)
}

impl SearchArgs {
    /// Returns the registry and what to look for in it.
    fn place(&self) -> (&str, &str) {
        let is_named = |host: &str| host.contains(['.', ':']) || host == "localhost";
        match self.term.split_once('/').filter(|(host, _)| is_named(host) && is_host(host)) {
            Some((host, words)) => (host, words),
            None => (DOCKER_HUB, &self.term),
        }
    }

    fn shows(&self, found: &RepositoryView) -> Result<bool, Failure> {
        let mut shows = true;
        for Filter { key, value } in &self.filter {
            shows &= match key.as_str() {
                "is-official" => found.official == (value == "true" || value == "1"),
                "stars" => {
                    let least: u64 =
                        value.parse().map_err(|_| Failure::usage(format!("`{value}` is not a number")))?;
                    found.stars >= least
                }
                _ => {
                    let text = format!("there is no filter `{key}`: use `is-official` or `stars`");
                    return Err(Failure::usage(text));
                }
            };
        }
        Ok(shows)
    }
}

fn render(args: &SearchArgs, found: &[RepositoryView]) -> Result<String, Failure> {
    let mut rows = Vec::new();
    for repository in found {
        if args.shows(repository)? {
            rows.push(Row::of(repository, !args.no_trunc));
        }
    }
    // Texts always have a JSON form.
    let values =
        || rows.iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect::<Vec<Value>>();
    match &args.format {
        Format::Json => Ok(values().iter().map(|row| format!("{row}\n")).collect()),
        Format::Text(template) => listing::text(template, &values()),
        Format::TableOf(template) => listing::table(template, &values(), &FIELDS, str::to_uppercase),
        Format::Table => {
            let mut table = Table::new(NARROW, ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]);
            for row in rows {
                let official = if row.is_official == "true" { "[OK]" } else { "" };
                table.row([row.name, row.description, row.star_count, official.to_owned()]);
            }
            Ok(table.to_string())
        }
    }
}

/// A repository as scripts know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    description: String,
    is_automated: &'static str,
    is_official: String,
    name: String,
    star_count: String,
}

impl Row {
    fn of(found: &RepositoryView, shortens: bool) -> Self {
        let description = found.description.replace(['\n', '\r'], " ");
        Self {
            description: if shortens {
                words::shortened(&description, DESCRIPTION_WIDTH)
            } else {
                description
            },
            is_automated: "false",
            is_official: found.official.to_string(),
            name: found.name.clone(),
            star_count: found.stars.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, parse};

    fn search(line: &str) -> SearchArgs {
        let typed = ["trice", "search"].into_iter().chain(line.split_whitespace());
        let Some(Command::Search(args)) = parse(typed).unwrap().command else { panic!("not search") };
        args
    }

    fn found() -> [RepositoryView; 2] {
        let redis = ("redis", "An in-memory store", 13_000, true);
        [redis, ("me/redis", "Mine", 1, false)].map(|(name, description, stars, official)| RepositoryView {
            name: name.to_owned(),
            description: description.to_owned(),
            stars,
            official,
        })
    }

    #[test]
    fn a_registry_may_stand_before_what_is_looked_for() {
        assert_eq!(search("redis").place(), ("docker.io", "redis"));
        assert_eq!(search("org/redis").place(), ("docker.io", "org/redis"));
        assert_eq!(search("localhost:5000/redis").place(), ("localhost:5000", "redis"));
    }

    #[test]
    fn what_is_found_is_shown_as_docker_shows_it() {
        insta::assert_snapshot!(render(&search("redis"), &found()).unwrap(), @"
        NAME       DESCRIPTION          STARS     OFFICIAL
        redis      An in-memory store   13000     [OK]
        me/redis   Mine                 1
        ");
        let json = render(&search("redis --filter stars=10 --format json"), &found()).unwrap();
        insta::assert_snapshot!(json, @r#"{"Description":"An in-memory store","IsAutomated":"false","IsOfficial":"true","Name":"redis","StarCount":"13000"}"#);
        assert!(render(&search("redis --filter colour=red"), &found()).is_err());
    }
}
