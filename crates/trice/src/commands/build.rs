//! `build`: the images of services, from their Dockerfiles; also before `up`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use trice_api::build::{Build as Call, BuildEvent, BuildOrder};
use trice_api::image::{MissingImages, PushImages};
use trice_model::attestation::{AttestationError, Provenance, Sbom};
use trice_model::build::{Build, Context, DockerfileSource, Entitlement};
use trice_model::build_cache::{CacheStore, CacheTarget};
use trice_model::image::{ImageRef, PlatformImage, RegistryRef};
use trice_model::name::ServiceName;
use trice_model::service::PullPolicy;

use crate::arguments::Variable;
use crate::build::View;
use crate::console::ProgressMode;
use crate::engine::{Engine, Heard};
use crate::failure::Failure;
use crate::interrupts::Interrupts;
use crate::invocation::Invocation;
use crate::progress::{FRAME, Progress};
use crate::project::{Places, Wanted};
use crate::registries::{self, Use};
use crate::transfer::transfer;

/// What is typed after `build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// These services; none is all
    services: Vec<ServiceName>,
    /// A value for `ARG`, `NAME=VALUE`, or `NAME` for one of your own
    #[arg(long = "build-arg", value_name = "VARIABLE")]
    args: Vec<Variable>,
    /// Do again what was done before
    #[arg(long)]
    no_cache: bool,
    /// Ask registries for newer base images
    #[arg(long)]
    pull: bool,
    /// Send the images to their registries afterwards
    #[arg(long)]
    push: bool,
    /// Say nothing on the way
    #[arg(short, long)]
    quiet: bool,
    /// The socket of an agent with keys, `ID` for your own or `ID=PATH`
    #[arg(long, value_name = "AGENT", num_args = 0..=1, default_missing_value = "default")]
    ssh: Vec<String>,
    /// A right that steps may use: `network.host` or `security.insecure`
    #[arg(long, value_name = "RIGHT")]
    allow: Vec<Entitlement>,
    /// State what the images were made of: `true`, `false`, or `mode=min|max`, `version=v0.2|v1`, `builder-id=URI`
    #[arg(long, value_name = "SETTINGS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    provenance: Option<String>,
    /// List the software in the images: `true`, `false`, or `generator=IMAGE` and settings for it
    #[arg(long, value_name = "SETTINGS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sbom: Option<String>,
    /// The images of what the services depend on too
    #[arg(long)]
    with_dependencies: bool,
    /// How progress is shown
    #[arg(long, value_enum, value_name = "KIND")]
    progress: Option<ProgressMode>,
    // What only other builders know: nothing of it changes the image.
    #[arg(long, hide = true)]
    force_rm: bool,
    #[arg(long, hide = true)]
    no_rm: bool,
    #[arg(long, hide = true)]
    compress: bool,
    #[arg(long, hide = true)]
    parallel: bool,
}

/// Which images are built before something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Those that are not here, and those whose services always want it.
    Missing,
    /// All.
    All,
    /// None.
    Nothing,
}

/// Carries out `build`.
pub(crate) async fn run(args: &BuildArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let mut wanted = invocation.load(&args.services)?;
    if let Some(progress) = args.progress {
        invocation.console.progress = progress;
    }
    args.put_on(&mut wanted, invocation)?;
    let is_meant = |name: &ServiceName| {
        wanted.project.services.contains_key(name)
            && (args.services.is_empty() || args.with_dependencies || args.services.contains(name))
    };
    let meant: BTreeSet<ServiceName> =
        wanted.project.builds.keys().filter(|name| is_meant(name)).cloned().collect();
    let orders = orders(&wanted, &meant)?;
    if invocation.global.dry_run {
        let lines = orders.iter().map(|order| format!("build {}", order.name));
        return crate::output::print_lines(lines).map(|()| 0);
    }
    let engine = invocation.engine()?;
    let pushed: Vec<RegistryRef> = orders.iter().flat_map(|order| order.images.clone()).collect();
    build(&engine, orders, args.quiet, invocation).await?;
    if args.push {
        let access = registries::access(invocation, &pushed, Use::Write)?;
        let mut progress = if args.quiet { Progress::quiet() } else { invocation.progress("push") };
        let call = PushImages { images: pushed, platform: None, access };
        let faults = transfer(&engine, call, &mut progress).await?.faults;
        if !faults.is_empty() {
            return Err(Places::default().failure(faults));
        }
    }
    Ok(0)
}

/// Builds what must be there before the services of `wanted` can begin.
pub(crate) async fn before(
    which: Before,
    quiet: bool,
    engine: &Engine,
    wanted: &Wanted,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let project = &wanted.project;
    let active = || project.services.iter().filter(|(name, _)| project.builds.contains_key(*name));
    let images: Vec<PlatformImage> = active().map(|(_, service)| service.own_image()).collect();
    if which == Before::Nothing || images.is_empty() || invocation.global.dry_run {
        return Ok(());
    }
    let missing = match which {
        Before::Missing => engine.call(&MissingImages { images }).await?,
        Before::All | Before::Nothing => images,
    };
    let is_due = |image: &PlatformImage, policy| missing.contains(image) || policy == PullPolicy::Build;
    let due = active().filter(|(_, service)| is_due(&service.own_image(), service.pull_policy));
    let due: BTreeSet<ServiceName> = due.map(|(name, _)| name.clone()).collect();
    if due.is_empty() {
        return Ok(());
    }
    let mut orders = orders(wanted, &due)?;
    // What is about to run is built for where it runs: the others are for those who have `build` said.
    for order in orders.iter_mut().filter(|order| order.build.platforms.len() > 1) {
        let service = project.services.iter().find(|(name, _)| name.as_str() == order.name);
        let own = service.and_then(|(_, service)| service.platform.clone());
        order.build.platforms = own.into_iter().collect();
    }
    build(engine, orders, quiet, invocation).await
}

/// Has images built, and shows how it goes. An interrupt ends it.
async fn build(
    engine: &Engine,
    orders: Vec<BuildOrder>,
    quiet: bool,
    invocation: &Invocation,
) -> Result<(), Failure> {
    if orders.is_empty() {
        return Ok(());
    }
    let names = orders.iter().flat_map(|order| names_in(&order.build)).collect::<Vec<_>>();
    let access = registries::access(invocation, &names, Use::Read)?;
    let mut view = View::begin(&orders, quiet, invocation);
    let result = follow(engine, Call { orders, access }, &mut view).await;
    view.end(result.is_ok());
    result
}

async fn follow(engine: &Engine, call: Call, view: &mut View) -> Result<(), Failure> {
    let mut lines = engine.lines(call);
    let mut interrupts = Interrupts::listen()?;
    let mut frames = tokio::time::interval(FRAME);
    loop {
        tokio::select! {
            heard = lines.next() => match heard? {
                Heard::Opened => {}
                Heard::Line(BuildEvent::Of { name, what }) => view.take(&name, what),
                Heard::Line(BuildEvent::Done) => return Ok(()),
                Heard::Line(BuildEvent::Failed(faults)) => return Err(Places::default().failure(faults)),
            },
            _ = frames.tick() => view.draw(),
            // The engine hears that nobody listens any more.
            () = interrupts.next() => return Err(Failure::Interrupted),
        }
    }
}

/// Returns what is asked of the engine: the builds of `meant`, and those whose images they need.
fn orders(wanted: &Wanted, meant: &BTreeSet<ServiceName>) -> Result<Vec<BuildOrder>, Failure> {
    let project = &wanted.project;
    let (mut all, mut waiting) = (BTreeSet::new(), meant.iter().collect::<Vec<_>>());
    while let Some(name) = waiting.pop() {
        if all.insert(name) {
            waiting.extend(project.builds.get(name).into_iter().flat_map(Build::needs));
        }
    }
    let mut orders = Vec::new();
    for name in all {
        let Some(build) = project.builds.get(name) else { continue };
        let images = match project.services.get(name).map(|service| &service.image) {
            None => Vec::new(),
            Some(ImageRef::Registry(image)) => vec![image.clone()],
            Some(other) => {
                return Err(Failure::usage(format!(
                    "service `{name}` builds its image, and so cannot have it from `{other}`"
                )));
            }
        };
        let mut build = build.clone();
        for (label, value) in [("project", project.name.as_str()), ("service", name.as_str())] {
            build.labels.insert(format!("com.docker.compose.{label}"), value.to_owned());
        }
        orders.push(BuildOrder { name: name.to_string(), build, images });
    }
    Ok(orders)
}

/// Returns the images and caches that a build may need, as far as its Dockerfile writes them out: enough to know whose credentials
/// are wanted.
fn names_in(build: &Build) -> Vec<RegistryRef> {
    let text = match (&build.dockerfile, &build.context) {
        (DockerfileSource::Inline(text), _) => text.clone(),
        (DockerfileSource::File(path), Context::Folder(folder)) => {
            std::fs::read_to_string(folder.join(path)).unwrap_or_default()
        }
        (DockerfileSource::File(_), _) => String::new(),
    };
    let images = build.additional_contexts.values().filter_map(|context| match context {
        Context::Image(ImageRef::Registry(name)) => Some(name.clone()),
        _ => None,
    });
    let words = text.split_whitespace().map(|word| word.strip_prefix("--from=").unwrap_or(word));
    let from = build.cache_from.iter();
    let to = build.cache_to.iter().filter_map(|target| match target {
        CacheTarget::Store { store, .. } => Some(store),
        CacheTarget::Inline => None,
    });
    let generator = build.sbom.iter().filter_map(|sbom| match &sbom.generator {
        ImageRef::Registry(name) => Some(name.clone()),
        _ => None,
    });
    let caches = from.chain(to).filter_map(|store| match store {
        CacheStore::Registry(name) => Some(name.clone()),
        CacheStore::Folder { .. } => None,
    });
    let after_from = words.clone().zip(words.skip(1)).filter(|(word, _)| word.eq_ignore_ascii_case("FROM"));
    let copied = text.split_whitespace().filter_map(|word| word.strip_prefix("--from="));
    let named = after_from.map(|(_, image)| image).chain(copied);
    images.chain(caches).chain(generator).chain(named.filter_map(|name| name.parse().ok())).collect()
}

impl BuildArgs {
    /// Has the builds of a project follow what was typed.
    fn put_on(&self, wanted: &mut Wanted, invocation: &Invocation) -> Result<(), Failure> {
        let args = Variable::filled(&self.args, |name| wanted.places.variable(name));
        let mut agents = BTreeMap::new();
        for agent in &self.ssh {
            let (id, path) =
                agent.split_once('=').map_or((agent.as_str(), None), |(id, path)| (id, Some(path)));
            let own = || invocation.environment.get("SSH_AUTH_SOCK");
            let Some(path) = path.or_else(own) else {
                return Err(Failure::usage(format!(
                    "there is no agent for `--ssh {id}`: SSH_AUTH_SOCK is not set"
                )));
            };
            agents.insert(id.to_owned(), invocation.environment.current_dir.join(path));
        }
        let wrong = |name: &str, error: AttestationError| Failure::usage(format!("`--{name}`: {error}"));
        let provenance = self.provenance.as_deref().map(Provenance::read).transpose();
        let provenance = provenance.map_err(|error| wrong("provenance", error))?;
        let sbom = self.sbom.as_deref().map(Sbom::read).transpose().map_err(|error| wrong("sbom", error))?;
        for build in wanted.project.builds.values_mut() {
            build.provenance = provenance.clone().unwrap_or(build.provenance.take());
            build.sbom = sbom.clone().unwrap_or(build.sbom.take());
            build.args.extend(args.clone());
            build.ssh.extend(agents.clone());
            build.entitlements.extend(&self.allow);
            build.no_cache |= self.no_cache;
            build.pull |= self.pull;
        }
        Ok(())
    }
}
