//! The environment of whoever calls, read once.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// Variables and the current directory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) current_dir: PathBuf,
}

impl Environment {
    /// Reads it. Variables that are no text are left out: no file could name their value.
    pub(crate) fn of_caller() -> io::Result<Self> {
        let texts = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(Self { variables: texts.collect(), current_dir: current_dir()? })
    }

    /// Returns a variable that says something.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Tells whether a variable says yes, as Go reads it.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
    }
}

/// Returns the current directory as the shell calls it, links included, if that is where we are.
///
/// A project takes its name from its folder, and for people a folder has the name that they went there by.
fn current_dir() -> io::Result<PathBuf> {
    let real = std::env::current_dir()?;
    let named = std::env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    Ok(named.filter(|path| path.canonicalize().is_ok_and(|path| path == real)).unwrap_or(real))
}
