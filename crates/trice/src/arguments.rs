//! What is typed, as a whole: the flags before the command, and the command.
//!
//! Names and meanings are those of Docker Compose, so that scripts need not be changed. What Compose knows
//! and trice does not honour yet is refused by name; see [`crate::unhonoured`].
//!
//! Source: Docker Compose 2.40, `docs/reference/`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::build::BuildArgs;
use crate::commands::builder::BuilderCommand;
use crate::commands::commit::CommitArgs;
use crate::commands::config::ConfigArgs;
use crate::commands::cp::CpArgs;
use crate::commands::diff::DiffArgs;
use crate::commands::doctor::DoctorArgs;
use crate::commands::down::DownArgs;
use crate::commands::events::EventsArgs;
use crate::commands::exec::ExecArgs;
use crate::commands::export::ExportArgs;
use crate::commands::image::ImageCommand;
use crate::commands::images::ImagesArgs;
use crate::commands::kill::KillArgs;
use crate::commands::login::{LoginArgs, LogoutArgs};
use crate::commands::logs::LogsArgs;
use crate::commands::ls::LsArgs;
use crate::commands::network::NetworkCommand;
use crate::commands::pause::PauseArgs;
use crate::commands::plan::PlanArgs;
use crate::commands::port::PortArgs;
use crate::commands::ps::PsArgs;
use crate::commands::pull::PullArgs;
use crate::commands::push::PushArgs;
use crate::commands::restart::RestartArgs;
use crate::commands::rm::RmArgs;
use crate::commands::run::RunArgs;
use crate::commands::scale::ScaleArgs;
use crate::commands::search::SearchArgs;
use crate::commands::start::StartArgs;
use crate::commands::stop::StopArgs;
use crate::commands::system::SystemCommand;
use crate::commands::up::{CreateArgs, UpArgs};
use crate::commands::version::VersionArgs;
use crate::commands::wait::WaitArgs;
use crate::console::{Ansi, ProgressMode};
use crate::unhonoured;

/// What is typed.
#[derive(Debug, Parser)]
#[command(
    name = "trice",
    bin_name = "trice",
    about = "Runs Docker Compose projects on one Linux machine: one binary, no Docker.",
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The flags that stand before the command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GlobalArgs {
    /// Compose files, the later over the earlier; `-` is the standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// The project's name
    #[arg(short = 'p', long, value_name = "NAME")]
    pub(crate) project_name: Option<String>,
    /// Profiles to enable; `*` is all
    #[arg(long = "profile", value_name = "NAME")]
    pub(crate) profiles: Vec<String>,
    /// Files of variables in place of `.env`
    #[arg(long = "env-file", value_name = "FILE")]
    pub(crate) env_files: Vec<PathBuf>,
    /// The folder that relative paths begin from
    #[arg(long, alias = "workdir", value_name = "FOLDER")]
    pub(crate) project_directory: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) progress: Option<ProgressMode>,
    /// When colours and the like are used
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) ansi: Option<Ansi>,
    #[arg(long, hide = true)]
    pub(crate) no_ansi: bool,
    /// Say what would be done, and do nothing
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
    /// Keep networks and volumes that no service uses
    #[arg(long)]
    pub(crate) all_resources: bool,
    /// Print the version
    #[arg(short = 'v', long)]
    pub(crate) version: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create and start what the project wants
    Up(UpArgs),
    /// Build the images of services
    Build(BuildArgs),
    /// Stop and remove what belongs to the project
    Down(DownArgs),
    /// List containers
    Ps(PsArgs),
    /// Show what containers wrote
    Logs(LogsArgs),
    /// Run a command in a running container
    Exec(ExecArgs),
    /// Run a container of its own beside a service's
    Run(RunArgs),
    /// Create what the project wants, without starting it
    Create(CreateArgs),
    /// Start containers that are there
    Start(StartArgs),
    /// Stop containers
    Stop(StopArgs),
    /// Stop and start containers
    Restart(RestartArgs),
    /// Wait until containers have ended
    Wait(WaitArgs),
    /// Show what becomes of containers, from now on
    Events(EventsArgs),
    /// Send a signal to containers
    Kill(KillArgs),
    /// Hold containers still
    Pause(PauseArgs),
    /// Let containers go on that are held still
    Unpause(PauseArgs),
    /// Remove containers that do not run
    Rm(RmArgs),
    /// Change the number of a service's containers
    Scale(ScaleArgs),
    /// Print the port of the host that leads to a container's
    Port(PortArgs),
    /// Copy files into containers and out of them
    Cp(CpArgs),
    /// List what a container has changed of its image's files
    Diff(DiffArgs),
    /// Write the files of a container to an archive
    Export(ExportArgs),
    /// Make an image of a container
    Commit(CommitArgs),
    /// Fetch the images of services
    Pull(PullArgs),
    /// Send the images of services to their registries
    Push(PushArgs),
    /// List the images of the project's containers
    Images(ImagesArgs),
    /// Print the project as it is understood
    #[command(alias = "convert")]
    Config(ConfigArgs),
    /// Print what `up` would do, and why
    Plan(PlanArgs),
    /// List projects
    Ls(LsArgs),
    /// Networks, and who is on them
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Images, of all projects
    #[command(subcommand)]
    Image(ImageCommand),
    /// What builds may use again
    #[command(subcommand)]
    Builder(BuilderCommand),
    /// What takes room, and what of it nobody uses
    #[command(subcommand)]
    System(SystemCommand),
    /// Get into a registry
    Login(LoginArgs),
    /// Forget how to get into a registry
    Logout(LogoutArgs),
    /// Look for images in a registry
    Search(SearchArgs),
    /// Tell what is wrong with the machine, and what mends it
    Doctor(DoctorArgs),
    /// Print the version
    Version(VersionArgs),
}

/// Reads what is typed, the program's own name first.
pub(crate) fn parse<T: Into<OsString> + Clone>(
    typed: impl IntoIterator<Item = T>,
) -> Result<Arguments, clap::Error> {
    let mut command = unhonoured::declare(Arguments::command());
    let matches = command.try_get_matches_from_mut(typed).map_err(|error| misplaced(&mut command, error))?;
    unhonoured::refuse(&mut command, &matches)?;
    Arguments::from_arg_matches(&matches)
}

/// Tells whether progress was to be for programs, of what could not be read otherwise.
pub(crate) fn asks_for_json<T: Into<OsString>>(
    typed: impl IntoIterator<Item = T>,
    variable: Option<&str>,
) -> bool {
    let typed: Vec<OsString> = typed.into_iter().map(Into::into).collect();
    let pairs = typed.windows(2).any(|pair| pair[0] == "--progress" && pair[1] == "json");
    pairs || typed.iter().any(|text| text == "--progress=json") || variable == Some("json")
}

/// Tells who typed a flag of all commands behind the command where it belongs.
fn misplaced(command: &mut clap::Command, error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return error };
    let flag = typed.split('=').next().unwrap_or_default();
    let is_global =
        |argument: &clap::Arg| argument.get_long().is_some_and(|long| flag == format!("--{long}"));
    if error.kind() == ErrorKind::UnknownArgument && command.get_arguments().any(is_global) {
        let text = format!("`{flag}` stands before the command: `trice {flag} … COMMAND`");
        return command.error(ErrorKind::UnknownArgument, text);
    }
    error
}

/// Returns the text of `--help`.
pub(crate) fn help() -> String {
    Arguments::command().render_help().to_string()
}

/// Reads `web=3`.
pub(crate) fn scale(text: &str) -> Result<(trice_model::name::ServiceName, u32), String> {
    let wrong = || format!("`{text}` is not SERVICE=NUMBER");
    let (service, number) = text.split_once('=').ok_or_else(wrong)?;
    let service = service.parse().map_err(|error: trice_model::name::NameError| error.to_string())?;
    Ok((service, number.parse().map_err(|_| wrong())?))
}

/// Reads a number of seconds.
pub(crate) fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds = text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?;
    Ok(std::time::Duration::from_secs(seconds))
}

/// A variable that is typed, with its value or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

impl std::str::FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() {
            return Err(format!("`{text}` has no name: write NAME=VALUE, or NAME to pass on your own"));
        }
        Ok(Self { name: name.to_owned(), value })
    }
}

impl Variable {
    /// Returns the variables with their values; one without takes that of `known`, and is left out if that
    /// has none.
    pub(crate) fn filled<'a>(
        variables: &[Self],
        known: impl Fn(&str) -> Option<&'a str>,
    ) -> std::collections::BTreeMap<String, String> {
        let value = |variable: &Self| match &variable.value {
            Some(value) => Some(value.clone()),
            None => known(&variable.name).map(str::to_owned),
        };
        let filled = variables.iter().filter_map(|variable| Some((variable.name.clone(), value(variable)?)));
        filled.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, String> {
        let typed = std::iter::once("trice").chain(line.split_whitespace());
        parse(typed).map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
    }

    #[test]
    fn flags_before_the_command_and_after_it_are_told_apart() {
        let arguments = parsed("-f a.yaml -f b.yaml -p shop --profile x logs -f web").unwrap();
        assert_eq!(arguments.global.files, ["a.yaml", "b.yaml"]);
        assert_eq!(arguments.global.project_name.as_deref(), Some("shop"));
        let Some(Command::Logs(logs)) = arguments.command else { panic!("not logs") };
        assert!(logs.follow);
        assert!(parsed("ps -p shop").is_err(), "flags of all commands stand before the command");
        assert_eq!(
            parsed("up --progress=json").err().as_deref(),
            Some("error: `--progress` stands before the command: `trice --progress … COMMAND`")
        );
        assert!(parsed("up --dry-run").unwrap().global.dry_run);
        assert!(parsed("--dry-run up").unwrap().global.dry_run);
    }

    #[test]
    fn programs_that_mistype_are_recognised() {
        assert!(asks_for_json(["trice", "--progress", "json", "uup"], None));
        assert!(asks_for_json(["trice", "--progress=json", "uup"], None));
        assert!(asks_for_json(["trice", "uup"], Some("json")));
        assert!(!asks_for_json(["trice", "--progress", "plain", "json"], None));
    }

    #[test]
    fn run_and_exec_stop_reading_flags_at_the_service() {
        let Some(Command::Exec(exec)) = parsed("exec -u root web ls -la --dry-run").unwrap().command else {
            panic!("not exec")
        };
        assert_eq!(exec.command, ["ls", "-la", "--dry-run"]);
        let Some(Command::Run(run)) = parsed("run --rm web sh -c --rm").unwrap().command else {
            panic!("not run")
        };
        assert_eq!(run.command, ["sh", "-c", "--rm"]);
    }

    #[test]
    fn nothing_typed_is_no_mistake_and_an_unknown_command_is_one() {
        assert!(parsed("").unwrap().command.is_none());
        assert_eq!(parsed("uup").err().as_deref(), Some("error: unrecognized subcommand 'uup'"));
    }

    #[test]
    fn a_variable_without_a_value_takes_the_callers() {
        let typed: Vec<Variable> = ["A=1", "B", "C", "D="].iter().map(|text| text.parse().unwrap()).collect();
        let filled = Variable::filled(&typed, |name| (name == "B").then_some("two"));
        let filled: Vec<String> = filled.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(filled, ["A=1", "B=two", "D="]);
        assert!("=x".parse::<Variable>().is_err());
    }

    #[test]
    fn scales_name_a_service_and_a_number() {
        assert_eq!(
            scale("web=3").map(|(service, number)| (service.to_string(), number)),
            Ok(("web".to_owned(), 3))
        );
        for bad in ["web", "web=", "web=-1", "a/b=1"] {
            assert!(scale(bad).is_err(), "{bad}");
        }
    }
}
