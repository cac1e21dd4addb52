//! What a build states about its image, for others to check.
//!
//! Sources: Compose Build Specification, `provenance` and `sbom`; BuildKit, `docs/attestations/`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image::ImageRef;

/// How it is stated what an image was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// With the Dockerfile, its arguments and all steps, and not only what the image is based on.
    pub complete: bool,
    /// In which form.
    pub version: SlsaVersion,
    /// Who built it, as a URI.
    #[serde(default)]
    pub builder: String,
}

/// A version of what SLSA calls provenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SlsaVersion {
    /// `https://slsa.dev/provenance/v0.2`.
    V02,
    /// `https://slsa.dev/provenance/v1`.
    V1,
}

/// Who lists the software of an image, in which way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sbom {
    /// The image whose program looks at the files.
    pub generator: ImageRef,
    /// What it is told.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// The generator if none is named: that of BuildKit.
const GENERATOR: &str = "docker/buildkit-syft-scanner:stable-1";

/// Why a text says nothing about attestations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// A setting is none.
    #[error("`{0}` is no setting: write `true`, `false`, or {1}, separated by commas")]
    Setting(String, &'static str),
    /// A setting has a value that it cannot have.
    #[error("`{value}` is not {wanted}")]
    Value {
        /// The value.
        value: String,
        /// What it can be.
        wanted: &'static str,
    },
}

const PROVENANCE: &str = "`mode=min|max`, `version=v0.2|v1`, `builder-id=URI`";
const SBOM: &str = "`generator=IMAGE` and `NAME=VALUE` for it";

impl Provenance {
    /// Reads what is said of it: `true`, `false`, or settings. Nothing is stated with `false`.
    ///
    /// # Errors
    /// [`AttestationError`].
    pub fn read(text: &str) -> Result<Option<Self>, AttestationError> {
        let mut provenance = Self { complete: true, version: SlsaVersion::V02, builder: String::new() };
        let Some(settings) = settings(text, PROVENANCE)? else { return Ok(None) };
        for (name, value) in settings {
            match (name, value) {
                ("mode", "min") => provenance.complete = false,
                ("mode", "max") => provenance.complete = true,
                ("mode", other) => return Err(value_error(other, "`min` or `max`")),
                ("version", "v0.2") => provenance.version = SlsaVersion::V02,
                ("version", "v1") => provenance.version = SlsaVersion::V1,
                ("version", other) => return Err(value_error(other, "`v0.2` or `v1`")),
                ("builder-id", id) => id.clone_into(&mut provenance.builder),
                // It is always with the image.
                ("inline-only", _) => {}
                ("disabled", "true") => return Ok(None),
                ("disabled", _) => {}
                (other, _) => return Err(AttestationError::Setting(other.to_owned(), PROVENANCE)),
            }
        }
        Ok(Some(provenance))
    }
}

impl Sbom {
    /// Reads what is said of it: `true`, `false`, or settings. Nothing is listed with `false`.
    ///
    /// # Errors
    /// [`AttestationError`].
    pub fn read(text: &str) -> Result<Option<Self>, AttestationError> {
        let Some(settings) = settings(text, SBOM)? else { return Ok(None) };
        let (mut generator, mut parameters) = (GENERATOR, BTreeMap::new());
        for (name, value) in settings {
            match (name, value) {
                ("generator", image) => generator = image,
                ("disabled", "true") => return Ok(None),
                ("disabled", _) => {}
                (name, value) => drop(parameters.insert(name.to_owned(), value.to_owned())),
            }
        }
        let generator = generator.parse().map_err(|_| value_error(generator, "an image"))?;
        Ok(Some(Self { generator, parameters }))
    }
}

/// Returns the settings; nothing if it is said that there is to be nothing.
fn settings<'a>(
    text: &'a str,
    known: &'static str,
) -> Result<Option<Vec<(&'a str, &'a str)>>, AttestationError> {
    match text.trim() {
        "" | "false" | "0" => return Ok(None),
        "true" | "1" => return Ok(Some(Vec::new())),
        _ => {}
    }
    let pair = |part: &'a str| {
        let part = part.trim();
        part.split_once('=').ok_or_else(|| AttestationError::Setting(part.to_owned(), known))
    };
    text.split(',').map(pair).collect::<Result<_, _>>().map(Some)
}

fn value_error(value: &str, wanted: &'static str) -> AttestationError {
    AttestationError::Value { value: value.to_owned(), wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_is_said_in_a_word_or_in_settings() {
        let complete = |text| Provenance::read(text).unwrap().map(|provenance| provenance.complete);
        assert_eq!(
            (complete("true"), complete("mode=min"), complete("false")),
            (Some(true), Some(false), None)
        );
        assert_eq!((complete("mode=max,disabled=true"), complete("")), (None, None));
        let whole = Provenance::read("mode=max, version=v1,builder-id=https://b/1,inline-only=true").unwrap();
        let (version, builder) = (SlsaVersion::V1, "https://b/1".to_owned());
        assert_eq!(whole, Some(Provenance { complete: true, version, builder }));
        let wrong = |text| Provenance::read(text).unwrap_err().to_string();
        assert_eq!(wrong("mode=odd"), "`odd` is not `min` or `max`");
        assert_eq!(wrong("version=v2"), "`v2` is not `v0.2` or `v1`");
        assert!(
            wrong("colour=red")
                .starts_with("`colour` is no setting: write `true`, `false`, or `mode=min|max`")
        );
        assert!(wrong("yes").starts_with("`yes` is no setting"));
    }

    #[test]
    fn a_list_of_software_has_a_generator_and_what_it_is_told() {
        let read = |text| Sbom::read(text).unwrap();
        assert_eq!(read("false"), None);
        let usual = read("true").unwrap();
        assert_eq!(usual.generator.to_string(), GENERATOR);
        let own = read("generator=own/scan:2,depth=3").unwrap();
        assert_eq!(own.generator.to_string(), "own/scan:2");
        assert_eq!(own.parameters, [("depth".to_owned(), "3".to_owned())].into());
        assert_eq!(Sbom::read("generator=A B").unwrap_err().to_string(), "`A B` is not an image");
    }
}
