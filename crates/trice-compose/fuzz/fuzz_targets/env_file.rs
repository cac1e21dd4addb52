//! Reads env files that nobody would write, and sees that what a value says can be written and read again.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run env_file -- -max_total_time=600 -max_len=4096 -timeout=5
//! ```
#![no_main]

use std::io;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use trice_compose::config;
use trice_compose::files::{FileKind, Files};
use trice_compose::load::model;
use trice_compose::request::Request;

/// A Compose file and its `.env`.
struct Memory(Vec<u8>);

impl Files for Memory {
    fn read(&self, path: &Path, at_most: usize) -> io::Result<Vec<u8>> {
        let bytes = if path.ends_with(".env") { &self.0 } else { b"services: {}".as_slice() };
        Ok(bytes[..bytes.len().min(at_most)].to_vec())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        ["/p/compose.yaml", "/p/.env"].iter().any(|file| path == Path::new(file)).then_some(FileKind::File)
    }
}

fn read(text: Vec<u8>) -> Option<Vec<(String, String)>> {
    let request = Request { current_dir: PathBuf::from("/p"), ..Request::default() };
    let (model, _) = model(&request, &Memory(text)).ok()?;
    Some(config::environment(&model).map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fuzz_target!(|data: &[u8]| {
    let Some(variables) = read(data.to_vec()) else { return };
    let plain = |value: &str| !value.contains(['\'', '\\']);
    let written: String = variables
        .iter()
        .filter(|(name, value)| plain(value) && !name.starts_with("COMPOSE_"))
        .map(|(name, value)| format!("{name}='{value}'\n"))
        .collect();
    let again = read(written.clone().into_bytes()).unwrap_or_else(|| panic!("{written}"));
    for (name, value) in variables.iter().filter(|(name, value)| plain(value) && !name.starts_with("COMPOSE_")) {
        assert!(again.iter().any(|(other, same)| other == name && same == value), "{name}");
    }
});
