//! Which files a source means: found once, then counted for the cache, then copied.
//!
//! ```text
//! path ──wildcards──► tops ──walk──► items, in the order of their names
//!                                     left out: what the context ignores, what is excluded, what is not kept
//! ```
//!
//! A link in the path of a source leads on, inside its tree; one that is found on the way is copied as it is.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use trice_dockerfile::pattern::{PatternError, Patterns, Verdict};
use trice_sys::resolve::open_below;

use crate::tree::{self, Tree};

/// Files somewhere, with what is never seen of them.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) tree: Tree,
    /// What is left out of a context.
    pub(crate) ignored: Patterns,
}

/// What is meant of an origin.
#[derive(Debug)]
pub(crate) struct Selection<'a> {
    /// The path, which may have wildcards.
    pub(crate) path: &'a str,
    /// Only what is like this below it, as `--parents` has it.
    pub(crate) kept: Option<&'a str>,
    /// Patterns of what is left out.
    pub(crate) excluded: &'a Patterns,
}

/// A file or folder that a source means, with all that is in it.
#[derive(Debug)]
pub(crate) struct Top {
    /// What it is called where the path says it.
    pub(crate) name: OsString,
    /// It, and what is in it; folders before their content.
    pub(crate) items: Vec<Item>,
    /// It itself, open to be read if it is a folder or a file.
    file: OwnedFd,
}

/// Something that is copied.
#[derive(Debug)]
pub(crate) struct Item {
    /// Its path below the top; empty for the top itself.
    pub(crate) path: PathBuf,
    pub(crate) kind: FileType,
    pub(crate) stat: Stat,
    /// Where it leads, if it is a link.
    pub(crate) target: Option<PathBuf>,
    /// It is meant itself; else it is a folder that is only made if something in it is copied.
    pub(crate) meant: bool,
}

/// Why it is not known which files are meant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelectError {
    /// There is nothing at the path.
    #[error("`{path}` is not there{}", if *.ignored { ": `.dockerignore` leaves it out" } else { "" })]
    Missing { path: String, ignored: bool },
    /// Something cannot be read.
    #[error("read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: Errno,
    },
    /// A pattern is none.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl Top {
    /// Whether it is a folder, whose content is what is copied.
    pub(crate) fn is_folder(&self) -> bool {
        self.items.first().is_some_and(|item| item.kind == FileType::Directory)
    }
}

impl Origin {
    /// Has all of a tree seen.
    pub(crate) fn new(tree: Tree) -> Self {
        Self { tree, ignored: Patterns::default() }
    }

    /// Finds what is meant.
    pub(crate) fn select(&self, selection: &Selection<'_>) -> Result<Vec<Top>, SelectError> {
        let kept = selection.kept.map(|kept| Patterns::new([kept])).transpose()?;
        let paths = self.paths(selection.path)?;
        let mut tops = Vec::new();
        for path in paths {
            tops.push(self.top(&path, selection, kept.as_ref())?);
        }
        if let Some(kept) = selection.kept.filter(|kept| !has_wildcard(kept) && !has_wildcard(selection.path))
        {
            let path = Path::new(selection.path).join(kept);
            if self.is_ignored(&path) || self.stat(&path)?.is_none() {
                return Err(self.missing(&path));
            }
        }
        Ok(tops)
    }

    /// Resolves wildcards. A path without any is one path, whether there is something or not. Links are followed up to
    /// the first wildcard, and what is found at last may be one; between the two they lead nowhere, as in BuildKit.
    fn paths(&self, path: &str) -> Result<Vec<PathBuf>, SelectError> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let Some(first) = parts.iter().position(|part| has_wildcard(part)) else {
            return Ok(vec![parts.iter().map(|part| unescaped(part)).collect()]);
        };
        let base: PathBuf = parts[..first].iter().map(|part| unescaped(part)).collect();
        // Wildcards may mean nothing, but not in a folder that is not there.
        let stat = self.stat(&base)?.filter(|_| !self.is_ignored(&base));
        if stat.is_none_or(|stat| !is_folder(&stat)) {
            return Err(self.missing(&base));
        }
        let mut found = vec![base];
        for (depth, part) in parts[first..].iter().enumerate() {
            let pattern = Patterns::new([*part])?;
            let mut next = Vec::new();
            for folder in found {
                let read = |source| SelectError::Read { path: folder.clone(), source };
                if depth > 0 && self.tree.is_link(&folder).map_err(read)? {
                    continue;
                }
                let opened = match self.tree.open(&folder) {
                    Ok(opened) => opened,
                    Err(Errno::NOENT | Errno::NOTDIR) => continue,
                    Err(error) => return Err(read(error)),
                };
                let names = match tree::open_folder(opened.as_fd(), OsStr::new(".")) {
                    Ok(folder) => tree::names(folder.as_fd()).map_err(read)?,
                    Err(Errno::NOTDIR) => continue,
                    Err(error) => return Err(read(error)),
                };
                let matching = names.into_iter().filter(|name| pattern.is_match(&name.to_string_lossy()));
                next.extend(matching.map(|name| folder.join(name)).filter(|path| !self.is_ignored(path)));
            }
            found = next;
        }
        Ok(found)
    }

    fn stat(&self, path: &Path) -> Result<Option<Stat>, SelectError> {
        self.tree.stat(path).map_err(|source| SelectError::Read { path: path.to_owned(), source })
    }

    /// Tells whether a context leaves `path` out. A folder of which something is left in is never.
    fn is_ignored(&self, path: &Path) -> bool {
        let text = shown(path);
        if self.ignored.is_empty() || text.is_empty() || !self.ignored.is_match(&text) {
            return false;
        }
        !self.ignored.may_except_below(&text) || !self.has_something_left(path)
    }

    /// Tells whether what a context leaves out is a folder that has something that it does not.
    fn has_something_left(&self, path: &Path) -> bool {
        if !self.stat(path).ok().flatten().is_some_and(|stat| is_folder(&stat)) {
            return false;
        }
        let Ok(folder) = self.tree.open_to_read(path) else { return false };
        let mut walk = Walk { origin: self, excluded: &Patterns::default(), kept: None, items: Vec::new() };
        let verdicts = walk.verdicts_of(path);
        // What cannot be read is told when it is copied.
        walk.folder(folder.as_fd(), Path::new(""), path, &verdicts).is_err() || !walk.items.is_empty()
    }

    fn missing(&self, path: &Path) -> SelectError {
        let ignored = self.is_ignored(path) && self.stat(path).ok().flatten().is_some();
        SelectError::Missing { path: format!("/{}", shown(path)), ignored }
    }

    /// Finds what is at `path`, and all that is in it.
    fn top(
        &self,
        path: &Path,
        selection: &Selection<'_>,
        kept: Option<&Patterns>,
    ) -> Result<Top, SelectError> {
        let read = |source| SelectError::Read { path: path.to_owned(), source };
        let place = match self.tree.open(path) {
            Ok(place) => place,
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(self.missing(path)),
            Err(error) => return Err(read(error)),
        };
        let real = self.real_path(path, place.as_fd()).map_err(read)?;
        if self.is_ignored(path) || self.is_ignored(&real) {
            return Err(SelectError::Missing { path: format!("/{}", shown(path)), ignored: true });
        }
        let stat = rustix::fs::fstat(&place).map_err(read)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let file = match kind {
            FileType::RegularFile | FileType::Directory => self.reopen(path, &stat).map_err(read)?,
            _ => place,
        };
        let name = path.file_name().unwrap_or_default().to_owned();
        let mut walk = Walk { origin: self, excluded: selection.excluded, kept, items: Vec::new() };
        walk.items.push(Item { path: PathBuf::new(), kind, stat, target: None, meant: true });
        if kind == FileType::Directory {
            let verdicts = walk.verdicts_of(&real);
            walk.folder(file.as_fd(), Path::new(""), &real, &verdicts)?;
        }
        Ok(Top { name, items: walk.items, file })
    }

    /// Opens what is at `path` to read it, if it is still what it was.
    fn reopen(&self, path: &Path, stat: &Stat) -> Result<OwnedFd, Errno> {
        let file = self.tree.open_to_read(path)?;
        let found = rustix::fs::fstat(&file)?;
        if (found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino) { Ok(file) } else { Err(Errno::STALE) }
    }

    /// Returns where something in a context is after all links: a link does not bring in what the context leaves out.
    fn real_path(&self, path: &Path, place: BorrowedFd<'_>) -> Result<PathBuf, Errno> {
        if self.ignored.is_empty() {
            return Ok(path.to_owned());
        }
        let of = |file: BorrowedFd<'_>| {
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::readlink(link, Vec::new())
                .map(|path| PathBuf::from(OsString::from_vec(path.into_bytes())))
        };
        let (root, real) = (of(self.tree.root())?, of(place)?);
        // It was moved away this moment.
        real.strip_prefix(&root).map(Path::to_owned).map_err(|_| Errno::STALE)
    }
}

/// What is said of a folder's content: by the context, by `--exclude`, by `--parents`.
struct Verdicts {
    ignored: Verdict,
    excluded: Verdict,
    kept: Option<Verdict>,
}

struct Walk<'a> {
    origin: &'a Origin,
    excluded: &'a Patterns,
    kept: Option<&'a Patterns>,
    items: Vec<Item>,
}

impl Walk<'_> {
    fn verdicts_of(&self, path: &Path) -> Verdicts {
        let mut ignored = self.origin.ignored.root();
        let text = shown(path);
        for end in text.match_indices('/').map(|(end, _)| end).chain([text.len()]).filter(|end| *end > 0) {
            ignored = self.origin.ignored.verdict(&text[..end], &ignored);
        }
        Verdicts { ignored, excluded: self.excluded.root(), kept: self.kept.map(Patterns::root) }
    }

    /// Adds what is in a folder: `below` is its path below the top, `path` the one in the origin.
    fn folder(
        &mut self,
        folder: BorrowedFd<'_>,
        below: &Path,
        path: &Path,
        above: &Verdicts,
    ) -> Result<(), SelectError> {
        let failed = |path: &Path, source| SelectError::Read { path: path.to_owned(), source };
        for name in tree::names(folder).map_err(|error| failed(path, error))? {
            let (below, path) = (below.join(&name), path.join(&name));
            let verdicts = self.verdicts(&below, &path, above);
            let is_left_out = verdicts.ignored.is_matched || verdicts.excluded.is_matched;
            let is_kept = verdicts.kept.as_ref().is_none_or(|kept| kept.is_matched);
            let meant = is_kept && !is_left_out;
            if is_left_out && !self.may_be_below(&below, &path, &verdicts) {
                continue;
            }
            let stat = match rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue, // it went meanwhile
                Err(error) => return Err(failed(&path, error)),
            };
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Directory {
                let folder = tree::open_folder(folder, &name).map_err(|error| failed(&path, error))?;
                self.items.push(Item { path: below.clone(), kind, stat, target: None, meant });
                let before = self.items.len();
                self.folder(folder.as_fd(), &below, &path, &verdicts)?;
                if !meant && self.items.len() == before {
                    self.items.pop();
                }
            } else if meant {
                let target = match kind {
                    FileType::Symlink => tree::link(folder, &name).map_err(|error| failed(&path, error))?,
                    _ => None,
                };
                self.items.push(Item { path: below, kind, stat, target, meant });
            }
        }
        Ok(())
    }

    fn verdicts(&self, below: &Path, path: &Path, above: &Verdicts) -> Verdicts {
        let (below, path) = (shown(below), shown(path));
        Verdicts {
            ignored: self.origin.ignored.verdict(&path, &above.ignored),
            excluded: self.excluded.verdict(&below, &above.excluded),
            kept: self.kept.zip(above.kept.as_ref()).map(|(kept, above)| kept.verdict(&below, above)),
        }
    }

    /// Tells whether something in a folder that is left out may be meant nevertheless.
    fn may_be_below(&self, below: &Path, path: &Path, verdicts: &Verdicts) -> bool {
        let ignored = verdicts.ignored.is_matched && !self.origin.ignored.may_except_below(&shown(path));
        let excluded = verdicts.excluded.is_matched && !self.excluded.may_except_below(&shown(below));
        !ignored && !excluded
    }
}

impl Item {
    /// Opens the file to read it.
    pub(crate) fn open(&self, top: &Top) -> Result<OwnedFd, Errno> {
        if self.path.as_os_str().is_empty() {
            // Whoever read it before has left it at its end.
            if self.kind == FileType::RegularFile {
                rustix::fs::seek(&top.file, rustix::fs::SeekFrom::Start(0))?;
            }
            return top.file.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = open_below(&top.file, self.path.as_os_str(), flags, resolve)?;
        // Somebody may have put something else there.
        let found = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
        if found == self.kind { Ok(file) } else { Err(Errno::STALE) }
    }

    /// Permissions, with the bits that let programs have more of them.
    pub(crate) fn mode(&self) -> u32 {
        Mode::from_raw_mode(self.stat.st_mode).bits() & 0o7777
    }
}

fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Returns a path as patterns see it: without a slash at its beginning.
fn shown(path: &Path) -> String {
    let text = path.as_os_str().to_string_lossy();
    text.trim_start_matches('/').to_owned()
}

fn has_wildcard(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(next) = characters.next() {
        match next {
            '\\' => drop(characters.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// Returns a part of a path without wildcards. Escapes in it are as they are written: nobody reads it as a pattern.
fn unescaped(part: &str) -> &OsStr {
    OsStr::from_bytes(part.as_bytes())
}
