//! Mounts: `volumes` and `tmpfs`.

use std::path::PathBuf;

use trice_model::image::ImageRef;
use trice_model::mount::{Bind, Mount, MountSource, Propagation, Tmpfs};
use trice_model::units::Bytes;

use crate::bind::{BindMistake, Binder};
use crate::tree::node::Node;
use crate::tree::path::Path;

impl Binder<'_> {
    pub(super) fn mounts(&mut self, service: &Node, path: &Path<'_>) -> Vec<Mount> {
        let mut mounts = Vec::new();
        let list = path.key("volumes");
        for (index, item) in service.list_at("volumes").iter().enumerate() {
            mounts.extend(self.mount(item, &list.index(index)));
        }
        let list = path.key("tmpfs");
        for (index, item) in service.list_at("tmpfs").iter().enumerate() {
            mounts.extend(self.tmpfs_text(item, &list.index(index)));
        }
        mounts
    }

    fn mount(&mut self, item: &Node, path: &Path<'_>) -> Option<Mount> {
        let target = self.target(item.get("target")?, item.text_at("target")?, path)?;
        let read_only = item.get("read_only").is_some_and(Node::is_true);
        let source = match item.text_at("type")? {
            "bind" => MountSource::Bind(self.bind(item, path)?),
            "volume" => self.volume(item, path)?,
            "tmpfs" => MountSource::Tmpfs(self.tmpfs(item, path)),
            "image" => self.image_mount(item, path)?,
            other => {
                self.not_honoured(item, path, format!("a mount of type `{other}`"));
                return None;
            }
        };
        Some(Mount { target, read_only, source })
    }

    fn target(&mut self, node: &Node, text: &str, path: &Path<'_>) -> Option<PathBuf> {
        if text.starts_with('/') {
            return Some(PathBuf::from(text));
        }
        self.mistake(node, path, BindMistake::RelativeTarget(text.to_owned()));
        None
    }

    fn bind(&mut self, item: &Node, path: &Path<'_>) -> Option<Bind> {
        let source = item.text_at("source")?;
        let options = item.get("bind");
        let option = |key: &str| options.and_then(|options| options.get(key));
        let propagation = match option("propagation").and_then(Node::as_text).unwrap_or_default() {
            "" | "rprivate" => Propagation::Rprivate,
            "rslave" => Propagation::Rslave,
            "rshared" => Propagation::Rshared,
            other => {
                let what = format!("propagation `{other}`");
                self.not_honoured(item, path, what);
                Propagation::Rprivate
            }
        };
        let recursive = match option("recursive").and_then(Node::as_text).unwrap_or_default() {
            "disabled" => false,
            "writable" | "readonly" => {
                self.not_honoured(item, path, "`recursive` other than `enabled` and `disabled`");
                true
            }
            _ => true,
        };
        let create_host_path = option("create_host_path").is_none_or(Node::is_true);
        Some(Bind { path: PathBuf::from(source), create_host_path, propagation, recursive })
    }

    fn volume(&mut self, item: &Node, path: &Path<'_>) -> Option<MountSource> {
        let key = match item.get("source").filter(|source| source.as_text() != Some("")) {
            Some(source) => Some(self.value(source, &path.key("source"))?),
            None => None,
        };
        let options = item.get("volume");
        let subpath = options.and_then(|options| options.text_at("subpath")).filter(|text| !text.is_empty());
        let nocopy = options.and_then(|options| options.get("nocopy")).is_some_and(Node::is_true);
        Some(MountSource::Volume { key, subpath: subpath.map(PathBuf::from), nocopy })
    }

    fn image_mount(&mut self, item: &Node, path: &Path<'_>) -> Option<MountSource> {
        let Some(source) = item.get("source").filter(|source| source.as_text() != Some("")) else {
            self.mistake(item, path, BindMistake::NoImage);
            return None;
        };
        let image: ImageRef = self.value(source, &path.key("source"))?;
        let options = item.get("image");
        let subpath = options.and_then(|options| options.text_at("subpath")).filter(|text| !text.is_empty());
        Some(MountSource::Image { image: image.resolved(self.folder()), subpath: subpath.map(PathBuf::from) })
    }

    fn tmpfs(&mut self, item: &Node, path: &Path<'_>) -> Tmpfs {
        let Some(options) = item.get("tmpfs") else { return Tmpfs::default() };
        let here = path.key("tmpfs");
        let size = self.number_at(options, "size", &here).filter(|size| *size > 0).map(Bytes);
        Tmpfs { size, mode: self.number_at(options, "mode", &here), ..Tmpfs::default() }
    }

    /// Reads `target[:option,…]`, with the options of mount(8).
    fn tmpfs_text(&mut self, item: &Node, path: &Path<'_>) -> Option<Mount> {
        let text = item.as_text()?;
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let target = self.target(item, target, path)?;
        let mut tmpfs = Tmpfs::default();
        let mut read_only = false;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let known = match key {
                "size" => value.parse().map(|size| tmpfs.size = Some(size)).is_ok(),
                "mode" => u32::from_str_radix(value, 8).map(|mode| tmpfs.mode = Some(mode)).is_ok(),
                "uid" => value.parse().map(|uid| tmpfs.uid = Some(uid)).is_ok(),
                "gid" => value.parse().map(|gid| tmpfs.gid = Some(gid)).is_ok(),
                "exec" | "noexec" => {
                    tmpfs.exec = key == "exec";
                    true
                }
                "ro" | "rw" => {
                    read_only = key == "ro";
                    true
                }
                // What a mount in a container is anyway.
                "nosuid" | "nodev" | "defaults" => true,
                _ => false,
            };
            if !known {
                self.not_honoured(item, path, format!("option `{option}` of a tmpfs"));
            }
        }
        Some(Mount { target, read_only, source: MountSource::Tmpfs(tmpfs) })
    }
}
