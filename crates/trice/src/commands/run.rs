//! `run`: a container of its own beside a service's.

mod attend;
mod publish;
mod words;

use std::collections::BTreeMap;

use clap::{ArgAction, Args};
use rustix::rand::{GetRandomFlags, getrandom};
use trice_api::call::{ListContainers, Selection};
use trice_model::intent::{Intent, RunOptions};
use trice_model::name::{ContainerName, Key, NameError, ServiceName};
use trice_model::port::Port;
use trice_model::project::Project;

use super::build::{self, Before};
use super::exec::is_on_terminal;
use super::up::Pull;
use crate::arguments::Variable;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::interrupts::Interrupts;
use crate::invocation::Invocation;
use crate::operation::{self, Operation};
use crate::output;
use crate::progress::Progress;
use crate::project::{Places, Wanted};
use crate::registries;

/// What is typed after `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Remove it once it has ended
    #[arg(long)]
    rm: bool,
    /// Leave once it runs, and print its id
    #[arg(short, long)]
    detach: bool,
    /// A variable, `NAME=VALUE`, or `NAME` for one of the project's own
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<Variable>,
    /// In place of the service's entrypoint
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// Its name
    #[arg(long)]
    name: Option<ContainerName>,
    /// Nothing is done about what the service depends on
    #[arg(long)]
    no_deps: bool,
    /// A port of the host that leads to it: `[[IP:]HOST:]CONTAINER[/PROTOCOL]`
    #[arg(short, long, value_name = "PORT", value_parser = publish::port)]
    publish: Vec<Port>,
    /// The service's ports of the host lead to it
    #[arg(short = 'P', long)]
    service_ports: bool,
    /// It answers to the service's names
    #[arg(long)]
    use_aliases: bool,
    /// As this user
    #[arg(short, long)]
    user: Option<String>,
    /// In this folder
    #[arg(short, long, value_name = "FOLDER")]
    workdir: Option<String>,
    /// Without a terminal
    #[arg(short = 'T', long = "no-tty", visible_alias = "no-TTY")]
    no_tty: bool,
    /// Whether it reads from the standard input
    #[arg(short, long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t = true, default_missing_value = "true")]
    interactive: bool,
    // It is so anyway, where there is a terminal.
    #[arg(short, long, hide = true)]
    tty: bool,
    /// A label, `NAME=VALUE`
    #[arg(short, long, value_name = "LABEL")]
    label: Vec<Variable>,
    /// When images are fetched
    #[arg(long, value_enum, value_name = "WHEN")]
    pull: Option<Pull>,
    /// Say nothing of images on their way
    #[arg(long)]
    quiet_pull: bool,
    /// Say nothing on the way
    #[arg(short, long)]
    quiet: bool,
    /// Build images that are here too
    #[arg(long)]
    build: bool,
    /// Say nothing of images that are built
    #[arg(long)]
    quiet_build: bool,
    /// The service that it is made after
    service: ServiceName,
    /// In place of the service's command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// Carries out `run`.
pub(crate) async fn run(args: &RunArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let wanted = invocation.load(std::slice::from_ref(&args.service))?;
    let which = if args.build { Before::All } else { Before::Missing };
    build::before(which, args.quiet_build || args.quiet, &engine, &wanted, invocation).await?;
    let Wanted { project, places } = wanted;
    let mut options = args.options(slug()?, is_on_terminal(), |name| places.variable(name))?;
    let project = args.project(project);
    let access = registries::access_for(&project, &engine, invocation).await?;
    // Said, and not left to the planner: it is what the container is known by from here on.
    let name = container_name(&project, &options)?;
    options.name = Some(name.clone());
    let (tty, stdin) = (options.tty, options.stdin);
    let intent = Intent::Run { project: Box::new(project), options: Box::new(options) };
    if invocation.global.dry_run {
        return operation::dry_run(&engine, intent, &places, invocation.console.progress).await.map(|()| 0);
    }
    let engine = engine.with_access(access);
    let progress = match args.quiet {
        true => Progress::quiet(),
        false => invocation.progress("run").hide_images(args.quiet_pull),
    };
    if args.detach {
        return detached(&engine, intent, &name, progress, &places).await;
    }
    let one_off = attend::OneOff { engine: &engine, intent, name, tty, stdin, rm: args.rm };
    one_off.attend(progress, &places).await
}

/// Starts it, and leaves.
async fn detached(
    engine: &Engine,
    intent: Intent,
    name: &ContainerName,
    mut progress: Progress,
    places: &Places,
) -> Result<u8, Failure> {
    let of = Selection { names: [name.clone()].into(), ..Selection::default() };
    let mut interrupts = Interrupts::listen()?;
    let mut operation = Operation::begin(engine, intent);
    // One that is to be removed is on its way until then: that it runs is all there is to wait for.
    while !progress.has_started(name) {
        tokio::select! {
            result = operation.next(&mut progress) => match result? {
                None => {}
                Some(Ok(())) => break,
                Some(Err(faults)) => {
                    progress.end(false);
                    return Err(places.failure(faults));
                }
            },
            () = interrupts.next() => {
                operation.cancel().await?;
                return Err(Failure::Interrupted);
            }
        }
    }
    progress.settle();
    let containers = engine.call(&ListContainers { of }).await?;
    output::print_lines(containers.iter().map(|container| container.id.to_string()))?;
    Ok(0)
}

impl RunArgs {
    fn options<'a>(
        &self,
        slug: Key,
        on_terminal: bool,
        known: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<RunOptions, Failure> {
        let entrypoint = self.entrypoint.as_deref().map(words::split).transpose().map_err(Failure::usage)?;
        let labels =
            self.label.iter().map(|label| (label.name.clone(), label.value.clone().unwrap_or_default()));
        let stdin = self.interactive && !self.detach;
        Ok(RunOptions {
            name: self.name.clone(),
            command: self.command.clone(),
            entrypoint,
            environment: Variable::filled(&self.env, known),
            user: self.user.clone(),
            working_dir: self.workdir.clone(),
            labels: labels.collect::<BTreeMap<_, _>>(),
            no_deps: self.no_deps,
            service_ports: self.service_ports || !self.publish.is_empty(),
            use_aliases: self.use_aliases,
            rm: self.rm,
            tty: on_terminal && !self.no_tty && !self.detach,
            stdin,
            ..RunOptions::new(self.service.clone(), slug)
        })
    }

    /// Returns the project with the ports and the pull policy that were typed in place of the files'.
    fn project(&self, mut project: Project) -> Project {
        if let Some(pull) = self.pull {
            pull.put_on(&mut project);
        }
        if let Some(service) = project.services.get_mut(&self.service)
            && !self.publish.is_empty()
        {
            if !self.service_ports {
                service.ports.clear();
            }
            service.ports.extend(self.publish.iter().cloned());
        }
        project
    }
}

/// Returns the name that the container will have.
fn container_name(project: &Project, options: &RunOptions) -> Result<ContainerName, Failure> {
    match &options.name {
        Some(name) => Ok(name.clone()),
        None => {
            let name = format!("{}-{}-run-{}", project.name, options.service, options.slug);
            name.parse().map_err(|error: NameError| Failure::usage(error.to_string()))
        }
    }
}

/// Makes twelve digits that no other one-off has.
fn slug() -> Result<Key, Failure> {
    let mut bytes = [0_u8; 6];
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|error| Failure::surroundings("ask for randomness")(error.into()))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.parse().map_err(|error: NameError| Failure::usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, parse};

    fn options(line: &[&str], on_terminal: bool) -> Result<RunOptions, Failure> {
        let typed = ["trice", "run"].iter().chain(line).copied();
        let Some(Command::Run(args)) = parse(typed).unwrap().command else { panic!("not run") };
        args.options("0a1b2c3d4e5f".parse().unwrap(), on_terminal, |name| (name == "B").then_some("two"))
    }

    #[test]
    fn flags_become_options() {
        let line = [
            "--rm",
            "-e",
            "A=1",
            "-e",
            "B",
            "--entrypoint",
            "sh -c",
            "--name",
            "mine",
            "--no-deps",
            "-u",
            "1",
        ];
        let more = ["-w", "/srv", "-l", "x=y", "--use-aliases", "-P", "-T", "web", "echo hi", "--rm"];
        let expected = RunOptions {
            name: Some("mine".parse().unwrap()),
            command: vec!["echo hi".to_owned(), "--rm".to_owned()],
            entrypoint: Some(vec!["sh".to_owned(), "-c".to_owned()]),
            environment: [("A", "1"), ("B", "two")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            user: Some("1".to_owned()),
            working_dir: Some("/srv".to_owned()),
            labels: [("x".to_owned(), "y".to_owned())].into(),
            no_deps: true,
            service_ports: true,
            use_aliases: true,
            rm: true,
            tty: false,
            stdin: true,
            ..RunOptions::new("web".parse().unwrap(), "0a1b2c3d4e5f".parse().unwrap())
        };
        assert_eq!(options(&[line.as_slice(), &more].concat(), true).unwrap(), expected);
    }

    #[test]
    fn a_one_off_has_the_callers_terminal_unless_it_is_left_alone() {
        assert!(options(&["web"], true).unwrap().tty);
        assert!(!options(&["web"], false).unwrap().tty);
        let detached = options(&["-d", "web"], true).unwrap();
        assert!(!detached.tty && !detached.stdin);
        assert!(!options(&["--interactive=false", "web"], true).unwrap().stdin);
    }

    #[test]
    fn slugs_are_twelve_digits_and_differ() {
        let (one, other) = (slug().unwrap(), slug().unwrap());
        assert_eq!(one.as_str().len(), 12);
        assert_ne!(one, other);
    }
}
