//! `logs`: what containers wrote.

use clap::Args;
use trice_api::call::{self, ListContainers, Selection};
use trice_api::view::ContainerView;
use trice_model::container::Role;
use trice_model::name::ServiceName;
use trice_model::time::Timestamp;

use crate::clock;
use crate::directories;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::logs::prefix::Style;
use crate::logs::printer::Printer;
use crate::logs::stream::LogLines;
use crate::moment::Moment;
use crate::project::Scope;

/// What is typed after `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Of these services
    services: Vec<ServiceName>,
    /// Go on until all containers have ended
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// At most so many of the last lines of each container, or `all`
    #[arg(short = 'n', long, value_name = "NUMBER", default_value = "all")]
    tail: Tail,
    /// What was written from then on: `2026-01-31T12:00:00Z`, or how long ago, such as `10m`
    #[arg(long, value_name = "MOMENT")]
    since: Option<Moment>,
    /// What was written before
    #[arg(long, value_name = "MOMENT")]
    until: Option<Moment>,
    /// With the time of each line
    #[arg(short, long)]
    timestamps: bool,
    /// Without colours
    #[arg(long)]
    no_color: bool,
    /// Without the container's name before each line
    #[arg(long)]
    no_log_prefix: bool,
    /// Which of the service's containers
    #[arg(long, requires = "services")]
    index: Option<u32>,
}

/// How many of the last lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tail(Option<usize>);

impl std::str::FromStr for Tail {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = || text.parse().map_err(|_| format!("`{text}` is neither `all` nor a number of lines"));
        Ok(Self(if text == "all" { None } else { Some(number()?) }))
    }
}

/// Carries out `logs`.
pub(crate) async fn run(args: &LogsArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let directories = invocation.directories()?;
    let scope = invocation.scope()?;
    if !directories::are_used(&directories) {
        return Ok(0);
    }
    let engine = Engine::new(directories);
    scope.check(&args.services, &engine).await?;
    let of = scope.selection(&args.services);
    let containers = engine.call(&ListContainers { of: of.clone() }).await?;
    let style =
        Style { names: !args.no_log_prefix, colours: invocation.console.out_colours && !args.no_color };
    let mut printer = Printer::new(scope.name.as_str(), style, args.timestamps, true);
    let Some(of) = args.selection(of, &containers, &scope)? else { return Ok(0) };
    let shown =
        containers.iter().filter(|container| of.names.is_empty() || of.names.contains(&container.name));
    shown.for_each(|container| printer.meet(container.name.as_str()));
    print_all(LogLines::new(&engine, args.request(of, clock::now())), &mut printer).await?;
    Ok(0)
}

impl LogsArgs {
    /// Narrows `of` to the container with the index that was typed; `None` if there is no container at all.
    fn selection(
        &self,
        of: Selection,
        containers: &[ContainerView],
        scope: &Scope,
    ) -> Result<Option<Selection>, Failure> {
        let Some(index) = self.index else { return Ok(Some(of)) };
        let with_index = containers.iter().filter(|container| container.role == Role::Replica(index));
        let names: std::collections::BTreeSet<_> =
            with_index.map(|container| container.name.clone()).collect();
        if names.is_empty() && !containers.is_empty() {
            return Err(Failure::usage(format!(
                "project {} has no container with index {index}",
                scope.name
            )));
        }
        Ok((!names.is_empty()).then_some(Selection { names, ..of }))
    }

    fn request(&self, of: Selection, now: Timestamp) -> call::Logs {
        call::Logs {
            of,
            follow: self.follow,
            tail: self.tail.0,
            since: self.since.map(|moment| moment.on(now)),
            until: self.until.map(|moment| moment.on(now)),
            ..call::Logs::default()
        }
    }
}

/// Prints lines as they come; those that are there together are written together.
async fn print_all(mut lines: LogLines<'_>, printer: &mut Printer) -> Result<(), Failure> {
    loop {
        let next = match lines.ready().await {
            Some(next) => next,
            None => {
                printer.flush()?;
                lines.next().await
            }
        };
        match next? {
            Some(written) => printer.print(&written)?,
            None => return printer.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use trice_model::container::ContainerState;

    use super::*;
    use crate::arguments::{Command, parse};
    use crate::commands::ps::tests::container;

    fn logs(line: &str) -> LogsArgs {
        let typed = ["trice", "logs"].into_iter().chain(line.split_whitespace());
        let Some(Command::Logs(args)) = parse(typed).unwrap().command else { panic!("not logs") };
        args
    }

    #[test]
    fn flags_become_a_request() {
        let now = Timestamp(3_600_000_000_000);
        let request =
            logs("-f -n 5 --since 10m --until 1970-01-01T01:00:00Z web").request(Selection::default(), now);
        let expected = call::Logs {
            follow: true,
            tail: Some(5),
            since: Some(Timestamp(3_000_000_000_000)),
            until: Some(now),
            ..call::Logs::default()
        };
        assert_eq!(request, expected);
        assert_eq!(logs("--tail all").request(Selection::default(), now), call::Logs::default());
        assert!(parse(["trice", "logs", "--tail", "few"]).is_err());
    }

    #[test]
    fn an_index_narrows_the_logs_to_the_containers_that_have_it() {
        let scope = Scope::named("shop".parse().unwrap());
        let running = ContainerState::Running { health: None, paused: false };
        let containers = [container("web", 1, running), container("web", 2, running)];
        let names = |index: &str| {
            let of =
                logs(&format!("--index {index} web")).selection(Selection::default(), &containers, &scope);
            of.map(|of| of.map(|of| of.names))
        };
        assert_eq!(names("2").unwrap(), Some(BTreeSet::from(["shop-web-2".parse().unwrap()])));
        assert!(names("3").is_err());
    }
}
