//! One build, from the Dockerfile to the image.
//!
//! ```text
//! Dockerfile ──evaluate──► what is it based on? ──base──► here ──evaluate──► graph ──execute──► layers ──► image
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use trice_dockerfile::dockerfile::Dockerfile;
use trice_dockerfile::evaluate::{Evaluated, evaluate};
use trice_dockerfile::graph::{BaseRef, Graph};
use trice_dockerfile::instruction::Network;
use trice_dockerfile::mistake::{Lines, Mistakes};
use trice_dockerfile::parse::parse;
use trice_dockerfile::pattern::Patterns;
use trice_dockerfile::wanted::{NoCache, PlatformNames, Wanted};
use trice_image::images::Images;
use trice_image::platform::{Platform, PlatformError};
use trice_image::registry::Registries;
use trice_model::build::{Build, BuildNetwork, Context, DockerfileSource};
use trice_model::image::RegistryRef;
use trice_model::time::Timestamp;
use trice_state::store::Store;

use crate::base::{Bases, Found};
use crate::contexts::Fetching;
use crate::error::{BaseError, BuildError};
use crate::event::{Event, Listener};
use crate::execute::Work;
use crate::sandbox::Sandbox;
use crate::select::Origin;
use crate::stamps::Stamps;
use crate::tree::Tree;

/// What a build works with.
pub struct Tools {
    /// The images.
    pub images: Images,
    /// The records.
    pub store: Store,
    /// A folder of its own, on the file system of the images.
    pub folder: PathBuf,
    /// A folder of its own in memory, for secrets.
    pub secrets: PathBuf,
    /// Whoever waits for registries.
    pub runtime: Handle,
    /// The registries.
    pub registries: Registries,
    /// Where commands are executed.
    pub sandbox: Box<dyn Sandbox>,
}

/// What is to be built.
#[derive(Debug, Clone)]
pub struct Order {
    /// How.
    pub build: Build,
    /// The names that the image gets, those in `build.tags` apart.
    pub names: Vec<RegistryRef>,
    /// The images of services that it may be based on, by the services.
    pub services: BTreeMap<String, Vec<BuiltImage>>,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The images, in the order in which their platforms are named.
    pub images: Vec<BuiltImage>,
    /// Their names.
    pub names: Vec<RegistryRef>,
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// The machines that it is for.
    pub platform: Platform,
    /// Its id.
    pub id: String,
}

impl BuiltImage {
    /// Returns how people call its platform, if that is not this machine's.
    pub fn other_platform(&self) -> Option<String> {
        (self.platform != Platform::host()).then(|| names_of(&self.platform).to_string())
    }
}

/// The Dockerfile as it is shown to people, and what is read of it.
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// The longest Dockerfile and `.dockerignore` that are read.
const LONGEST: u64 = 16 << 20;

impl Tools {
    /// Builds an image, or one for each platform, unless `stop` says that nobody wants it any more.
    ///
    /// # Errors
    /// [`BuildError`]; there is no new image then, and no name has changed.
    pub fn build(
        &self,
        order: &Order,
        listener: Listener<'_>,
        stop: &AtomicBool,
    ) -> Result<Built, BuildError> {
        let (began, platforms) = (now(), platforms(&order.build)?);
        let lease = self.images.lease()?;
        let workshop = self.images.workshop()?;
        let fetching = Fetching { tools: self, lease: &lease, workshop: &workshop, listener, stop };
        let brought = fetching.brought(&order.build)?;
        let build = &brought.build;
        let is_fetched = matches!(order.build.context, Context::Remote(_));
        let (script, ignored) = self.script(build, is_fetched)?;
        let wrong = |mistakes: Mistakes| BuildError::Mistakes(mistakes.shown(&script.name, &script.text));
        let dockerfile = parse(&script.text).map_err(wrong)?;
        let folder = match &build.context {
            Context::Folder(path) => path.clone(),
            _ => PathBuf::from("/"),
        };
        let bases = Bases {
            tools: self,
            lease: &lease,
            listener,
            folder: &folder,
            contexts: &build.additional_contexts,
            services: &order.services,
            pull: build.pull,
            is_fetched,
        };
        let mut found = BTreeMap::new();
        let graphs = platforms.iter().map(|platform| {
            let wanted = wanted(build, platform);
            self.graph(&dockerfile, &wanted, &bases, &mut found, &script, &wrong)
        });
        let Graph { steps, images } = Graph::merged(graphs.collect::<Result<Vec<_>, _>>()?);
        let names: Vec<RegistryRef> = order
            .names
            .iter()
            .cloned()
            .map(Ok)
            .chain(build.tags.iter().map(|tag| tag.parse()))
            .collect::<Result<_, _>>()?;
        let context = self.context(&build.context, ignored)?;
        let named = self.named_contexts(build)?;
        let work =
            Work::new(self, &lease, build, &script, &steps, &found, context, named, listener, stop, &bases)?;
        let listed = build.sbom.iter().flat_map(|sbom| {
            platforms
                .iter()
                .map(|platform| format!("[{}] list the software by {}", names_of(platform), sbom.generator))
        });
        if build.sbom.is_some() && script.text.contains("BUILDKIT_SBOM_SCAN_") {
            let text = "`BUILDKIT_SBOM_SCAN_…`: the software of the image is listed, and not that of stages or contexts";
            listener(Event::Warning(text.to_owned()));
        }
        listener(Event::Planned(steps.iter().map(|step| step.title.clone()).chain(listed).collect()));
        let outcome = work.carry_out();
        // What steps made is of use to the next build, also if this one fails.
        work.keep()?;
        outcome?;
        let ids = work.finish(&images, &brought, began, &names)?;
        let images = platforms.into_iter().zip(ids).map(|(platform, id)| BuiltImage { platform, id });
        Ok(Built { images: images.collect(), names })
    }

    /// Finds out what is to be done. What that depends on is had here meanwhile.
    fn graph(
        &self,
        dockerfile: &Dockerfile,
        wanted: &Wanted,
        bases: &Bases<'_>,
        found: &mut BTreeMap<BaseRef, Found>,
        script: &Script,
        wrong: &dyn Fn(Mistakes) -> BuildError,
    ) -> Result<Graph, BuildError> {
        loop {
            let known = found.iter().map(|(base, found)| (base.clone(), found.known())).collect();
            let unknown = match evaluate(dockerfile, wanted, &known).map_err(wrong)? {
                Evaluated::Graph(graph) => return Ok(*graph),
                Evaluated::Unknown(unknown) => unknown,
            };
            let results: Vec<(BaseRef, Lines, Result<Found, BaseError>)> = std::thread::scope(|scope| {
                let threads: Vec<_> = unknown
                    .into_iter()
                    .map(|(base, lines)| {
                        scope.spawn(move || {
                            let result = bases.find(&base);
                            (base, lines, result)
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("a look-up does not panic")).collect()
            });
            for (base, lines, result) in results {
                let result = result.map_err(|source| BuildError::Base {
                    file: script.name.clone(),
                    text: script.text.clone(),
                    lines,
                    source: Box::new(source),
                })?;
                found.insert(base, result);
            }
        }
    }

    /// Reads the Dockerfile, and what it leaves out of its context. Links of a context that was fetched lead nowhere out of
    /// it.
    fn script(&self, build: &Build, is_fetched: bool) -> Result<(Script, Patterns), BuildError> {
        let folder = match &build.context {
            Context::Folder(path) => Some(path),
            Context::Image(_) | Context::Service(_) | Context::Remote(_) => None,
        };
        let place = |path: &Path| match folder {
            Some(folder) if is_fetched => Tree::folder(folder)?.place(path),
            Some(folder) => Ok(folder.join(path)),
            None => Ok(path.to_owned()),
        };
        let mut ignore_files: Vec<PathBuf> = Vec::new();
        let script = match &build.dockerfile {
            DockerfileSource::Inline(text) => Script { name: "Dockerfile".to_owned(), text: text.clone() },
            DockerfileSource::File(path) => {
                // Where the store has what was fetched is nobody's business.
                let shown = folder.filter(|_| !is_fetched).map_or(path.clone(), |folder| folder.join(path));
                let text = place(path).and_then(|path| read(&path));
                let text = text.map_err(|source| BuildError::Dockerfile { path: shown, source })?;
                ignore_files.push(with_suffix(path, ".dockerignore"));
                Script { name: path.display().to_string(), text }
            }
        };
        ignore_files.extend(folder.map(|_| PathBuf::from(".dockerignore")));
        for path in ignore_files {
            let text = match place(&path).and_then(|path| read(&path)) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(BuildError::Ignore { path, reason: error.to_string() }),
            };
            let patterns = Patterns::of_file(&text);
            let patterns =
                patterns.map_err(|error| BuildError::Ignore { path, reason: error.to_string() })?;
            return Ok((script, patterns));
        }
        Ok((script, Patterns::default()))
    }

    fn context(&self, context: &Context, ignored: Patterns) -> Result<Option<Opened>, BuildError> {
        match context {
            Context::Folder(path) => Ok(Some(self.open(path, ignored, "context")?)),
            Context::Image(_) | Context::Service(_) | Context::Remote(_) => Ok(None),
        }
    }

    fn named_contexts(&self, build: &Build) -> Result<BTreeMap<String, Opened>, BuildError> {
        let mut named = BTreeMap::new();
        for (name, context) in &build.additional_contexts {
            if let Context::Folder(path) = context
                && path.is_dir()
            {
                let ignored = match read(&path.join(".dockerignore")) {
                    Ok(text) => Patterns::of_file(&text).map_err(|error| BuildError::Ignore {
                        path: path.join(".dockerignore"),
                        reason: error.to_string(),
                    })?,
                    Err(_) => Patterns::default(),
                };
                named.insert(name.clone(), self.open(path, ignored, name)?);
            }
        }
        Ok(named)
    }

    pub(crate) fn open(&self, path: &Path, ignored: Patterns, name: &str) -> Result<Opened, BuildError> {
        let failed = |source| BuildError::Context { name: name.to_owned(), source };
        let tree = Tree::folder(path).map_err(failed)?;
        let stat = rustix::fs::fstat(tree.root()).map_err(|error| failed(error.into()))?;
        let stamps = Stamps::open(&self.folder.join("stamps"), &stat);
        Ok(Opened { origin: Origin { tree, ignored }, stamps })
    }
}

/// A folder that files are taken of.
pub(crate) struct Opened {
    pub(crate) origin: Origin,
    pub(crate) stamps: Stamps,
}

/// Returns the machines that images are built for, each once; this one if nothing is said.
fn platforms(build: &Build) -> Result<Vec<Platform>, BuildError> {
    let mut platforms: Vec<Platform> = Vec::new();
    for text in &build.platforms {
        let platform =
            text.parse().map_err(|error: PlatformError| BuildError::Mistakes(error.to_string()))?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    if platforms.is_empty() {
        platforms.push(Platform::host());
    }
    Ok(platforms)
}

/// Returns the names as Dockerfiles and images have them. What every processor of an architecture is has none there.
fn names_of(platform: &Platform) -> PlatformNames {
    let Platform { os, architecture, variant } = platform.clone();
    let variant = variant.filter(|variant| (architecture.as_str(), variant.as_str()) != ("arm64", "v8"));
    PlatformNames { os, architecture, variant: variant.unwrap_or_default() }
}

fn wanted(build: &Build, platform: &Platform) -> Wanted {
    let no_cache = match (build.no_cache, build.no_cache_filter.is_empty()) {
        (true, _) => NoCache::All,
        (false, true) => NoCache::Nothing,
        (false, false) => NoCache::Stages(build.no_cache_filter.clone()),
    };
    let mut args = build.args.clone();
    if let Some(epoch) = build.source_date_epoch {
        args.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert_with(|| epoch.to_string());
    }
    Wanted {
        target: build.target.clone(),
        args,
        contexts: build.additional_contexts.keys().cloned().collect(),
        platform: names_of(platform),
        machine: names_of(&Platform::host()),
        no_cache,
        labels: build.labels.clone(),
        network: match build.network {
            BuildNetwork::Default => Network::Default,
            BuildNetwork::None => Network::None,
            BuildNetwork::Host => Network::Host,
        },
    }
}

/// Reads a text. What is no file is none: a fifo would be waited for.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("it is longer than {} MiB", LONGEST >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not a text in UTF-8"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns this moment.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Writes seconds since 1970 as images have them.
pub(crate) fn seconds(seconds: i64) -> String {
    let nanos = u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000_000);
    let text = Timestamp(nanos).rfc3339();
    text.replace(".000000000Z", "Z")
}
