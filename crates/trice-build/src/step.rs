//! One step: found by what it depends on, or done.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FileType;
use trice_dockerfile::graph::{
    BaseRef, Copy, MadeLayer, MakeFolder, Operation, Origin as From, Source, Step, StepId,
};
use trice_dockerfile::pattern::Patterns;
use trice_dockerfile::repository::Repository;
use trice_image::digest::Digest;
use trice_image::platform::Platform;
use trice_model::time::Timestamp;
use trice_runtime::user::{UserError, look_up};

use crate::archive::is_archive;
use crate::base::{Found, Layer};
use crate::builder::{now, seconds};
use crate::cache::CachedStep;
use crate::content::{self, Counting};
use crate::copy::{self, Copier, CopyError, Style};
use crate::download::FETCHED;
use crate::error::StepError;
use crate::event::Outcome;
use crate::execute::Work;
use crate::git::{Git, Resolved};
use crate::provenance::Material;
use crate::record::{FilesRecord, StepRecord};
use crate::select::{Origin, Selection, Top};
use crate::stamps::Stamps;
use crate::tree::Tree;

/// What was of use within this time is not written down again.
pub(crate) const AN_HOUR: Duration = Duration::from_secs(60 * 60);

/// The upper and work folders of an overlayfs.
pub(crate) struct Scratch {
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
}

/// What a source means, with its digest.
pub(crate) struct Meant {
    pub(crate) digest: String,
    /// The files, if they had to be looked at.
    tops: Option<Vec<Top>>,
    /// The commit, if they are those of one.
    commit: Option<Resolved>,
}

impl Work<'_> {
    /// Carries a step out. Returns its layers, the lowest first.
    pub(crate) fn step(&self, id: StepId) -> Result<(Vec<Layer>, Outcome), StepError> {
        let step = &self.steps[id.0 as usize];
        let below = self.below(id);
        match &step.operation {
            Operation::Base(base) => self.begin(id, base),
            Operation::Import(name) => self.import(id, step, &self.opened(Some(name))?.origin),
            Operation::MakeFolder(make) => {
                self.found_or_made(id, step, &below, &[], || self.make_folder(make, &below))
            }
            Operation::Copy(copy) => {
                let counting = counting(copy);
                let meant = self.all_meant(id, copy, counting)?;
                let digests: Vec<String> = meant.iter().flatten().map(|meant| meant.digest.clone()).collect();
                self.found_or_made(id, step, &below, &digests, || self.copy(copy, meant, &below))
            }
            Operation::Run(run) => self.run(id, step, run, &below),
        }
    }

    fn begin(&self, id: StepId, base: &BaseRef) -> Result<(Vec<Layer>, Outcome), StepError> {
        match self.base(base)? {
            Found::Image { layers, material, .. } => {
                if let Some(material) = material {
                    self.takes(id, material);
                }
                Ok((layers, Outcome::Cached))
            }
            // A context is asked for by its name: see `Operation::Import`.
            Found::Folder(path) => Err(StepError::Files(format!("`{}` is a context", path.display()))),
        }
    }

    /// Has all files of a context as a layer. They are root's, as all are that come from a context.
    fn import(&self, id: StepId, step: &Step, origin: &Origin) -> Result<(Vec<Layer>, Outcome), StepError> {
        let nothing = Patterns::default();
        let selection = Selection { path: "/", kept: None, excluded: &nothing };
        let tops = origin.select(&selection).map_err(|error| StepError::files(&error))?;
        let counting = Counting { owners: false, modes: true, folder_names: false };
        let digest = content::digest(&tops, counting, None).map_err(|error| StepError::files(&error))?;
        let key = format!("import {} {digest}", self.platform(step));
        let key = blake3::hash(key.as_bytes()).to_hex().to_string();
        self.with_key(id, &key, &[], false, || {
            let scratch = self.scratch()?;
            let tree = Tree::folder(&scratch.upper).map_err(|source| disk("make a layer", source))?;
            let style = Style { owner: Some((0, 0)), chmod: None };
            let mut copier = Copier::new(&tree, &style);
            for top in &tops {
                copier.copy(top, "/").map_err(|error| StepError::files(&error))?;
            }
            Ok(scratch.upper)
        })
    }

    /// What the machine that it is for and the wanted times add to a step's key.
    fn platform(&self, step: &Step) -> String {
        let host = Platform::host();
        let other = match step.platform.parse::<Platform>() {
            Ok(platform) if platform == host => String::new(),
            Ok(platform) => platform.to_string(),
            Err(_) => step.platform.clone(),
        };
        match self.build.source_date_epoch {
            Some(epoch) => format!("{other} {epoch}"),
            None => other,
        }
    }

    /// Finds the layer that a step made before, or has it made. `make` returns its folder.
    pub(crate) fn found_or_made(
        &self,
        id: StepId,
        step: &Step,
        below: &[Layer],
        files: &[String],
        make: impl FnOnce() -> Result<PathBuf, StepError>,
    ) -> Result<(Vec<Layer>, Outcome), StepError> {
        let diff_ids: Vec<String> = below.iter().map(|layer| layer.diff_id.to_string()).collect();
        let key = step.key(&diff_ids, files, &self.platform(step)).expect("what makes a layer has a key");
        self.with_key(id, key.as_str(), below, step.no_cache, make)
    }

    fn with_key(
        &self,
        id: StepId,
        key: &str,
        below: &[Layer],
        no_cache: bool,
        make: impl FnOnce() -> Result<PathBuf, StepError>,
    ) -> Result<(Vec<Layer>, Outcome), StepError> {
        let travels = !below.iter().any(|layer| layer.standing);
        let record = if no_cache { None } else { self.tools.store.get::<StepRecord>(key)? };
        if let Some(record) = record
            && let Some(root) = self.kept(&record.layer)?
        {
            let layer = Layer::stored(record.layer.clone(), root);
            let is_old = now().since(record.used_at) > AN_HOUR;
            let cached =
                CachedStep { key: record.key.clone(), layer: record.layer.clone(), made_at: record.made_at };
            let renewed = is_old.then(|| StepRecord { used_at: now(), ..record });
            self.take_in(id, cached, travels, None, renewed);
            return Ok((on_top(below, layer), Outcome::Cached));
        }
        if !no_cache
            && travels
            && let Some(cached) = self.found_elsewhere(key)
            && let Some(root) = self.kept(&cached.layer)?
        {
            let layer = Layer::stored(cached.layer.clone(), root);
            let (key, made_at) = (cached.key.clone(), cached.made_at);
            let record = StepRecord { key, layer: cached.layer.clone(), made_at, used_at: now() };
            self.take_in(id, cached, travels, None, Some(record));
            return Ok((on_top(below, layer), Outcome::Cached));
        }
        let folder = make()?;
        let epoch = self.build.source_date_epoch;
        let finished = self.tools.images.layer_of_folder(&self.workshop, &folder, epoch)?;
        let layer = Layer::stored(finished.diff_id().clone(), finished.root());
        let made_at = now();
        let cached = CachedStep { key: key.to_owned(), layer: layer.diff_id.clone(), made_at };
        let record =
            StepRecord { key: key.to_owned(), layer: layer.diff_id.clone(), made_at, used_at: made_at };
        self.take_in(id, cached, travels, Some(finished), Some(record));
        Ok((on_top(below, layer), Outcome::Done))
    }

    /// Has a layer stay for as long as the build goes on, if it is here.
    fn kept(&self, layer: &Digest) -> Result<Option<PathBuf>, StepError> {
        let is_here = self.tools.images.hold_layers(self.lease, std::slice::from_ref(layer))?;
        Ok(self.tools.images.layer_root(layer).filter(|_| is_here))
    }

    pub(crate) fn made(&self, layer: &Digest, at: Timestamp) -> MadeLayer {
        let created = self.build.source_date_epoch.map_or_else(|| at.rfc3339(), seconds);
        MadeLayer { diff_id: layer.to_string(), created }
    }

    /// Stacks layers, only to be read.
    pub(crate) fn tree(&self, layers: &[Layer]) -> Result<Tree, StepError> {
        let tree = Tree::of_layers(&top_first(layers), &self.empty);
        tree.map_err(|source| disk("stack the layers", source))
    }

    /// Makes folders for an overlayfs.
    pub(crate) fn scratch(&self) -> Result<Scratch, StepError> {
        let folder = self.workshop.scratch()?;
        let (upper, work) = (folder.join("upper"), folder.join("work"));
        let make = || {
            use std::os::unix::fs::PermissionsExt;
            std::fs::create_dir(&upper)?;
            std::fs::set_permissions(&upper, std::fs::Permissions::from_mode(0o755))?;
            std::fs::create_dir(&work)
        };
        make().map_err(|source| disk("make a folder for a layer", source))?;
        Ok(Scratch { upper, work })
    }

    fn make_folder(&self, make: &MakeFolder, below: &[Layer]) -> Result<PathBuf, StepError> {
        let scratch = self.scratch()?;
        let owner = match &make.user {
            Some(user) => self.owner(user, below)?,
            None => (0, 0),
        };
        let tree = Tree::writable(&top_first(below), &self.empty, &scratch.upper, &scratch.work);
        let tree = tree.map_err(|source| disk("stack the layers", source))?;
        copy::make_all(&tree, Path::new(&make.path), owner).map_err(|error| StepError::files(&error))?;
        Ok(scratch.upper)
    }

    /// Looks an owner up in the image: `name`, `uid`, either with `:group`. A number without a group is its group too, and
    /// root stands for whom the image does not know, as with BuildKit.
    fn owner(&self, text: &str, below: &[Layer]) -> Result<(u32, u32), StepError> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let (mut user, mut group) = (user.to_owned(), group.to_owned());
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let needs_files = !is_number(&user) || !group.is_empty() && !is_number(&group);
        let (passwd, groups) = if needs_files {
            let tree = self.tree(below)?;
            (tree.text(Path::new("/etc/passwd")), tree.text(Path::new("/etc/group")))
        } else {
            (String::new(), String::new())
        };
        let found = loop {
            match look_up(&format!("{user}:{group}"), &[], &passwd, &groups) {
                Err(unknown @ UserError::UnknownUser(_)) => {
                    self.warn(&format!("{unknown}: the files become root's"));
                    user = "0".to_owned();
                }
                Err(unknown @ UserError::UnknownGroup(_)) => {
                    self.warn(&format!("{unknown}: the files get the user's own group"));
                    group = String::new();
                }
                other => break other?,
            }
        };
        Ok((found.uid, if group.is_empty() && is_number(&user) { found.uid } else { found.gid }))
    }

    /// Finds the files that all sources of a copy mean; nothing for those that are no files yet.
    fn all_meant(
        &self,
        id: StepId,
        copy: &Copy,
        counting: Counting,
    ) -> Result<Vec<Option<Meant>>, StepError> {
        let meant = copy.sources.iter().map(|source| match source {
            Source::Files { origin, path, kept, .. } => {
                self.meant(origin, path, kept.as_deref(), &copy.exclude, counting).map(Some)
            }
            Source::Document { .. } => Ok(None),
            // With a digest it is known what it is without a look at it.
            Source::Url { url, checksum: Some(checksum), .. } => {
                self.takes(id, Material::file(url, checksum));
                Ok(Some(Meant { digest: checksum.clone(), tops: None, commit: None }))
            }
            Source::Url { url, name, checksum: None, .. } => {
                let meant = self.download(url, name, None)?;
                self.takes(id, Material::file(url, &meant.digest));
                Ok(Some(meant))
            }
            Source::Git(repository) => {
                let meant = self.commit_meant(repository)?;
                if let Some(resolved) = &meant.commit {
                    self.takes(id, Material::commit(&repository.shown(), &resolved.commit));
                }
                Ok(Some(meant))
            }
        });
        meant.collect()
    }

    /// Finds the files that one source means, and their digest. Of files in layers it is remembered: they never change.
    pub(crate) fn meant(
        &self,
        from: &From,
        path: &str,
        kept: Option<&str>,
        exclude: &[String],
        counting: Counting,
    ) -> Result<Meant, StepError> {
        let From::Step(step) = from else {
            let tops = self.select(from, path, kept, exclude)?;
            let stamps = match from {
                From::Context => Some(&self.opened(None)?.stamps),
                From::Named(name) => Some(&self.opened(Some(name))?.stamps),
                From::Step(_) | From::Nothing => None,
            };
            return Ok(Meant { digest: digest(&tops, counting, stamps)?, tops: Some(tops), commit: None });
        };
        let layers = self.layers_of(*step);
        // What stands on this machine may be another file by now.
        let lasts = !layers.iter().any(|layer| layer.standing);
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let what = serde_json::json!([diff_ids, path, kept, exclude, format!("{counting:?}")]);
        let key = blake3::hash(what.to_string().as_bytes()).to_hex().to_string();
        if lasts && let Some(record) = self.tools.store.get::<FilesRecord>(&key)? {
            return Ok(Meant { digest: record.digest, tops: None, commit: None });
        }
        let tops = self.select(from, path, kept, exclude)?;
        let digest = digest(&tops, counting, None)?;
        if lasts {
            self.remember_files(FilesRecord { key, digest: digest.clone() });
        }
        Ok(Meant { digest, tops: Some(tops), commit: None })
    }

    /// Finds the files that one source means.
    pub(crate) fn select(
        &self,
        from: &From,
        path: &str,
        kept: Option<&str>,
        exclude: &[String],
    ) -> Result<Vec<Top>, StepError> {
        let excluded = Patterns::new(exclude.iter().map(String::as_str));
        let excluded = excluded.map_err(|error| StepError::files(&error))?;
        let selection = Selection { path, kept, excluded: &excluded };
        let select = |origin: &Origin| origin.select(&selection).map_err(|error| StepError::files(&error));
        match from {
            From::Context => select(&self.opened(None)?.origin),
            From::Named(name) => select(&self.opened(Some(name))?.origin),
            From::Step(step) => select(&*self.tree_of(*step)?),
            From::Nothing => select(&Origin::new(self.tree(&[])?)),
        }
    }

    fn copy(&self, copy: &Copy, meant: Vec<Option<Meant>>, below: &[Layer]) -> Result<PathBuf, StepError> {
        let scratch = self.scratch()?;
        let tree = Tree::writable(&top_first(below), &self.empty, &scratch.upper, &scratch.work);
        let tree = tree.map_err(|source| disk("stack the layers", source))?;
        let chown = copy.chown.as_deref().map(|chown| self.owner(chown, below)).transpose()?;
        let mut files_to_one_place = 0;
        for (source, meant) in copy.sources.iter().zip(meant) {
            // What is in a context is nobody's; what is in an image is somebody's.
            let is_owned = matches!(source, Source::Files { origin: From::Step(_), .. });
            let owner = chown.or((!is_owned).then_some((0, 0)));
            let style = Style { owner, chmod: copy.chmod.clone() };
            let mut copier = Copier::new(&tree, &style);
            let failed = |error: CopyError| StepError::files(&error);
            match (source, meant) {
                (Source::Files { origin, path, kept, unpack }, Some(meant)) => {
                    let tops = match meant.tops {
                        Some(tops) => tops,
                        None => self.select(origin, path, kept.as_deref(), &copy.exclude)?,
                    };
                    if !is_folder(&tree, &copy.destination) {
                        files_to_one_place += tops.iter().filter(|top| !top.is_folder()).count();
                    }
                    for top in &tops {
                        if *unpack && self.unpack(top, &tree, &copy.destination, chown)? {
                            continue;
                        }
                        copier.copy(top, &copy.destination).map_err(failed)?;
                    }
                }
                (Source::Document { name, content }, _) => {
                    copier.write(name, content.as_bytes(), &copy.destination).map_err(failed)?;
                }
                (Source::Url { url, name, checksum, unpack }, Some(meant)) => {
                    let meant = match meant.tops {
                        Some(_) => meant,
                        None => self.download(url, name, checksum.as_deref())?,
                    };
                    for top in meant.tops.iter().flatten() {
                        if !*unpack || !self.unpack(top, &tree, &copy.destination, chown)? {
                            copier.copy(top, &copy.destination).map_err(failed)?;
                        }
                    }
                }
                (Source::Git(repository), Some(Meant { commit: Some(commit), .. })) => {
                    for top in &self.checked_out(repository, &commit)? {
                        copier.copy(top, &copy.destination).map_err(failed)?;
                    }
                }
                (Source::Files { .. } | Source::Url { .. } | Source::Git(_), _) => {}
            }
        }
        if files_to_one_place > 1 {
            let place = &copy.destination;
            self.warn(&format!(
                "{files_to_one_place} files become `{place}`, and only the last one stays: `{place}/` is a folder for all"
            ));
        }
        Ok(scratch.upper)
    }

    /// Fetches a file from a server.
    fn download(&self, url: &str, name: &str, checksum: Option<&str>) -> Result<Meant, StepError> {
        let folder = self.workshop.scratch()?;
        let digest = self.tools.download(url, &folder, self.stop)?;
        if let Some(wanted) = checksum.filter(|wanted| **wanted != digest) {
            return Err(StepError::Files(format!(
                "`{url}` should have the digest {wanted}, and has {digest}"
            )));
        }
        let tree = Tree::folder(&folder).map_err(|source| disk("keep what was fetched", source))?;
        let nothing = Patterns::default();
        let path = format!("/{FETCHED}");
        let selection = Selection { path: &path, kept: None, excluded: &nothing };
        let mut tops = Origin::new(tree).select(&selection).map_err(|error| StepError::files(&error))?;
        tops.iter_mut().for_each(|top| top.name = name.into());
        Ok(Meant { digest, tops: Some(tops), commit: None })
    }

    /// Finds out which commit is meant, and so what its files are.
    fn commit_meant(&self, repository: &Repository) -> Result<Meant, StepError> {
        let resolved = self.git().resolve(repository, &self.workshop)?;
        let Repository { folder, submodules, keep_git_dir, .. } = repository;
        let digest = format!("git:{} {folder} {submodules} {keep_git_dir}", resolved.commit);
        Ok(Meant { digest, tops: None, commit: Some(resolved) })
    }

    /// Returns the files of a commit.
    fn checked_out(&self, repository: &Repository, resolved: &Resolved) -> Result<Vec<Top>, StepError> {
        let checkout = self.git().checkout(repository, resolved, &self.workshop)?;
        let tree = Tree::folder(&checkout).map_err(|source| disk("open what was fetched", source))?;
        let nothing = Patterns::default();
        let path = format!("/{}", repository.folder.trim_start_matches('/'));
        let selection = Selection { path: &path, kept: None, excluded: &nothing };
        Origin::new(tree).select(&selection).map_err(|error| StepError::files(&error))
    }

    fn git(&self) -> Git<'_> {
        Git { tools: self.tools, build: self.build, lease: self.lease, stop: self.stop }
    }

    /// Unpacks a file to a folder if it is an archive. Tells whether it is one.
    fn unpack(
        &self,
        top: &Top,
        tree: &Tree,
        destination: &str,
        owner: Option<(u32, u32)>,
    ) -> Result<bool, StepError> {
        let item = &top.items[0];
        if item.kind != FileType::RegularFile {
            return Ok(false);
        }
        let open = || item.open(top).map(File::from).map_err(|error| disk("open the archive", error.into()));
        let name = top.name.to_string_lossy();
        if !is_archive(open()?).map_err(|source| disk("read the archive", source))? {
            return Ok(false);
        }
        let unpacked = self.tools.images.layer_of_archive(&self.workshop, open()?, &name, |_| Ok(()))?;
        let root = unpacked.root();
        let origin = Tree::folder(&root).map_err(|source| disk("open what was unpacked", source))?;
        let nothing = Patterns::default();
        let selection = Selection { path: "/", kept: None, excluded: &nothing };
        let tops = Origin::new(origin).select(&selection).map_err(|error| StepError::files(&error))?;
        let style = Style { owner, chmod: None };
        let mut copier = Copier::new(tree, &style);
        for top in &tops {
            copier.copy(top, destination).map_err(|error| StepError::files(&error))?;
        }
        Ok(true)
    }
}

fn counting(copy: &Copy) -> Counting {
    use trice_dockerfile::chmod::Chmod;
    let is_owned = |source: &Source| matches!(source, Source::Files { origin: From::Step(_), .. });
    Counting {
        owners: copy.chown.is_none() && copy.sources.iter().any(is_owned),
        modes: !matches!(copy.chmod, Some(Chmod::Exactly(_))),
        folder_names: false,
    }
}

fn digest(tops: &[Top], counting: Counting, stamps: Option<&Stamps>) -> Result<String, StepError> {
    content::digest(tops, counting, stamps).map_err(|error| StepError::files(&error))
}

fn is_folder(tree: &Tree, destination: &str) -> bool {
    let there = tree.stat(Path::new(destination)).ok().flatten();
    destination.ends_with('/')
        || there.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// Returns the folders of layers, the topmost first. Of one that is there twice the upper one counts, which overlayfs
/// insists on.
pub(crate) fn top_first(layers: &[Layer]) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = Vec::new();
    let mut seen: Vec<&Digest> = Vec::new();
    for layer in layers.iter().rev() {
        if !seen.contains(&&layer.diff_id) {
            seen.push(&layer.diff_id);
            roots.push(layer.root.clone());
        }
    }
    roots
}

fn on_top(below: &[Layer], layer: Layer) -> Vec<Layer> {
    let mut layers = below.to_vec();
    layers.push(layer);
    layers
}

pub(crate) fn disk(what: &str, source: std::io::Error) -> StepError {
    StepError::Disk { what: what.to_owned(), source }
}
