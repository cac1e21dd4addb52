//! What the caller's terminal can show, and what it is allowed to.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;

use crate::arguments::GlobalArgs;
use crate::environment::Environment;
use crate::failure::Failure;

/// When colours and the like are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Ansi {
    /// Not at all.
    Never,
    /// Everywhere.
    Always,
    /// On terminals.
    #[default]
    Auto,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ProgressMode {
    /// As the terminal can show it.
    #[default]
    Auto,
    /// One line an object, redrawn in place.
    Tty,
    /// One line a change.
    Plain,
    /// One JSON object a change.
    Json,
    /// Not at all.
    Quiet,
}

/// A stream of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// What the caller's terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Console {
    /// Colours on the standard output.
    pub(crate) out_colours: bool,
    /// Colours on the standard error.
    pub(crate) error_colours: bool,
    /// How progress is shown; never `Auto`.
    pub(crate) progress: ProgressMode,
    /// Where to.
    pub(crate) progress_stream: Stream,
}

impl Console {
    /// Looks at the terminal, the flags and the environment.
    pub(crate) fn of(global: &GlobalArgs, environment: &Environment) -> Result<Self, Failure> {
        let terminals = (io::stdout().is_terminal(), io::stderr().is_terminal());
        decide(global, environment, terminals)
    }

    /// Returns the stream that progress goes to.
    pub(crate) fn progress_writer(&self) -> Box<dyn Write> {
        match self.progress_stream {
            Stream::Stdout => Box::new(io::stdout()),
            Stream::Stderr => Box::new(io::stderr()),
        }
    }
}

fn decide(
    global: &GlobalArgs,
    environment: &Environment,
    (out, error): (bool, bool),
) -> Result<Console, Failure> {
    let ansi = match global.ansi {
        _ if global.no_ansi => Ansi::Never,
        Some(ansi) => ansi,
        None => variable(environment, "COMPOSE_ANSI")?.unwrap_or_default(),
    };
    let colours = |is_terminal: bool| match ansi {
        Ansi::Never => false,
        Ansi::Always => true,
        Ansi::Auto if environment.get("NO_COLOR").is_some() => false,
        Ansi::Auto if environment.get("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        Ansi::Auto => is_terminal && environment.get("TERM") != Some("dumb"),
    };
    let to_stdout = environment.is_true("COMPOSE_STATUS_STDOUT");
    let is_terminal = if to_stdout { out } else { error };
    let asked = match global.progress {
        Some(mode) => mode,
        None => variable(environment, "COMPOSE_PROGRESS")?.unwrap_or_default(),
    };
    Ok(Console {
        out_colours: colours(out),
        error_colours: colours(error),
        progress: progress(asked, ansi, is_terminal && environment.get("TERM") != Some("dumb"))?,
        progress_stream: if to_stdout { Stream::Stdout } else { Stream::Stderr },
    })
}

fn progress(asked: ProgressMode, ansi: Ansi, is_terminal: bool) -> Result<ProgressMode, Failure> {
    match (asked, ansi) {
        (ProgressMode::Auto, Ansi::Never) => Ok(ProgressMode::Plain),
        (ProgressMode::Auto, Ansi::Always | Ansi::Auto) => {
            Ok(if is_terminal { ProgressMode::Tty } else { ProgressMode::Plain })
        }
        (ProgressMode::Tty, Ansi::Never) => {
            Err(Failure::usage("`--progress tty` cannot be shown with `--ansi never`"))
        }
        (ProgressMode::Plain, Ansi::Always) => {
            Err(Failure::usage("`--progress plain` has no place for `--ansi always`"))
        }
        (asked, _) => Ok(asked),
    }
}

fn variable<T: ValueEnum>(environment: &Environment, name: &str) -> Result<Option<T>, Failure> {
    let Some(value) = environment.get(name) else { return Ok(None) };
    let known = || {
        let names = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        names.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
    };
    let read = T::from_str(value, true);
    read.map(Some)
        .map_err(|_| Failure::usage(format!("{name} is `{value}`, and has to be one of {}", known())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(
        progress: Option<ProgressMode>,
        ansi: Option<Ansi>,
        variables: &[(&str, &str)],
        terminal: bool,
    ) -> Option<(bool, ProgressMode)> {
        let global = GlobalArgs { progress, ansi, ..GlobalArgs::default() };
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = Environment { variables: variables.collect(), ..Environment::default() };
        let console = decide(&global, &environment, (terminal, terminal)).ok()?;
        Some((console.error_colours, console.progress))
    }

    #[test]
    fn colours_and_live_lines_are_for_terminals_unless_somebody_says_otherwise() {
        use ProgressMode::{Json, Plain, Tty};
        assert_eq!(console(None, None, &[], true), Some((true, Tty)));
        assert_eq!(console(None, None, &[], false), Some((false, Plain)));
        assert_eq!(console(None, None, &[("NO_COLOR", "1")], true), Some((false, Tty)));
        assert_eq!(console(None, None, &[("TERM", "dumb")], true), Some((false, Plain)));
        assert_eq!(console(None, None, &[("CLICOLOR_FORCE", "1")], false), Some((true, Plain)));
        assert_eq!(console(None, Some(Ansi::Never), &[], true), Some((false, Plain)));
        assert_eq!(console(Some(Json), None, &[("COMPOSE_PROGRESS", "quiet")], true), Some((true, Json)));
        assert_eq!(console(None, None, &[("COMPOSE_PROGRESS", "json")], true), Some((true, Json)));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert_eq!(console(Some(ProgressMode::Tty), Some(Ansi::Never), &[], true), None);
        assert_eq!(console(Some(ProgressMode::Plain), Some(Ansi::Always), &[], true), None);
        assert_eq!(console(None, None, &[("COMPOSE_PROGRESS", "loud")], true), None);
    }
}
