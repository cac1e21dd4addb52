//! Loads files that nobody would write, and sees that what is refused says why, and that what is printed loads again and
//! says the same.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run loader -- -max_total_time=600 -max_len=4096 -timeout=5 -rss_limit_mb=500
//! ```
#![no_main]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use trice_compose::config;
use trice_compose::files::{FileKind, Files};
use trice_compose::load::{load, model};
use trice_compose::request::Request;

/// Files in memory.
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path, at_most: usize) -> io::Result<Vec<u8>> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes[..bytes.len().min(at_most)].to_vec())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        self.0.contains_key(path).then_some(FileKind::File)
    }
}

const NAMES: [&str; 5] = ["compose.yaml", "compose.override.yaml", "a.yaml", ".env", "b.env"];

fuzz_target!(|data: &[u8]| {
    // A form feed ends a file, and the next one begins.
    let texts = data.split(|byte| *byte == 0x0c);
    let files = NAMES.iter().zip(texts).map(|(name, text)| (Path::new("/p").join(name), text.to_vec()));
    let files = Memory(files.collect());
    let request = Request { current_dir: PathBuf::from("/p"), ..Request::default() };
    if let Err(mistakes) = load(&request, &files) {
        assert!(!mistakes.0.is_empty());
        assert!(mistakes.to_string().len() < 4 << 20);
    }
    let Ok((first, _)) = model(&request, &files) else { return };
    let printed = config::yaml(&first);
    let again = Memory([(PathBuf::from("/p/compose.yaml"), printed.clone().into_bytes())].into());
    match model(&request, &again) {
        Ok((second, _)) => assert_eq!(config::yaml(&second), printed),
        Err(mistakes) => panic!("{mistakes}\n{printed}"),
    }
});
