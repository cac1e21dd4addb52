//! Steps, side by side as what they need is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use trice_dockerfile::graph::{BaseRef, Image, MadeLayer, Operation, Step, StepId};
use trice_image::lease::Lease;
use trice_image::workshop::{Finished, Workshop};
use trice_model::build::Build;
use trice_state::batch::Batch;

use crate::base::{Bases, Found, Layer};
use crate::builder::{Opened, Script, Tools};
use crate::cache::{CachedStep, Caches};
use crate::error::{BuildError, StepError};
use crate::event::{Event, Listener, Outcome};
use crate::provenance::Material;
use crate::record::{FilesRecord, StepRecord};
use crate::select::Origin;

/// The most steps at a time. Most of them wait for the disk or the net.
const AT_A_TIME: usize = 8;
/// How many lines of a failed command are shown again.
const LAST_LINES: usize = 20;

/// A build that is being carried out.
pub(crate) struct Work<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) lease: &'a Lease,
    pub(crate) build: &'a Build,
    pub(crate) script: &'a Script,
    pub(crate) steps: &'a [Step],
    found: &'a BTreeMap<BaseRef, Found>,
    context: Option<Opened>,
    named: BTreeMap<String, Opened>,
    pub(crate) listener: Listener<'a>,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) bases: &'a Bases<'a>,
    pub(crate) workshop: Workshop,
    /// Caches elsewhere.
    pub(crate) caches: Caches<'a>,
    /// A folder with nothing in it.
    pub(crate) empty: PathBuf,
    state: Mutex<State>,
}

/// What has been done.
#[derive(Default)]
struct State {
    /// The layers of steps, the lowest first.
    layers: BTreeMap<StepId, Arc<Vec<Layer>>>,
    made: BTreeMap<StepId, MadeLayer>,
    /// Layers that are not yet at their places.
    finished: Vec<Finished>,
    steps: Vec<StepRecord>,
    /// What makes the layer of each step that has one of its own, for caches elsewhere.
    keys: BTreeMap<StepId, CachedStep>,
    files: Vec<FilesRecord>,
    /// What steps have made, opened.
    trees: BTreeMap<StepId, Arc<Origin>>,
    /// The last lines of commands.
    output: BTreeMap<StepId, Vec<String>>,
    /// What steps took from elsewhere.
    materials: BTreeMap<StepId, BTreeSet<Material>>,
}

/// The layers of an image.
pub(crate) struct Layers {
    /// The folder of this machine that lies below all others.
    pub(crate) rootfs: Option<PathBuf>,
    /// Those that were there.
    pub(crate) base: Vec<String>,
    /// Those that steps made.
    pub(crate) made: BTreeMap<StepId, MadeLayer>,
}

impl<'a> Work<'a> {
    #[expect(clippy::too_many_arguments, reason = "the one place where all that a build has comes together")]
    pub(crate) fn new(
        tools: &'a Tools,
        lease: &'a Lease,
        build: &'a Build,
        script: &'a Script,
        steps: &'a [Step],
        found: &'a BTreeMap<BaseRef, Found>,
        context: Option<Opened>,
        named: BTreeMap<String, Opened>,
        listener: Listener<'a>,
        stop: &'a AtomicBool,
        bases: &'a Bases<'a>,
    ) -> Result<Self, BuildError> {
        let workshop = tools.images.workshop()?;
        let empty = workshop.scratch()?;
        let state = Mutex::default();
        Ok(Self {
            tools,
            lease,
            build,
            script,
            steps,
            found,
            context,
            named,
            listener,
            stop,
            bases,
            workshop,
            caches: Caches::new(&build.cache_from),
            empty,
            state,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the steps that made any layer of any stage, once all are carried out.
    pub(crate) fn cached_steps(&self) -> Vec<CachedStep> {
        self.state().keys.values().cloned().collect()
    }

    /// Returns the layers of an image whose last step is `result`, once all steps are carried out.
    pub(crate) fn layers(&self, result: Option<StepId>) -> Layers {
        let Some(result) = result else {
            return Layers { rootfs: None, base: Vec::new(), made: BTreeMap::new() };
        };
        let state = self.state();
        // The way down from the result: what its lowest step has was there before.
        let (mut way, mut lowest) = (BTreeSet::from([result]), result);
        while let Some(input) = self.steps[lowest.0 as usize].input {
            lowest = input;
            way.insert(input);
        }
        let base: &[Layer] = match &self.steps[lowest.0 as usize].operation {
            Operation::Base(_) | Operation::Import(_) => {
                way.remove(&lowest);
                &state.layers[&lowest]
            }
            Operation::MakeFolder(_) | Operation::Copy(_) | Operation::Run(_) => &[],
        };
        let rootfs = base.iter().find(|layer| layer.standing).map(|layer| layer.root.clone());
        let stored = base.iter().filter(|layer| !layer.standing);
        let base = stored.map(|layer| layer.diff_id.to_string()).collect();
        let made = state.made.iter().filter(|(step, _)| way.contains(step));
        let made = made.map(|(step, layer)| (*step, layer.clone())).collect();
        Layers { rootfs, base, made }
    }

    /// Carries all steps out.
    pub(crate) fn carry_out(&self) -> Result<(), BuildError> {
        let steps = self.steps;
        let mut waiting: BTreeSet<usize> = (0..steps.len()).collect();
        let (mut running, mut failed) = (0, None);
        let (sender, ended) = mpsc::channel();
        std::thread::scope(|scope| {
            loop {
                let is_ready = |index: &usize| {
                    let done = &self.state().layers;
                    steps[*index].needs().iter().all(|step| done.contains_key(step))
                };
                let ready: Vec<usize> =
                    waiting.iter().copied().filter(is_ready).take(AT_A_TIME - running).collect();
                if failed.is_none() && !self.stop.load(Ordering::Relaxed) {
                    for index in ready {
                        waiting.remove(&index);
                        running += 1;
                        let sender = sender.clone();
                        scope.spawn(move || {
                            let result = self.carry_out_step(StepId(index as u32));
                            // The receiver lives as long as this scope.
                            let _ = sender.send((index, result));
                        });
                    }
                }
                if running == 0 {
                    return;
                }
                let Ok((index, result)) = ended.recv() else { return };
                running -= 1;
                if let Err(error) = result {
                    // The first that failed is why the others are stopped.
                    self.stop.store(true, Ordering::Relaxed);
                    if failed.is_none() || matches!(failed, Some((_, StepError::Cancelled))) {
                        failed = Some((index, error));
                    }
                }
            }
        });
        match failed {
            None if waiting.is_empty() => Ok(()),
            None | Some((_, StepError::Cancelled)) => Err(BuildError::Cancelled),
            Some((index, error)) => Err(BuildError::Step {
                file: self.script.name.clone(),
                text: self.script.text.clone(),
                lines: steps[index].lines,
                source: Box::new(error),
                output: self.last_lines(StepId(index as u32)),
            }),
        }
    }

    fn carry_out_step(&self, id: StepId) -> Result<(), StepError> {
        let (step, began) = (id.0 as usize, Instant::now());
        (self.listener)(Event::Began { step });
        let result = self.step(id);
        let outcome = match &result {
            Ok((_, outcome)) => *outcome,
            Err(_) => Outcome::Failed,
        };
        (self.listener)(Event::Ended { step, outcome, took: began.elapsed() });
        let (layers, _) = result?;
        self.state().layers.insert(id, Arc::new(layers));
        Ok(())
    }

    /// Returns the layers that a step begins with, the lowest first.
    pub(crate) fn below(&self, id: StepId) -> Arc<Vec<Layer>> {
        let input = self.steps[id.0 as usize].input;
        input.map(|input| self.layers_of(input)).unwrap_or_default()
    }

    /// Returns the layers of a step that is done.
    pub(crate) fn layers_of(&self, step: StepId) -> Arc<Vec<Layer>> {
        self.state().layers.get(&step).cloned().unwrap_or_default()
    }

    /// Returns a base.
    pub(crate) fn base(&self, base: &BaseRef) -> Result<Found, StepError> {
        match self.found.get(base) {
            Some(found) => Ok(found.clone()),
            // It says all of why already.
            None => self.bases.find(base).map_err(|error| StepError::Files(error.to_string())),
        }
    }

    /// Returns the context called `name`, or the usual one.
    pub(crate) fn opened(&self, name: Option<&str>) -> Result<&Opened, StepError> {
        let opened = match name {
            Some(name) => self.named.get(name),
            None => self.context.as_ref(),
        };
        opened.ok_or_else(|| StepError::Files("the build has no context".to_owned()))
    }

    /// Returns what a step has made, opened once for all that look at it.
    pub(crate) fn tree_of(&self, step: StepId) -> Result<Arc<Origin>, StepError> {
        if let Some(tree) = self.state().trees.get(&step) {
            return Ok(tree.clone());
        }
        let tree = Arc::new(Origin::new(self.tree(&self.layers_of(step))?));
        self.state().trees.insert(step, tree.clone());
        Ok(tree)
    }

    /// Takes in a layer that was made, or found by its record. One that `travels` is of use on other machines.
    pub(crate) fn take_in(
        &self,
        step: StepId,
        cached: CachedStep,
        travels: bool,
        finished: Option<Finished>,
        record: Option<StepRecord>,
    ) {
        let layer = self.made(&cached.layer, cached.made_at);
        let mut state = self.state();
        state.made.insert(step, layer);
        if travels {
            state.keys.insert(step, cached);
        }
        state.finished.extend(finished);
        state.steps.extend(record);
    }

    /// Takes in the digest of files in layers.
    pub(crate) fn remember_files(&self, record: FilesRecord) {
        self.state().files.push(record);
    }

    /// Takes in a line that a command wrote.
    pub(crate) fn wrote(&self, step: StepId, is_error: bool, line: &[u8]) {
        (self.listener)(Event::Output { step: step.0 as usize, is_error, line: line.to_vec() });
        let mut state = self.state();
        let output = state.output.entry(step).or_default();
        if output.len() == LAST_LINES {
            output.remove(0);
        }
        output.push(String::from_utf8_lossy(line).chars().take(500).collect());
    }

    /// Returns what a step's command wrote last.
    pub(crate) fn last_lines(&self, step: StepId) -> Vec<String> {
        self.state().output.remove(&step).unwrap_or_default()
    }

    /// Takes in what a step takes from elsewhere.
    pub(crate) fn takes(&self, step: StepId, material: Material) {
        self.state().materials.entry(step).or_default().insert(material);
    }

    /// Returns what each step took from elsewhere.
    pub(crate) fn materials(&self) -> BTreeMap<StepId, BTreeSet<Material>> {
        self.state().materials.clone()
    }

    /// Brings the layers that were made to their places, and writes down what made them.
    pub(crate) fn keep(&self) -> Result<(), BuildError> {
        for opened in self.context.iter().chain(self.named.values()) {
            opened.stamps.save();
        }
        let mut state = self.state();
        // What is open of them is no longer needed.
        state.trees.clear();
        let finished = std::mem::take(&mut state.finished);
        if !finished.is_empty() {
            self.tools.images.publish(self.lease, &self.workshop, &finished)?;
        }
        if state.steps.is_empty() && state.files.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for record in std::mem::take(&mut state.steps) {
            batch = batch.put(&record);
        }
        for record in std::mem::take(&mut state.files) {
            batch = batch.put(&record);
        }
        Ok(self.tools.store.commit(batch)?)
    }

    /// Returns when what the image is based on was made: what has no step of its own is as old.
    pub(crate) fn base_created(&self, image: &Image) -> String {
        let mut step = image.result;
        while let Some(id) = step {
            let Some(this) = self.steps.get(id.0 as usize) else { break };
            if let Operation::Base(base) = &this.operation
                && let Some(Found::Image { document, .. }) = self.found.get(base)
                && let Some(created) = &document.created
            {
                return created.clone();
            }
            step = this.input;
        }
        crate::builder::seconds(0)
    }
}
