//! Builds: each in a thread of its own, side by side as far as none needs the image of another.
//!
//! They belong to no project, and go past the loop: what they need of it is places on their network, and to hear how
//! commands end.

pub(crate) mod ground;
mod sandbox;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use trice_api::build::{Build, BuildChange, BuildEvent, BuildOrder, StepOutcome};
use trice_api::fault::{Code, Fault};
use trice_build::budget::Going;
use trice_build::builder::{Built, BuiltImage, Order, Tools};
use trice_build::error::BuildError;
use trice_build::event::{Event, Outcome};
use trice_image::images::remove::Roots;
use trice_image::registry::Registries;

use crate::build::sandbox::EngineSandbox;
use crate::event::Question;
use crate::serve::Service;

/// Begins builds. What comes back is what is told of them.
pub(crate) fn begin(call: Build, service: Service) -> UnboundedReceiver<BuildEvent> {
    let (sender, events) = mpsc::unbounded_channel();
    let stop = Arc::new(AtomicBool::new(false));
    let (leaver, left) = (sender.clone(), stop.clone());
    tokio::spawn(async move {
        // Nobody wants it any more.
        leaver.closed().await;
        left.store(true, Ordering::Relaxed);
    });
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        // Somebody is there until it has ended, whatever the client does.
        let building = service.building();
        let made = AtomicBool::new(false);
        let builds = Builds { call, service, sender: &sender, stop, runtime, made };
        let faults = builds.carry_out();
        let last = if faults.is_empty() { BuildEvent::Done } else { BuildEvent::Failed(faults) };
        let _ = sender.send(last);
        builds.keep_within_budget(); // nobody has to wait for it
        drop(building);
    });
    events
}

/// Builds that are carried out.
struct Builds<'a> {
    call: Build,
    service: Service,
    sender: &'a UnboundedSender<BuildEvent>,
    stop: Arc<AtomicBool>,
    runtime: Handle,
    /// Some step was not done before.
    made: AtomicBool,
}

/// Of the room on the file system, what builds may use again takes at most this part, within these bounds.
const BUDGET_PART: u64 = 10;
const BUDGET_BYTES: (u64, u64) = (1 << 30, 32 << 30);

impl Builds<'_> {
    /// Builds all that can be built. Returns what went wrong.
    fn carry_out(&self) -> Vec<Fault> {
        let mut waiting: Vec<&BuildOrder> = self.call.orders.iter().collect();
        let mut built: BTreeMap<String, Built> = BTreeMap::new();
        let mut faults = Vec::new();
        while !waiting.is_empty() && faults.is_empty() {
            let is_ordered = |name: &str| self.call.orders.iter().any(|order| order.name == name);
            let is_ready = |order: &&BuildOrder| {
                let mut needs = order.build.needs().into_iter();
                needs.all(|service| built.contains_key(service.as_str()) || !is_ordered(service.as_str()))
            };
            let (ready, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ready);
            waiting = later;
            if ready.is_empty() {
                let names: Vec<_> = waiting.iter().map(|order| format!("`{}`", order.name)).collect();
                let text = format!("each of {} needs the image of another one of them", names.join(", "));
                faults.push(Fault::new(Code::BadRequest, text));
                break;
            }
            let services: BTreeMap<String, Vec<BuiltImage>> =
                built.iter().map(|(name, built)| (name.clone(), built.images.clone())).collect();
            let results: Vec<_> = std::thread::scope(|scope| {
                let services = &services;
                let threads: Vec<_> =
                    ready.iter().map(|order| scope.spawn(move || self.build(order, services))).collect();
                threads.into_iter().map(|thread| thread.join()).collect()
            });
            for (order, result) in ready.into_iter().zip(results) {
                match result {
                    Ok(Ok(image)) => drop(built.insert(order.name.clone(), image)),
                    Ok(Err(error)) => faults.push(fault(&order.name, &error)),
                    Err(_) => faults.push(Fault::new(Code::Internal, "a build ended by itself")),
                }
            }
        }
        // What was stopped because another one failed is no news.
        if faults.iter().any(|fault| fault.code != Code::Cancelled) {
            faults.retain(|fault| fault.code != Code::Cancelled);
        }
        faults
    }

    /// Removes what was not used for the longest time, if builds keep too much.
    fn keep_within_budget(&self) {
        if !self.made.load(Ordering::Relaxed) {
            return;
        }
        let backends = &self.service.backends;
        let budget = || -> Result<(), Box<dyn std::error::Error>> {
            let stat = rustix::fs::statvfs(&backends.directories.data)?;
            let all = stat.f_blocks.saturating_mul(stat.f_frsize);
            let keep = (all / BUDGET_PART).clamp(BUDGET_BYTES.0, BUDGET_BYTES.1);
            // Without what containers use it is too much at worst.
            if backends.reusable().room(&Roots::new())?.bytes <= keep {
                return Ok(());
            }
            let (roots, removal) = self.runtime.block_on(self.service.ask_for(Question::BeginRemoval))?;
            let gone = backends.reusable().prune(Going { keep, before: None }, roots)?;
            tracing::info!(entries = gone.entries, bytes = gone.bytes, "what builds made long ago is gone");
            drop(removal);
            Ok(())
        };
        if let Err(error) = budget() {
            tracing::error!(error = &*error, "keep what builds made within its budget");
        }
    }

    fn build(
        &self,
        order: &BuildOrder,
        services: &BTreeMap<String, Vec<BuiltImage>>,
    ) -> Result<Built, BuildError> {
        let backends = &self.service.backends;
        let access = self.call.access.clone();
        let tools = Tools {
            images: backends.images.clone(),
            store: backends.store.clone(),
            folder: backends.build_folder.clone(),
            secrets: backends.directories.run.join("build"),
            runtime: self.runtime.clone(),
            registries: Registries::new(access.settings, access.keyring),
            sandbox: Box::new(EngineSandbox::new(self.service.clone(), self.runtime.clone())),
        };
        let name = order.name.clone();
        let tell = |what: BuildChange| {
            let _ = self.sender.send(BuildEvent::Of { name: name.clone(), what });
        };
        let listener = |event: Event| {
            if matches!(event, Event::Ended { outcome: Outcome::Done, .. }) {
                self.made.store(true, Ordering::Relaxed);
            }
            tell(change(event));
        };
        let (build, names) = (order.build.clone(), order.images.clone());
        let built = tools.build(&Order { build, names, services: services.clone() }, &listener, &self.stop);
        let images = built.iter().flat_map(|built| built.images.iter().map(move |image| (built, image)));
        for (built, image) in images {
            let (id, platform) = (image.id.clone(), image.other_platform());
            tell(BuildChange::Built { image: id, names: built.names.clone(), platform });
        }
        built
    }
}

fn change(event: Event) -> BuildChange {
    match event {
        Event::Planned(steps) => BuildChange::Planned { steps },
        Event::Began { step } => BuildChange::Began { step },
        Event::Output { step, is_error, line } => {
            BuildChange::Output { step, is_error, line: String::from_utf8_lossy(&line).into_owned() }
        }
        Event::Ended { step, outcome, took } => BuildChange::Ended {
            step,
            outcome: match outcome {
                Outcome::Cached => StepOutcome::Cached,
                Outcome::Done => StepOutcome::Done,
                Outcome::Failed => StepOutcome::Failed,
            },
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        },
        Event::Fetching { image, amount } => {
            let amount = amount.map(|(bytes, of)| trice_api::event::Amount { bytes, of });
            BuildChange::Fetching { image, amount }
        }
        Event::Warning(text) => BuildChange::Warning { text },
    }
}

fn fault(name: &str, error: &BuildError) -> Fault {
    let code = match error {
        BuildError::Mistakes(_) | BuildError::Name(_) | BuildError::ContextKind { .. } => Code::BadRequest,
        BuildError::Cancelled => Code::Cancelled,
        BuildError::Base { .. } | BuildError::Cache { .. } | BuildError::Stated(_) => Code::Image,
        BuildError::Dockerfile { .. }
        | BuildError::Context { .. }
        | BuildError::Ignore { .. }
        | BuildError::Step { .. }
        | BuildError::Sbom { .. }
        | BuildError::Store(_)
        | BuildError::Layout(_)
        | BuildError::Read(_)
        | BuildError::Commit(_) => Code::Start,
    };
    let fault = match error {
        // They end with lines of the Dockerfile, after which nothing more fits.
        BuildError::Mistakes(text) => Fault::new(code, text.clone()),
        BuildError::Base { .. } | BuildError::Step { .. } | BuildError::Sbom { .. } => {
            Fault::new(code, error.to_string())
        }
        error => Fault::of(code, error),
    };
    let message = format!("build {name}: {}", fault.message);
    Fault { message, ..fault }
}
