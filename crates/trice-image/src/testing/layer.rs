//! Layers that are unpacked beside something that they must not touch.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Folder;
use super::archive::Tar;
use crate::unpack::{self, Limits, UnpackError, unpack};

/// A layer's folder in a folder of its own, beside one that no layer may touch.
pub(crate) struct Unpacked(Folder);

impl Unpacked {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        for name in ["layer", "aside", "outside"] {
            fs::create_dir(folder.path(name)).unwrap();
        }
        fs::write(folder.path("outside/file"), "host").unwrap();
        Self(folder)
    }

    pub(crate) fn unpack(&self, tar: Tar) -> Result<unpack::Unpacked, UnpackError> {
        self.unpack_within(tar, 1 << 30, 1 << 20)
    }

    pub(crate) fn unpack_within(
        &self,
        tar: Tar,
        bytes: u64,
        members: u64,
    ) -> Result<unpack::Unpacked, UnpackError> {
        self.unpack_stream(&tar.bytes()[..], bytes, members)
    }

    pub(crate) fn unpack_stream(
        &self,
        tar: impl Read,
        bytes: u64,
        members: u64,
    ) -> Result<unpack::Unpacked, UnpackError> {
        let open = |name| fs::File::open(self.0.path(name)).unwrap();
        unpack(tar, open("layer").as_fd(), open("aside").as_fd(), Limits { bytes, members })
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.path("layer").join(below)
    }

    pub(crate) fn names(&self, below: &str) -> Vec<String> {
        self.0.names(Path::new("layer").join(below))
    }

    /// Returns the path of the folder that no layer may touch.
    pub(crate) fn outside_path(&self) -> PathBuf {
        self.0.path("outside")
    }

    /// Returns all that a layer could have changed outside.
    pub(crate) fn outside(&self) -> (Vec<String>, Vec<String>, u32, Vec<u8>, u64) {
        let folder = fs::metadata(self.0.path("outside")).unwrap();
        let file = self.0.path("outside/file");
        let links = fs::metadata(&file).unwrap().nlink();
        (self.0.names(""), self.0.names("outside"), folder.mode(), fs::read(file).unwrap(), links)
    }
}
