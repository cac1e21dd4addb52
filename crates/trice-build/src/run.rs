//! `RUN`: a command, with its mounts, in a container.
//!
//! ```text
//! bind      a copy of what is meant, without what the context leaves out; thrown away afterwards
//! cache     DATA/build/caches/DIGEST: a folder that is kept; who locks it, has it alone
//! secret    a file in memory                                agent     the socket of the caller's agent
//! ```
//!
//! What the runtime makes in an image so that something can be mounted there is taken away again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Gid, RenameFlags, Uid, flock, renameat_with};
use rustix::io::Errno;
use trice_dockerfile::graph::{Origin as From, Run, Step, StepId, StepMount};
use trice_dockerfile::instruction::Network;
use trice_dockerfile::mount::Sharing;
use trice_image::digest::Digest;
use trice_image::platform::Platform;
use trice_model::build::{BuildNetwork, Entitlement};
use trice_model::mount::{Bind, MountSpec, MountSpecSource, Propagation, Tmpfs};
use trice_model::units::Bytes;

use crate::base::Layer;
use crate::budget;
use crate::content::Counting;
use crate::copy::{Copier, Style};
use crate::error::StepError;
use crate::event::Outcome;
use crate::execute::Work;
use crate::sandbox::{Command, MADE, SandboxError, Written};
use crate::secret;
use crate::step::{disk, top_first};
use crate::tree::{Tree, open_folder};

/// What a command is given, and what has to be put away after it.
#[derive(Default)]
struct Given {
    mounts: Vec<MountSpec>,
    env: BTreeMap<String, String>,
    /// Folders in memory, and copies: they go with this.
    folders: Vec<PathBuf>,
    /// Locks on caches.
    locks: Vec<File>,
}

impl Drop for Given {
    fn drop(&mut self) {
        for folder in &self.folders {
            if let Err(error) = fs::remove_dir_all(folder) {
                tracing::warn!(%error, path = %folder.display(), "delete what a command was given");
            }
        }
    }
}

impl Work<'_> {
    /// Executes a command, unless it was executed before.
    pub(crate) fn run(
        &self,
        id: StepId,
        step: &Step,
        run: &Run,
        below: &[Layer],
    ) -> Result<(Vec<Layer>, Outcome), StepError> {
        self.check_rights(run)?;
        let mut files = Vec::new();
        for mount in &run.mounts {
            if let StepMount::Files { origin, path, .. } = mount
                && *origin != From::Nothing
            {
                let counting = Counting { owners: true, modes: true, folder_names: false };
                files.push(self.meant(origin, path, None, &[], counting)?.digest);
            }
        }
        self.found_or_made(id, step, below, &files, || self.execute(id, step, run, below))
    }

    fn check_rights(&self, run: &Run) -> Result<(), StepError> {
        let has = |right| self.build.entitlements.contains(&right);
        if run.insecure && !has(Entitlement::SecurityInsecure) {
            return Err(StepError::Right { what: "`--security=insecure`", right: "security.insecure" });
        }
        let asked = run.network == Network::Host;
        let usual = self.build.network == BuildNetwork::Host;
        if asked && !usual && !has(Entitlement::NetworkHost) {
            return Err(StepError::Right { what: "`--network=host`", right: "network.host" });
        }
        if let Some(device) = run.devices.first() {
            return Err(StepError::Unsupported(format!(
                "`--device={device}`: there are no devices for steps"
            )));
        }
        Ok(())
    }

    fn execute(&self, id: StepId, step: &Step, run: &Run, below: &[Layer]) -> Result<PathBuf, StepError> {
        let given = self.give(run)?;
        let mut env: BTreeMap<String, String> = run.proxy.iter().cloned().collect();
        env.extend(run.env.iter().cloned());
        env.extend(given.env.clone());
        let command = Command {
            layers: if below.is_empty() { vec![self.empty.clone()] } else { top_first(below) },
            args: run.args.clone(),
            env,
            cwd: run.cwd.clone(),
            user: run.user.clone(),
            mounts: given.mounts.clone(),
            network: match run.network {
                Network::Default => BuildNetwork::Default,
                Network::None => BuildNetwork::None,
                Network::Host => BuildNetwork::Host,
            },
            privileged: run.insecure,
            hosts: self.build.extra_hosts.clone(),
            shm_size: self.build.shm_size,
            ulimits: self.build.ulimits.clone(),
        };
        let missing = self.missing(&command, below)?;
        let mut written = |line: Written<'_>| self.wrote(id, line.is_error, line.line);
        let executed = self.tools.sandbox.execute(&command, &mut written, self.stop);
        let executed = executed.map_err(|error| match error {
            SandboxError::Cancelled => StepError::Cancelled,
            failed @ SandboxError::Failed(_) => match step.platform.parse::<Platform>() {
                Ok(platform) if Platform::host().distance(&platform).is_none() => {
                    StepError::Foreign { platform, source: failed }
                }
                _ => StepError::Sandbox(failed),
            },
        })?;
        drop(given);
        if executed.exit.code() != 0 {
            return Err(StepError::Code { command: shown(&run.args), code: executed.exit.code() });
        }
        take_away(&executed.upper, &missing).map_err(|source| disk("tidy up after a command", source))?;
        // From there it gets to its place by its name alone.
        let place = self.workshop.scratch()?.join("upper");
        fs::rename(&executed.upper, &place)
            .map_err(|source| disk("take over what a command changed", source))?;
        drop(executed.rest);
        Ok(place)
    }

    /// Returns the paths that the image does not have, and that are made so that something can be mounted there.
    fn missing(&self, command: &Command, below: &[Layer]) -> Result<Vec<PathBuf>, StepError> {
        let tree = self.tree(below)?;
        let targets = command.mounts.iter().map(|mount| mount.target.clone());
        let mut missing = BTreeSet::new();
        for path in MADE.iter().map(PathBuf::from).chain(targets) {
            for part in path.ancestors() {
                match tree.stat(part) {
                    Ok(Some(_)) => break,
                    Ok(None) => drop(missing.insert(part.to_owned())),
                    Err(error) => return Err(disk("look at the image", error.into())),
                }
            }
        }
        // What is in a folder goes before it.
        let missing: Vec<PathBuf> = missing.into_iter().rev().collect();
        Ok(missing)
    }

    fn give(&self, run: &Run) -> Result<Given, StepError> {
        let mut given = Given::default();
        if let Some((name, content)) = &run.script {
            let folder = self.folder_in_memory(&mut given)?;
            write_file(&folder.join(name), content.as_bytes(), 0o755, (0, 0))
                .map_err(|source| disk("write the script of a command", source))?;
            given.mounts.push(bind(&folder, "/dev/pipes", true));
        }
        for mount in &run.mounts {
            self.give_mount(mount, &mut given)?;
        }
        Ok(given)
    }

    fn give_mount(&self, mount: &StepMount, given: &mut Given) -> Result<(), StepError> {
        match mount {
            StepMount::Files { origin, path, target, writable } => {
                let (folder, file) = self.copy_of(origin, path, given)?;
                let source = file.unwrap_or(folder);
                given.mounts.push(bind(&source, target, !writable));
            }
            StepMount::Cache { id, target, origin, path, sharing, read_only, mode, uid, gid } => {
                let folder = self.cache(id, *sharing, given)?;
                if !folder.exists() {
                    let owner = (uid.unwrap_or(0), gid.unwrap_or(0));
                    self.begin_cache(&folder, (origin, path), mode.unwrap_or(0o755), owner)?;
                }
                given.mounts.push(bind(&folder, target, *read_only));
            }
            StepMount::Tmpfs { target, size } => {
                let tmpfs = Tmpfs { size: size.map(Bytes), exec: true, ..Tmpfs::default() };
                let source = MountSpecSource::Tmpfs(tmpfs);
                given.mounts.push(MountSpec { target: target.into(), read_only: false, source });
            }
            StepMount::Secret { id, target, env, mode, uid, gid, required } => {
                let Some(secret) = secret::read(self.build, id)? else {
                    if *required {
                        return Err(StepError::Secret { what: "secret", id: id.clone() });
                    }
                    return Ok(());
                };
                if let Some(env) = env {
                    let name = if env.is_empty() { id } else { env };
                    given.env.insert(name.clone(), String::from_utf8_lossy(&secret).into_owned());
                }
                if let Some(target) = target {
                    let file = self.folder_in_memory(given)?.join("secret");
                    write_file(&file, &secret, *mode, (*uid, *gid))
                        .map_err(|source| disk("write a secret", source))?;
                    given.mounts.push(bind(&file, target, true));
                }
            }
            StepMount::Agent { id, target, required, .. } => match self.build.ssh.get(id) {
                Some(socket) => {
                    given.mounts.push(bind(socket, target, false));
                    given.env.entry("SSH_AUTH_SOCK".to_owned()).or_insert_with(|| target.clone());
                }
                None if *required => {
                    return Err(StepError::Secret { what: "agent with keys", id: id.clone() });
                }
                None => {}
            },
        }
        Ok(())
    }

    /// Makes a folder in memory that goes after the command.
    fn folder_in_memory(&self, given: &mut Given) -> Result<PathBuf, StepError> {
        let make = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.tools.secrets)?;
            let mut number = 0_u64;
            loop {
                let path = self.tools.secrets.join(format!("{}-{number}", std::process::id()));
                match fs::create_dir(&path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                    made => return made.map(|()| path),
                }
            }
        };
        let path: PathBuf = make().map_err(|source| disk("make a folder in memory", source))?;
        given.folders.push(path.clone());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(|source| disk("make a folder in memory", source))?;
        Ok(path)
    }

    /// Copies files for a command. Returns the folder, and the file in it if it is one file.
    fn copy_of(
        &self,
        origin: &From,
        path: &str,
        given: &mut Given,
    ) -> Result<(PathBuf, Option<PathBuf>), StepError> {
        let folder = self.workshop.scratch()?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
            .map_err(|source| disk("copy files for a command", source))?;
        given.folders.push(folder.clone());
        let inside = folder.join("files");
        fs::create_dir(&inside).map_err(|source| disk("copy files for a command", source))?;
        if *origin == From::Nothing {
            return Ok((inside, None));
        }
        let tops = self.select(origin, path, None, &[])?;
        let tree = Tree::folder(&inside).map_err(|source| disk("copy files for a command", source))?;
        let owner = (!matches!(origin, From::Step(_))).then_some((0, 0));
        let style = Style { owner, chmod: None };
        let mut copier = Copier::new(&tree, &style);
        let mut file = None;
        for top in &tops {
            copier.copy(top, "/").map_err(|error| StepError::files(&error))?;
            file = (!top.is_folder()).then(|| inside.join(&top.name));
        }
        Ok((inside, file))
    }

    /// Returns the folder of a cache, which may not be there yet. Who wants it alone waits for it.
    fn cache(&self, id: &str, sharing: Sharing, given: &mut Given) -> Result<PathBuf, StepError> {
        let failed = |source| disk(&format!("open the cache `{id}`"), source);
        let folder = self.tools.folder.join("caches");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        // An id is any text, and no path.
        let name = Digest::of(id.as_bytes()).hex().to_owned();
        let lock = |name: &str, operation| -> io::Result<File> {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(false).mode(0o600);
            let file = file.open(budget::lock_of(&folder.join(name)))?;
            flock(&file, operation)?;
            budget::mark_used(&file)?;
            Ok(file)
        };
        let (name, file) = match sharing {
            Sharing::Shared => (name.clone(), lock(&name, FlockOperation::LockShared)),
            Sharing::Locked => (name.clone(), lock(&name, FlockOperation::LockExclusive)),
            // The first of several that nobody has.
            Sharing::Private => {
                let mut number = 0;
                loop {
                    let numbered = if number == 0 { name.clone() } else { format!("{name}-{number}") };
                    match lock(&numbered, FlockOperation::NonBlockingLockExclusive) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => number += 1,
                        other => break (numbered, other),
                    }
                }
            }
        };
        given.locks.push(file.map_err(failed)?);
        Ok(folder.join(name))
    }

    /// Makes a cache, with the files that it begins with.
    fn begin_cache(
        &self,
        folder: &Path,
        (origin, path): (&From, &str),
        mode: u32,
        (uid, gid): (u32, u32),
    ) -> Result<(), StepError> {
        let failed = |source| disk("make a cache", source);
        let new = self.workshop.scratch()?;
        if *origin != From::Nothing {
            let tree = Tree::folder(&new).map_err(failed)?;
            let style = Style { owner: None, chmod: None };
            for top in &self.select(origin, path, None, &[])? {
                Copier::new(&tree, &style).copy(top, "/").map_err(|error| StepError::files(&error))?;
            }
        }
        let own = || -> io::Result<()> {
            std::os::unix::fs::chown(&new, Some(uid), Some(gid))?;
            fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
            // Another step may be faster, and use it already: even an empty one is not replaced.
            Ok(renameat_with(CWD, &new, CWD, folder, RenameFlags::NOREPLACE)?)
        };
        match own() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_dir_all(&new).map_err(failed)
            }
            made => made.map_err(failed),
        }
    }
}

/// Mounts a path of this machine.
pub(crate) fn bind(source: &Path, target: &str, read_only: bool) -> MountSpec {
    let bind = Bind {
        path: source.to_owned(),
        create_host_path: false,
        propagation: Propagation::Rprivate,
        recursive: false,
    };
    MountSpec { target: target.into(), read_only, source: MountSpecSource::Bind(bind) }
}

fn write_file(path: &Path, content: &[u8], mode: u32, owner: (u32, u32)) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    rustix::fs::fchown(&file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// Takes away what was only made so that something could be mounted there, as far as nothing has been put into it.
fn take_away(upper: &Path, missing: &[PathBuf]) -> io::Result<()> {
    let root = rustix::fs::open(
        upper,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    for path in missing {
        let mut folders = vec![root.try_clone()?];
        let parts: Vec<_> = path.iter().skip(1).collect();
        for part in &parts[..parts.len().saturating_sub(1)] {
            // A command may have put a link there: it is not followed.
            match open_folder(folders[folders.len() - 1].as_fd(), part) {
                Ok(folder) => folders.push(folder),
                Err(_) => break,
            }
        }
        if folders.len() < parts.len() {
            continue;
        }
        let Some(name) = parts.last() else { continue };
        let folder = &folders[folders.len() - 1];
        let Ok(stat) = rustix::fs::statat(folder, *name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let flags = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Directory => AtFlags::REMOVEDIR,
            rustix::fs::FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
            _ => continue,
        };
        match rustix::fs::unlinkat(folder, *name, flags) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Returns a command as people write it.
fn shown(args: &[String]) -> String {
    let text = match args {
        [shell, flag, text] if flag.starts_with('-') && shell.starts_with('/') => text.clone(),
        args => args.join(" "),
    };
    let mut first: String = text.trim().lines().next().unwrap_or_default().chars().take(120).collect();
    if first.len() < text.trim().len() {
        first.push('…');
    }
    first
}
