//! Programs that keep credentials: `docker-credential-NAME`.
//!
//! ```text
//! get    HOST on stdin                              ─► {"ServerURL", "Username", "Secret"} on stdout
//! store  {"ServerURL", "Username", "Secret"}        ─► nothing
//! erase  HOST on stdin                              ─► nothing
//! ```
//!
//! One that has nothing for a host says so in words, and fails.
//!
//! Source: docker-credential-helpers, "Development".

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use serde::{Deserialize, Serialize};
use trice_model::registry::{Credentials, Secret};

/// A program that keeps credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    program: String,
}

/// Why a helper does not help.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It is not there.
    #[error(
        "run `{program}`, which keeps credentials: if it is not installed any more, take `credsStore` out of \
         Docker's `config.json`"
    )]
    Run {
        /// The program.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It says no.
    #[error("`{program} {verb}` fails: {said}")]
    Refused {
        /// The program.
        program: String,
        /// What it was asked to do.
        verb: &'static str,
        /// What it says.
        said: String,
    },
    /// What it says is not what it should be.
    #[error("`{program} get` answers with something else than credentials")]
    Malformed {
        /// The program.
        program: String,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// It cannot keep that.
    #[error("`{program}` keeps names and passwords, and no token that is shown as it is")]
    Unkeepable {
        /// The program.
        program: String,
    },
}

/// What goes in and comes out.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    username: String,
    secret: String,
}

/// Docker's name for whoever has a token.
const TOKEN_USER: &str = "<token>";

/// How all helpers say that they have nothing.
const NOTHING: &str = "credentials not found in native keychain";

impl Helper {
    /// Returns the helper `docker-credential-NAME`.
    pub fn new(name: &str) -> Self {
        Self { program: format!("docker-credential-{name}") }
    }

    /// Returns what it has for `server`.
    ///
    /// # Errors
    /// [`HelperError`].
    pub fn get(&self, server: &str) -> Result<Option<Credentials>, HelperError> {
        let output = self.run("get", server.as_bytes())?;
        if !output.status.success() {
            return if says_nothing(&output) { Ok(None) } else { Err(self.refused("get", &output)) };
        }
        let malformed = |source| HelperError::Malformed { program: self.program(), source };
        let entry: Entry = serde_json::from_slice(&output.stdout).map_err(malformed)?;
        let secret = Secret::new(entry.secret);
        Ok(Some(match entry.username.as_str() {
            TOKEN_USER => Credentials::IdentityToken(secret),
            _ => Credentials::Password { user: entry.username, password: secret },
        }))
    }

    /// Has it keep `credentials` for `server`.
    ///
    /// # Errors
    /// [`HelperError`].
    pub fn store(&self, server: &str, credentials: &Credentials) -> Result<(), HelperError> {
        let (username, secret) = match credentials {
            Credentials::Password { user, password } => (user.as_str(), password.reveal()),
            Credentials::IdentityToken(token) => (TOKEN_USER, token.reveal()),
            Credentials::RegistryToken(_) => return Err(HelperError::Unkeepable { program: self.program() }),
        };
        let entry =
            Entry { server_url: server.to_owned(), username: username.to_owned(), secret: secret.to_owned() };
        let text = serde_json::to_vec(&entry).expect("texts are JSON");
        let output = self.run("store", &text)?;
        if output.status.success() { Ok(()) } else { Err(self.refused("store", &output)) }
    }

    /// Has it forget what it has for `server`, and tells whether there was anything.
    ///
    /// # Errors
    /// [`HelperError`].
    pub fn erase(&self, server: &str) -> Result<bool, HelperError> {
        if self.get(server)?.is_none() {
            return Ok(false);
        }
        let output = self.run("erase", server.as_bytes())?;
        if output.status.success() { Ok(true) } else { Err(self.refused("erase", &output)) }
    }

    fn program(&self) -> String {
        self.program.clone()
    }

    fn run(&self, verb: &'static str, input: &[u8]) -> Result<Output, HelperError> {
        let failed = |source| HelperError::Run { program: self.program(), source };
        let mut command = Command::new(&self.program);
        command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let mut stdin = child.stdin.take().expect("it was asked for");
        // One that does not read what it is told says why by its status.
        let _ = stdin.write_all(input);
        drop(stdin);
        child.wait_with_output().map_err(failed)
    }

    fn refused(&self, verb: &'static str, output: &Output) -> HelperError {
        let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        let said =
            String::from_utf8_lossy(text).trim().chars().filter(|c| !c.is_control()).take(200).collect();
        HelperError::Refused { program: self.program(), verb, said }
    }
}

fn says_nothing(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stdout).trim() == NOTHING
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::Folder;

    /// A helper that keeps one thing in a file.
    const SCRIPT: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
case $1 in
get) grep -q . kept 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; }; cat kept ;;
store) cat >kept ;;
erase) rm kept ;;
esac
"#;

    fn helper(folder: &Folder, script: &str) -> Helper {
        let path = folder.path("helper");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Helper { program: path.display().to_string() }
    }

    #[test]
    fn what_is_stored_comes_back_until_it_is_erased() {
        let folder = Folder::new();
        let helper = helper(&folder, SCRIPT);
        let all = [
            Credentials::Password { user: "me".to_owned(), password: Secret::new("p:w\"") },
            Credentials::IdentityToken(Secret::new("t")),
        ];
        for credentials in all {
            assert_eq!(helper.get("a.io").unwrap(), None);
            helper.store("a.io", &credentials).unwrap();
            assert_eq!(helper.get("a.io").unwrap(), Some(credentials));
            assert!(helper.erase("a.io").unwrap() && !helper.erase("a.io").unwrap());
        }
        let token = Credentials::RegistryToken(Secret::new("x"));
        assert!(matches!(helper.store("a.io", &token), Err(HelperError::Unkeepable { .. })));
    }

    #[test]
    fn a_helper_that_is_gone_or_fails_says_so_and_what_to_do() {
        let gone = Helper::new("trice-has-no-such-helper").get("a").unwrap_err();
        assert!(gone.to_string().contains("`docker-credential-trice-has-no-such-helper`"), "{gone}");
        assert!(gone.to_string().contains("credsStore"), "{gone}");
        let folder = Folder::new();
        let error = helper(&folder, "#!/bin/sh\necho locked >&2; exit 3\n").get("a").unwrap_err();
        assert!(matches!(&error, HelperError::Refused { said, .. } if said == "locked"), "{error}");
        let error = helper(&folder, "#!/bin/sh\necho '{}'\n").get("a").unwrap_err();
        assert!(matches!(error, HelperError::Malformed { .. }), "{error}");
    }
}
