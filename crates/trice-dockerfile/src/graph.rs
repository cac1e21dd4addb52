//! What is to be done for an image: steps, each on top of the one before, some with files of others.
//!
//! ```text
//! base ──► copy ──► run ──► …          a stage: each step is a layer on its input
//!           ▲
//!           └── files of the context, of other stages, of images
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chmod::Chmod;
use crate::document::{Document, History};
use crate::instruction::Network;
use crate::mistake::Lines;
use crate::mount::Sharing;
use crate::repository::Repository;

/// Names a step: its place among the others. Whatever it needs comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId(pub u32);

/// All steps that images need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// They, in an order in which they can be carried out.
    pub steps: Vec<Step>,
    /// The images: one for each platform.
    pub images: Vec<Image>,
}

/// An image that is made of what steps make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The step whose layers are the image's; nothing is an image without layers.
    pub result: Option<StepId>,
    /// The image's configuration, but for its layers.
    pub document: Document,
    /// What the build adds to the history, and the step that makes the layer.
    pub history: Vec<(History, Option<StepId>)>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Where the Dockerfile says it.
    pub lines: Lines,
    /// What it is called: `[build 2/5] RUN make`.
    pub title: String,
    /// The machines that what it makes is for.
    pub platform: String,
    /// The step whose files it begins with.
    pub input: Option<StepId>,
    /// What it does.
    pub operation: Operation,
    /// What was done before is done again.
    pub no_cache: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Has the files of an image.
    Base(BaseRef),
    /// Has the files of a context, all of them.
    Import(String),
    /// Makes a folder.
    MakeFolder(MakeFolder),
    /// Copies files.
    Copy(Copy),
    /// Executes a command.
    Run(Box<Run>),
}

/// What a stage can be based on beside another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum BaseRef {
    /// An image.
    Image {
        /// As the Dockerfile writes it, with variables filled in.
        reference: String,
        /// For which machines.
        platform: String,
    },
    /// A context.
    Context {
        /// Its name.
        name: String,
        /// For which machines, if it is an image.
        platform: String,
    },
}

/// What is known of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// An image, with its configuration.
    Image(Box<Document>),
    /// A folder.
    Folder,
}

/// Makes a folder, and those above it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeFolder {
    /// The absolute path.
    pub path: String,
    /// Whose it is; as `USER` says it.
    pub user: Option<String>,
}

/// Copies files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// What, one after the other.
    pub sources: Vec<Source>,
    /// Where to: an absolute path; with a slash at its end it is a folder.
    pub destination: String,
    /// Whose they are; root's if nothing is said.
    pub chown: Option<String>,
    /// Their permissions.
    pub chmod: Option<Chmod>,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Files that are somewhere already.
    Files {
        /// Where.
        origin: Origin,
        /// The absolute path there, which may have wildcards.
        path: String,
        /// With `--parents`, the part of the path that is kept: a pattern below `path`.
        kept: Option<String>,
        /// Archives among them are unpacked.
        unpack: bool,
    },
    /// A file whose content is in the Dockerfile.
    Document {
        /// Its name.
        name: String,
        /// Its content.
        content: String,
    },
    /// What a server has.
    Url {
        /// The address.
        url: String,
        /// The file's name.
        name: String,
        /// The digest that it has.
        checksum: Option<String>,
        /// It is an archive that is unpacked.
        unpack: bool,
    },
    /// What a repository has.
    Git(Box<Repository>),
}

/// Where files are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// In the context.
    Context,
    /// In the context of that name.
    Named(String),
    /// In what the step has made.
    Step(StepId),
    /// Nowhere.
    Nothing,
}

/// Executes a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Variables, in the order in which they were set.
    pub env: Vec<(String, String)>,
    /// Variables that are none of the image's business.
    pub proxy: Vec<(String, String)>,
    /// The working directory.
    pub cwd: String,
    /// The user; nothing is root.
    pub user: String,
    /// Mounts, in their order.
    pub mounts: Vec<StepMount>,
    /// A file in `/dev/pipes` with its content, which is what is executed.
    pub script: Option<(String, String)>,
    /// The network.
    pub network: Network,
    /// It may do all that the engine may.
    pub insecure: bool,
    /// Devices by name.
    pub devices: Vec<String>,
}

/// A mount of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepMount {
    /// Files that are somewhere already. What is written to them is thrown away.
    Files {
        /// Where.
        origin: Origin,
        /// The absolute path there.
        path: String,
        /// The absolute path in the step.
        target: String,
        /// They may be written to.
        writable: bool,
    },
    /// A folder that is kept.
    Cache {
        /// What it is called.
        id: String,
        /// The absolute path in the step.
        target: String,
        /// With what it begins.
        origin: Origin,
        /// The absolute path there.
        path: String,
        /// How several steps use it.
        sharing: Sharing,
        /// It is only read.
        read_only: bool,
        /// Its permissions when it is new.
        mode: Option<u32>,
        /// Its owner when it is new.
        uid: Option<u32>,
        /// Its group when it is new.
        gid: Option<u32>,
    },
    /// Memory.
    Tmpfs {
        /// The absolute path in the step.
        target: String,
        /// At most this many bytes.
        size: Option<u64>,
    },
    /// A secret.
    Secret {
        /// What it is called.
        id: String,
        /// The absolute path in the step, if it is a file there.
        target: Option<String>,
        /// The variable, if it is one there.
        env: Option<String>,
        /// The permissions of the file.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Without it there is no step.
        required: bool,
    },
    /// The socket of an agent that has keys.
    Agent {
        /// What it is called.
        id: String,
        /// The absolute path in the step.
        target: String,
        /// The permissions of the socket.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Without it there is no step.
        required: bool,
    },
}

impl Step {
    /// Returns the steps that it needs.
    pub fn needs(&self) -> Vec<StepId> {
        let mut needs: Vec<StepId> = self.input.into_iter().collect();
        needs.extend(self.operation.origins().filter_map(|origin| match origin {
            Origin::Step(step) => Some(*step),
            Origin::Context | Origin::Named(_) | Origin::Nothing => None,
        }));
        needs.sort();
        needs.dedup();
        needs
    }

    /// Returns the step with other numbers for those that it needs.
    fn renumbered(mut self, numbers: &[StepId]) -> Self {
        let new = |step: StepId| numbers[step.0 as usize];
        self.input = self.input.map(new);
        for origin in self.operation.origins_mut() {
            if let Origin::Step(step) = origin {
                *step = new(*step);
            }
        }
        self
    }
}

impl Operation {
    /// Returns where it has files from.
    fn origins(&self) -> impl Iterator<Item = &Origin> {
        let (sources, mounts): (&[Source], &[StepMount]) = match self {
            Self::Base(_) | Self::Import(_) | Self::MakeFolder(_) => (&[], &[]),
            Self::Copy(copy) => (&copy.sources, &[]),
            Self::Run(run) => (&[], &run.mounts),
        };
        let of_sources = sources.iter().filter_map(|source| match source {
            Source::Files { origin, .. } => Some(origin),
            Source::Document { .. } | Source::Url { .. } | Source::Git(_) => None,
        });
        let of_mounts = mounts.iter().filter_map(|mount| match mount {
            StepMount::Files { origin, .. } | StepMount::Cache { origin, .. } => Some(origin),
            StepMount::Tmpfs { .. } | StepMount::Secret { .. } | StepMount::Agent { .. } => None,
        });
        of_sources.chain(of_mounts)
    }

    fn origins_mut(&mut self) -> impl Iterator<Item = &mut Origin> {
        let (sources, mounts): (&mut [Source], &mut [StepMount]) = match self {
            Self::Base(_) | Self::Import(_) | Self::MakeFolder(_) => (&mut [], &mut []),
            Self::Copy(copy) => (&mut copy.sources, &mut []),
            Self::Run(run) => (&mut [], &mut run.mounts),
        };
        let of_sources = sources.iter_mut().filter_map(|source| match source {
            Source::Files { origin, .. } => Some(origin),
            Source::Document { .. } | Source::Url { .. } | Source::Git(_) => None,
        });
        let of_mounts = mounts.iter_mut().filter_map(|mount| match mount {
            StepMount::Files { origin, .. } | StepMount::Cache { origin, .. } => Some(origin),
            StepMount::Tmpfs { .. } | StepMount::Secret { .. } | StepMount::Agent { .. } => None,
        });
        of_sources.chain(of_mounts)
    }
}

/// A layer that a step has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeLayer {
    /// The digest of its archive without compression.
    pub diff_id: String,
    /// When it was made.
    pub created: String,
}

impl Graph {
    /// Puts what several images need together. What two of them need is done once: a stage for the machine that builds,
    /// say, which makes something for others.
    pub fn merged(graphs: impl IntoIterator<Item = Self>) -> Self {
        let mut merged = Self { steps: Vec::new(), images: Vec::new() };
        for graph in graphs {
            let mut numbers: Vec<StepId> = Vec::new();
            for step in graph.steps {
                let step = step.renumbered(&numbers);
                let place = merged.steps.iter().position(|other| *other == step);
                let place = place.unwrap_or_else(|| {
                    merged.steps.push(step);
                    merged.steps.len() - 1
                });
                numbers.push(StepId(place as u32));
            }
            let new = |step: StepId| numbers[step.0 as usize];
            merged.images.extend(graph.images.into_iter().map(|image| Image {
                result: image.result.map(new),
                history: image.history.into_iter().map(|(told, step)| (told, step.map(new))).collect(),
                document: image.document,
            }));
        }
        merged
    }
}

impl Image {
    /// Returns the image's whole configuration. `base` are the layers of the lowest stage, `layers` those that the
    /// steps made. `created` is the time of what was made without any step.
    ///
    /// What makes no layer was made when the layer before it was, so that the same steps make the same image.
    pub fn finished(&self, base: &[String], layers: &BTreeMap<StepId, MadeLayer>, created: &str) -> Document {
        let mut document = self.document.clone();
        document.rootfs.diff_ids = base.to_vec();
        // A folder has layers and no history.
        let told = document.history.iter().filter(|history| !history.empty_layer).count();
        let import = History { created_by: Some("IMPORT".to_owned()), ..History::default() };
        document.history.extend(base.iter().skip(told).map(|_| import.clone()));
        let made = |step: &Option<StepId>| step.and_then(|step| layers.get(&step));
        let first = self.history.iter().find_map(|(_, step)| made(step));
        let mut time = first.map_or(created, |layer| &layer.created);
        for (history, step) in &self.history {
            let layer = made(step);
            document.rootfs.diff_ids.extend(layer.map(|layer| layer.diff_id.clone()));
            time = layer.map_or(time, |layer| &layer.created);
            document.history.push(History {
                created: Some(time.to_owned()),
                empty_layer: layer.is_none(),
                ..history.clone()
            });
        }
        document.created = Some(time.to_owned());
        document
    }
}
