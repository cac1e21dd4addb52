//! Fills in templates that nobody would write, and sees that what comes out is printed so that it comes out again.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run interpolation -- -max_total_time=600 -max_len=4096 -timeout=5
//! ```
#![no_main]

use std::io;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use serde_json::Value as Json;
use trice_compose::config;
use trice_compose::files::{FileKind, Files};
use trice_compose::load::model;
use trice_compose::request::Request;

/// One file.
struct Memory(String);

impl Files for Memory {
    fn read(&self, _: &Path, at_most: usize) -> io::Result<Vec<u8>> {
        Ok(self.0.as_bytes()[..self.0.len().min(at_most)].to_vec())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        (path == Path::new("/p/compose.yaml")).then_some(FileKind::File)
    }
}

/// Returns what `template` becomes, and the same as it is printed.
fn filled(template: &str) -> Option<(String, String)> {
    let text = format!("x-a: {}\nservices: {{}}\n", Json::from(template));
    let variables = [("A", "a"), ("E", ""), ("D", "$A"), ("B", "}{")];
    let request = Request {
        current_dir: PathBuf::from("/p"),
        environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Request::default()
    };
    let (model, _) = model(&request, &Memory(text)).ok()?;
    let printed: Json = serde_json::from_str(&config::json(&model)).ok()?;
    let value = config::value(&model)["x-a"].as_str()?.to_owned();
    Some((value, printed["x-a"].as_str()?.to_owned()))
}

fuzz_target!(|template: &str| {
    if template.chars().any(char::is_control) {
        return;
    }
    if let Some((value, printed)) = filled(template) {
        assert!(value.len() <= 1 << 20);
        assert_eq!(filled(&printed).map(|(value, _)| value), Some(value));
    }
});
