//! What is loaded: the environment, the files, the folder, the name.
//!
//! ```text
//! environment   the caller's, then --env-file or .env; COMPOSE_* among them steer what follows
//! files         -f, else COMPOSE_FILE, else compose.yaml and its like here or above, with its override
//! folder        --project-directory, else that of the first file
//! .env again    of that folder, for what is not set yet
//! name          -p, else COMPOSE_PROJECT_NAME, else the last `name` of a file, else the folder's
//! ```
//!
//! Sources: Compose Specification, `03-compose-file.md`; compose-go `cli/options.go`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use trice_model::name::{NameError, ProjectName};

use crate::environment::Environment;
use crate::files::FileKind;
use crate::loader::{Cause, FileMistake, Loader, Parsed, is_remote};
use crate::paths::absolute;
use crate::request::Request;
use crate::template::{self, Lookup};
use crate::tree::mapping::Mapping;
use crate::tree::node::Node;
use crate::tree::parse::{self, Unreadable};

/// The names that are searched for, the preferred one first.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// The names of what is merged over it, the preferred one first.
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What can go wrong before a file is read.
#[derive(Debug, thiserror::Error)]
enum DiscoveryMistake {
    #[error("there is no Compose file in `{0}` or above it")]
    NoFile(String),
    #[error("the project has no name")]
    NoName,
    #[error("`COMPOSE_DISABLE_ENV_FILE` is `{0}`, which is not a boolean")]
    NotABoolean(String),
    #[error("the file has nothing in it")]
    Empty,
    #[error(transparent)]
    Name(#[from] NameError),
}

/// What is loaded.
pub(crate) struct Discovered {
    pub(crate) files: Vec<Parsed>,
    pub(crate) folder: PathBuf,
    pub(crate) environment: Arc<Environment>,
    pub(crate) profiles: Vec<String>,
    pub(crate) name: String,
}

/// Finds out what `request` is about, and parses its files.
pub(crate) fn discover(loader: &mut Loader<'_>, request: &Request) -> Result<Discovered, Unreadable> {
    let mut environment = Environment::of_caller(&request.environment);
    if environment.get("PWD").is_none() {
        environment.set("PWD", request.current_dir.display().to_string());
    }
    let directory = request.project_directory.as_ref().map(|folder| {
        let folder = folder.display().to_string();
        absolute(&request.current_dir, &folder)
    });
    let flags = absolute_files(&request.files, &request.current_dir);
    let folder_of = |files: &[PathBuf]| {
        let first = files.iter().find(|file| file.as_os_str() != "-").and_then(|file| file.parent());
        directory.clone().or(first.map(Path::to_owned)).unwrap_or_else(|| request.current_dir.clone())
    };
    let before = folder_of(&flags);
    read_env_files(loader, request, &before, &mut environment)?;
    let files = match flags.is_empty() {
        false => flags,
        true => match named_by_variable(&environment, &request.current_dir) {
            Some(files) => files,
            None => search(loader, directory.as_deref().unwrap_or(&request.current_dir))?,
        },
    };
    let folder = folder_of(&files);
    if folder != before {
        read_env_files(loader, request, &folder, &mut environment)?;
    }
    let profiles = profiles(request, &environment);
    let mut shared = Arc::new(environment);
    let parsed = read(loader, request, &files, &shared)?;
    let name = name(loader, request, &shared, &parsed, &folder)?;
    // Files and places hold the environment already, so the name goes into a copy that all later steps use.
    Arc::make_mut(&mut shared).set("COMPOSE_PROJECT_NAME", name.clone());
    loader.sources.rebase(&shared);
    Ok(Discovered { files: parsed, folder, environment: shared, profiles, name })
}

fn absolute_files(files: &[String], folder: &Path) -> Vec<PathBuf> {
    let whole = |file: &String| match file.as_str() {
        "-" => PathBuf::from("-"),
        remote if is_remote(remote) => PathBuf::from(remote),
        file => absolute(folder, file),
    };
    files.iter().map(whole).collect()
}

/// Adds what the env files say, which is less than what the environment says already.
fn read_env_files(
    loader: &mut Loader<'_>,
    request: &Request,
    folder: &Path,
    environment: &mut Environment,
) -> Result<(), Unreadable> {
    let named: Vec<PathBuf> = match (request.env_files.as_slice(), environment.get("COMPOSE_ENV_FILES")) {
        ([], Some(list)) if request.environment.contains_key("COMPOSE_ENV_FILES") => {
            list.split(',').filter(|file| !file.is_empty()).map(PathBuf::from).collect()
        }
        (files, _) => files.to_vec(),
    };
    let files: Vec<PathBuf> = if named.is_empty() {
        let default = folder.join(".env");
        let wanted =
            !default_disabled(loader, request)? && loader.files.kind(&default) == Some(FileKind::File);
        wanted.then_some(default).into_iter().collect()
    } else {
        named.iter().map(|file| absolute(&request.current_dir, &file.display().to_string())).collect()
    };
    let outer = Arc::new(environment.clone());
    let mut later = Environment::default();
    for file in files {
        loader.env_file(&file, &outer, &mut later, Cause::Request)?;
    }
    environment.add(later);
    Ok(())
}

fn default_disabled(loader: &mut Loader<'_>, request: &Request) -> Result<bool, Unreadable> {
    match request.environment.get("COMPOSE_DISABLE_ENV_FILE").map(String::as_str) {
        None => Ok(false),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => {
            loader.report.mistake_nowhere(DiscoveryMistake::NotABoolean(other.to_owned()));
            Err(Unreadable)
        }
    }
}

fn named_by_variable(environment: &Environment, folder: &Path) -> Option<Vec<PathBuf>> {
    let list = environment.get("COMPOSE_FILE").filter(|list| !list.is_empty())?;
    let separator = environment.get("COMPOSE_PATH_SEPARATOR").filter(|text| !text.is_empty()).unwrap_or(":");
    let files: Vec<String> = list.split(separator).map(str::to_owned).collect();
    Some(absolute_files(&files, folder))
}

/// Looks for a file of a known name in `folder` and above it.
fn search(loader: &mut Loader<'_>, folder: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    for folder in folder.ancestors() {
        let Some(main) = preferred(loader, folder, &NAMES) else { continue };
        return Ok(std::iter::once(main).chain(preferred(loader, folder, &OVERRIDES)).collect());
    }
    let mistake = DiscoveryMistake::NoFile(folder.display().to_string());
    loader
        .report
        .mistake_nowhere(mistake)
        .hint("name the file with `-f`, or go to its folder; it may be called `compose.yaml`");
    Err(Unreadable)
}

fn preferred(loader: &mut Loader<'_>, folder: &Path, names: &[&str]) -> Option<PathBuf> {
    let found: Vec<PathBuf> =
        names.iter().map(|name| folder.join(name)).filter(|file| loader.files.kind(file).is_some()).collect();
    let first = found.first()?.clone();
    if found.len() > 1 {
        let names: Vec<String> =
            found.iter().map(|file| format!("`{}`", loader.sources.shown(file))).collect();
        loader.report.warning_nowhere(format!("of {}, the first is used", names.join(", ")));
    }
    Some(first)
}

fn profiles(request: &Request, environment: &Environment) -> Vec<String> {
    if !request.profiles.is_empty() {
        return request.profiles.clone();
    }
    // An empty variable is one empty profile, as Docker Compose has it.
    let list = environment.get("COMPOSE_PROFILES").unwrap_or_default();
    list.split(',').map(|profile| profile.trim().to_owned()).collect()
}

fn read(
    loader: &mut Loader<'_>,
    request: &Request,
    files: &[PathBuf],
    environment: &Arc<Environment>,
) -> Result<Vec<Parsed>, Unreadable> {
    let mut parsed = Vec::new();
    for path in files {
        let name = path.display().to_string();
        if is_remote(&name) {
            loader.refuse(Cause::Request, FileMistake::Remote(name));
        } else if name == "-" {
            let opened = loader.open(Path::new("<stdin>"), request.stdin.clone(), environment);
            let documents = opened.and_then(|(file, text)| parse::documents(&text, file, &mut loader.report));
            parsed.extend(documents.map(|documents| Parsed { path: path.clone(), documents }));
        } else {
            parsed.extend(loader.parsed(path, environment, Cause::Request));
        }
    }
    if parsed.len() < files.len() {
        return Err(Unreadable);
    }
    let says_nothing = |document: &Node| document.as_map().is_some_and(Mapping::is_empty);
    if parsed.iter().flat_map(|file| &file.documents).all(says_nothing) {
        let names: Vec<String> = files.iter().map(|file| loader.sources.shown(file)).collect();
        let hint = format!("begin {} with `services:`", names.join(", "));
        loader.report.mistake_nowhere(DiscoveryMistake::Empty).hint(hint);
        return Err(Unreadable);
    }
    Ok(parsed)
}

fn name(
    loader: &mut Loader<'_>,
    request: &Request,
    environment: &Environment,
    files: &[Parsed],
    folder: &Path,
) -> Result<String, Unreadable> {
    let variable = environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty());
    if let Some(given) = request.project_name.as_deref().filter(|name| !name.is_empty()).or(variable) {
        return match given.parse::<ProjectName>() {
            Ok(name) => Ok(name.to_string()),
            Err(error) => {
                loader.report.mistake_nowhere(DiscoveryMistake::from(error));
                Err(Unreadable)
            }
        };
    }
    let names = files.iter().flat_map(|file| &file.documents).filter_map(|document| document.get("name"));
    let written = names.filter_map(Node::as_text).rfind(|name| !name.is_empty());
    let written = written.map(|name| match request.skip.interpolation {
        true => name.to_owned(),
        // What is wrong with it is told when the document is interpolated.
        false => template::fill(name, &mut Variables(environment)).unwrap_or_default(),
    });
    let last = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match written.as_deref().map_or(ProjectName::cleaned(&last), ProjectName::cleaned) {
        Some(name) => Ok(name.to_string()),
        None => {
            loader.report.mistake_nowhere(DiscoveryMistake::NoName).hint("give it one with `-p` or `name:`");
            Err(Unreadable)
        }
    }
}

struct Variables<'a>(&'a Environment);

impl Lookup for Variables<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    fn missing(&mut self, _: &str) {}
}

#[cfg(test)]
mod tests;
