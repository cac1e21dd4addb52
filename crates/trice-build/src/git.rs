//! Repositories, fetched with the machine's `git`.
//!
//! ```text
//! address ──ls-remote──► commit ──known──► the layer that was made of it before
//!                          └─ not yet ──► fetch that commit alone, check it out, its submodules too ──► a layer
//! ```
//!
//! A commit's files are a layer like any other: builds find it by the commit, and it goes when it was of no use for long.
//!
//! What a repository says runs nothing here: no hook, no filter, no configuration but ours, and no way to fetch but those
//! over the net. Nobody is asked for a password; what a server wants to see is a secret of the build:
//! `GIT_AUTH_TOKEN` or `GIT_AUTH_HEADER`, for one host `GIT_AUTH_TOKEN.HOST`, and the agent with keys called `default`.
//!
//! Sources: git(1), git-config(1), gitprotocol-capabilities(5); Docker's documentation, "Build context".

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use trice_dockerfile::repository::Repository;
use trice_image::digest::Digest;
use trice_image::lease::Lease;
use trice_image::workshop::Workshop;
use trice_model::build::Build;
use trice_state::batch::Batch;

use crate::builder::{Tools, now};
use crate::error::{GitError, StepError};
use crate::record::StepRecord;
use crate::secret;
use crate::step::{AN_HOUR, disk};
use crate::tree::Tree;

/// How often it is asked whether the build is still wanted.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// How much is read of what git says.
const LONGEST: u64 = 16 << 20;
/// How much of that is shown.
const LAST_LINES: usize = 5;

/// Where git works: a folder of its own, with the files in it.
struct Place {
    home: PathBuf,
    tree: PathBuf,
}

impl Place {
    fn new(workshop: &Workshop) -> Result<Self, StepError> {
        let home = workshop.scratch()?;
        let tree = home.join("tree");
        fs::create_dir(&tree).map_err(|source| disk("make a folder for a repository", source))?;
        Ok(Self { home, tree })
    }
}

/// Fetches repositories for one build.
pub(crate) struct Git<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) build: &'a Build,
    pub(crate) lease: &'a Lease,
    pub(crate) stop: &'a AtomicBool,
}

/// A commit, and the name by which it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) commit: String,
    name: Option<String>,
}

impl Git<'_> {
    /// Asks the server which commit is meant.
    pub(crate) fn resolve(
        &self,
        repository: &Repository,
        workshop: &Workshop,
    ) -> Result<Resolved, StepError> {
        let resolved = match repository.commit() {
            Some(commit) => Resolved { commit: commit.to_ascii_lowercase(), name: None },
            None => {
                let candidates = repository.candidates();
                let tags = candidates.iter().filter(|name| name.starts_with("refs/tags/"));
                let patterns: Vec<String> =
                    candidates.iter().cloned().chain(tags.map(|tag| format!("{tag}^{{}}"))).collect();
                let place = Place::new(workshop)?;
                let mut words = vec!["ls-remote", "--", &repository.remote];
                words.extend(patterns.iter().map(String::as_str));
                let listed = self.git(repository, &place, &words)?;
                let missing = || GitError::Missing {
                    remote: repository.shown(),
                    reference: repository.reference.clone().unwrap_or_else(|| "HEAD".to_owned()),
                };
                chosen(&listed, &candidates).ok_or_else(missing)?
            }
        };
        match repository.checksum.as_ref().filter(|start| !resolved.commit.starts_with(start.as_str())) {
            None => Ok(resolved),
            Some(wanted) => Err(GitError::Checksum {
                remote: repository.shown(),
                wanted: wanted.clone(),
                found: resolved.commit,
            }
            .into()),
        }
    }

    /// Has the files of a commit here for as long as the build goes on, and returns their folder, which is a layer's.
    pub(crate) fn checkout(
        &self,
        repository: &Repository,
        resolved: &Resolved,
        workshop: &Workshop,
    ) -> Result<PathBuf, StepError> {
        let Repository { remote, submodules, keep_git_dir, .. } = repository;
        let what = serde_json::json!(["git", remote, resolved.commit, submodules, keep_git_dir]);
        let key = blake3::hash(what.to_string().as_bytes()).to_hex().to_string();
        let (images, store) = (&self.tools.images, &self.tools.store);
        if let Some(record) = store.get::<StepRecord>(&key)?
            && images.hold_layers(self.lease, std::slice::from_ref(&record.layer))?
            && let Some(root) = images.layer_root(&record.layer)
        {
            if now().since(record.used_at) > AN_HOUR {
                store.commit(Batch::new().put(&StepRecord { used_at: now(), ..record }))?;
            }
            return Ok(root);
        }
        let place = Place::new(workshop)?;
        let committed_at = self.fetch(repository, resolved, &place)?;
        // What is checked out is as old as the moment; what is committed is as old as its commit.
        let finished = images.layer_of_folder(workshop, &place.tree, Some(committed_at))?;
        let layer: Digest = finished.diff_id().clone();
        images.publish(self.lease, workshop, &[finished])?;
        let record = StepRecord { key, layer: layer.clone(), made_at: now(), used_at: now() };
        store.commit(Batch::new().put(&record))?;
        let gone =
            || StepError::Files(format!("the files of `{}` have just been removed", repository.shown()));
        images.layer_root(&layer).ok_or_else(gone)
    }

    /// Fetches a commit into an empty folder, and returns when it was made, in seconds since 1970.
    fn fetch(&self, repository: &Repository, resolved: &Resolved, place: &Place) -> Result<i64, StepError> {
        let Resolved { commit, name } = resolved;
        let git = |words: &[&str]| self.git(repository, place, words);
        git(&["init", "--quiet", "--initial-branch=main"])?;
        git(&["remote", "add", "--", "origin", &repository.remote])?;
        let wanted = name.as_ref().unwrap_or(commit);
        let alone = git(&["fetch", "--quiet", "--depth=1", "--no-tags", "origin", wanted]);
        if let Err(refused) = alone {
            if !may_give_more(&refused, name.is_some()) {
                return Err(refused);
            }
            git(&["fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"])?;
        }
        let checked_out = git(&["checkout", "--quiet", "--detach", commit]);
        if let (Err(error), Some(name)) = (&checked_out, name) {
            tracing::debug!(%commit, error = error as &dyn std::error::Error, "the commit has not come");
            return Err(GitError::Changed { remote: repository.shown(), name: name.clone() }.into());
        }
        checked_out?;
        let has_submodules = repository.submodules && place.tree.join(".gitmodules").exists();
        if has_submodules {
            git(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"])?;
        }
        let told = git(&["show", "--no-patch", "--format=%ct", commit])?;
        if !repository.keep_git_dir {
            // Each submodule has a file that leads to what is about to go.
            let words = ["submodule", "--quiet", "foreach", "--recursive", "printf '%s\\0' \"$displaypath\""];
            let submodules = if has_submodules { git(&words)? } else { String::new() };
            remove_own(place, &submodules).map_err(|source| disk("remove what is git's own", source))?;
        }
        Ok(told.trim().parse().unwrap_or_default())
    }

    /// Runs git and returns what it writes.
    fn git(&self, repository: &Repository, place: &Place, words: &[&str]) -> Result<String, StepError> {
        let (output, errors) = (place.home.join("output"), place.home.join("errors"));
        let failed = |source| disk("keep what git says", source);
        let mut command = Command::new("git");
        command
            .current_dir(&place.tree)
            .env_clear()
            .envs(self.environment(repository, &place.home)?)
            .args(words)
            .stdin(Stdio::null())
            .stdout(File::create(&output).map_err(failed)?)
            .stderr(File::create(&errors).map_err(failed)?)
            .process_group(0);
        let mut child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StepError::Git(GitError::NoGit),
            _ => disk("run git", source),
        })?;
        let group = Pid::from_child(&child);
        let waited =
            pidfd_open(group, PidfdFlags::empty()).map_err(|error| disk("wait for git", error.into()))?;
        loop {
            let mut ended = [PollFd::new(&waited, PollFlags::IN)];
            match poll(&mut ended, Some(&PAUSE)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => break,
                Err(error) => return Err(disk("wait for git", error.into())),
            }
            if self.stop.load(Ordering::Relaxed) {
                // It may have ended this moment.
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        let status = child.wait().map_err(|source| disk("wait for git", source))?;
        if self.stop.load(Ordering::Relaxed) {
            return Err(StepError::Cancelled);
        }
        if status.success() {
            return read(&output).map_err(failed);
        }
        let said = read(&errors).map_err(failed)?.replace(&repository.remote, &repository.shown());
        let said = said.trim_end().lines().rev().take(LAST_LINES).collect::<Vec<_>>();
        let said = said.into_iter().rev().collect::<Vec<_>>().join("\n");
        let what = words.first().copied().unwrap_or_default().to_owned();
        Err(GitError::Failed { remote: repository.shown(), what, said }.into())
    }

    fn environment(
        &self,
        repository: &Repository,
        home: &Path,
    ) -> Result<Vec<(String, OsString)>, StepError> {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let known_hosts = self.tools.folder.join("known_hosts");
        // What a host is called for the first time is believed, and must stay so.
        let ssh = format!(
            "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o 'UserKnownHostsFile={}'",
            known_hosts.display()
        );
        let mut settings: Vec<(&str, String)> = [
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("protocol.allow", "never"),
            ("protocol.https.allow", "always"),
            ("protocol.http.allow", "always"),
            ("protocol.ssh.allow", "always"),
            ("protocol.git.allow", "always"),
            ("gc.auto", "0"),
        ]
        .map(|(key, value)| (key, value.to_owned()))
        .to_vec();
        let (header, authorization);
        if let Some((server, host)) = web_server(&repository.remote) {
            header = format!("http.{server}/.extraHeader");
            authorization = self.authorization(host)?;
            settings.extend(authorization.map(|shown| (header.as_str(), format!("Authorization: {shown}"))));
        }
        let mut environment: Vec<(String, OsString)> = vec![
            ("PATH".into(), path),
            ("HOME".into(), home.into()),
            ("LC_ALL".into(), "C".into()),
            ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
            ("GIT_CONFIG_GLOBAL".into(), "/dev/null".into()),
            ("GIT_TERMINAL_PROMPT".into(), "0".into()),
            ("GIT_SSH_COMMAND".into(), ssh.into()),
            ("GIT_CONFIG_COUNT".into(), settings.len().to_string().into()),
        ];
        for (number, (key, value)) in settings.into_iter().enumerate() {
            environment.push((format!("GIT_CONFIG_KEY_{number}"), key.into()));
            environment.push((format!("GIT_CONFIG_VALUE_{number}"), value.into()));
        }
        if let Some(agent) = self.build.ssh.get("default") {
            environment.push(("SSH_AUTH_SOCK".into(), agent.clone().into()));
        }
        Ok(environment)
    }

    /// Returns what a server on the web is to be shown, if the build has a secret for it.
    fn authorization(&self, host: &str) -> Result<Option<String>, StepError> {
        let secret = |kind: &str| -> Result<Option<String>, StepError> {
            for id in [format!("{kind}.{host}"), kind.to_owned()] {
                if let Some(secret) = secret::read(self.build, &id)? {
                    return Ok(Some(String::from_utf8_lossy(&secret).trim().to_owned()));
                }
            }
            Ok(None)
        };
        if let Some(header) = secret("GIT_AUTH_HEADER")? {
            return Ok(Some(header));
        }
        let token = secret("GIT_AUTH_TOKEN")?;
        Ok(token.map(|token| format!("basic {}", STANDARD.encode(format!("x-access-token:{token}")))))
    }
}

/// Removes what is git's own, in the repository and in its submodules.
fn remove_own(place: &Place, submodules: &str) -> io::Result<()> {
    let tree = Tree::folder(&place.tree)?;
    for path in submodules.split_terminator('\0') {
        unlinkat(tree.open(Path::new(path))?, ".git", AtFlags::empty())?;
    }
    fs::remove_dir_all(place.tree.join(".git"))
}

/// Returns the scheme and authority of an address of the web, and its host.
fn web_server(remote: &str) -> Option<(&str, &str)> {
    let (scheme, rest) =
        remote.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    Some((
        &remote[..scheme.len() + "://".len() + authority.len()],
        authority.rsplit('@').next().unwrap_or_default(),
    ))
}

/// Tells whether a server that refused to give one commit alone may give it with others: not every server gives a commit
/// that no name leads to, or one without those before it.
fn may_give_more(refused: &StepError, is_named: bool) -> bool {
    match refused {
        StepError::Git(GitError::Failed { said, .. }) => !is_named || said.contains("shallow"),
        _ => false,
    }
}

/// Chooses among what `git ls-remote` lists: lines of a commit and a name. A tag that has something to say is an object of
/// its own, and its commit is listed as `NAME^{}`.
fn chosen(listed: &str, candidates: &[String]) -> Option<Resolved> {
    let lines: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once('\t')).collect();
    let of =
        |name: &str| lines.iter().find(|(_, listed)| *listed == name).map(|(commit, _)| (*commit).to_owned());
    candidates.iter().find_map(|name| {
        let commit = of(&format!("{name}^{{}}")).or_else(|| of(name))?;
        Some(Resolved { commit, name: Some(name.clone()) })
    })
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_comes_before_a_tag_and_a_tag_is_its_commit() {
        let listed = "1\tHEAD\n2\trefs/heads/a\n3\trefs/tags/a\n4\trefs/tags/b\n5\trefs/tags/b^{}\n";
        let candidates = |name: &str| -> Vec<String> {
            ["refs/heads/", "refs/tags/"].iter().map(|way| format!("{way}{name}")).collect()
        };
        assert_eq!(chosen(listed, &candidates("a")).unwrap().commit, "2");
        assert_eq!(chosen(listed, &candidates("b")).unwrap().commit, "5");
        assert_eq!(chosen(listed, &["HEAD".to_owned()]).unwrap().commit, "1");
        assert_eq!(chosen(listed, &candidates("c")), None);
    }

    #[test]
    fn the_host_is_told_without_who_calls() {
        assert_eq!(web_server("https://me:x@h:8443/r.git"), Some(("https://me:x@h:8443", "h:8443")));
        assert_eq!(web_server("http://h"), Some(("http://h", "h")));
        assert_eq!(web_server("git@h:r"), None);
    }
}
