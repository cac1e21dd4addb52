//! What `COPY` and `ADD` mean.

use super::{State, Walk};
use crate::chmod::Chmod;
use crate::expand::{Reading, word};
use crate::graph::{Copy, Operation, Origin, Source};
use crate::instruction::{AddForm, CopyForm, Files, Placed};
use crate::mistake::{Lines, Mistake};
use crate::path;
use crate::repository::{Repository, is_repository};
use crate::stages::{expanded, misplaced};

impl Walk<'_> {
    pub(super) fn copy(
        &mut self,
        state: &mut State,
        placed: &Placed,
        form: &CopyForm,
        is_trigger: bool,
    ) -> Result<(), Mistake> {
        let lines = placed.lines;
        let origin = match &form.from {
            Some(from) => self.origin(from, state, lines)?,
            None => Origin::Context,
        };
        let sources = self.filled(state, &form.files.sources, lines)?;
        let mut lowered = Vec::new();
        for source in &sources {
            if is_url(source) || is_repository(source) {
                let mistake = Mistake::new(lines, format!("`{source}` is not in the context"));
                return Err(mistake.hint("`ADD` takes what is on other machines"));
            }
            let origin = origin.clone();
            lowered.push(if form.parents {
                let (path, kept) = source.split_once("/./").unwrap_or(("/", source));
                let kept = path::clean(kept)[1..].to_owned();
                Source::Files { origin, path: path::clean(path), kept: Some(kept), unpack: false }
            } else {
                Source::Files { origin, path: source_path(source), kept: None, unpack: false }
            });
        }
        let flags = if form.parents { " --parents" } else { "" };
        self.files(state, placed, &form.files, ("COPY", flags), (sources, lowered), is_trigger)
    }

    pub(super) fn add(
        &mut self,
        state: &mut State,
        placed: &Placed,
        form: &AddForm,
        is_trigger: bool,
    ) -> Result<(), Mistake> {
        let lines = placed.lines;
        let sources = self.filled(state, &form.files.sources, lines)?;
        let checksum =
            form.checksum.as_deref().map(|text| expanded(text, self.dockerfile.escape, state, lines));
        let checksum = checksum.transpose()?.filter(|checksum| !checksum.is_empty());
        if checksum.is_some() {
            let mistake = match &sources[..] {
                [source] if is_url(source) || is_repository(source) => None,
                [_] => Some("`--checksum` is for what is on other machines"),
                _ => Some("`--checksum` is for one source"),
            };
            if let Some(mistake) = mistake {
                return Err(Mistake::new(lines, mistake));
            }
        }
        let mut lowered = Vec::new();
        for source in &sources {
            lowered.push(if is_repository(source) {
                let repository = source.parse::<Repository>();
                let mut repository = repository.map_err(|error| Mistake::new(lines, error.to_string()))?;
                repository.keep_git_dir |= form.keep_git_dir;
                repository.checksum = checksum.clone().or(repository.checksum);
                Source::Git(Box::new(repository))
            } else if is_url(source) {
                Source::Url {
                    url: source.clone(),
                    name: name_of(source),
                    checksum: checksum.as_deref().map(|text| digest(text, lines)).transpose()?,
                    unpack: form.unpack.unwrap_or(false),
                }
            } else {
                let unpack = form.unpack.unwrap_or(true);
                Source::Files { origin: Origin::Context, path: source_path(source), kept: None, unpack }
            });
        }
        self.files(state, placed, &form.files, ("ADD", ""), (sources, lowered), is_trigger)
    }

    fn filled(&self, state: &State, texts: &[String], lines: Lines) -> Result<Vec<String>, Mistake> {
        texts.iter().map(|text| expanded(text, self.dockerfile.escape, state, lines)).collect()
    }

    /// What both have in common. `told` is how the history begins, `sources` are what is written and what is meant.
    fn files(
        &mut self,
        state: &mut State,
        placed: &Placed,
        files: &Files,
        told: (&str, &str),
        sources: (Vec<String>, Vec<Source>),
        is_trigger: bool,
    ) -> Result<(), Mistake> {
        let (lines, escape) = (placed.lines, self.dockerfile.escape);
        let (texts, mut sources) = sources;
        let fill = |text: &String| expanded(text, escape, state, lines);
        let chown = files.chown.as_ref().map(fill).transpose()?.filter(|chown| !chown.is_empty());
        let chmod_text = files.chmod.as_ref().map(fill).transpose()?.filter(|chmod| !chmod.is_empty());
        let written = fill(&files.destination)?;
        let destination = path::destination(&state.cwd(), &written);
        let chmod = chmod_text.as_deref().map(|text| chmod(text, lines)).transpose()?;
        let (keyword, flags) = told;
        let mut told = format!("{keyword}{flags}");
        told.extend(chown.iter().map(|chown| format!(" --chown={chown}")));
        told.extend(chmod_text.iter().map(|chmod| format!(" --chmod={chmod}")));
        told.extend(texts.iter().map(|text| format!(" {text}")));
        for document in &files.documents {
            told += &format!(" <<{}", document.name);
            let mut content = document.document();
            if document.expand {
                let reading = Reading { ignore_quotes: true, ..Reading::new('\\') };
                content = word(&content, reading, state)
                    .map_err(|error| misplaced(&document.name, &error, lines))?;
            }
            sources.push(Source::Document { name: document.name.clone(), content });
        }
        told += &format!(" {written} # buildkit");
        let title = self.title(state, &placed.code, is_trigger);
        let exclude = files.exclude.clone();
        // What `--link` promises, a layer of its own, each copy has here; folders on the way stay as they are below.
        let copy = Copy { sources, destination, chown, chmod, exclude };
        let step = self.add_step(state, lines, title, Operation::Copy(copy));
        state.tell(told, Some(step));
        Ok(())
    }
}

/// Returns where a source is in its origin. A dot or a slash at its end says that it is a folder, which is known there.
fn source_path(source: &str) -> String {
    path::clean(source)
}

fn chmod(text: &str, lines: Lines) -> Result<Chmod, Mistake> {
    Chmod::parse(text).ok_or_else(|| {
        let mistake = Mistake::new(lines, format!("`--chmod={text}` says no permissions"));
        mistake.hint("write an octal number up to `7777`, or changes such as `u=rwX,go=rX`")
    })
}

fn digest(text: &str, lines: Lines) -> Result<String, Mistake> {
    let hex =
        |hex: &str| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    if text.strip_prefix("sha256:").is_some_and(hex) {
        return Ok(text.to_owned());
    }
    let mistake = Mistake::new(lines, format!("`--checksum={text}` is no digest"));
    Err(mistake.hint("write `sha256:` and 64 hexadecimal digits"))
}

fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Returns what a file from an address is called.
fn name_of(url: &str) -> String {
    let address = url.split(['#', '?']).next().unwrap_or(url);
    let path = address.split_once("://").map_or(address, |(_, rest)| rest);
    let path = path.split_once('/').map_or("", |(_, path)| path);
    path::last(path).unwrap_or("__unnamed__").to_owned()
}
