//! `down`: nothing of the project is left, but its volumes and images. It works by the project's name, without files.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, ValueEnum};
use trice_api::call::ListContainers;
use trice_api::event::{ObjectKind, StepEvent, StepState};
use trice_api::image::{ImageView, ListImages, RemoveImages};
use trice_model::intent::{DownOptions, Intent};
use trice_model::name::ServiceName;

use crate::arguments::seconds;
use crate::directories;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::project::Scope;

/// What is typed after `down`.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// These services and those that depend on them
    services: Vec<ServiceName>,
    /// Its volumes too
    #[arg(short, long)]
    volumes: bool,
    /// Its images too
    #[arg(long, value_enum, value_name = "WHICH")]
    rmi: Option<Images>,
    /// The time from the stop signal to the kill, in seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Containers of services that are not in the files too
    #[arg(long)]
    remove_orphans: bool,
}

/// Which images go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Images {
    /// Those that were built and that the files give no name.
    Local,
    /// All of its services.
    All,
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
    let going = match args.rmi {
        Some(which) => going(which, &scope, &options.services, &engine).await?,
        None => BTreeSet::new(),
    };
    let intent = Intent::Down { project: scope.name.clone(), options };
    let mut progress = invocation.progress("down");
    invocation.operate_with(&mut progress, &engine, intent, &scope.places).await?;
    if invocation.global.dry_run {
        return output::print_lines(going.iter().map(|image| format!("remove image {image}"))).map(|()| 0);
    }
    if !going.is_empty() {
        let call = RemoveImages { images: going.into_iter().collect(), force: false, platform: None };
        let removed = engine.call(&call).await?;
        removed.untagged.iter().for_each(|name| progress.step(&removed_image(name)));
        // What somebody else needs stays, as with Docker Compose.
        removed.faults.iter().for_each(|fault| progress.note(&format!("warning: {}", fault.message)));
    }
    if progress.is_empty() {
        progress.note(&nothing);
    }
    Ok(0)
}

/// Finds out which images go with the services, or with all of the project for none.
async fn going(
    which: Images,
    scope: &Scope,
    services: &BTreeSet<ServiceName>,
    engine: &Engine,
) -> Result<BTreeSet<String>, Failure> {
    let here = engine.call(&ListImages {}).await?;
    let mut going = built(which, scope, services, &here);
    if which == Images::All {
        let is_meant = |name: &ServiceName| services.is_empty() || services.contains(name);
        let named = scope.project.iter().flat_map(|project| &project.services);
        let named = named.filter(|(name, _)| is_meant(name)).map(|(_, service)| service.image.to_string());
        let selection = scope.selection(&services.iter().cloned().collect::<Vec<_>>());
        let containers = engine.call(&ListContainers { of: selection }).await?;
        let used: BTreeSet<String> =
            named.chain(containers.into_iter().map(|container| container.image.to_string())).collect();
        going.extend(here.iter().flat_map(|image| &image.tags).filter(|tag| used.contains(*tag)).cloned());
    }
    Ok(going)
}

/// Returns the names of the images that were built for the services.
fn built(
    which: Images,
    scope: &Scope,
    services: &BTreeSet<ServiceName>,
    here: &[ImageView],
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for image in here {
        let label = |name: &str| image.labels.get(&format!("com.docker.compose.{name}"));
        let Some(service) = label("service").and_then(|service| service.parse::<ServiceName>().ok()) else {
            continue;
        };
        let is_own = label("project").is_some_and(|project| *project == scope.name.as_str());
        if !is_own || !services.is_empty() && !services.contains(&service) {
            continue;
        }
        // Without files, what has another name was given it.
        let usual = format!("{}-{}", scope.name, service.as_str().to_lowercase());
        let is_local = |tag: &&String| {
            tag.strip_suffix(":latest").unwrap_or(tag) == usual && !scope.places.names_image(&service)
        };
        names.extend(image.tags.iter().filter(|tag| which == Images::All || is_local(tag)).cloned());
    }
    names
}

fn removed_image(name: &str) -> StepEvent {
    StepEvent {
        object: ObjectKind::Image,
        name: name.to_owned(),
        doing: "Removing".to_owned(),
        done: "Removed".to_owned(),
        state: StepState::Done,
        detail: None,
        amount: None,
    }
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
