//! Images in all the forms that archives have.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::archive::{Tar, TestMember, bytes, symlink};
use crate::digest::Digest;
use crate::platform::Platform;

/// How layers are packed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    pub(crate) fn pack(self, tar: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => tar.to_vec(),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(tar).unwrap();
                encoder.finish().unwrap()
            }
            Self::Zstd => zstd::encode_all(tar, 1).unwrap(),
        }
    }

    /// Returns the media type of a packed layer.
    fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            // Docker's name, and one that lies: both occur.
            Self::Gzip => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar",
        }
    }
}

/// An image: its layers as plain archives, the lowest first, and a variable that makes it differ from others.
#[derive(Clone)]
pub(crate) struct TestImage {
    pub(crate) layers: Vec<Vec<u8>>,
    variable: String,
    architecture: String,
}

impl TestImage {
    pub(crate) fn new<const N: usize>(variable: &str, layers: [Vec<TestMember>; N]) -> Self {
        let tar = |members: Vec<TestMember>| members.into_iter().fold(Tar::new(), Tar::with).bytes();
        let architecture = Platform::host().architecture;
        Self { layers: layers.map(tar).into(), variable: variable.to_owned(), architecture }
    }

    /// Makes it one for another processor.
    pub(crate) fn on(mut self, architecture: &str) -> Self {
        self.architecture = architecture.to_owned();
        self
    }

    pub(crate) fn diff_ids(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| Digest::of(layer)).collect()
    }

    pub(crate) fn config(&self) -> Vec<u8> {
        let config = json!({
            "architecture": self.architecture, "os": "linux",
            "config": { "Env": [self.variable], "Cmd": ["/bin/sh"] },
            "rootfs": { "type": "layers", "diff_ids": self.diff_ids() },
        });
        serde_json::to_vec(&config).unwrap()
    }

    pub(crate) fn id(&self) -> Digest {
        Digest::of(&self.config())
    }

    /// Returns what Docker wrote until version 24. A layer that occurs again is a link.
    pub(crate) fn docker_old(&self, tags: &[&str]) -> TestFiles {
        let mut files = TestFiles::default();
        let config = format!("{}.json", self.id().hex());
        let mut paths: Vec<String> = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let path = format!("{number}/layer.tar");
            match self.layers[..number].iter().position(|before| before == layer) {
                Some(first) => files.members.push(symlink(&path, &format!("../{first}/layer.tar"))),
                None => files.add(&path, layer.clone()),
            }
            paths.push(path);
        }
        files.add(&config, self.config());
        let manifest = json!([{ "Config": config, "RepoTags": tags, "Layers": paths }]);
        files.add("manifest.json", serde_json::to_vec(&manifest).unwrap());
        files
    }

    /// Returns what Docker writes since version 25: a layout that an older one reads too.
    pub(crate) fn docker_new(&self, tags: &[&str]) -> TestFiles {
        let mut files = self.layout(
            Packing::Plain,
            &tags.first().map_or(json!(null), |tag| {
                json!({
                    "io.containerd.image.name": format!("docker.io/library/{tag}"),
                    "org.opencontainers.image.ref.name": tag.rsplit(':').next(),
                })
            }),
        );
        let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
        let layers: Vec<_> = self.diff_ids().iter().map(path).collect();
        let manifest = json!([{ "Config": path(&self.id()), "RepoTags": tags, "Layers": layers }]);
        files.add("manifest.json", serde_json::to_vec(&manifest).unwrap());
        files
    }

    /// Returns an OCI layout with this image alone.
    pub(crate) fn layout(&self, packing: Packing, annotations: &Value) -> TestFiles {
        let mut files = TestFiles::default();
        let mut descriptor = self.add_to(&mut files, packing);
        if !annotations.is_null() {
            descriptor["annotations"] = annotations.clone();
        }
        files.layout_of(&[descriptor]);
        files
    }

    /// Adds the blobs of this image, and returns the descriptor of its manifest.
    pub(crate) fn add_to(&self, files: &mut TestFiles, packing: Packing) -> Value {
        let layers: Vec<_> =
            self.layers.iter().map(|layer| files.blob(packing.media_type(), packing.pack(layer))).collect();
        let config = files.blob("application/vnd.oci.image.config.v1+json", self.config());
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        let manifest_type = "application/vnd.oci.image.manifest.v1+json";
        let mut descriptor = files.blob(manifest_type, serde_json::to_vec(&manifest).unwrap());
        descriptor["platform"] = json!({ "os": "linux", "architecture": self.architecture });
        descriptor
    }
}

/// Files in an archive or in a folder.
#[derive(Default)]
pub(crate) struct TestFiles {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    members: Vec<TestMember>,
}

impl TestFiles {
    pub(crate) fn add(&mut self, path: &str, content: Vec<u8>) {
        self.files.insert(path.to_owned(), content);
    }

    /// Adds a blob, and returns its descriptor.
    pub(crate) fn blob(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let digest = Digest::of(&content);
        let size = content.len();
        self.add(&format!("blobs/sha256/{}", digest.hex()), content);
        json!({ "mediaType": media_type, "digest": digest, "size": size })
    }

    /// Adds an index as a blob, and returns its descriptor.
    pub(crate) fn index(&mut self, manifests: &[Value]) -> Value {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        self.blob("application/vnd.oci.image.index.v1+json", serde_json::to_vec(&index).unwrap())
    }

    /// Makes it a layout with these descriptors.
    pub(crate) fn layout_of(&mut self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        self.add("index.json", serde_json::to_vec(&index).unwrap());
        self.add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    }

    /// Adds what `other` has, and puts the images of both into one `manifest.json`.
    pub(crate) fn and(mut self, other: Self) -> Self {
        let entries =
            |files: &Self| -> Vec<Value> { serde_json::from_slice(&files.files["manifest.json"]).unwrap() };
        let both = [entries(&self), entries(&other)].concat();
        self.files.extend(other.files);
        self.members.extend(other.members);
        self.add("manifest.json", serde_json::to_vec(&both).unwrap());
        self
    }

    /// Changes a byte in the middle of the file that has `content`.
    pub(crate) fn damage(&mut self, content: &[u8]) {
        let (_, found) = self.files.iter_mut().find(|(_, file)| *file == content).unwrap();
        let middle = found.len() / 2;
        found[middle] ^= 1;
    }

    pub(crate) fn tar(self) -> Vec<u8> {
        let files = self.files.iter().map(|(path, content)| bytes(path, content));
        files.chain(self.members).fold(Tar::new(), Tar::with).bytes()
    }

    pub(crate) fn write(&self, folder: &Path) {
        for (path, content) in &self.files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}
