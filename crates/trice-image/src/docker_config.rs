//! The file in which Docker's programs keep how to get into registries: `~/.docker/config.json`.
//!
//! ```text
//! credHelpers.HOST ──► program            (helper)
//! credsStore ────────► program
//! auths.HOST ────────► auth: base64 of USER:PASSWORD, identitytoken, registrytoken
//! ```
//!
//! Whoever runs as the user reads it and hands credentials on: neither the engine nor a back end looks for it.
//! What is written keeps everything in it that trice does not know.
//!
//! Sources: docker/cli `cli/config/configfile/file.go`, `types/authconfig.go`; containers-auth.json(5).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use trice_model::registry::{Credentials, Secret};

use crate::helper::{Helper, HelperError};

/// The key under which Docker keeps the credentials for its own registry.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The host that it stands for.
const DOCKER_HUB: &str = "docker.io";

/// A configuration, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerConfig {
    path: PathBuf,
    content: Map<String, Value>,
}

/// Where the credentials for a host are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A program keeps them.
    Helper(Helper),
    /// They are in the file.
    File,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum DockerConfigError {
    /// The file cannot be read.
    #[error("read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("read `{path}`: it is not a JSON object")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        source: Option<serde_json::Error>,
    },
    /// What it has for a host is not what it should be.
    #[error("`{path}` has something for {host} that is no name and password")]
    Auth {
        /// The file.
        path: PathBuf,
        /// The host.
        host: String,
    },
    /// The file cannot be written.
    #[error("write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The program that keeps them does not do it.
    #[error(transparent)]
    Helper(#[from] HelperError),
}

impl DockerConfig {
    /// Reads the file at `path`. One that is not there has nothing in it.
    ///
    /// # Errors
    /// [`DockerConfigError::Read`], [`DockerConfigError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, DockerConfigError> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(DockerConfigError::Read { path: path.to_owned(), source }),
            Ok(bytes) => bytes,
        };
        Self::parse(path, &bytes)
    }

    /// Reads what a file at `path` would have in it; nothing says nothing.
    ///
    /// # Errors
    /// [`DockerConfigError::Malformed`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, DockerConfigError> {
        let path = path.to_owned();
        match serde_json::from_slice(if bytes.trim_ascii().is_empty() { b"{}" } else { bytes }) {
            Ok(Value::Object(content)) => Ok(Self { path, content }),
            Ok(_) => Err(DockerConfigError::Malformed { path, source: None }),
            Err(source) => Err(DockerConfigError::Malformed { path, source: Some(source) }),
        }
    }

    /// Returns the hosts for which there is anything.
    pub fn hosts(&self) -> Vec<String> {
        let keys = |name: &str| self.object(name).into_iter().flat_map(Map::keys);
        let mut hosts: Vec<_> = keys("credHelpers").chain(keys("auths")).map(|key| host_of(key)).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// Returns where the credentials for `host` are, or will be.
    pub fn place(&self, host: &str) -> Place {
        let own = self.object("credHelpers").and_then(|helpers| find(helpers, host)).and_then(Value::as_str);
        let store = self.content.get("credsStore").and_then(Value::as_str);
        match own.or(store).filter(|name| !name.is_empty()) {
            Some(name) => Place::Helper(Helper::new(name)),
            None => Place::File,
        }
    }

    /// Returns what the file itself has for `host`.
    ///
    /// # Errors
    /// [`DockerConfigError::Auth`] if that is no name and password.
    pub fn in_file(&self, host: &str) -> Result<Option<Credentials>, DockerConfigError> {
        let Some(auth) = self.object("auths").and_then(|auths| find(auths, host)) else { return Ok(None) };
        let text = |key: &str| auth.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = text("registrytoken") {
            return Ok(Some(Credentials::RegistryToken(Secret::new(token))));
        }
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credentials::IdentityToken(Secret::new(token))));
        }
        if let (Some(user), Some(password)) = (text("username"), text("password")) {
            return Ok(Some(Credentials::Password {
                user: user.to_owned(),
                password: Secret::new(password),
            }));
        }
        // A host that a helper has is listed with nothing.
        let Some(encoded) = text("auth") else { return Ok(None) };
        let wrong = || DockerConfigError::Auth { path: self.path.clone(), host: host.to_owned() };
        let decoded = STANDARD.decode(encoded.trim()).map_err(|_| wrong())?;
        let decoded = String::from_utf8(decoded).map_err(|_| wrong())?;
        let (user, password) = decoded.split_once(':').ok_or_else(wrong)?;
        // Docker once filled the text up.
        let password = Secret::new(password.trim_end_matches('\0'));
        Ok(Some(Credentials::Password { user: user.to_owned(), password }))
    }

    /// Returns the credentials for `host`, from a helper or from the file.
    ///
    /// # Errors
    /// [`DockerConfigError`]. Whoever only reads may go on without credentials then; those for another host are
    /// never shown instead.
    pub fn credentials(&self, host: &str) -> Result<Option<Credentials>, DockerConfigError> {
        match self.place(host) {
            Place::File => self.in_file(host),
            Place::Helper(helper) => Ok(helper.get(&key_of(host))?),
        }
    }

    /// Keeps `credentials` for `host`, where they belong.
    ///
    /// # Errors
    /// [`DockerConfigError`]; the file is as it was then.
    pub fn login(&mut self, host: &str, credentials: &Credentials) -> Result<(), DockerConfigError> {
        let entry = match self.place(host) {
            Place::Helper(helper) => {
                helper.store(&key_of(host), credentials)?;
                json!({})
            }
            Place::File => entry(credentials),
        };
        let auths = self.content.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        remove(auths, host);
        auths[key_of(host)] = entry;
        self.write()
    }

    /// Forgets the credentials for `host`, and tells whether there were any.
    ///
    /// # Errors
    /// [`DockerConfigError`].
    pub fn logout(&mut self, host: &str) -> Result<bool, DockerConfigError> {
        let by_helper = match self.place(host) {
            Place::Helper(helper) => helper.erase(&key_of(host))?,
            Place::File => false,
        };
        let in_file = self.content.get_mut("auths").is_some_and(|auths| remove(auths, host));
        if in_file {
            self.write()?;
        }
        Ok(by_helper || in_file)
    }

    /// Puts the new file into the place of the old one. A link stays one, and what it leads to is changed.
    fn write(&self) -> Result<(), DockerConfigError> {
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let failed = |source| DockerConfigError::Write { path: self.path.clone(), source };
        let folder = target.parent().unwrap_or(Path::new("."));
        let new = folder.join(format!(".config.json.{}", std::process::id()));
        let write = || {
            fs::create_dir_all(folder)?;
            let mode = fs::metadata(&target).map_or(0o600, |found| found.permissions().mode() & 0o777);
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(mode & 0o700).open(&new)?;
            let mut text = serde_json::to_vec_pretty(&self.content)?;
            text.push(b'\n');
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &target)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&new); // half of it is of no use, and the error says what is wrong
            failed(error)
        })
    }

    fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        self.content.get(name)?.as_object()
    }
}

/// Returns what is in the file about credentials that are kept there.
fn entry(credentials: &Credentials) -> Value {
    match credentials {
        Credentials::Password { user, password } => {
            json!({ "auth": STANDARD.encode(format!("{user}:{}", password.reveal())) })
        }
        // Docker's name for whoever has a token.
        Credentials::IdentityToken(token) => {
            json!({ "auth": STANDARD.encode("<token>:"), "identitytoken": token.reveal() })
        }
        Credentials::RegistryToken(token) => json!({ "registrytoken": token.reveal() }),
    }
}

/// Returns the key for `host`.
fn key_of(host: &str) -> String {
    if host == DOCKER_HUB { DOCKER_HUB_KEY.to_owned() } else { host.to_owned() }
}

/// Returns the host that a key is for: older programs wrote addresses.
fn host_of(key: &str) -> String {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    match host {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
        host => host.to_owned(),
    }
}

/// Finds what is for `host`: under its key, or under one that means it.
fn find<'a>(all: &'a Map<String, Value>, host: &str) -> Option<&'a Value> {
    all.get(&key_of(host))
        .or_else(|| all.iter().find(|(key, _)| host_of(key) == host).map(|(_, value)| value))
}

/// Removes all that is for `host`, and tells whether there was anything.
fn remove(all: &mut Value, host: &str) -> bool {
    let Some(all) = all.as_object_mut() else { return false };
    let before = all.len();
    all.retain(|key, _| host_of(key) != host);
    all.len() < before
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::Folder;

    fn config(text: &str) -> DockerConfig {
        let folder = Folder::new();
        fs::write(folder.path("config.json"), text).unwrap();
        DockerConfig::read(&folder.path("config.json")).unwrap()
    }

    fn password(user: &str, password: &str) -> Credentials {
        Credentials::Password { user: user.to_owned(), password: Secret::new(password) }
    }

    #[test]
    fn credentials_are_found_under_all_the_names_that_programs_have_used() {
        let auth = STANDARD.encode("me:p:w");
        let config = config(&format!(
            r#"{{"auths":{{
                "https://index.docker.io/v1/":{{"auth":"{auth}"}},
                "https://quay.io/v2/":{{"username":"you","password":"x"}},
                "reg:5000":{{"auth":"{}","identitytoken":"t"}},
                "empty.io":{{}},
                "token.io":{{"registrytoken":"r"}}
            }},"HttpHeaders":{{}}}}"#,
            STANDARD.encode("<token>:")
        ));
        let of = |host: &str| config.credentials(host).unwrap();
        assert_eq!(of("docker.io"), Some(password("me", "p:w")));
        assert_eq!(of("quay.io"), Some(password("you", "x")));
        assert_eq!(of("reg:5000"), Some(Credentials::IdentityToken(Secret::new("t"))));
        assert_eq!(of("token.io"), Some(Credentials::RegistryToken(Secret::new("r"))));
        for host in ["empty.io", "other.io", "reg", "io"] {
            assert_eq!(of(host), None, "{host}");
        }
        assert_eq!(config.hosts(), ["docker.io", "empty.io", "quay.io", "reg:5000", "token.io"]);
    }

    #[test]
    fn a_helper_of_the_host_comes_before_that_of_all_and_that_before_the_file() {
        let of = |text: &str, host: &str| config(text).place(host);
        let both = r#"{"credHelpers":{"a.io":"one"},"credsStore":"all","auths":{"a.io":{"auth":"eDp5"}}}"#;
        assert_eq!(of(both, "a.io"), Place::Helper(Helper::new("one")));
        assert_eq!(of(both, "b.io"), Place::Helper(Helper::new("all")));
        assert_eq!(of(r#"{"credsStore":""}"#, "b.io"), Place::File);
    }

    #[test]
    fn what_is_no_configuration_or_no_password_says_where() {
        let folder = Folder::new();
        let read = |text: &str| {
            fs::write(folder.path("config.json"), text).unwrap();
            DockerConfig::read(&folder.path("config.json"))
        };
        assert!(matches!(read("["), Err(DockerConfigError::Malformed { source: Some(_), .. })));
        assert!(matches!(read("[]"), Err(DockerConfigError::Malformed { source: None, .. })));
        assert!(read("").unwrap().hosts().is_empty());
        for auth in ["?", "eA=="] {
            let config = read(&format!(r#"{{"auths":{{"a":{{"auth":"{auth}"}}}}}}"#)).unwrap();
            assert!(matches!(config.credentials("a"), Err(DockerConfigError::Auth { .. })), "{auth}");
        }
    }

    #[test]
    fn a_login_is_written_so_that_docker_reads_it_and_keeps_all_else() {
        let folder = Folder::new();
        let path = folder.path("config.json");
        fs::write(
            &path,
            r#"{"psFormat":"x","auths":{"https://index.docker.io/v1/":{"auth":"eDp5"},"b":{"auth":"eDp5"}}}"#,
        )
        .unwrap();
        let mut config = DockerConfig::read(&path).unwrap();
        config.login("docker.io", &password("me", "secret")).unwrap();
        config.login("new:5000", &Credentials::IdentityToken(Secret::new("t"))).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let wanted = json!({ "psFormat": "x", "auths": {
            "https://index.docker.io/v1/": { "auth": STANDARD.encode("me:secret") },
            "b": { "auth": "eDp5" },
            "new:5000": { "auth": STANDARD.encode("<token>:"), "identitytoken": "t" },
        } });
        assert_eq!(written, wanted);
        assert_eq!(DockerConfig::read(&path).unwrap(), config);
        assert!(config.logout("docker.io").unwrap() && !config.logout("docker.io").unwrap());
        assert_eq!(DockerConfig::read(&path).unwrap().hosts(), ["b", "new:5000"]);
        assert_eq!(folder.names(""), ["config.json"]);
    }

    #[test]
    fn the_file_is_its_owners_alone_and_a_link_stays_a_link() {
        let folder = Folder::new();
        let path = folder.path("home/.docker/config.json");
        DockerConfig::read(&path).unwrap().login("a", &password("me", "x")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::create_dir(folder.path("dotfiles")).unwrap();
        fs::rename(&path, folder.path("dotfiles/config.json")).unwrap();
        symlink(folder.path("dotfiles/config.json"), &path).unwrap();
        DockerConfig::read(&path).unwrap().login("b", &password("me", "x")).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(DockerConfig::read(&folder.path("dotfiles/config.json")).unwrap().hosts(), ["a", "b"]);
    }

    #[test]
    fn a_helper_that_is_gone_leaves_the_file_as_it_was() {
        let folder = Folder::new();
        let path = folder.path("config.json");
        let text = r#"{"credsStore":"trice-has-no-such-helper","auths":{"a.io":{"auth":"eDp5"}}}"#;
        fs::write(&path, text).unwrap();
        let mut config = DockerConfig::read(&path).unwrap();
        assert!(
            matches!(config.credentials("a.io"), Err(DockerConfigError::Helper(_))),
            "not those of the file"
        );
        assert!(config.login("a.io", &password("me", "secret")).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
