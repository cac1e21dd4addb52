//! Where trice keeps its things, and whether the caller may go there.

use std::path::{Path, PathBuf};

use trice_runtime::keeper::start::Directories;

use crate::environment::Environment;
use crate::failure::Failure;

/// What outlives a reboot, for root.
const DATA: &str = "/var/lib/trice";
/// What does not.
const RUN: &str = "/run/trice";

/// Returns the directories that the environment asks for, if the caller may use them.
pub(crate) fn of(environment: &Environment) -> Result<Directories, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::NotRoot);
    }
    Ok(chosen(environment))
}

fn chosen(environment: &Environment) -> Directories {
    let folder = |variable: &str, usual: &str| -> PathBuf {
        environment.current_dir.join(environment.get(variable).unwrap_or(usual))
    };
    Directories { data: folder("TRICE_DATA", DATA), run: folder("TRICE_RUN", RUN) }
}

/// Tells whether anything may be there to be asked for: an engine that runs, or what one has left.
pub(crate) fn are_used(directories: &Directories) -> bool {
    directories.socket().exists() || has_records(&directories.data)
}

/// An engine's log says that there was one, and not that it left anything.
fn has_records(data: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(data) else { return false };
    entries.filter_map(Result::ok).any(|entry| entry.file_name() != "engine.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_moves_the_directories() {
        let mut environment = Environment { current_dir: "/here".into(), ..Environment::default() };
        assert_eq!(
            chosen(&environment),
            Directories { data: "/var/lib/trice".into(), run: "/run/trice".into() }
        );
        environment.variables.insert("TRICE_DATA".to_owned(), "state".to_owned());
        environment.variables.insert("TRICE_RUN".to_owned(), "/tmp/run".to_owned());
        assert_eq!(chosen(&environment), Directories { data: "/here/state".into(), run: "/tmp/run".into() });
    }
}
