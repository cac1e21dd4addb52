//! The names that archives give their images, in their many forms.
//!
//! Docker writes `bb:latest`, skopeo `docker.io/library/bb:latest`; in a layout it may be a tag alone.

use trice_model::image::{ImageRef, RegistryRef};

/// What containerd and Docker call an image of a layout, whole.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// A tag, or a whole name; who wrote it decides.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Returns the registry's name that `text` is, whole.
pub(super) fn whole(text: &str) -> Option<RegistryRef> {
    match text.parse() {
        Ok(ImageRef::Registry(name)) => Some(name),
        Ok(
            ImageRef::DockerArchive { .. }
            | ImageRef::OciArchive { .. }
            | ImageRef::Oci { .. }
            | ImageRef::Rootfs { .. },
        )
        | Err(_) => None,
    }
}

/// Tells whether somebody who says `wanted` means `name`.
pub(super) fn is_meant(wanted: &str, name: &str) -> bool {
    wanted == name || whole(wanted).is_some_and(|wanted| whole(name) == Some(wanted))
}

/// Writes names for people.
pub(super) fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_meant_in_its_short_and_its_long_form_and_as_it_is_written() {
        for (wanted, name) in [
            ("bb", "bb:latest"),
            ("bb:latest", "docker.io/library/bb:latest"),
            ("docker.io/library/bb:1", "bb:1"),
            ("v1", "v1"),
            ("Not A Name", "Not A Name"),
        ] {
            assert!(is_meant(wanted, name), "{wanted} {name}");
        }
        for (wanted, name) in [("bb:1", "bb:2"), ("bb", "bc"), ("quay.io/bb", "bb"), ("?", "!")] {
            assert!(!is_meant(wanted, name), "{wanted} {name}");
        }
    }
}
