//! The files in a tar file, read where they are.
//!
//! The file is opened once: who replaces it meanwhile changes nothing. Whatever is compressed as a whole, as
//! by `docker save | gzip`, is first decompressed into a file without a name.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::{Files, Opened, SourceError, Stamp};
use crate::compression::{Compression, Stream, decompressed};
use crate::lock::Work;
use crate::members::{Kind, Members, Skip};
use crate::unpack::Limits;

/// A tar file and where everything in it is.
pub(crate) struct TarFile {
    file: File,
    entries: HashMap<String, Entry>,
}

/// What is at a path.
enum Entry {
    /// A file: these bytes of the archive.
    Content { begin: u64, size: u64 },
    /// The same as at another path. `docker save` once wrote layers that occur twice in this way.
    Link(String),
}

/// How many links may lead from one to the next.
const LINKS: usize = 16;

impl TarFile {
    /// Opens the file at `path`. `tmp` is a folder for what it decompresses.
    pub(crate) fn open(path: &Path, tmp: &Path, limits: Limits) -> Result<(Self, Stamp), SourceError> {
        let opening = |source| SourceError::Open { path: path.to_owned(), source };
        // A FIFO without a writer would wait for one.
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(opening)?;
        let metadata = file.metadata().map_err(opening)?;
        if !metadata.is_file() {
            return Err(SourceError::NotA { path: path.to_owned(), wanted: "file" });
        }
        let stamp = Stamp::of(&metadata);
        Ok((Self::of_file(file, &path.display().to_string(), tmp, limits)?, stamp))
    }

    /// Takes a regular file, which messages call `name`.
    pub(crate) fn of_file(file: File, name: &str, tmp: &Path, limits: Limits) -> Result<Self, SourceError> {
        let reading = |source| SourceError::Read { path: name.to_owned(), source };
        let end = file.metadata().map_err(reading)?.len();
        let (stream, plain) = decompressed(Range::new(&file, 0, end)).map_err(reading)?;
        let file = match stream {
            Stream::Layer(Compression::None) => {
                drop(plain);
                file
            }
            Stream::Layer(Compression::Gzip | Compression::Zstd) | Stream::Archive(_) => {
                copied(plain, name, tmp, limits)?
            }
        };
        Self::indexed(file, name, limits)
    }

    /// Takes what comes from somewhere, which messages call `name`, to its end.
    pub(crate) fn of_stream(
        stream: impl Read + Send,
        name: &str,
        tmp: &Path,
        limits: Limits,
    ) -> Result<Self, SourceError> {
        let reading = |source| SourceError::Read { path: name.to_owned(), source };
        let (_, plain) = decompressed(stream).map_err(reading)?;
        Self::indexed(copied(plain, name, tmp, limits)?, name, limits)
    }

    fn indexed(file: File, name: &str, limits: Limits) -> Result<Self, SourceError> {
        let entries = index(&file, limits).map_err(|error| match error {
            IndexError::Size(source) => SourceError::Read { path: name.to_owned(), source },
            IndexError::Source(error) => error,
        })?;
        Ok(Self { file, entries })
    }
}

fn copied(plain: impl Read, name: &str, tmp: &Path, limits: Limits) -> Result<File, SourceError> {
    let copied = copy_without_name(plain, tmp, limits.bytes);
    let copied = copied.map_err(|source| SourceError::Read { path: name.to_owned(), source })?;
    copied.ok_or(SourceError::TooLarge { bytes: limits.bytes })
}

impl Files for TarFile {
    fn open(&self, path: &str) -> io::Result<Option<Opened<'_>>> {
        let mut path = path;
        for _ in 0..LINKS {
            match self.entries.get(path) {
                None => return Ok(None),
                Some(Entry::Link(target)) => path = target,
                Some(Entry::Content { begin, size }) => {
                    let content = Box::new(Range::new(&self.file, *begin, begin + size));
                    return Ok(Some(Opened { content, size: *size }));
                }
            }
        }
        Ok(None)
    }
}

/// Copies what is read into a file in `tmp` that has no name. `None` if it is more than `limit` bytes.
fn copy_without_name(plain: impl Read, tmp: &Path, limit: u64) -> io::Result<Option<File>> {
    let work = Work::begin(tmp)?;
    let path = work.path().join("archive");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    fs::remove_dir(work.path())?;
    let copied = io::copy(&mut plain.take(limit.saturating_add(1)), &mut file)?;
    Ok((copied <= limit).then_some(file))
}

enum IndexError {
    Size(io::Error),
    Source(SourceError),
}

/// Finds all files and links. Of several with one path the last counts, as for whoever unpacks.
fn index(file: &File, limits: Limits) -> Result<HashMap<String, Entry>, IndexError> {
    let end = file.metadata().map_err(IndexError::Size)?.len();
    let mut members = Members::new(Range::new(file, 0, end));
    let mut entries = HashMap::new();
    while let Some(member) = members.next().map_err(|error| IndexError::Source(error.into()))? {
        let Some(path) = clean("", &member.path) else { continue };
        let entry = match member.kind {
            Kind::File => Entry::Content { begin: members.position(), size: member.size },
            Kind::Symlink { target } => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                clean(folder, &target).map_or(Entry::Link(String::new()), Entry::Link)
            }
            Kind::HardLink { target } => clean("", &target).map_or(Entry::Link(String::new()), Entry::Link),
            Kind::Folder | Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => continue,
        };
        entries.insert(path, entry);
        if entries.len() as u64 > limits.members {
            return Err(IndexError::Source(SourceError::TooLarge { bytes: limits.bytes }));
        }
    }
    Ok(entries)
}

/// Returns the path, seen from the folder `from` of the archive, without `.` and `..`. `None` if it leads
/// out, or is no text.
fn clean(from: &str, path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let mut parts: Vec<&str> = if path.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            other => parts.push(other),
        }
    }
    parts.retain(|part| !part.is_empty());
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Some bytes of a file, without a position that others share.
struct Range<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl<'a> Range<'a> {
    fn new(file: &'a File, at: u64, end: u64) -> Self {
        Self { file, at, end }
    }
}

impl Read for Range<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Skip for Range<'_> {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let skipped = count.min(self.end.saturating_sub(self.at));
        self.at += skipped;
        Ok(skipped)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::testing::Folder;
    use crate::testing::archive::{Tar, file, hard_link, symlink};

    fn write(folder: &Folder, bytes: &[u8]) -> Result<TarFile, SourceError> {
        let path = folder.path("archive.tar");
        fs::write(&path, bytes).unwrap();
        TarFile::open(&path, &folder.path(""), Limits { bytes: 1 << 20, members: 100 }).map(|(tar, _)| tar)
    }

    fn read(tar: &TarFile, path: &str) -> Option<String> {
        let mut opened = tar.open(path).unwrap()?;
        let mut content = String::new();
        opened.content.read_to_string(&mut content).unwrap();
        Some(content)
    }

    #[test]
    fn files_are_found_by_their_paths_and_through_links() {
        let folder = Folder::new();
        let tar = Tar::new()
            .with(file("./a/layer.tar", "one"))
            .with(symlink("b/layer.tar", "../a/layer.tar"))
            .with(hard_link("c", "b/layer.tar"))
            .with(file("twice", "first"))
            .with(file("twice", "last"))
            .bytes();
        let tar = write(&folder, &tar).unwrap();
        for path in ["a/layer.tar", "b/layer.tar", "c"] {
            assert_eq!(read(&tar, path).as_deref(), Some("one"), "{path}");
        }
        assert_eq!(read(&tar, "twice").as_deref(), Some("last"));
        assert_eq!(read(&tar, "a"), None);
    }

    #[test]
    fn links_that_lead_out_or_in_a_circle_lead_nowhere() {
        let tar = Tar::new()
            .with(file("etc/passwd", "the archive's"))
            .with(symlink("out", "../../etc/passwd"))
            .with(symlink("absolute", "/etc/passwd"))
            .with(symlink("one", "two"))
            .with(symlink("two", "one"))
            .bytes();
        let tar = write(&Folder::new(), &tar).unwrap();
        for path in ["out", "one", "two"] {
            assert_eq!(read(&tar, path), None, "{path}");
        }
        assert_eq!(read(&tar, "absolute").as_deref(), Some("the archive's"));
    }

    #[test]
    fn what_is_compressed_as_a_whole_is_read_too_up_to_a_limit_and_leaves_nothing() {
        let folder = Folder::new();
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let tar = write(&folder, &gzip(&Tar::new().with(file("file", "content")).bytes())).unwrap();
        assert_eq!(read(&tar, "file").as_deref(), Some("content"));
        let bomb = gzip(&Tar::new().with(file("file", &"0".repeat(2 << 20))).bytes());
        assert!(matches!(write(&folder, &bomb).map(drop), Err(SourceError::TooLarge { .. })));
        assert_eq!(folder.names(""), ["archive.tar"]);
    }

    #[test]
    fn what_is_cut_or_no_file_at_all_is_an_error() {
        let folder = Folder::new();
        let tar = Tar::new().with(file("file", &"x".repeat(5_000))).bytes();
        assert!(matches!(write(&folder, &tar[..3_000]).map(drop), Err(SourceError::Archive(_))));
        assert!(matches!(write(&folder, &[7; 2048]).map(drop), Err(SourceError::Archive(_))));
        let limits = Limits::default();
        let open = |path| TarFile::open(&folder.path(path), &folder.path(""), limits).map(drop);
        assert!(matches!(open("none"), Err(SourceError::Open { .. })));
        assert!(matches!(open(""), Err(SourceError::NotA { .. })));
    }
}
