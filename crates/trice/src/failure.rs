//! Why a command ends with an error, and how that is said: once, at the end, to people or to programs.
//!
//! ```text
//! compose.yaml:14:9: services.web.ports[0]: host port `80800` is above 65535     what has a place in a file
//! error: start container shop-web-1: publish port 8080: address already in use   what has none
//! hint: `ss -ltnp 'sport = :8080'` shows who holds it
//! ```

use std::error::Error;
use std::io;

use serde::Serialize;
use trice_api::fault::{Code, Fault};
use trice_compose::diagnostic::{Diagnostic, Mistakes};

use crate::engine::EngineError;
use crate::registries::SettingsError;
use crate::template::TemplateError;

/// The code for every ordinary error.
pub(crate) const FAILED: u8 = 1;
/// The code of who was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ends with an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was typed makes no sense.
    #[error("{message}")]
    Usage { message: String, hint: Option<String> },
    /// Containers need root.
    #[error("trice needs root to run containers")]
    NotRoot,
    /// The project's files are wrong.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// The files are right, but trice cannot do all that they ask for.
    #[error("{0}")]
    NotHonoured(Mistakes),
    /// The engine could not do it; with the place in the files of each fault that has one.
    #[error("{}", .0.iter().map(|(fault, _)| fault.message.as_str()).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<(Fault, Option<trice_compose::diagnostic::Place>)>),
    /// A command could not be run in a container.
    #[error("{0}")]
    Command(Fault),
    /// The engine could not be asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What the caller's files say about registries is no use.
    #[error(transparent)]
    Registries(#[from] SettingsError),
    /// A template of `--format` is wrong.
    #[error("the template of `--format`")]
    Template(#[from] TemplateError),
    /// Something of the caller's surroundings failed.
    #[error("{what}")]
    Surroundings { what: String, source: io::Error },
    /// The reader of the output has gone.
    #[error("write the output")]
    Output(#[source] io::Error),
    /// What was waited for did not come in time.
    #[error("{0}")]
    TimedOut(String),
    /// The user broke it off.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// What was typed makes no sense, and why.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// A fault that is about nothing in a file.
    pub(crate) fn fault(code: Code, message: impl Into<String>) -> Self {
        Self::Faults(vec![(Fault::new(code, message), None)])
    }

    /// Something of the caller's surroundings failed while `what` was tried.
    pub(crate) fn surroundings(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Surroundings { what, source }
    }

    /// Returns the code to end with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted => INTERRUPTED,
            // As if by the signal that other programs are ended with.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 141,
            // As a shell and `docker run` say it.
            Self::Command(Fault { code: Code::CommandNotFound, .. }) => 127,
            Self::Command(Fault { code: Code::CommandNotExecutable, .. }) => 126,
            Self::Usage { .. }
            | Self::NotRoot
            | Self::Command(_)
            | Self::Mistakes(_)
            | Self::NotHonoured(_)
            | Self::Faults(_)
            | Self::Engine(_)
            | Self::Template(_)
            | Self::Registries(_)
            | Self::Surroundings { .. }
            | Self::Output(_)
            | Self::TimedOut(_) => FAILED,
        }
    }

    /// Returns what is said about it: nothing to a reader who has gone.
    pub(crate) fn reports(&self) -> Vec<Report> {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Vec::new(),
            Self::Mistakes(mistakes) => Report::of_diagnostics("compose", &mistakes.0),
            Self::NotHonoured(mistakes) => Report::of_diagnostics("not-honoured", &mistakes.0),
            Self::Faults(faults) => {
                faults.iter().map(|(fault, place)| Report::of_fault(fault, place)).collect()
            }
            Self::Command(fault) => vec![Report::of_fault(fault, &None)],
            Self::Usage { message, hint } => vec![Report::new("usage", message.clone(), hint.clone())],
            Self::NotRoot => vec![Report::new(
                "not-root",
                self.to_string(),
                Some("run it with `sudo`; `config`, `version` and `--help` work without".to_owned()),
            )],
            Self::Engine(EngineError::Fault(fault)) => vec![Report::of_fault(fault, &None)],
            Self::Engine(error) => vec![Report::new("engine", chain(error), error.hint())],
            Self::Registries(_) => vec![Report::new("image", chain(self), None)],
            Self::Template(_) => vec![Report::new("usage", chain(self), None)],
            Self::Surroundings { .. } | Self::Output(_) => vec![Report::new("internal", chain(self), None)],
            Self::TimedOut(_) => vec![Report::new("timeout", self.to_string(), None)],
            Self::Interrupted => vec![Report::new("interrupted", self.to_string(), None)],
        }
    }
}

/// Returns an error and all its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What is said about one error.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    error: bool,
    code: String,
    #[serde(flatten)]
    diagnostic: Diagnostic,
}

impl Report {
    fn new(code: &str, message: String, hint: Option<String>) -> Self {
        let diagnostic = Diagnostic { place: None, path: String::new(), message, hint, related: Vec::new() };
        Self { error: true, code: code.to_owned(), diagnostic }
    }

    fn of_diagnostics(code: &str, diagnostics: &[Diagnostic]) -> Vec<Self> {
        let report = |diagnostic: &Diagnostic| Self {
            error: true,
            code: code.to_owned(),
            diagnostic: diagnostic.clone(),
        };
        diagnostics.iter().map(report).collect()
    }

    fn of_fault(fault: &Fault, place: &Option<trice_compose::diagnostic::Place>) -> Self {
        let mut report = Self::new(&code_word(fault.code), fault.message.clone(), fault.hint.clone());
        report.diagnostic.place.clone_from(place);
        report.diagnostic.path = fault.path.clone().unwrap_or_default();
        report
    }

    /// Writes it for people, without the end of the last line.
    pub(crate) fn text(&self, colours: bool) -> String {
        let text = self.diagnostic.to_string();
        let is_placed = self.diagnostic.place.is_some();
        let (error, hint) =
            if colours { ("\x1b[1;31merror:\x1b[0m", "\x1b[1mhint:\x1b[0m") } else { ("error:", "hint:") };
        let text = text.replace("\nhint: ", &format!("\n{hint} "));
        if is_placed { text } else { format!("{error} {text}") }
    }

    /// Writes it for programs, on one line.
    pub(crate) fn json(&self) -> String {
        // Texts, numbers and truth values always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Returns the word that programs know a code by.
fn code_word(code: Code) -> String {
    let word = serde_json::to_value(code).ok();
    word.as_ref().and_then(serde_json::Value::as_str).unwrap_or("internal").to_owned()
}

#[cfg(test)]
mod tests {
    use trice_compose::diagnostic::Place;

    use super::*;

    fn port_in_use() -> Failure {
        let fault = Fault::new(Code::PortInUse, "start container shop-web-1: port 8080 is taken")
            .at("services.web.ports[0]")
            .hint("`ss -ltnp 'sport = :8080'` shows who holds it");
        let place = Place {
            file: "compose.yaml".to_owned(),
            line: 7,
            column: 9,
            excerpt: "      - 8080:80".to_owned(),
            cut: 0,
        };
        let nowhere = Fault::new(Code::Image, "image x: it is not here");
        Failure::Faults(vec![(fault, Some(place)), (nowhere, None)])
    }

    fn texts(failure: &Failure) -> String {
        failure.reports().iter().map(|report| report.text(false)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_fault_is_shown_at_its_place_in_the_file_or_as_an_error() {
        insta::assert_snapshot!(texts(&port_in_use()), @"
        compose.yaml:7:9: services.web.ports[0]: start container shop-web-1: port 8080 is taken
          7 |       - 8080:80
            |         ^
        hint: `ss -ltnp 'sport = :8080'` shows who holds it
        error: image x: it is not here
        ");
    }

    #[test]
    fn programs_get_a_stable_code_and_the_place_in_numbers() {
        let lines: Vec<String> = port_in_use().reports().iter().map(Report::json).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        {"error":true,"code":"port-in-use","place":{"file":"compose.yaml","line":7,"column":9,"excerpt":"      - 8080:80"},"path":"services.web.ports[0]","message":"start container shop-web-1: port 8080 is taken","hint":"`ss -ltnp 'sport = :8080'` shows who holds it"}
        {"error":true,"code":"image","place":null,"path":"","message":"image x: it is not here"}
        "#);
    }

    #[test]
    fn who_lacks_root_is_told_what_to_do() {
        insta::assert_snapshot!(texts(&Failure::NotRoot), @"
        error: trice needs root to run containers
        hint: run it with `sudo`; `config`, `version` and `--help` work without
        ");
    }

    #[test]
    fn errors_end_with_1_interruptions_with_130_and_a_reader_who_left_hears_nothing() {
        assert_eq!(port_in_use().exit_code(), 1);
        assert_eq!(Failure::Interrupted.exit_code(), 130);
        let gone = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(gone.exit_code(), 141);
        assert!(gone.reports().is_empty());
    }

    #[test]
    fn causes_are_said_in_one_line() {
        let failure = Failure::surroundings("read the terminal")(io::Error::other("it is on fire"));
        assert_eq!(texts(&failure), "error: read the terminal: it is on fire");
    }
}
