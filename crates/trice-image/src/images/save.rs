//! Writes images to archives and layouts.
//!
//! ```text
//!                 docker-archive                        oci-archive, oci
//! blobs/          layers without compression            as they are sent to registries
//! index.json      names as annotations                  the same
//! manifest.json   for Docker and what reads its files   (none)
//! oci-layout
//! ```
//!
//! The same images give the same bytes: members are sorted, and their times are given.
//!
//! Sources: moby `image/tarexport/save.go`; OCI Image Specification, `image-layout.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use oci_spec::image::MediaType;
use serde_json::{Value, json};
use trice_model::image::RegistryRef;

use super::Images;
use super::index::{descriptor, index_of};
use super::seal::{SealError, can_travel};
use crate::archive::{Archive, plain};
use crate::compression::{Compression, decompressed};
use crate::digest::{Digest, Hashing};
use crate::layout::{LayoutError, StoredBlob};
use crate::lease::Lease;
use crate::load::manifest_of;
use crate::members::Kind;
use crate::record::{ImageRecord, LayerRecord};
use crate::source::names::{CONTAINERD_NAME, REF_NAME};

/// An image that is to be saved, and the names that it is saved by.
#[derive(Debug, Clone)]
pub struct SavedImage {
    /// Its record; or those of the images that its names stand for, each on its own platform.
    pub images: Vec<ImageRecord>,
    /// Its names with tags.
    pub names: Vec<RegistryRef>,
}

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// What `docker save` writes, and `docker load` reads.
    Docker,
    /// An OCI layout.
    Oci,
}

/// Why an image is not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Its archives cannot be made.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A layer's archive is not what it was.
    #[error("the archive of the layer {diff_id} is damaged: load or pull its images again")]
    Damaged {
        /// The layer.
        diff_id: Digest,
    },
    /// The archive or folder cannot be written.
    #[error("write the images")]
    Write(#[source] io::Error),
    /// A file of the layout cannot be written.
    #[error("write `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The store of images does not do it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// What is at a path.
enum Part {
    Bytes(Vec<u8>),
    Blob(Digest),
    /// A layer without compression, of this length.
    Plain(LayerRecord, u64),
}

impl Images {
    /// Writes images to an archive, whose members have the time `seconds` after 1970.
    ///
    /// # Errors
    /// [`SaveError`]; what was written by then is no archive.
    pub fn save<W: Write>(
        &self,
        images: &[SavedImage],
        format: ArchiveFormat,
        seconds: i64,
        output: W,
    ) -> Result<W, SaveError> {
        let lease = self.layout.lease(
            &images.iter().flat_map(|saved| &saved.images).flat_map(ImageRecord::things).collect::<Vec<_>>(),
        )?;
        let parts = match format {
            ArchiveFormat::Docker => self.docker_parts(images)?,
            ArchiveFormat::Oci => self.oci_parts(images, &lease)?,
        };
        let mut archive = Archive::new(BufWriter::with_capacity(BUFFER_BYTES, output));
        let mut folders = BTreeSet::new();
        for (path, part) in &parts {
            for (at, _) in path.match_indices('/') {
                if folders.insert(&path[..=at]) {
                    let folder = plain(&path[..=at], Kind::Folder, 0o755, 0, seconds);
                    archive.begin(&folder).map_err(SaveError::Write)?;
                }
            }
            let size = self.size_of_part(part)?;
            archive.begin(&plain(path, Kind::File, 0o644, size, seconds)).map_err(SaveError::Write)?;
            self.write_part(part, archive.output(), size)?;
            archive.pad(size).map_err(SaveError::Write)?;
        }
        let output = archive.finish().map_err(SaveError::Write)?;
        output.into_inner().map_err(|error| SaveError::Write(error.into_error()))
    }

    /// Writes images to an OCI layout in a folder, which is made. Images that are there stay, but for those whose
    /// names these have.
    ///
    /// # Errors
    /// [`SaveError`]; the index is written last, so that those who read see the old or the new images.
    pub fn save_layout(&self, images: &[SavedImage], folder: &Path) -> Result<(), SaveError> {
        let lease = self.layout.lease(
            &images.iter().flat_map(|saved| &saved.images).flat_map(ImageRecord::things).collect::<Vec<_>>(),
        )?;
        let mut parts = self.oci_parts(images, &lease)?;
        let index = folder.join(INDEX);
        if let (Ok(before), Some(Part::Bytes(new))) = (fs::read(&index), parts.get(INDEX)) {
            let merged = merged(&before, new);
            parts.insert(INDEX.to_owned(), Part::Bytes(merged));
        }
        let mut last = parts.remove_entry(INDEX);
        for (path, part) in parts.into_iter().chain(last.take()) {
            self.write_file(&folder.join(path), &part)?;
        }
        Ok(())
    }

    /// Writes a part to its file, in one step. A blob that is there is the same.
    fn write_file(&self, path: &Path, part: &Part) -> Result<(), SaveError> {
        let failed = |source| SaveError::File { path: path.to_owned(), source };
        if matches!(part, Part::Blob(_)) && path.exists() {
            return Ok(());
        }
        let new = path.with_extension("new");
        fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
        let mut file = BufWriter::new(File::create(&new).map_err(failed)?);
        let written = self.size_of_part(part).and_then(|size| self.write_part(part, &mut file, size));
        if let Err(error) = written {
            let _ = fs::remove_file(&new); // half of it is of no use, and the error says what is wrong
            return Err(error);
        }
        file.flush().and_then(|()| fs::rename(&new, path)).map_err(failed)
    }

    fn docker_parts(&self, images: &[SavedImage]) -> Result<BTreeMap<String, Part>, SaveError> {
        let (mut parts, mut entries, mut descriptors) = (BTreeMap::new(), Vec::new(), Vec::new());
        let all = images.iter().flat_map(|saved| saved.images.iter().map(move |image| (image, &saved.names)));
        for (image, names) in all {
            can_travel(image)?;
            let config = self.document(&image.id)?;
            let mut layers = Vec::new();
            for layer in &image.layers {
                let size = self.plain_size(layer)?;
                layers.push(StoredBlob {
                    digest: layer.diff_id.clone(),
                    size,
                    compression: Compression::None,
                });
                parts.insert(blob_path(&layer.diff_id), Part::Plain(layer.clone(), size));
            }
            let manifest = manifest_of(&config, &layers);
            let digest = Digest::of(&manifest);
            let main = descriptor(&image.platform, &MediaType::ImageManifest, &digest, manifest.len());
            descriptors.extend(with_names(&main, names));
            let paths: Vec<_> = layers.iter().map(|layer| blob_path(&layer.digest)).collect();
            let tags: Vec<_> = names.iter().map(ToString::to_string).collect();
            entries.push(json!({ "Config": blob_path(&image.id), "RepoTags": tags, "Layers": paths }));
            parts.insert(blob_path(&image.id), Part::Bytes(config));
            parts.insert(blob_path(&digest), Part::Bytes(manifest));
        }
        add_layout(&mut parts, &descriptors);
        parts.insert("manifest.json".to_owned(), Part::Bytes(bytes(&json!(entries))));
        Ok(parts)
    }

    fn oci_parts(&self, images: &[SavedImage], lease: &Lease) -> Result<BTreeMap<String, Part>, SaveError> {
        let (mut parts, mut descriptors) = (BTreeMap::new(), Vec::new());
        for SavedImage { images, names } in images {
            let (mut own, mut stated) = (Vec::new(), Vec::new());
            for image in images {
                let image = self.seal(image.clone(), lease, &Default::default())?;
                let missing = || SealError::Missing { part: image.id.to_string() };
                let record = image.manifest.as_ref().ok_or_else(missing)?;
                let manifest = self.document(&record.digest)?;
                let media_type = MediaType::from(record.media_type.as_str());
                own.push(descriptor(&image.platform, &media_type, &record.digest, manifest.len()));
                if let Some(attested) = self.attested(&image, names, &record.digest)? {
                    stated.push(attested.descriptor);
                    let documents = attested.blobs.into_iter().chain([attested.manifest]);
                    parts.extend(documents.map(|bytes| (blob_path(&Digest::of(&bytes)), Part::Bytes(bytes))));
                }
                let blobs = image.layers.iter().filter_map(|layer| layer.blob.as_ref());
                parts.extend(blobs.map(|blob| (blob_path(&blob.digest), Part::Blob(blob.digest.clone()))));
                parts.insert(blob_path(&image.id), Part::Blob(image.id.clone()));
                parts.insert(blob_path(&record.digest), Part::Bytes(manifest));
            }
            own.extend(stated);
            let main = match &own[..] {
                [only] => only.clone(),
                // What has the names is all of them.
                several => {
                    let index = index_of(several);
                    let (digest, size) = (Digest::of(&index), index.len());
                    parts.insert(blob_path(&digest), Part::Bytes(index));
                    json!({ "mediaType": MediaType::ImageIndex.to_string(), "digest": digest, "size": size })
                }
            };
            descriptors.extend(with_names(&main, names));
        }
        add_layout(&mut parts, &descriptors);
        Ok(parts)
    }

    fn size_of_part(&self, part: &Part) -> Result<u64, SaveError> {
        match part {
            Part::Bytes(bytes) => Ok(bytes.len() as u64),
            Part::Plain(_, size) => Ok(*size),
            Part::Blob(digest) if self.layout.has_blob(digest) => Ok(self.layout.size_of(digest)),
            Part::Blob(digest) => Err(SealError::Missing { part: digest.to_string() }.into()),
        }
    }

    fn write_part(&self, part: &Part, output: &mut impl Write, size: u64) -> Result<(), SaveError> {
        match part {
            Part::Bytes(bytes) => output.write_all(bytes).map_err(SaveError::Write),
            Part::Plain(layer, _) => self.write_layer(layer, output).map(drop),
            Part::Blob(digest) => {
                let file = self.layout.open_blob(digest)?;
                let file = file.ok_or_else(|| SealError::Missing { part: digest.to_string() })?;
                match io::copy(&mut &file, output).map_err(SaveError::Write)? {
                    copied if copied == size => Ok(()),
                    _ => Err(SaveError::Write(io::ErrorKind::UnexpectedEof.into())),
                }
            }
        }
    }

    /// Writes the archive of a layer without compression, and returns its length.
    fn write_layer(&self, layer: &LayerRecord, output: impl Write) -> Result<u64, SaveError> {
        let blob = layer.blob.as_ref().map(|blob| self.layout.open_blob(&blob.digest)).transpose()?.flatten();
        let Some(blob) = blob else {
            let counted = self.write_plain(&layer.diff_id, Hashing::new(output))?;
            return Ok(counted.written().1);
        };
        let mut output = Hashing::new(output);
        let (_, mut plain) = decompressed(blob).map_err(SaveError::Write)?;
        io::copy(&mut plain, &mut output).map_err(SaveError::Write)?;
        match output.written() {
            (found, length) if found == layer.diff_id => Ok(length),
            _ => Err(SaveError::Damaged { diff_id: layer.diff_id.clone() }),
        }
    }

    fn plain_size(&self, layer: &LayerRecord) -> Result<u64, SaveError> {
        let stored = self.layout.stored(&layer.diff_id)?;
        match stored.and_then(|stored| stored.plain) {
            Some(size) => Ok(size),
            None => self.write_layer(layer, io::sink()),
        }
    }
}

/// How much is written at a time.
const BUFFER_BYTES: usize = 128 << 10;

const INDEX: &str = "index.json";

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn add_layout(parts: &mut BTreeMap<String, Part>, descriptors: &[Value]) {
    parts.insert(INDEX.to_owned(), Part::Bytes(index_of(descriptors)));
    parts.insert("oci-layout".to_owned(), Part::Bytes(br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
}

/// Returns a descriptor for each name, or the bare one if there is none.
fn with_names(bare: &Value, names: &[RegistryRef]) -> Vec<Value> {
    let named = |name: &RegistryRef| {
        let tag = name.tag.as_deref().unwrap_or("latest");
        let mut named = bare.clone();
        named["annotations"] = json!({
            CONTAINERD_NAME: format!("{}:{tag}", name.whole_repository()), REF_NAME: tag,
        });
        named
    };
    if names.is_empty() { vec![bare.clone()] } else { names.iter().map(named).collect() }
}

/// Puts the images of two indexes into one. Of those with the same name, or the same digest without one, the new
/// one counts.
fn merged(before: &[u8], new: &[u8]) -> Vec<u8> {
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let (before, mut index) = (read(before), read(new));
    let list = |index: &Value| index["manifests"].as_array().cloned().unwrap_or_default();
    let name = |descriptor: &Value| match &descriptor["annotations"] {
        Value::Null => descriptor["digest"].clone(),
        annotations => json!([annotations[CONTAINERD_NAME], annotations[REF_NAME]]),
    };
    let new: Vec<_> = list(&index);
    let is_replaced = |old: &Value| new.iter().any(|new| name(new) == name(old));
    let kept = list(&before).into_iter().filter(|old| !is_replaced(old));
    index["manifests"] = kept.chain(new.iter().cloned()).collect();
    bytes(&index)
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value is JSON")
}
