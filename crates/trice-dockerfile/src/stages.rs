//! Which stages there are, on what each is based, and which of them the wanted one needs.

use std::collections::{BTreeMap, BTreeSet};

use trice_model::suggest::nearest;

use trice_model::image::ImageRef;

use crate::dockerfile::Dockerfile;
use crate::expand::{ExpandError, NoVariables, Reading, Variables, word};
use crate::graph::{Base, BaseRef};
use crate::instruction::{Instruction, Placed};
use crate::mistake::{Lines, Mistake};
use crate::mount::sources;
use crate::parse::parse_trigger;
use crate::wanted::Wanted;

/// On what a stage is based.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StageBase {
    /// Nothing.
    Scratch,
    /// Another stage, by its number.
    Stage(usize),
    /// Something from outside.
    Outside(BaseRef),
    /// Something from outside that takes the place of the whole stage.
    Instead(BaseRef),
}

/// Where `--from` leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    Nothing,
    Stage(usize),
    Outside(BaseRef),
}

/// The stages.
pub(crate) struct Stages {
    /// The base of each.
    pub(crate) bases: Vec<StageBase>,
    /// The platform of each, where it says one.
    pub(crate) platforms: Vec<Option<String>>,
    /// What each does; what its base meant for later comes first.
    pub(crate) instructions: Vec<Vec<(Placed, IsTrigger)>>,
    /// Those that are needed, the wanted one last.
    pub(crate) needed: BTreeSet<usize>,
    /// The wanted one.
    pub(crate) target: usize,
    /// What must be known before anything can be said.
    pub(crate) unknown: BTreeMap<BaseRef, Lines>,
    names: BTreeMap<String, usize>,
}

/// The instruction was meant for later by the stage's base.
pub(crate) type IsTrigger = bool;

/// The arguments before the first stage, with those that every Dockerfile has.
pub(crate) struct Globals(pub(crate) BTreeMap<String, String>);

impl Variables for Globals {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl Globals {
    pub(crate) fn new(dockerfile: &Dockerfile, wanted: &Wanted) -> Result<Self, Mistake> {
        let mut globals = Self(wanted.predefined());
        for (lines, arg) in &dockerfile.globals {
            let value = match (wanted.args.get(&arg.name), &arg.default) {
                (Some(given), _) => given.clone(),
                (None, Some(default)) => expanded(default, dockerfile.escape, &globals, *lines)?,
                (None, None) => continue,
            };
            globals.0.insert(arg.name.clone(), value);
        }
        Ok(globals)
    }
}

/// Fills variables in.
pub(crate) fn expanded(
    text: &str,
    escape: char,
    variables: &dyn Variables,
    lines: Lines,
) -> Result<String, Mistake> {
    word(text, Reading::new(escape), variables).map_err(|error| misplaced(text, &error, lines))
}

pub(crate) fn misplaced(text: &str, error: &ExpandError, lines: Lines) -> Mistake {
    let shown: String = text.chars().take(80).collect();
    let mistake = Mistake::new(lines, format!("`{shown}`: {error}"));
    match error {
        ExpandError::Required { name, .. } => {
            mistake.hint(format!("give it a value: `--build-arg {name}=VALUE`"))
        }
        ExpandError::Open(_) | ExpandError::Substitution(_) => {
            mistake.hint("write `\\$` for a dollar that begins no variable")
        }
        ExpandError::Pattern(_) | ExpandError::TooDeep | ExpandError::TooLong => mistake,
    }
}

impl Stages {
    pub(crate) fn new(
        dockerfile: &Dockerfile,
        wanted: &Wanted,
        globals: &Globals,
        known: &BTreeMap<BaseRef, Base>,
    ) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut stages = Self {
            bases: Vec::new(),
            platforms: Vec::new(),
            instructions: Vec::new(),
            needed: BTreeSet::new(),
            target: 0,
            unknown: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        for (index, stage) in dockerfile.stages.iter().enumerate() {
            let platform = stage.platform.as_deref().map(|platform| {
                let text = expanded(platform, dockerfile.escape, globals, stage.lines)?;
                if text.is_empty() {
                    let message = format!("the platform `{platform}` is empty");
                    return Err(Mistake::new(stage.lines, message));
                }
                Ok(text)
            });
            let platform = platform.transpose().unwrap_or_else(|mistake| {
                mistakes.push(mistake);
                None
            });
            let base = expanded(&stage.base, dockerfile.escape, globals, stage.lines).and_then(|base| {
                if base.is_empty() {
                    let message = format!("the base `{}` is empty", stage.base);
                    let hint = "give the argument a default, before the first `FROM`: `ARG NAME=VALUE`";
                    return Err(Mistake::new(stage.lines, message).hint(hint));
                }
                Ok(base)
            });
            match base {
                Err(mistake) => {
                    mistakes.push(mistake);
                    stages.bases.push(StageBase::Scratch);
                }
                Ok(base) => {
                    let instead = stage.name.as_deref().and_then(|name| wanted.context(name));
                    stages.bases.push(match instead {
                        Some(context) => StageBase::Instead(wanted.context_ref(context, platform.as_deref())),
                        None => stages.base(&base, platform.as_deref(), wanted),
                    });
                }
            }
            stages.platforms.push(platform);
            stages
                .instructions
                .push(stage.instructions.iter().cloned().map(|placed| (placed, false)).collect());
            stages.names.extend(stage.name.clone().map(|name| (name, index)));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        stages.target = stages.find_target(dockerfile, wanted).map_err(|mistake| vec![mistake])?;
        stages.reach(dockerfile, wanted, known)?;
        Ok(stages)
    }

    fn base(&self, base: &str, platform: Option<&str>, wanted: &Wanted) -> StageBase {
        if let Some(stage) = self.names.get(&base.to_lowercase()) {
            return StageBase::Stage(*stage);
        }
        match wanted.context(base) {
            _ if base == "scratch" => StageBase::Scratch,
            Some(context) => StageBase::Outside(wanted.context_ref(context, platform)),
            None => StageBase::Outside(wanted.image_ref(base, platform)),
        }
    }

    fn find_target(&self, dockerfile: &Dockerfile, wanted: &Wanted) -> Result<usize, Mistake> {
        let last = dockerfile.stages.len() - 1;
        let Some(target) = &wanted.target else { return Ok(last) };
        let by_name = self.names.get(&target.to_lowercase()).copied();
        let by_number = || target.parse().ok().filter(|number| *number <= last);
        by_name.or_else(by_number).ok_or_else(|| {
            let mistake =
                Mistake::new(dockerfile.stages[last].lines, format!("there is no stage `{target}`"));
            match nearest(target, self.names.keys().map(String::as_str)) {
                Some(close) => mistake.hint(format!("did you mean `{close}`?")),
                None if self.names.is_empty() => mistake.hint("give a stage a name: `FROM IMAGE AS NAME`"),
                None => {
                    let names: Vec<_> = self.names.keys().map(|name| format!("`{name}`")).collect();
                    mistake.hint(format!("there are {}", names.join(", ")))
                }
            }
        })
    }

    /// Finds all stages that the wanted one needs. What a base means for later may need more of them.
    fn reach(
        &mut self,
        dockerfile: &Dockerfile,
        wanted: &Wanted,
        known: &BTreeMap<BaseRef, Base>,
    ) -> Result<(), Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut waiting = vec![self.target];
        while let Some(index) = waiting.pop() {
            if !self.needed.insert(index) {
                continue;
            }
            let lines = dockerfile.stages[index].lines;
            let mut triggers = Vec::new();
            match self.bases[index].clone() {
                StageBase::Scratch => {}
                StageBase::Stage(base) => {
                    waiting.push(base);
                    let all = dockerfile.stages[base].instructions.iter();
                    triggers.extend(all.filter_map(|placed| match &placed.instruction {
                        Instruction::Onbuild(text) => Some(text.clone()),
                        _ => None,
                    }));
                }
                StageBase::Outside(outside) => match known.get(&outside) {
                    None => drop(self.unknown.insert(outside, lines)),
                    Some(Base::Folder) => {}
                    Some(Base::Image(document)) => {
                        triggers.extend(document.config.on_build.iter().flatten().cloned());
                    }
                },
                StageBase::Instead(outside) => {
                    if !known.contains_key(&outside) {
                        self.unknown.insert(outside, lines);
                    }
                    continue;
                }
            }
            match triggers.iter().map(|text| parse_trigger(text, lines)).collect::<Result<Vec<_>, _>>() {
                Ok(triggers) => {
                    let triggers = triggers.into_iter().map(|placed| (placed, true));
                    self.instructions[index].splice(0..0, triggers);
                }
                Err(mistake) => mistakes.push(mistake),
            }
            let is_of_an_image = matches!(self.bases[index], StageBase::Outside(_));
            for (placed, is_trigger) in &self.instructions[index] {
                for from in froms(&placed.instruction) {
                    match self.from(&from, index, wanted) {
                        Ok(From::Stage(stage)) => waiting.push(stage),
                        Ok(From::Outside(outside @ BaseRef::Context { .. }))
                            if !known.contains_key(&outside) =>
                        {
                            self.unknown.insert(outside, placed.lines);
                        }
                        // Whoever made the base must not reach for files of whoever builds on it.
                        Ok(From::Outside(BaseRef::Image { reference, .. }))
                            if *is_trigger && is_of_an_image && is_on_this_machine(&reference) =>
                        {
                            let text = format!("the base has `{reference}` read by those who build on it");
                            let mistake = Mistake::new(placed.lines, text);
                            mistakes.push(mistake.hint("an image takes no files of the machine it comes to"));
                        }
                        Ok(From::Outside(_) | From::Nothing) => {}
                        Err(message) => mistakes.push(Mistake { lines: placed.lines, ..message }),
                    }
                }
            }
        }
        mistakes.sort_by_key(|mistake| mistake.lines);
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// Finds where `--from` leads in the stage `index`.
    pub(crate) fn from(&self, from: &str, index: usize, wanted: &Wanted) -> Result<From, Mistake> {
        let here = Lines::one(1); // the caller knows the place
        if word(from, Reading::new('\\'), &NoVariables).as_deref() != Ok(from) {
            let mistake = Mistake::new(here, format!("`{from}`: there are no variables in `from`"));
            return Err(mistake.hint(format!(
                "give it a stage of its own: `FROM {from} AS NAME`, with `ARG` before the first stage"
            )));
        }
        let number = from.parse().ok().map(
            |number: usize| {
                if number < self.bases.len() { Ok(number) } else { Err(number) }
            },
        );
        match (number, self.names.get(&from.to_lowercase())) {
            (Some(Err(number)), _) => {
                Err(Mistake::new(here, format!("there is no stage {number}: they are counted from 0")))
            }
            (Some(Ok(stage)), _) | (None, Some(&stage)) if stage >= index => {
                let mistake = Mistake::new(here, format!("the stage `{from}` comes only later"));
                Err(mistake.hint("a stage has files of those before it"))
            }
            (Some(Ok(stage)), _) | (None, Some(&stage)) => Ok(From::Stage(stage)),
            (None, None) if from == "scratch" => Ok(From::Nothing),
            (None, None) => Ok(From::Outside(match wanted.context(from) {
                Some(context) => wanted.context_ref(context, None),
                None => wanted.image_ref(from, None),
            })),
        }
    }
}

/// Tells whether a reference is one to files of the machine that builds.
fn is_on_this_machine(reference: &str) -> bool {
    reference.parse().is_ok_and(|reference| !matches!(reference, ImageRef::Registry(_)))
}

/// Returns what an instruction takes files of.
fn froms(instruction: &Instruction) -> Vec<String> {
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
        Instruction::Run(run) => run.mounts.iter().filter_map(|mount| sources(mount)).collect(),
        _ => Vec::new(),
    }
}
