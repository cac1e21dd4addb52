//! How builds are shown.
//!
//! ```text
//! #3 [web 2/4] RUN make          plain: one line a change; with the service's name where there are several
//! #3 cc -c main.c
//! #3 DONE 1.2s
//! {"build":"web","began":{…}}    for programs
//! ```
//!
//! On a terminal each image is one line, with the step that it is at.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::json;
use trice_api::build::{BuildChange, BuildOrder, StepOutcome};
use trice_api::event::{ObjectKind, StepEvent, StepState};

use crate::console::ProgressMode;
use crate::invocation::Invocation;
use crate::progress::Progress;
use crate::words;

/// The builds on their way.
pub(crate) struct View {
    sink: Sink,
    /// The names of the steps of each build.
    titles: BTreeMap<String, Vec<String>>,
    several: bool,
}

enum Sink {
    Live(Progress),
    Plain(Box<dyn Write>),
    Json(Box<dyn Write>),
    Quiet,
}

impl View {
    /// Begins to show builds.
    pub(crate) fn begin(orders: &[BuildOrder], quiet: bool, invocation: &Invocation) -> Self {
        let writer = || invocation.console.progress_writer();
        let sink = match invocation.console.progress {
            _ if quiet => Sink::Quiet,
            ProgressMode::Tty => Sink::Live(invocation.progress("build")),
            ProgressMode::Auto | ProgressMode::Plain => Sink::Plain(writer()),
            ProgressMode::Json => Sink::Json(writer()),
            ProgressMode::Quiet => Sink::Quiet,
        };
        Self { sink, titles: BTreeMap::new(), several: orders.len() > 1 }
    }

    /// Takes in what happened in a build.
    pub(crate) fn take(&mut self, name: &str, what: BuildChange) {
        if let BuildChange::Planned { steps } = &what {
            self.titles.insert(name.to_owned(), steps.clone());
        }
        let title = |step: usize| {
            let title = self.titles.get(name).and_then(|titles| titles.get(step));
            title.map(String::as_str).unwrap_or_default().to_owned()
        };
        let text = match &mut self.sink {
            Sink::Quiet => return,
            Sink::Live(progress) => return live(progress, name, &what, &title),
            Sink::Json(_) => format!("{}\n", json!({ "build": name, "what": what })),
            Sink::Plain(_) => {
                let prefix = if self.several { format!("{name} ") } else { String::new() };
                match plain(&what, &title) {
                    Some(line) => format!("{prefix}{line}\n"),
                    None => return,
                }
            }
        };
        if let Sink::Plain(out) | Sink::Json(out) = &mut self.sink {
            // What goes wrong with talk stops nothing.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }

    /// Draws the live view as it is now.
    pub(crate) fn draw(&mut self) {
        if let Sink::Live(progress) = &mut self.sink {
            progress.draw();
        }
    }

    /// Shows how it all ended.
    pub(crate) fn end(&mut self, succeeded: bool) {
        if let Sink::Live(progress) = &mut self.sink {
            progress.end(succeeded);
        }
    }
}

fn plain(what: &BuildChange, title: &dyn Fn(usize) -> String) -> Option<String> {
    Some(match what {
        BuildChange::Planned { .. } => return None,
        BuildChange::Began { step } => format!("#{} {}", step + 1, title(*step)),
        BuildChange::Output { step, line, .. } => format!("#{} {line}", step + 1),
        BuildChange::Ended { step, outcome, took_ms } => match outcome {
            StepOutcome::Cached => format!("#{} CACHED", step + 1),
            StepOutcome::Done => format!("#{} DONE {:.1}s", step + 1, *took_ms as f64 / 1000.0),
            StepOutcome::Failed => format!("#{} ERROR", step + 1),
        },
        BuildChange::Fetching { image, amount: None } => format!("fetching {image}"),
        BuildChange::Fetching { image, amount: Some(amount) } => {
            format!("fetching {image} {} of {}", words::size(amount.bytes), words::size(amount.of))
        }
        BuildChange::Warning { text } => format!("warning: {text}"),
        BuildChange::Built { image, names, platform } => {
            let names = names.iter().map(|name| format!(" {name}")).collect::<String>();
            let platform = platform.iter().map(|platform| format!(" for {platform}")).collect::<String>();
            format!("built {image}{names}{platform}")
        }
    })
}

fn live(progress: &mut Progress, name: &str, what: &BuildChange, title: &dyn Fn(usize) -> String) {
    let step = |state, detail, amount| StepEvent {
        object: ObjectKind::Image,
        name: name.to_owned(),
        doing: "Building".to_owned(),
        done: "Built".to_owned(),
        state,
        detail,
        amount,
    };
    match what {
        BuildChange::Began { step: at } => progress.step(&step(StepState::Working, Some(title(*at)), None)),
        BuildChange::Fetching { image, amount } => {
            progress.step(&step(StepState::Working, Some(format!("FROM {image}")), *amount));
        }
        BuildChange::Ended { outcome: StepOutcome::Failed, step: at, .. } => {
            progress.step(&step(StepState::Failed, Some(title(*at)), None));
        }
        BuildChange::Built { .. } => progress.step(&step(StepState::Done, None, None)),
        BuildChange::Warning { text } => progress.note(text),
        BuildChange::Planned { .. } | BuildChange::Output { .. } | BuildChange::Ended { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_tell_each_step_from_the_others() {
        let steps = ["[1/2] FROM a", "[2/2] RUN make"].map(str::to_owned);
        let title = |step: usize| steps[step].clone();
        let output = |line: &str| BuildChange::Output { step: 1, is_error: false, line: line.to_owned() };
        let ended = |step, outcome| BuildChange::Ended { step, outcome, took_ms: 1240 };
        let all = [
            BuildChange::Planned { steps: steps.to_vec() },
            BuildChange::Fetching { image: "a".to_owned(), amount: None },
            BuildChange::Began { step: 0 },
            ended(0, StepOutcome::Cached),
            BuildChange::Began { step: 1 },
            output("cc"),
            ended(1, StepOutcome::Done),
            ended(1, StepOutcome::Failed),
            BuildChange::Built {
                image: "sha256:1".to_owned(),
                names: vec!["shop-web".parse().unwrap()],
                platform: None,
            },
        ];
        let lines: Vec<String> = all.iter().filter_map(|what| plain(what, &title)).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        fetching a
        #1 [1/2] FROM a
        #1 CACHED
        #2 [2/2] RUN make
        #2 cc
        #2 DONE 1.2s
        #2 ERROR
        built sha256:1 shop-web:latest
        ");
    }
}
