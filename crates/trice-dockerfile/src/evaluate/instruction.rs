//! What each instruction changes in its stage.

use std::time::Duration;

use trice_model::signal::Signal;

use super::{State, Walk, set};
use crate::document::{Nothing, Probe, quoted_list};
use crate::expand::{Reading, words};
use crate::graph::{MakeFolder, Operation};
use crate::instruction::{ArgForm, CommandForm, HealthForm, Instruction, Pair, Placed};
use crate::mistake::{Lines, Mistake};
use crate::path;
use crate::stages::{expanded, misplaced};

/// Arguments that no command sees.
const HIDDEN: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

impl Walk<'_> {
    pub(super) fn instruction(
        &mut self,
        state: &mut State,
        placed: &Placed,
        is_trigger: bool,
    ) -> Result<(), Mistake> {
        let (lines, escape) = (placed.lines, self.dockerfile.escape);
        let fill = |state: &State, text: &str| expanded(text, escape, state, lines);
        match &placed.instruction {
            Instruction::Add(add) => return self.add(state, placed, add, is_trigger),
            Instruction::Copy(copy) => return self.copy(state, placed, copy, is_trigger),
            Instruction::Run(run) => return self.run(state, placed, run, is_trigger),
            Instruction::Arg(args) => return self.args(state, args, lines),
            Instruction::Cmd(command) => {
                let words = state.command(command);
                state.tell(format!("CMD {}", quoted_list(&words)), None);
                let config = &mut state.document.config;
                config.cmd = Some(words).filter(|words| !words.is_empty());
                config.args_escaped = Some(true);
                state.has_cmd = true;
            }
            Instruction::Entrypoint(command) => {
                let words = state.command(command);
                state.tell(format!("ENTRYPOINT {}", quoted_list(&words)), None);
                let config = &mut state.document.config;
                config.entrypoint = Some(words).filter(|words| !words.is_empty());
                if !state.has_cmd {
                    config.cmd = None; // it was meant for the one before
                }
            }
            Instruction::Env(pairs) => {
                let pairs = filled(state, pairs, escape, lines)?;
                let mut told = "ENV".to_owned();
                for (key, value) in &pairs {
                    told += &format!(" {key}={value}");
                    set(&mut state.env, key, value);
                    let env = state.document.config.env.get_or_insert_default();
                    let line = format!("{key}={value}");
                    match env.iter_mut().find(|there| there.split('=').next() == Some(key)) {
                        Some(there) => *there = line,
                        None => env.push(line),
                    }
                }
                state.tell(told, None);
            }
            Instruction::Label(pairs) => {
                let pairs = filled(state, pairs, escape, lines)?;
                let told: Vec<String> = pairs.iter().map(|(key, value)| format!(" {key}={value}")).collect();
                state.tell(format!("LABEL{}", told.concat()), None);
                state.document.config.labels.get_or_insert_default().extend(pairs);
            }
            Instruction::Expose(texts) => {
                let mut ports = Vec::new();
                for text in texts {
                    let filled = words(text, Reading::new(escape), state);
                    for word in filled.map_err(|error| misplaced(text, &error, lines))? {
                        ports.extend(exposed(&word).map_err(|mistake| Mistake { lines, ..mistake })?);
                    }
                }
                state.tell(format!("EXPOSE [{}]", ports.join(" ")), None);
                let all = state.document.config.exposed_ports.get_or_insert_default();
                all.extend(ports.into_iter().map(|port| (port, Nothing {})));
            }
            Instruction::Healthcheck(form) => {
                let probe = state.probe(form);
                state.tell(format!("HEALTHCHECK {}", probe.shown()), None);
                state.document.config.healthcheck = Some(probe);
            }
            Instruction::Maintainer(name) => {
                state.tell(format!("MAINTAINER {name}"), None);
                state.document.author = Some(name.clone());
            }
            Instruction::Onbuild(text) => {
                state.document.config.on_build.get_or_insert_default().push(text.clone());
            }
            Instruction::Shell(words) => {
                state.tell(format!("SHELL [{}]", words.join(" ")), None);
                state.document.config.shell = Some(words.clone());
            }
            Instruction::Stopsignal(text) => {
                let text = fill(state, text)?;
                text.parse::<Signal>().map_err(|error| Mistake::new(lines, error.to_string()))?;
                state.tell(format!("STOPSIGNAL {text}"), None);
                state.document.config.stop_signal = Some(text);
            }
            Instruction::User(text) => {
                let user = fill(state, text)?;
                state.tell(format!("USER {user}"), None);
                state.document.config.user = Some(user);
            }
            Instruction::Volume(paths) => {
                let paths = paths.iter().map(|path| fill(state, path)).collect::<Result<Vec<_>, _>>()?;
                if paths.iter().any(String::is_empty) {
                    return Err(Mistake::new(lines, "the path of a volume is empty"));
                }
                state.tell(format!("VOLUME [{}]", paths.join(" ")), None);
                let all = state.document.config.volumes.get_or_insert_default();
                all.extend(paths.into_iter().map(|path| (path, Nothing {})));
            }
            Instruction::Workdir(text) => {
                // One that is absolute is recorded as it is written, as BuildKit does.
                let written = fill(state, text)?;
                let cwd = path::joined(&state.cwd(), &written);
                let recorded = if written.starts_with('/') { written } else { cwd.clone() };
                let title = self.title(state, &format!("WORKDIR {text}"), is_trigger);
                let told = format!("WORKDIR {recorded}");
                let is_root = recorded == "/";
                state.document.config.working_dir = Some(recorded);
                if is_root {
                    state.tell(told, None);
                    return Ok(());
                }
                let user = state.document.config.user.clone().filter(|user| !user.is_empty());
                let make = Operation::MakeFolder(MakeFolder { path: cwd, user });
                let step = self.add_step(state, lines, title, make);
                state.tell(told, Some(step));
            }
        }
        Ok(())
    }

    fn args(&mut self, state: &mut State, args: &[ArgForm], lines: Lines) -> Result<(), Mistake> {
        let mut told = "ARG".to_owned();
        for ArgForm { name, default } in args {
            let value = match (self.wanted.args.get(name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(expanded(default, self.dockerfile.escape, state, lines)?),
                (None, None) => self.globals.0.get(name).cloned(),
            };
            told += &format!(" {name}");
            if let Some(value) = &value {
                told += &format!("={value}");
                if !HIDDEN.contains(&name.as_str()) {
                    set(&mut state.env, name, value);
                }
            }
            state.args.push((name.clone(), value));
        }
        state.tell(told, None);
        Ok(())
    }
}

/// Fills the variables of names and values in; all see what was there before the first of them.
fn filled(
    state: &State,
    pairs: &[Pair],
    escape: char,
    lines: Lines,
) -> Result<Vec<(String, String)>, Mistake> {
    let fill = |text: &str| expanded(text, escape, state, lines);
    pairs.iter().map(|Pair { key, value }| Ok((fill(key)?, fill(value)?))).collect()
}

impl State {
    /// Returns a command as an image has it.
    pub(super) fn command(&self, command: &CommandForm) -> Vec<String> {
        match command {
            CommandForm::Exec(words) => words.clone(),
            CommandForm::Shell(text) => self.in_shell(text),
        }
    }

    fn probe(&self, form: &HealthForm) -> Probe {
        let Some(command) = &form.command else {
            return Probe { test: vec!["NONE".to_owned()], ..Probe::default() };
        };
        let (kind, words) = match command {
            CommandForm::Exec(words) => ("CMD", words.clone()),
            CommandForm::Shell(text) => ("CMD-SHELL", vec![text.clone()]),
        };
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        Probe {
            test: [vec![kind.to_owned()], words].concat(),
            interval: nanos(form.interval),
            timeout: nanos(form.timeout),
            start_period: nanos(form.start_period),
            start_interval: nanos(form.start_interval),
            retries: i64::from(form.retries),
        }
    }
}

/// Reads a port or a range of them. What stands before a colon is of no use, as an image publishes nothing.
fn exposed(text: &str) -> Result<Vec<String>, Mistake> {
    let wrong = |what: &str| {
        let mistake = Mistake::new(Lines::one(1), format!("`{text}` is no port: {what}"));
        mistake.hint("write `8080`, `8080/udp` or `8000-8010`")
    };
    let port = text.rsplit(':').next().unwrap_or(text);
    let (numbers, protocol) = port.split_once('/').unwrap_or((port, ""));
    let protocol = match protocol.to_lowercase().as_str() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        _ => return Err(wrong("the protocols are `tcp`, `udp` and `sctp`")),
    };
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let number = |text: &str| text.parse::<u16>().map_err(|_| wrong("ports are numbers from 0 to 65535"));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(wrong("the range begins after its end"));
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}
