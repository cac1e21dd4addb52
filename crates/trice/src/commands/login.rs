//! `login` and `logout`: credentials for registries, kept where Docker's programs keep them.
//!
//! Source: docker/cli `cli/command/registry/login.go`, `logout.go`.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use clap::Args;
use trice_api::image::EnterRegistry;
use trice_image::docker_config::{DockerConfig, Place};
use trice_model::registry::{Credentials, RegistryAccess, Secret, is_host};

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::registries::{self, DOCKER_HUB, SettingsError, Use};
use crate::terminal;

/// What is typed after `login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The registry; without one, that of names without a host
    #[arg(value_name = "REGISTRY")]
    server: Option<String>,
    /// The user
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// The password or token; others on this machine may see it
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// The password or token comes from the standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
}

/// What is typed after `logout`.
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// The registry; without one, that of names without a host
    #[arg(value_name = "REGISTRY")]
    server: Option<String>,
}

/// Carries out `login`.
pub(crate) async fn login(args: &LoginArgs, invocation: &Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("login")?;
    let host = host_of(args.server.as_deref())?;
    let mut config = config(invocation)?;
    let access = registries::access_to(invocation, &host, Use::Read)?;
    let nothing_typed = args.username.is_none() && args.password.is_none();
    if nothing_typed && access.keyring.of(&host).is_some() {
        invocation.talk("note", "Authenticating with existing credentials");
        if enter(&host, access.clone(), invocation).await.is_ok() {
            return output::print("Login Succeeded").map(|()| 0);
        }
    }
    let credentials = args.credentials(&host, invocation)?;
    let mut tried = access;
    tried.keyring.0.insert(host.clone(), credentials.clone());
    enter(&host, tried, invocation).await?;
    if config.place(&host) == Place::File {
        let path = registries::docker_config(&invocation.environment).unwrap_or_default();
        let text = format!("the credentials are kept unencrypted in `{}`", path.display());
        invocation.talk("warning", &text);
    }
    config.login(&host, &credentials).map_err(SettingsError::from)?;
    output::print("Login Succeeded").map(|()| 0)
}

/// Carries out `logout`.
pub(crate) fn logout(args: &LogoutArgs, invocation: &Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("logout")?;
    let host = host_of(args.server.as_deref())?;
    let was_in = config(invocation)?.logout(&host).map_err(SettingsError::from)?;
    let text = match was_in {
        true => format!("Removing login credentials for {host}"),
        false => format!("Not logged in to {host}"),
    };
    output::print(&text).map(|()| 0)
}

async fn enter(host: &str, access: RegistryAccess, invocation: &Invocation) -> Result<(), Failure> {
    Ok(invocation.engine()?.call(&EnterRegistry { host: host.to_owned(), access }).await?)
}

fn config(invocation: &Invocation) -> Result<DockerConfig, Failure> {
    let Some(path) = registries::docker_config(&invocation.environment) else {
        return Err(Failure::usage("there is no place for credentials: set `HOME` or `DOCKER_CONFIG`"));
    };
    Ok(DockerConfig::read(&path).map_err(SettingsError::from)?)
}

/// Returns the host that is meant: people type addresses too.
fn host_of(typed: Option<&str>) -> Result<String, Failure> {
    let Some(typed) = typed else { return Ok(DOCKER_HUB.to_owned()) };
    let rest = typed.split_once("://").map_or(typed, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    match host {
        "index.docker.io" | "registry-1.docker.io" => Ok(DOCKER_HUB.to_owned()),
        host if is_host(host) => Ok(host.to_owned()),
        _ => Err(Failure::usage(format!("`{typed}` is not a registry: write `HOST[:PORT]`"))),
    }
}

impl LoginArgs {
    /// Takes what was typed, and asks for the rest.
    fn credentials(&self, host: &str, invocation: &Invocation) -> Result<Credentials, Failure> {
        if self.password.is_some() {
            invocation
                .talk("warning", "others on this machine may see a password that is typed as an argument");
        }
        let is_complete = self.username.is_some() && (self.password.is_some() || self.password_stdin);
        if !is_complete && !io::stdin().is_terminal() {
            let hint = Some(format!("`trice login -u NAME --password-stdin {host} < FILE`"));
            return Err(Failure::Usage {
                message: "there is no terminal to ask for a password".to_owned(),
                hint,
            });
        }
        let asked = Failure::surroundings("ask for credentials");
        let ask = || -> io::Result<(String, String)> {
            let user = match &self.username {
                Some(user) => user.clone(),
                None => ask_for("Username: ")?,
            };
            let password = match (&self.password, self.password_stdin) {
                (Some(password), _) => password.clone(),
                (None, true) => read_all()?,
                (None, false) => ask_for_password()?,
            };
            Ok((user, password))
        };
        let (user, password) = ask().map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => Failure::Interrupted,
            _ => asked(error),
        })?;
        if user.is_empty() || password.is_empty() {
            return Err(Failure::usage("a name and a password are needed"));
        }
        Ok(Credentials::Password { user, password: Secret::new(password) })
    }
}

fn ask_for(what: &str) -> io::Result<String> {
    let mut out = io::stderr();
    write!(out, "{what}")?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask_for_password() -> io::Result<String> {
    let mut out = io::stderr();
    write!(out, "Password: ")?;
    out.flush()?;
    let password = terminal::read_hidden();
    writeln!(out)?;
    password
}

/// Reads the standard input to its end; the end of its last line is not part of the password.
fn read_all() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_typed_as_hosts_and_as_addresses() {
        let host = |typed: Option<&str>| host_of(typed).map_err(|failure| failure.to_string());
        assert_eq!(host(None).as_deref(), Ok("docker.io"));
        assert_eq!(host(Some("https://index.docker.io/v1/")).as_deref(), Ok("docker.io"));
        assert_eq!(host(Some("http://localhost:5000")).as_deref(), Ok("localhost:5000"));
        assert_eq!(host(Some("quay.io/org")).as_deref(), Ok("quay.io"));
        assert!(host(Some("")).is_err() && host(Some("a b")).is_err());
    }
}
