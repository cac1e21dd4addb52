//! Contexts that are elsewhere, brought to this machine before the build begins.
//!
//! ```text
//! repository ──git──► the commit's layer ──► its folder                    a web address ──download──► an archive: a folder
//!                                                                                                  └─► else a Dockerfile
//! ```
//!
//! What comes from elsewhere is not trusted: its links lead nowhere out of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use trice_dockerfile::repository::{Repository, is_repository};
use trice_image::lease::Lease;
use trice_image::workshop::Workshop;
use trice_model::build::{Build, Context, DockerfileSource};

use crate::archive::is_archive;
use crate::builder::{Tools, read};
use crate::download::FETCHED;
use crate::error::{BuildError, StepError, chain};
use crate::event::{Event, Listener};
use crate::git::Git;
use crate::provenance::Material;
use crate::step::disk;
use crate::tree::Tree;

/// What an address leads to.
enum Fetched {
    Folder(PathBuf),
    Text(String),
}

/// A build with all contexts on this machine.
pub(crate) struct Brought {
    pub(crate) build: Build,
    /// What the usual context came from.
    pub(crate) source: Option<Material>,
    /// What the others came from.
    pub(crate) others: Vec<Material>,
}

/// Whoever brings contexts here.
pub(crate) struct Fetching<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) lease: &'a Lease,
    pub(crate) workshop: &'a Workshop,
    pub(crate) listener: Listener<'a>,
    pub(crate) stop: &'a AtomicBool,
}

impl Fetching<'_> {
    /// Returns the build with all contexts on this machine, for as long as the lease and the workshop are there.
    pub(crate) fn brought(&self, build: &Build) -> Result<Brought, BuildError> {
        let (mut here, mut source, mut others) = (build.clone(), None, Vec::new());
        for (name, context) in &build.additional_contexts {
            let Context::Remote(url) = context else { continue };
            let (fetched, material) = self.fetch(build, url)?;
            others.push(material);
            let Fetched::Folder(folder) = fetched else {
                let reason = "it is neither a repository nor an archive".to_owned();
                return Err(BuildError::ContextKind { name: url.clone(), reason });
            };
            here.additional_contexts.insert(name.clone(), Context::Folder(folder));
        }
        if let Context::Remote(url) = &build.context {
            let (fetched, material) = self.fetch(build, url)?;
            source = Some(material);
            here.context = Context::Folder(match fetched {
                Fetched::Folder(folder) => folder,
                Fetched::Text(text) => {
                    here.dockerfile = DockerfileSource::Inline(text);
                    self.workshop.scratch()?
                }
            });
        }
        Ok(Brought { build: here, source, others })
    }

    fn fetch(&self, build: &Build, url: &str) -> Result<(Fetched, Material), BuildError> {
        (self.listener)(Event::Fetching { image: url.to_owned(), amount: None });
        let is_git = is_repository(url) || url.starts_with("github.com/");
        let (name, fetched) = if is_git {
            let repository: Result<Repository, _> = url.parse();
            match repository {
                Ok(repository) => (repository.shown(), self.repository(build, &repository)),
                Err(error) => (url.to_owned(), Err(StepError::files(&error))),
            }
        } else if url.starts_with("http://") || url.starts_with("https://") {
            (url.to_owned(), self.file(url))
        } else {
            let reason = "it is neither a repository nor an address of the web".to_owned();
            return Err(BuildError::ContextKind { name: url.to_owned(), reason });
        };
        fetched.map_err(|error| match error {
            StepError::Cancelled => BuildError::Cancelled,
            error => BuildError::ContextKind { name, reason: chain(&error) },
        })
    }

    fn repository(&self, build: &Build, repository: &Repository) -> Result<(Fetched, Material), StepError> {
        let git = Git { tools: self.tools, build, lease: self.lease, stop: self.stop };
        let resolved = git.resolve(repository, self.workshop)?;
        let root = git.checkout(repository, &resolved, self.workshop)?;
        let folder = Tree::folder(&root).and_then(|tree| tree.place(Path::new(&repository.folder)));
        let folder = folder.map_err(|source| disk(&format!("open `{}` in it", repository.folder), source))?;
        let material = Material::commit(&repository.shown(), &resolved.commit);
        Ok((Fetched::Folder(folder), material))
    }

    fn file(&self, url: &str) -> Result<(Fetched, Material), StepError> {
        let folder = self.workshop.scratch()?;
        let digest = self.tools.download(url, &folder, self.stop)?;
        let material = Material::file(url, &digest);
        let path = folder.join(FETCHED);
        let open = || File::open(&path).map_err(|source| disk("read what was fetched", source));
        if is_archive(open()?).map_err(|source| disk("read what was fetched", source))? {
            let layer = self.tools.images.layer_of_archive(self.workshop, open()?, url, |_| Ok(()))?;
            return Ok((Fetched::Folder(layer.root()), material));
        }
        let text = read(&path).map_err(|source| disk("read the Dockerfile that was fetched", source))?;
        Ok((Fetched::Text(text), material))
    }
}
