//! `exec`: a command in a container that runs.

use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;

use clap::Args;
use trice_api::call::{Exec, ExecProcess, ListContainers};
use trice_api::fault::{Code, Fault};
use trice_api::view::ContainerView;
use trice_model::container::{ContainerState, Role};
use trice_model::name::ServiceName;

use crate::arguments::Variable;
use crate::conversation::{Conversation, Signals, Told};
use crate::failure::{FAILED, Failure};
use crate::invocation::Invocation;
use crate::relay::Pipes;

/// What is typed after `exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Leave once it runs
    #[arg(short, long)]
    detach: bool,
    /// A variable, `NAME=VALUE`, or `NAME` for one of the project's own
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<Variable>,
    /// Which of the service's containers
    #[arg(long)]
    index: Option<u32>,
    /// It may do all that root may
    #[arg(long)]
    privileged: bool,
    /// As this user
    #[arg(short, long)]
    user: Option<String>,
    /// In this folder
    #[arg(short, long, value_name = "FOLDER")]
    workdir: Option<String>,
    /// Without a terminal
    #[arg(short = 'T', long = "no-tty", visible_alias = "no-TTY")]
    no_tty: bool,
    // Both are so anyway, where there is a terminal.
    #[arg(short, long, hide = true)]
    interactive: bool,
    #[arg(short, long, hide = true)]
    tty: bool,
    /// The service
    service: ServiceName,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// Carries out `exec`.
pub(crate) async fn run(args: &ExecArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("exec")?;
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    let of = scope.selection(std::slice::from_ref(&args.service));
    let containers = engine.call(&ListContainers { of }).await?;
    let container = choose(&containers, &args.service, args.index)?;
    let known = |name: &str| scope.places.variable(name).or_else(|| invocation.environment.get(name));
    let process = args.process(is_on_terminal(), known);
    let (tty, input) = (process.tty, process.stdin);
    let end = engine.stream(&Exec { container: container.name.clone(), process }).await?;
    let mut pipes = if tty { None } else { Some(args.pipes()?) };
    let streams = pipes.as_ref().map(|pipes| pipes.theirs.as_slice()).unwrap_or_default();
    let signals = if tty { Signals::Leave } else { Signals::Usual };
    let conversation = Conversation::begin(end, streams, input, signals)?;
    if let Some(pipes) = &mut pipes {
        pipes.hand_over();
    }
    attend(conversation, pipes, args.detach).await
}

/// Waits for the end, and for the rest of the output.
async fn attend(mut conversation: Conversation, pipes: Option<Pipes>, detach: bool) -> Result<u8, Failure> {
    loop {
        match conversation.next().await? {
            Told::Started if detach => return Ok(0),
            Told::Started | Told::Operation(_) => {}
            Told::Ended(code) => {
                conversation.settle().await;
                if let Some(mut pipes) = pipes {
                    pipes.settle().await;
                }
                return Ok(u8::try_from(code).unwrap_or(FAILED));
            }
            Told::Failed(fault) => return Err(Failure::Command(fault)),
            Told::Signal(number) => return Ok(128 + number),
            Told::Broken => {
                conversation.drain().await;
                if let Some(mut pipes) = pipes {
                    pipes.drain().await;
                }
                let message = "the engine died: how the command ended is not known";
                return Err(Failure::fault(Code::Internal, message));
            }
        }
    }
}

/// Tells whether the caller sits at a terminal: it shows what the process writes, and takes keys.
pub(crate) fn is_on_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Chooses among the containers of a service the one that runs and has the index, or the lowest.
pub(crate) fn choose<'a>(
    containers: &'a [ContainerView],
    service: &ServiceName,
    index: Option<u32>,
) -> Result<&'a ContainerView, Failure> {
    let is_running = |state: &ContainerState| match state {
        ContainerState::Running { .. } => true,
        ContainerState::Created | ContainerState::Restarting { .. } | ContainerState::Exited { .. } => false,
    };
    let number = |container: &ContainerView| match container.role {
        Role::Replica(number) => Some(number),
        Role::OneOff(_) => None,
    };
    let replicas =
        containers.iter().filter(|container| container.service == *service && is_running(&container.state));
    let mut replicas: Vec<(u32, &ContainerView)> =
        replicas.filter_map(|container| Some((number(container)?, container))).collect();
    replicas.sort_by_key(|(number, _)| *number);
    let chosen = replicas.iter().find(|(number, _)| index.is_none_or(|index| index == *number));
    chosen.map(|(_, container)| *container).ok_or_else(|| {
        let with = index.map(|index| format!(" with index {index}")).unwrap_or_default();
        let fault =
            Fault::new(Code::NotFound, format!("no container of service `{service}`{with} is running"));
        Failure::Faults(vec![(fault.hint("`trice ps -a` shows how it does, `trice up -d` starts it"), None)])
    })
}

impl ExecArgs {
    fn process<'a>(&self, on_terminal: bool, known: impl Fn(&str) -> Option<&'a str>) -> ExecProcess {
        ExecProcess {
            args: self.command.clone(),
            env: Variable::filled(&self.env, known),
            cwd: self.workdir.clone(),
            user: self.user.clone(),
            tty: on_terminal && !self.no_tty && !self.detach,
            stdin: !self.detach,
            privileged: self.privileged,
        }
    }

    fn pipes(&self) -> Result<Pipes, Failure> {
        let failed = Failure::surroundings("make pipes for the command");
        if !self.detach {
            return Pipes::open(true, true).map_err(failed);
        }
        let nowhere =
            || -> io::Result<OwnedFd> { Ok(std::fs::File::options().write(true).open("/dev/null")?.into()) };
        let both = nowhere().and_then(|out| Ok(vec![out, nowhere()?]));
        both.map(Pipes::of).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, parse};
    use crate::commands::ps::tests::container;

    fn exec(line: &str) -> ExecArgs {
        let typed = ["trice", "exec"].into_iter().chain(line.split_whitespace());
        let Some(Command::Exec(args)) = parse(typed).unwrap().command else { panic!("not exec") };
        args
    }

    #[test]
    fn flags_become_a_process() {
        let process = exec("-e A=1 -e B -e C -u root -w /srv --privileged web ls -l")
            .process(false, |name| (name == "B").then_some("two"));
        let expected = ExecProcess {
            args: vec!["ls".to_owned(), "-l".to_owned()],
            env: [("A", "1"), ("B", "two")].map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            cwd: Some("/srv".to_owned()),
            user: Some("root".to_owned()),
            tty: false,
            stdin: true,
            privileged: true,
        };
        assert_eq!(process, expected);
    }

    #[test]
    fn a_terminal_is_the_rule_where_the_caller_has_one() {
        let tty = |line: &str, on_terminal: bool| exec(line).process(on_terminal, |_| None).tty;
        assert!(tty("web sh", true) && tty("-it web sh", true));
        assert!(!tty("web sh", false) && !tty("-T web sh", true) && !tty("-d web sh", true));
    }

    #[test]
    fn the_lowest_running_replica_is_chosen_or_the_one_with_the_index() {
        let running = ContainerState::Running { health: None, paused: false };
        let containers = [
            container("web", 1, ContainerState::Created),
            container("web", 12, running),
            container("web", 3, running),
            container("db", 2, running),
        ];
        let chosen = |index: Option<u32>| {
            let chosen = choose(&containers, &"web".parse().unwrap(), index);
            chosen.map_or_else(|failure| failure.to_string(), |container| container.name.to_string())
        };
        assert_eq!(chosen(None), "shop-web-3");
        assert_eq!(chosen(Some(12)), "shop-web-12");
        assert_eq!(chosen(Some(1)), "no container of service `web` with index 1 is running");
    }
}
