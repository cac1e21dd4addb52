//! Finds an image by what people call it: a name, an id, or the beginning of one.

use trice_model::image::{ImageRef, RegistryRef};
use trice_state::store::ReadError;

use super::{Images, ResolveError};
use crate::digest::Digest;
use crate::platform::Platform;
use crate::record::{ImageRecord, NameRecord, digest_key, tag_key};

/// An image, and what it was found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    /// Its record.
    pub image: ImageRecord,
    /// Those that the name stands for on other platforms, if no platform was meant.
    pub others: Vec<ImageRecord>,
    /// The name, if it was not an id.
    pub name: Option<RegistryRef>,
}

/// Why an image is not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is none.
    #[error("there is no image `{text}` here")]
    NoSuchImage {
        /// What was looked for.
        text: String,
    },
    /// There are several.
    #[error("`{text}` is the beginning of the ids of {count} images: write more of it")]
    Ambiguous {
        /// What was looked for.
        text: String,
        /// How many there are.
        count: usize,
    },
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl FoundImage {
    /// Returns all that was found.
    pub fn all(&self) -> impl Iterator<Item = &ImageRecord> {
        [&self.image].into_iter().chain(&self.others)
    }
}

impl Images {
    /// Finds the image that `text` means, for `platform` if it is a name. Without a platform it is this machine's, or else
    /// the first one that there is.
    ///
    /// # Errors
    /// [`FindError`].
    pub fn find(&self, text: &str, platform: Option<&Platform>) -> Result<FoundImage, FindError> {
        let host = Platform::host();
        let none = || FindError::NoSuchImage { text: text.to_owned() };
        if let Ok(name) = text.parse::<RegistryRef>() {
            let own = self.named(&name, platform.unwrap_or(&host))?;
            let all = if platform.is_none() { self.all_named(&name)? } else { Vec::new() };
            let main = own.or_else(|| all.first().cloned());
            let others = all.iter().filter(|id| Some(*id) != main.as_ref());
            let others = others.map(|id| self.store.get::<ImageRecord>(id.as_str()));
            let others = others.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
            let main = main.map(|id| self.store.get::<ImageRecord>(id.as_str())).transpose()?.flatten();
            if let Some(image) = main {
                return Ok(FoundImage { image, others, name: Some(name) });
            }
        }
        if let Ok(reference) = text.parse::<ImageRef>()
            && !matches!(reference, ImageRef::Registry(_))
        {
            let resolved = self
                .resolve(&reference, platform.unwrap_or(&host))
                .map_err(|ResolveError::Read(error)| error)?;
            let image = resolved.map(|image| self.store.get::<ImageRecord>(&image.id)).transpose()?.flatten();
            return image.map(|image| FoundImage { image, others: Vec::new(), name: None }).ok_or_else(none);
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(none());
        }
        let mut images =
            self.store.scan::<ImageRecord>(&format!("sha256:{}", prefix.to_ascii_lowercase()))?;
        match (images.pop(), images.len()) {
            (Some(image), 0) => Ok(FoundImage { image, others: Vec::new(), name: None }),
            (Some(_), others) => Err(FindError::Ambiguous { text: text.to_owned(), count: others + 1 }),
            (None, _) => Err(none()),
        }
    }

    /// Returns all images of a name.
    fn all_named(&self, name: &RegistryRef) -> Result<Vec<Digest>, ReadError> {
        let key = match (&name.digest, &name.tag) {
            (Some(digest), _) => digest.parse().ok().map(|digest| digest_key(name, &digest)),
            (None, tag) => tag.as_ref().map(|tag| tag_key(name, tag)),
        };
        let Some(key) = key else { return Ok(Vec::new()) };
        let record = self.store.get::<NameRecord>(&key)?;
        Ok(record.into_iter().flat_map(|record| record.images).map(|named| named.image).collect())
    }

    /// Returns all names of an image.
    pub(super) fn names_of(&self, image: &Digest) -> Result<Vec<NameRecord>, ReadError> {
        let names = self.store.all::<NameRecord>()?;
        Ok(names.into_iter().filter(|name| name.images.iter().any(|named| named.image == *image)).collect())
    }
}
