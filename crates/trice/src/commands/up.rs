//! `up` and `create`: what the files want is there, and runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::{Args, ValueEnum};
use trice_model::intent::{Intent, Recreate, UpOptions};
use trice_model::name::ServiceName;
use trice_model::project::Project;
use trice_model::service::PullPolicy;

use super::build::{self, Before};
use crate::arguments::{scale, seconds};
use crate::attached::{self, Attach};
use crate::attachment::Abort;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::logs::prefix::Style;
use crate::logs::printer::Printer;
use crate::operation;
use crate::project::Wanted;
use crate::registries;

/// What is typed after `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// These services and what they depend on
    services: Vec<ServiceName>,
    #[command(flatten)]
    converge: ConvergeArgs,
    /// Leave once all run
    #[arg(short, long)]
    detach: bool,
    /// Leave once all run, or are healthy if they have a probe
    #[arg(long)]
    wait: bool,
    /// The longest wait, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    wait_timeout: Option<Duration>,
    /// Nothing is done about what the services depend on
    #[arg(long)]
    no_deps: bool,
    /// Containers are made and not started
    #[arg(long)]
    no_start: bool,
    /// The time from the stop signal to the kill, in seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Volumes without a name begin anew with their containers
    #[arg(short = 'V', long)]
    renew_anon_volumes: bool,
    /// Stop all when any container ends
    #[arg(long)]
    abort_on_container_exit: bool,
    /// Stop all when any container ends with another code than 0
    #[arg(long)]
    abort_on_container_failure: bool,
    /// End with the code of this service, and stop all when any container ends
    #[arg(long, value_name = "SERVICE")]
    exit_code_from: Option<ServiceName>,
    /// Show only what these services write
    #[arg(long, value_name = "SERVICE")]
    attach: Vec<ServiceName>,
    /// Do not show what these services write
    #[arg(long, value_name = "SERVICE")]
    no_attach: Vec<ServiceName>,
    /// Show what services write that the named ones depend on
    #[arg(long)]
    attach_dependencies: bool,
    /// Show the time of each line
    #[arg(long)]
    timestamps: bool,
    /// Show lines without colours
    #[arg(long)]
    no_color: bool,
    /// Show lines without the container's name before them
    #[arg(long)]
    no_log_prefix: bool,
}

/// What is typed after `create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// These services and what they depend on
    services: Vec<ServiceName>,
    #[command(flatten)]
    converge: ConvergeArgs,
}

/// How containers become what the files want.
#[derive(Debug, Args)]
struct ConvergeArgs {
    /// Make all containers again
    #[arg(long, conflicts_with = "no_recreate")]
    force_recreate: bool,
    /// Make no container again
    #[arg(long)]
    no_recreate: bool,
    /// Another number of containers for a service
    #[arg(long, value_name = "SERVICE=NUMBER", value_parser = scale)]
    scale: Vec<(ServiceName, u32)>,
    /// Remove containers of services that are not in the files
    #[arg(long)]
    remove_orphans: bool,
    /// When images are fetched
    #[arg(long, value_enum, value_name = "WHEN")]
    pull: Option<Pull>,
    /// Say nothing of images on their way
    #[arg(long)]
    quiet_pull: bool,
    /// Build images that are here too
    #[arg(long, conflicts_with = "no_build")]
    build: bool,
    /// Build no image
    #[arg(long)]
    no_build: bool,
    /// Say nothing of images that are built
    #[arg(long)]
    quiet_build: bool,
    // Nothing is asked that could be said yes to.
    #[arg(short, long, hide = true)]
    yes: bool,
}

/// When images are fetched, whatever the files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pull {
    /// Each time.
    Always,
    /// When they are not here.
    Missing,
    /// Not at all.
    Never,
    /// As the files say.
    Policy,
}

impl Pull {
    /// Has all services of `project` fetch their images so.
    pub(crate) fn put_on(self, project: &mut Project) {
        let policy = match self {
            Self::Always => PullPolicy::Always,
            Self::Missing => PullPolicy::Missing,
            Self::Never => PullPolicy::Never,
            Self::Policy => return,
        };
        project.services.values_mut().for_each(|service| service.pull_policy = policy);
    }
}

impl ConvergeArgs {
    /// Builds the images that must be there first.
    async fn build(&self, engine: &Engine, wanted: &Wanted, invocation: &Invocation) -> Result<(), Failure> {
        let which = match (self.build, self.no_build) {
            (true, _) => Before::All,
            (false, true) => Before::Nothing,
            (false, false) => Before::Missing,
        };
        build::before(which, self.quiet_build, engine, wanted, invocation).await
    }

    fn options(&self, services: &[ServiceName], orphans_go: bool) -> UpOptions {
        let recreate = match (self.force_recreate, self.no_recreate) {
            (true, _) => Recreate::Force,
            (false, true) => Recreate::Never,
            (false, false) => Recreate::Diverged,
        };
        UpOptions {
            services: services.iter().cloned().collect(),
            recreate,
            scale: self.scale.iter().cloned().collect::<BTreeMap<_, _>>(),
            remove_orphans: self.remove_orphans || orphans_go,
            ..UpOptions::default()
        }
    }
}

/// Carries out `up`.
pub(crate) async fn run(args: &UpArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    args.check()?;
    let engine = invocation.engine()?;
    let mut wanted = invocation.load(&args.services)?;
    if let Some(pull) = args.converge.pull {
        pull.put_on(&mut wanted.project);
    }
    args.converge.build(&engine, &wanted, invocation).await?;
    let access = registries::access_for(&wanted.project, &engine, invocation).await?;
    let engine = engine.with_access(access);
    let options = args.options(orphans_go(invocation));
    if args.is_detached() || invocation.global.dry_run {
        return converge(&engine, wanted, options, args.wait_timeout, &args.converge, invocation).await;
    }
    let attach = args.attach(&wanted.project)?;
    let style =
        Style { names: !args.no_log_prefix, colours: invocation.console.out_colours && !args.no_color };
    let mut printer = Printer::new(wanted.project.name.as_str(), style, args.timestamps, false);
    containers(&wanted.project, &options, &attach.shown).iter().for_each(|name| printer.meet(name));
    let mut progress = invocation.progress("up").hide_images(args.converge.quiet_pull);
    let intent = Intent::Up { project: Box::new(wanted.project), options };
    attached::run(&engine, intent, attach, printer, &mut progress, &wanted.places).await
}

/// Carries out `create`.
pub(crate) async fn create(args: &CreateArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let mut wanted = invocation.load(&args.services)?;
    if let Some(pull) = args.converge.pull {
        pull.put_on(&mut wanted.project);
    }
    args.converge.build(&engine, &wanted, invocation).await?;
    let access = registries::access_for(&wanted.project, &engine, invocation).await?;
    let engine = engine.with_access(access);
    let options =
        UpOptions { no_start: true, ..args.converge.options(&args.services, orphans_go(invocation)) };
    converge(&engine, wanted, options, None, &args.converge, invocation).await
}

/// Tells whether containers of services that are not in the files go even if that is not typed.
fn orphans_go(invocation: &Invocation) -> bool {
    invocation.environment.is_true("COMPOSE_REMOVE_ORPHANS")
}

async fn converge(
    engine: &Engine,
    wanted: Wanted,
    options: UpOptions,
    limit: Option<Duration>,
    args: &ConvergeArgs,
    invocation: &Invocation,
) -> Result<u8, Failure> {
    let command = if options.no_start { "create" } else { "up" };
    let intent = Intent::Up { project: Box::new(wanted.project), options };
    if invocation.global.dry_run {
        return operation::dry_run(engine, intent, &wanted.places, invocation.console.progress)
            .await
            .map(|()| 0);
    }
    let mut progress = invocation.progress(command).hide_images(args.quiet_pull);
    operation::operate_within(engine, intent, &mut progress, &wanted.places, limit).await.map(|()| 0)
}

impl UpArgs {
    fn is_detached(&self) -> bool {
        self.detach || self.wait || self.no_start
    }

    fn aborts(&self) -> bool {
        self.abort_on_container_exit || self.abort_on_container_failure || self.exit_code_from.is_some()
    }

    /// Refuses flags that contradict each other.
    fn check(&self) -> Result<(), Failure> {
        let attaches = !self.attach.is_empty() || self.attach_dependencies;
        let contradictions = [
            (self.detach && self.aborts(), "`--detach` leaves, and cannot stop all when a container ends"),
            (self.detach && attaches, "`--detach` leaves, and cannot attach"),
            (self.wait && self.aborts(), "`--wait` leaves, and cannot stop all when a container ends"),
            (self.wait && attaches, "`--wait` leaves, and cannot attach"),
            (self.no_start && self.wait, "`--no-start` starts nothing that `--wait` could wait for"),
            (self.no_start && self.aborts(), "`--no-start` starts nothing that could end"),
            (
                self.abort_on_container_failure
                    && (self.abort_on_container_exit || self.exit_code_from.is_some()),
                "`--abort-on-container-failure` cannot be combined with `--abort-on-container-exit`",
            ),
            (self.wait_timeout.is_some() && !self.wait, "`--wait-timeout` needs `--wait`"),
        ];
        match contradictions.into_iter().find(|(holds, _)| *holds) {
            Some((_, why)) => Err(Failure::usage(why)),
            None => Ok(()),
        }
    }

    fn options(&self, orphans_go: bool) -> UpOptions {
        UpOptions {
            no_deps: self.no_deps,
            timeout: self.timeout,
            wait: self.wait,
            renew_anonymous_volumes: self.renew_anon_volumes,
            no_start: self.no_start,
            ..self.converge.options(&self.services, orphans_go)
        }
    }

    /// Returns what an attached `up` shows and when it ends.
    fn attach(&self, project: &Project) -> Result<Attach, Failure> {
        let mut targets: BTreeSet<ServiceName> = self.services.iter().cloned().collect();
        if targets.is_empty() {
            targets = project.services.keys().cloned().collect();
        }
        let typed = self.attach.iter().chain(&self.no_attach).chain(&self.exit_code_from);
        for service in typed {
            if !project.services.contains_key(service) {
                let known: Vec<&str> = project.services.keys().map(ServiceName::as_str).collect();
                return Err(Failure::Usage {
                    message: format!("there is no service `{service}` to attach to"),
                    hint: Some(format!("there are: {}", known.join(", "))),
                });
            }
        }
        let abort = match (self.abort_on_container_failure, self.aborts()) {
            (true, _) => Abort::OnFailure,
            (false, true) => Abort::OnExit,
            (false, false) => Abort::Never,
        };
        Ok(Attach {
            project: project.name.clone(),
            shown: self.shown(project, &targets),
            targets,
            abort,
            code_from: self.exit_code_from.clone(),
            timeout: self.timeout,
        })
    }

    /// Returns the services whose output is shown.
    fn shown(&self, project: &Project, targets: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
        let mut shown: BTreeSet<ServiceName> = self.attach.iter().cloned().collect();
        if shown.is_empty() {
            let named =
                if self.attach_dependencies { with_dependencies(project, targets) } else { targets.clone() };
            let attached =
                |name: &ServiceName| project.services.get(name).is_some_and(|service| service.attach);
            shown = named.into_iter().filter(attached).collect();
        }
        shown.retain(|service| !self.no_attach.contains(service));
        shown
    }
}

/// Returns the names that the containers of `services` will have.
fn containers(project: &Project, options: &UpOptions, services: &BTreeSet<ServiceName>) -> Vec<String> {
    let mut names = Vec::new();
    for (key, service) in project.services.iter().filter(|(key, _)| services.contains(*key)) {
        let count = options.scale.get(key).copied().unwrap_or(service.replicas);
        match &service.container_name {
            Some(name) => names.push(name.to_string()),
            None => names.extend((1..=count).map(|number| format!("{}-{key}-{number}", project.name))),
        }
    }
    names
}

fn with_dependencies(project: &Project, services: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    let mut all = BTreeSet::new();
    let mut open: Vec<ServiceName> = services.iter().cloned().collect();
    while let Some(name) = open.pop() {
        let Some(service) = project.services.get(&name) else { continue };
        if all.insert(name) {
            open.extend(service.depends_on.keys().cloned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, parse};

    fn up(line: &str) -> UpArgs {
        let typed = ["trice", "up"].into_iter().chain(line.split_whitespace());
        let Some(Command::Up(args)) = parse(typed).unwrap().command else { panic!("not up") };
        args
    }

    const SHOP: &str = "
name: shop
services:
  web: { image: x, depends_on: [api] }
  api: { image: x, depends_on: [db] }
  db: { image: x }
  job: { image: x, attach: false }
";

    fn shop() -> Project {
        let request = trice_compose::request::Request {
            files: vec!["-".to_owned()],
            stdin: SHOP.into(),
            current_dir: "/".into(),
            ..trice_compose::request::Request::default()
        };
        trice_compose::load::load(&request, &crate::disk::Disk).unwrap().project
    }

    fn names(services: &BTreeSet<ServiceName>) -> String {
        services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn flags_become_options() {
        let options = up("-t 3 -V --wait --no-deps --force-recreate --scale web=2 web").options(true);
        let expected = UpOptions {
            services: ["web".parse().unwrap()].into(),
            recreate: Recreate::Force,
            scale: [("web".parse().unwrap(), 2)].into(),
            remove_orphans: true,
            no_deps: true,
            timeout: Some(Duration::from_secs(3)),
            wait: true,
            renew_anonymous_volumes: true,
            no_start: false,
        };
        assert_eq!(options, expected);
        assert_eq!(up("").options(false), UpOptions::default());
        assert_eq!(up("--no-recreate").options(false).recreate, Recreate::Never);
    }

    #[test]
    fn what_is_shown_is_what_was_asked_for_unless_somebody_says_otherwise() {
        let project = shop();
        let shown = |line: &str| up(line).attach(&project).map(|attach| names(&attach.shown));
        assert_eq!(shown("").unwrap(), "api db web");
        assert_eq!(shown("web").unwrap(), "web");
        assert_eq!(shown("--attach-dependencies web").unwrap(), "api db web");
        assert_eq!(shown("--attach job --attach db").unwrap(), "db job");
        assert_eq!(shown("--no-attach db").unwrap(), "api web");
        assert!(shown("--attach nobody").is_err());
        assert_eq!(names(&up("").attach(&project).unwrap().targets), "api db job web");
    }

    #[test]
    fn the_names_of_containers_are_known_before_they_are_there() {
        let options = up("--scale web=2").options(false);
        let services = ["web", "db"].map(|name| name.parse().unwrap()).into();
        assert_eq!(containers(&shop(), &options, &services), ["shop-db-1", "shop-web-1", "shop-web-2"]);
    }

    #[test]
    fn ends_of_containers_end_all_where_that_is_asked_for() {
        let project = shop();
        let abort = |line: &str| up(line).attach(&project).map(|attach| attach.abort);
        assert_eq!(abort("").unwrap(), Abort::Never);
        assert_eq!(abort("--abort-on-container-exit").unwrap(), Abort::OnExit);
        assert_eq!(abort("--exit-code-from web").unwrap(), Abort::OnExit);
        assert_eq!(abort("--abort-on-container-failure").unwrap(), Abort::OnFailure);
        assert!(abort("--exit-code-from nobody").is_err());
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for line in [
            "-d --abort-on-container-exit",
            "-d --attach web",
            "--wait --exit-code-from web",
            "--wait --attach-dependencies",
            "--no-start --wait",
            "--wait-timeout 3",
            "--abort-on-container-failure --abort-on-container-exit",
        ] {
            assert!(up(line).check().is_err(), "{line}");
        }
        for line in ["", "-d --wait --wait-timeout 3", "--exit-code-from web --abort-on-container-exit"] {
            assert!(up(line).check().is_ok(), "{line}");
        }
        assert!(parse(["trice", "up", "--force-recreate", "--no-recreate"]).is_err());
    }
}
