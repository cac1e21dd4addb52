//! What a Dockerfile means, once all that it is based on is known.
//!
//! ```text
//! stages: which are needed? ──► Unknown bases: have them looked up, and ask again
//!    └──► walk: each stage's instructions, one after the other ──► steps, configuration, history
//! ```
//!
//! What an instruction reads of variables is what was there before it.

use std::collections::BTreeMap;

use crate::dockerfile::Dockerfile;
use crate::document::{Document, History, PATH};
use crate::expand::Variables;
use crate::graph::{Base, BaseRef, Graph, Image, Operation, Origin, Step, StepId};
use crate::mistake::{Lines, Mistake, Mistakes};
use crate::path;
use crate::stages::{From, Globals, StageBase, Stages};
use crate::wanted::Wanted;

mod copy;
mod instruction;
mod run;

/// What can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evaluated {
    /// These must be known first; with the lines that speak of them.
    Unknown(BTreeMap<BaseRef, Lines>),
    /// All.
    Graph(Box<Graph>),
}

/// Finds out what is to be done for an image. `known` are the bases that have been looked up.
///
/// # Errors
/// All that is wrong with what is needed.
pub fn evaluate(
    dockerfile: &Dockerfile,
    wanted: &Wanted,
    known: &BTreeMap<BaseRef, Base>,
) -> Result<Evaluated, Mistakes> {
    let globals = Globals::new(dockerfile, wanted)?;
    let stages = Stages::new(dockerfile, wanted, &globals, known).map_err(Mistakes)?;
    if !stages.unknown.is_empty() {
        return Ok(Evaluated::Unknown(stages.unknown));
    }
    let mut walk = Walk {
        dockerfile,
        wanted,
        known,
        globals,
        stages: &stages,
        steps: Vec::new(),
        outside: BTreeMap::new(),
        done: BTreeMap::new(),
        mistakes: Vec::new(),
    };
    for index in &stages.needed {
        let stage = walk.stage(*index);
        walk.done.insert(*index, stage);
    }
    if !walk.mistakes.is_empty() {
        return Err(Mistakes(walk.mistakes));
    }
    let target = walk.done.remove(&stages.target).expect("the wanted stage is needed");
    let mut document = target.document;
    if !wanted.labels.is_empty() {
        document.config.labels.get_or_insert_default().extend(wanted.labels.clone());
    }
    let image = Image { result: target.step, document, history: target.history };
    let graph = Graph { steps: walk.steps, images: vec![image] };
    Ok(Evaluated::Graph(Box::new(graph)))
}

/// The way through all needed stages.
struct Walk<'a> {
    dockerfile: &'a Dockerfile,
    wanted: &'a Wanted,
    known: &'a BTreeMap<BaseRef, Base>,
    globals: Globals,
    stages: &'a Stages,
    steps: Vec<Step>,
    /// The steps that have what is from outside.
    outside: BTreeMap<BaseRef, StepId>,
    /// The stages that have been walked through.
    done: BTreeMap<usize, State>,
    mistakes: Vec<Mistake>,
}

/// How far a stage has come.
#[derive(Clone)]
struct State {
    index: usize,
    /// The machines that its files are for.
    platform: String,
    document: Document,
    /// What commands see: the image's variables and the stage's arguments.
    env: Vec<(String, String)>,
    /// The arguments, for the history of commands.
    args: Vec<(String, Option<String>)>,
    step: Option<StepId>,
    history: Vec<(History, Option<StepId>)>,
    /// `CMD` has been said by this stage itself.
    has_cmd: bool,
    /// How many steps the stage has, and how many of them are done.
    total: usize,
    count: usize,
}

impl Variables for State {
    fn value(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Sets a variable. It keeps its place.
fn set(env: &mut Vec<(String, String)>, key: &str, value: &str) {
    match env.iter_mut().find(|(there, _)| there == key) {
        Some((_, there)) => value.clone_into(there),
        None => env.push((key.to_owned(), value.to_owned())),
    }
}

impl Walk<'_> {
    fn stage(&mut self, index: usize) -> State {
        let stages = self.stages;
        let stage = &self.dockerfile.stages[index];
        let is_step = |keyword: &str| matches!(keyword, "RUN" | "COPY" | "ADD" | "WORKDIR");
        let keyword = |code: &str| code.split_whitespace().next().unwrap_or_default().to_uppercase();
        let all = stages.instructions[index].iter();
        let steps = all.filter(|(placed, _)| is_step(&keyword(&placed.code))).count();
        let from_outside = matches!(stages.bases[index], StageBase::Outside(_) | StageBase::Instead(_));
        let mut state = self.begin(index, steps + usize::from(from_outside));
        if matches!(stages.bases[index], StageBase::Instead(_)) {
            return state;
        }
        if state.value("PATH").is_none() {
            state.document.config.env.get_or_insert_default().push(format!("PATH={PATH}"));
            state.env.push(("PATH".to_owned(), PATH.to_owned()));
        }
        for (placed, is_trigger) in &stages.instructions[index] {
            if let Err(mistake) = self.instruction(&mut state, placed, *is_trigger) {
                self.mistakes.push(mistake);
            }
        }
        debug_assert_eq!(stage.lines, self.dockerfile.stages[state.index].lines);
        state
    }

    /// Begins a stage with what its base has.
    fn begin(&mut self, index: usize, total: usize) -> State {
        let names = &self.wanted.platform;
        let variant = Some(names.variant.as_str()).filter(|variant| !variant.is_empty());
        let nothing = Document::scratch(&names.os, &names.architecture, variant);
        let platform = self.stages.platforms[index].clone();
        let (document, step) = match &self.stages.bases[index] {
            StageBase::Scratch => (nothing, None),
            StageBase::Stage(base) => {
                let base = self.done[base].clone();
                let platform = platform.unwrap_or(base.platform);
                let mut state = State { index, platform, has_cmd: false, total, count: 0, ..base };
                state.document.config.on_build = None;
                // Its arguments go on, but what its image says comes before them, as with any other base.
                for line in state.document.config.env.iter().flatten() {
                    let (key, value) = line.split_once('=').unwrap_or((line, ""));
                    set(&mut state.env, key, value);
                }
                return state;
            }
            StageBase::Outside(outside) | StageBase::Instead(outside) => {
                let document = match &self.known[outside] {
                    Base::Image(document) => (**document).clone(),
                    Base::Folder => nothing,
                };
                (document, Some(outside.clone()))
            }
        };
        let env = document.config.env.iter().flatten();
        let env = env.map(|line| line.split_once('=').unwrap_or((line, "")));
        let mut state = State {
            index,
            platform: platform.unwrap_or_else(|| names.to_string()),
            env: env.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            args: Vec::new(),
            step: None,
            history: Vec::new(),
            has_cmd: false,
            total,
            count: 0,
            document: Document { created: None, rootfs: Default::default(), ..document },
        };
        state.document.config.on_build = None;
        if let Some(outside) = step {
            let title = format!("FROM {}", named(&outside));
            let title = self.title(&mut state, &title, false);
            let lines = self.dockerfile.stages[index].lines;
            state.step = Some(self.outside_step(&outside, lines, title));
        }
        state
    }

    /// Returns what a step is called.
    fn title(&self, state: &mut State, text: &str, is_trigger: bool) -> String {
        state.count += 1;
        let State { index, count, total, .. } = *state;
        let platform = match &state.platform {
            usual if *usual == self.wanted.machine.to_string() => "",
            other => &format!("{other} "),
        };
        let stage = match &self.dockerfile.stages[index].name {
            _ if self.dockerfile.stages.len() == 1 => String::new(),
            Some(name) => format!("{name} "),
            None => format!("stage-{index} "),
        };
        let width = total.to_string().len();
        let trigger = if is_trigger { "ONBUILD " } else { "" };
        format!("[{platform}{stage}{count:>width$}/{total}] {trigger}{text}")
    }

    /// Returns the step that has what is from outside.
    fn outside_step(&mut self, outside: &BaseRef, lines: Lines, title: String) -> StepId {
        if let Some(step) = self.outside.get(outside) {
            return *step;
        }
        let operation = match (outside, self.known.get(outside)) {
            (BaseRef::Context { name, .. }, Some(Base::Folder)) => Operation::Import(name.clone()),
            (outside, _) => Operation::Base(outside.clone()),
        };
        let (BaseRef::Image { platform, .. } | BaseRef::Context { platform, .. }) = outside;
        let platform = platform.clone();
        let step = self.push(Step { lines, title, platform, input: None, operation, no_cache: false });
        self.outside.insert(outside.clone(), step);
        step
    }

    fn push(&mut self, step: Step) -> StepId {
        self.steps.push(step);
        StepId(self.steps.len() as u32 - 1)
    }

    /// Adds a step to a stage.
    fn add_step(&mut self, state: &mut State, lines: Lines, title: String, operation: Operation) -> StepId {
        let name = self.dockerfile.stages[state.index].name.as_deref();
        let no_cache = self.wanted.no_cache.covers(name);
        let platform = state.platform.clone();
        let step = self.push(Step { lines, title, platform, input: state.step, operation, no_cache });
        state.step = Some(step);
        step
    }

    /// Finds the files that `--from` means in the stage of `state`.
    fn origin(&mut self, from: &str, state: &State, lines: Lines) -> Result<Origin, Mistake> {
        let found = self.stages.from(from, state.index, self.wanted);
        Ok(match found.map_err(|mistake| Mistake { lines, ..mistake })? {
            From::Nothing => Origin::Nothing,
            From::Stage(stage) => self.done[&stage].step.map_or(Origin::Nothing, Origin::Step),
            From::Outside(outside) => {
                if let BaseRef::Context { name, .. } = &outside
                    && self.known.get(&outside) == Some(&Base::Folder)
                {
                    return Ok(Origin::Named(name.clone()));
                }
                let title = format!("FROM {}", named(&outside));
                Origin::Step(self.outside_step(&outside, lines, title))
            }
        })
    }
}

fn named(outside: &BaseRef) -> &str {
    match outside {
        BaseRef::Image { reference, .. } => reference,
        BaseRef::Context { name, .. } => name,
    }
}

impl State {
    /// Adds to the history.
    fn tell(&mut self, text: String, step: Option<StepId>) {
        let history = History {
            created_by: Some(text),
            comment: Some("buildkit.dockerfile.v0".to_owned()),
            ..History::default()
        };
        self.history.push((history, step));
    }

    /// Returns the working directory. The document has it as it was written.
    fn cwd(&self) -> String {
        path::clean(self.document.config.working_dir.as_deref().unwrap_or_default())
    }

    /// Returns a command that is a text as the shell gets it.
    fn in_shell(&self, text: &str) -> Vec<String> {
        let shell = self.document.config.shell.as_ref().filter(|shell| !shell.is_empty());
        let mut words = shell.cloned().unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        words.push(text.to_owned());
        words
    }
}

#[cfg(test)]
mod tests;
