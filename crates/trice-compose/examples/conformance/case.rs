//! One case: files, flags and variables, and the two answers to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use serde_json::Value as Json;
use trice_compose::config;
use trice_compose::files::{FileKind, Files};
use trice_compose::load::model;
use trice_compose::request::{Request, Skip};

use crate::compare::compare;
use crate::yaml::Tree;

/// What one side says.
pub(crate) enum Answer {
    Model(Json),
    Refused(String),
}

/// What both sides make of a case.
pub(crate) enum Outcome {
    /// Both accept it, and say the same.
    Accepted,
    /// Both refuse it.
    Refused,
    /// They differ. Cases of one cause share a key.
    Different { key: String, what: String },
}

impl Outcome {
    fn different(key: String, what: String) -> Self {
        Self::Different { key, what }
    }
}

/// Files of a folder that both sides are asked about.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// Each file with its name: what is written out, or text that is.
    pub(crate) files: Vec<(String, Text)>,
    /// How many of them are named by `-f`.
    pub(crate) named: usize,
    pub(crate) flags: Vec<&'static str>,
}

/// The text of a file.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    Tree(Tree),
    Plain(String),
}

impl Text {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Tree(tree) => tree.text(),
            Self::Plain(text) => text.clone(),
        }
    }
}

/// The variables that both sides have.
pub(crate) fn variables() -> BTreeMap<String, String> {
    let pairs = [("SET", "value"), ("EMPTY", ""), ("FIVE", "5"), ("YES", "true"), ("TAG", "1.2")];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Case {
    /// Asks both sides in `folder`.
    pub(crate) fn outcome(&self, folder: &Path, oracle: &str) -> Outcome {
        fs::create_dir_all(folder).expect("the folder can be made");
        for (name, text) in &self.files {
            fs::write(folder.join(name), text.text()).expect("a file can be written");
        }
        let names: Vec<String> = self.files.iter().take(self.named).map(|(name, _)| name.clone()).collect();
        let variables = variables();
        match (
            ours(folder, &names, &variables, &self.flags),
            theirs(oracle, folder, &names, &variables, &self.flags),
        ) {
            (Answer::Refused(_), Answer::Refused(_)) => Outcome::Refused,
            (Answer::Refused(why), Answer::Model(_)) => Outcome::different(
                format!("refused {}", key_of(&why)),
                format!("  refused, not accepted: {why}"),
            ),
            (Answer::Model(_), Answer::Refused(why)) => Outcome::different(
                format!("accepted {}", key_of(&why)),
                format!("  accepted, not refused: {why}"),
            ),
            (Answer::Model(ours), Answer::Model(theirs)) => {
                let mut told = Vec::new();
                compare("", &ours, &theirs, &mut told);
                match told.first() {
                    None => Outcome::Accepted,
                    Some(first) => Outcome::different(key_of(first), told.join("\n")),
                }
            }
        }
    }
}

/// Returns what is the same in all texts of one cause.
fn key_of(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut quoted = false;
    let mut key = String::new();
    for c in line.chars() {
        if matches!(c, '`' | '"' | '\'') {
            quoted = !quoted;
        } else if !quoted && !c.is_ascii_digit() {
            key.push(c);
        }
    }
    // The folder has the number of the case in its name.
    let key = key.split_once("/conformance").map_or(key.clone(), |(before, after)| {
        format!("{before}{}", after.split_once(' ').map_or("", |(_, rest)| rest))
    });
    key.replace("services.alpha", "services.S")
        .replace("services.beta", "services.S")
        .replace("services.gamma", "services.S")
        .chars()
        .take(90)
        .collect()
}

/// The files of a case, in memory.
struct Memory<'a>(&'a Case);

impl Files for Memory<'_> {
    fn read(&self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        let found = self.0.files.iter().find(|(name, _)| Path::new("/p").join(name) == path);
        found.map(|(_, text)| text.text().into_bytes()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        self.0.files.iter().any(|(name, _)| Path::new("/p").join(name) == path).then_some(FileKind::File)
    }
}

/// Returns how much is wrong with a case.
pub(crate) fn mistakes(case: &Case) -> usize {
    let names: Vec<String> = case.files.iter().take(case.named).map(|(name, _)| name.clone()).collect();
    let request = request(Path::new("/p"), &names, &variables(), &case.flags);
    model(&request, &Memory(case)).map_or_else(|mistakes| mistakes.0.len().max(1), |_| 0)
}

pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, at_most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, at_most as u64), &mut bytes)?;
        Ok(bytes)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let folder = fs::metadata(path).ok()?.is_dir();
        Some(if folder { FileKind::Folder } else { FileKind::File })
    }
}

fn request(folder: &Path, names: &[String], variables: &BTreeMap<String, String>, flags: &[&str]) -> Request {
    let usual = [("PATH", "/usr/bin:/bin"), ("HOME", "/root")];
    let usual = usual.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let flag = |name: &str| flags.contains(&name);
    Request {
        files: names.to_vec(),
        project_name: Some("ref".to_owned()),
        current_dir: folder.to_owned(),
        environment: variables.clone().into_iter().chain(usual).collect(),
        skip: Skip {
            interpolation: flag("--no-interpolate"),
            normalisation: flag("--no-normalize"),
            paths: flag("--no-path-resolution"),
            consistency: flag("--no-consistency"),
            env_files: flag("--no-env-resolution"),
        },
        home: Some(PathBuf::from("/root")),
        ..Request::default()
    }
}

/// Returns what we say.
pub(crate) fn ours(
    folder: &Path,
    names: &[String],
    variables: &BTreeMap<String, String>,
    flags: &[&str],
) -> Answer {
    match model(&request(folder, names, variables, flags), &Disk) {
        Err(mistakes) => Answer::Refused(mistakes.to_string()),
        Ok((model, _)) => {
            Answer::Model(serde_json::from_str(&config::json(&model)).expect("our own JSON is JSON"))
        }
    }
}

/// Returns what Docker Compose says.
fn theirs(
    oracle: &str,
    folder: &Path,
    names: &[String],
    variables: &BTreeMap<String, String>,
    flags: &[&str],
) -> Answer {
    let mut command = Command::new(oracle);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/root").envs(variables);
    command.current_dir(folder).args(["-p", "ref"]);
    for name in names {
        command.args(["-f", name]);
    }
    let output = command.args(["config", "--format", "json"]).args(flags).output().expect("the oracle runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let told = said.lines().filter(|line| !line.contains("level=warning"));
    let reason = || told.collect::<Vec<_>>().join(" ").chars().take(300).collect();
    match serde_json::from_slice(&output.stdout) {
        Ok(model) if output.status.success() => Answer::Model(model),
        _ => Answer::Refused(reason()),
    }
}
