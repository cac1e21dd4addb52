//! `down`: nothing of the project is left, but its volumes. It works by the project's name, without files.

use std::time::Duration;

use clap::Args;
use trice_model::intent::{DownOptions, Intent};
use trice_model::name::ServiceName;

use crate::arguments::seconds;
use crate::directories;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::project::Scope;

/// What is typed after `down`.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// These services and those that depend on them
    services: Vec<ServiceName>,
    /// Its volumes too
    #[arg(short, long)]
    volumes: bool,
    /// The time from the stop signal to the kill, in seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Containers of services that are not in the files too
    #[arg(long)]
    remove_orphans: bool,
}

/// Carries out `down`.
pub(crate) async fn run(args: &DownArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let directories = invocation.directories()?;
    let scope = invocation.scope()?;
    let nothing = format!("there is nothing of project {} to remove", scope.name);
    if !directories::are_used(&directories) && args.services.is_empty() {
        invocation.progress("down").note(&nothing);
        return Ok(0);
    }
    let engine = Engine::new(directories);
    scope.check(&args.services, &engine).await?;
    let options = args.options(&scope, invocation.environment.is_true("COMPOSE_REMOVE_ORPHANS"));
    let intent = Intent::Down { project: scope.name.clone(), options };
    let mut progress = invocation.progress("down");
    invocation.operate_with(&mut progress, &engine, intent, &scope.places).await?;
    if progress.is_empty() && !invocation.global.dry_run {
        progress.note(&nothing);
    }
    Ok(0)
}

impl DownArgs {
    fn options(&self, scope: &Scope, remove_orphans: bool) -> DownOptions {
        DownOptions {
            services: self.services.iter().cloned().collect(),
            known: scope.known(),
            remove_orphans: self.remove_orphans || remove_orphans,
            volumes: self.volumes,
            timeout: self.timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, parse};

    #[test]
    fn down_without_files_knows_no_services_and_so_takes_all() {
        let Some(Command::Down(args)) = parse(["trice", "down", "-v", "-t", "3"]).unwrap().command else {
            panic!("not down")
        };
        let options = args.options(&Scope::named("shop".parse().unwrap()), true);
        let expected = DownOptions {
            volumes: true,
            remove_orphans: true,
            timeout: Some(Duration::from_secs(3)),
            ..DownOptions::default()
        };
        assert_eq!(options, expected);
        assert_eq!(options.known, None);
    }
}
