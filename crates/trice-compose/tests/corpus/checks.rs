//! What holds of any input, however odd: the fuzz targets try it with inputs of their own, and a test with those that they
//! found.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use trice_compose::config;
use trice_compose::files::{FileKind, Files};
use trice_compose::load::{load, model};
use trice_compose::request::Request;

/// Files in memory.
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    /// Makes a folder `/p` of these files.
    fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let placed = files.into_iter().map(|(name, text)| (Path::new("/p").join(name), text.to_vec()));
        Self(placed.collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path, at_most: usize) -> io::Result<Vec<u8>> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes[..bytes.len().min(at_most)].to_vec())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        self.0.contains_key(path).then_some(FileKind::File)
    }
}

fn request() -> Request {
    Request { current_dir: PathBuf::from("/p"), ..Request::default() }
}

/// The names of the files that an input of [`loader`] has.
const NAMES: [&str; 5] = ["compose.yaml", "compose.override.yaml", "a.yaml", ".env", "b.env"];

/// Loads files: what is refused says why, and what is printed loads again and says the same.
pub(crate) fn loader(data: &[u8]) {
    // A form feed ends a file, and the next one begins.
    let files = Memory::new(NAMES.into_iter().zip(data.split(|byte| *byte == 0x0c)));
    if let Err(mistakes) = load(&request(), &files) {
        assert!(!mistakes.0.is_empty());
        assert!(mistakes.to_string().len() < 4 << 20);
    }
    let Ok((first, _)) = model(&request(), &files) else { return };
    let printed = config::yaml(&first);
    match model(&request(), &Memory::new([("compose.yaml", printed.as_bytes())])) {
        Ok((second, _)) => assert_eq!(config::yaml(&second), printed),
        Err(mistakes) => panic!("{mistakes}\n{printed}"),
    }
}

/// Fills in a template: what comes out is printed so that it comes out again.
pub(crate) fn interpolation(template: &str) {
    if template.chars().any(char::is_control) {
        return;
    }
    if let Some((value, printed)) = filled(template) {
        assert!(value.len() <= 1 << 20);
        assert_eq!(filled(&printed).map(|(value, _)| value), Some(value));
    }
}

/// Returns what `template` becomes, and the same as it is printed.
fn filled(template: &str) -> Option<(String, String)> {
    let text = format!("x-a: {}\nservices: {{}}\n", Json::from(template));
    let variables = [("A", "a"), ("E", ""), ("D", "$A"), ("B", "}{")];
    let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let request = Request { environment, ..request() };
    let (model, _) = model(&request, &Memory::new([("compose.yaml", text.as_bytes())])).ok()?;
    let printed: Json = serde_json::from_str(&config::json(&model)).ok()?;
    let value = config::value(&model)["x-a"].as_str()?.to_owned();
    Some((value, printed["x-a"].as_str()?.to_owned()))
}

/// Reads an env file: what a value says can be written and read again.
pub(crate) fn env_file(text: &[u8]) {
    let Some(variables) = variables(text) else { return };
    let simple =
        |(name, value): &&(String, String)| !value.contains(['\'', '\\']) && !name.starts_with("COMPOSE_");
    let line = |(name, value): &(String, String)| format!("{name}='{value}'\n");
    let written: String = variables.iter().filter(simple).map(line).collect();
    let again = self::variables(written.as_bytes()).unwrap_or_else(|| panic!("{written}"));
    for (name, value) in variables.iter().filter(simple) {
        assert!(again.iter().any(|(other, same)| other == name && same == value), "{name}");
    }
}

fn variables(text: &[u8]) -> Option<Vec<(String, String)>> {
    let files = Memory::new([("compose.yaml", b"services: {}".as_slice()), (".env", text)]);
    let (model, _) = model(&request(), &files).ok()?;
    Some(config::environment(&model).map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
