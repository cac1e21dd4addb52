//! The secrets of a build.

use std::fs::File;
use std::io::{self, Read};

use trice_model::build::{Build, SecretSource};

use crate::error::StepError;

/// The longest secret.
const LONGEST: u64 = 1 << 20;

/// Returns the secret called `id`, if the build has it.
pub(crate) fn read(build: &Build, id: &str) -> Result<Option<Vec<u8>>, StepError> {
    match build.secrets.get(id) {
        None => Ok(None),
        Some(SecretSource::Value(value)) => Ok(Some(value.clone().into_bytes())),
        Some(SecretSource::File(path)) => {
            let read = || {
                let mut bytes = Vec::new();
                File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
                if bytes.len() as u64 > LONGEST {
                    return Err(io::Error::other("it is longer than 1 MiB"));
                }
                Ok(bytes)
            };
            let what = format!("read the secret `{id}` from `{}`", path.display());
            read().map(Some).map_err(|source| StepError::Disk { what, source })
        }
    }
}
