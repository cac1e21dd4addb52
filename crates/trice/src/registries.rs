//! How the caller gets to registries and into them: his files are read here, and what they say goes along with requests.
//!
//! ```text
//! ~/.config/trice/registries.json    or else /etc/trice/registries.json     mirrors, insecure, certificates
//!                                    or else /etc/docker/daemon.json        registry-mirrors, insecure-registries
//! DOCKER_AUTH_CONFIG                 the text of a file like the next one
//! ~/.docker/config.json              credentials, and programs that keep them
//! containers/auth.json               those of podman
//! HTTP_PROXY, HTTPS_PROXY, NO_PROXY
//! ```
//!
//! A program that keeps credentials takes its time, or asks for a password: it is asked only for what is about to be
//! used. One that fails keeps nobody from public images.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use trice_api::image::MissingImages;
use trice_image::docker_config::{DockerConfig, DockerConfigError, Place};
use trice_model::image::{ImageRef, PlatformImage, RegistryRef};
use trice_model::project::Project;
use trice_model::registry::{
    Credentials, InsecureHost, Mirror, Proxies, RegistryAccess, RegistryHostError, RegistrySettings,
};
use trice_model::service::PullPolicy;

use crate::engine::Engine;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// The registry of names without a host.
pub(crate) const DOCKER_HUB: &str = "docker.io";

/// The settings of all users.
const SYSTEM: &str = "/etc/trice/registries.json";
/// Those that were made for Docker, where there are none for trice.
const DOCKER: &str = "/etc/docker/daemon.json";
/// Where the certificates of registries are looked for, the first ones first.
const CERTIFICATES: [&str; 3] = ["/etc/trice/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d"];

/// Why the settings are no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file cannot be read.
    #[error("read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The file is not what it should be.
    #[error("`{}` is not what it should be", path.display())]
    Malformed { path: PathBuf, source: serde_json::Error },
    /// Docker's file names a registry that is none.
    #[error("`{}`", path.display())]
    Host { path: PathBuf, source: RegistryHostError },
    /// Credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] DockerConfigError),
}

/// What a caller's request is going to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// To read: without credentials it may still go.
    Read,
    /// To write.
    Write,
}

/// Reads what the caller has for the registries of `images`.
pub(crate) fn access<'a>(
    invocation: &Invocation,
    images: impl IntoIterator<Item = &'a RegistryRef>,
    purpose: Use,
) -> Result<RegistryAccess, Failure> {
    let hosts = images.into_iter().map(|image| image.host.clone()).collect();
    Ok(Caller::new(invocation)?.access(&hosts, purpose, invocation)?)
}

/// The same for one host.
pub(crate) fn access_to(
    invocation: &Invocation,
    host: &str,
    purpose: Use,
) -> Result<RegistryAccess, Failure> {
    Ok(Caller::new(invocation)?.access(&[host.to_owned()].into(), purpose, invocation)?)
}

/// The same for the images of a project, as far as they are going to be fetched.
pub(crate) async fn access_for(
    project: &Project,
    engine: &Engine,
    invocation: &Invocation,
) -> Result<RegistryAccess, Failure> {
    let mut caller = Caller::new(invocation)?;
    let (mut due, mut maybe) = (BTreeSet::new(), Vec::new());
    for service in project.services.values() {
        let mounted = service.mounted_images().filter(|image| host_of(image).is_some()).cloned();
        maybe.extend(mounted.map(PlatformImage::here));
        let ImageRef::Registry(name) = &service.image else { continue };
        match service.pull_policy {
            PullPolicy::Always | PullPolicy::Refresh(_) => drop(due.insert(name.host.clone())),
            PullPolicy::Missing => maybe.push(service.own_image()),
            PullPolicy::Never | PullPolicy::Build => {}
        }
    }
    let hosts = |images: &[PlatformImage]| {
        images.iter().filter_map(|image| host_of(&image.image)).collect::<BTreeSet<_>>()
    };
    // What is in a file costs nothing: only for the sake of others it is asked what is missing.
    let all = hosts(&maybe);
    if caller.has_helper(&caller.asked(&all)) {
        due.extend(hosts(&engine.call(&MissingImages { images: maybe }).await?));
    } else {
        due.extend(all);
    }
    Ok(caller.access(&due, Use::Read, invocation)?)
}

fn host_of(image: &ImageRef) -> Option<String> {
    match image {
        ImageRef::Registry(name) => Some(name.host.clone()),
        ImageRef::DockerArchive { .. }
        | ImageRef::OciArchive { .. }
        | ImageRef::Oci { .. }
        | ImageRef::Rootfs { .. } => None,
    }
}

/// Returns where the caller's credentials for Docker's programs lie.
pub(crate) fn docker_config(environment: &Environment) -> Option<PathBuf> {
    let folder = environment.get("DOCKER_CONFIG").map(PathBuf::from);
    let usual = || Some(Path::new(environment.get("HOME")?).join(".docker"));
    Some(environment.current_dir.join(folder.or_else(usual)?).join("config.json"))
}

/// What the caller has.
struct Caller {
    settings: RegistrySettings,
    configs: Vec<DockerConfig>,
}

impl Caller {
    fn new(invocation: &Invocation) -> Result<Self, SettingsError> {
        let environment = &invocation.environment;
        let mut configs = Vec::new();
        if let Some(text) = environment.get("DOCKER_AUTH_CONFIG") {
            configs.push(DockerConfig::parse(Path::new("DOCKER_AUTH_CONFIG"), text.as_bytes())?);
        }
        for path in docker_config(environment).into_iter().chain(podman_config(environment)) {
            configs.push(DockerConfig::read(&path)?);
        }
        Ok(Self { settings: settings(environment)?, configs })
    }

    /// Returns the hosts that are asked for what `hosts` have: mirrors too.
    fn asked(&self, hosts: &BTreeSet<String>) -> BTreeSet<String> {
        let mirrors = |host: &String| {
            let mirrors = self.settings.mirrors.get(host).into_iter().flatten();
            mirrors.map(|mirror| mirror.host.clone())
        };
        hosts.iter().flat_map(mirrors).chain(hosts.iter().cloned()).collect()
    }

    fn has_helper(&self, hosts: &BTreeSet<String>) -> bool {
        let is_helper = |config: &DockerConfig, host: &String| matches!(config.place(host), Place::Helper(_));
        self.configs.iter().any(|config| hosts.iter().any(|host| is_helper(config, host)))
    }

    fn access(
        &mut self,
        hosts: &BTreeSet<String>,
        purpose: Use,
        invocation: &Invocation,
    ) -> Result<RegistryAccess, SettingsError> {
        let mut access = RegistryAccess { settings: self.settings.clone(), ..RegistryAccess::default() };
        for host in self.asked(hosts) {
            let is_own = hosts.contains(&host);
            match self.credentials(&host) {
                Ok(Some(credentials)) => drop(access.keyring.0.insert(host, credentials)),
                Ok(None) => {}
                Err(error) if purpose == Use::Write && is_own => return Err(error.into()),
                Err(error) => {
                    let text = format!("{}: going on without credentials for {host}", chain(&error));
                    invocation.talk("warning", &text);
                }
            }
        }
        Ok(access)
    }

    fn credentials(&self, host: &str) -> Result<Option<Credentials>, DockerConfigError> {
        for config in &self.configs {
            if let Some(credentials) = config.credentials(host)? {
                return Ok(Some(credentials));
            }
        }
        Ok(None)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Returns where podman keeps the caller's credentials.
///
/// Source: containers-auth.json(5).
fn podman_config(environment: &Environment) -> Option<PathBuf> {
    let given = environment.get("REGISTRY_AUTH_FILE").map(|file| environment.current_dir.join(file));
    let usual = || Some(Path::new(environment.get("XDG_RUNTIME_DIR")?).join("containers/auth.json"));
    given.or_else(usual)
}

/// The file of settings.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    mirrors: BTreeMap<String, Vec<Mirror>>,
    insecure: Vec<InsecureHost>,
    certificates: Vec<PathBuf>,
}

/// What is of use to us in Docker's.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct DockerSettings {
    registry_mirrors: Vec<String>,
    insecure_registries: Vec<String>,
}

fn settings(environment: &Environment) -> Result<RegistrySettings, SettingsError> {
    let home = environment.get("HOME").map(|home| Path::new(home).join(".config"));
    let config = environment.get("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
    let own = config.map(|config| config.join("trice/registries.json"));
    settings_of(own.as_deref(), Path::new(SYSTEM), Path::new(DOCKER), proxies(environment))
}

/// Reads the first of the files that is there.
fn settings_of(
    own: Option<&Path>,
    system: &Path,
    docker: &Path,
    proxies: Proxies,
) -> Result<RegistrySettings, SettingsError> {
    let mut settings = None;
    for path in own.into_iter().chain([system]) {
        if settings.is_none() {
            settings = read::<Settings>(path)?;
        }
    }
    let settings = match settings {
        Some(settings) => settings,
        None => {
            read::<DockerSettings>(docker)?.map(|own| own.settings(docker)).transpose()?.unwrap_or_default()
        }
    };
    let Settings { mirrors, insecure, mut certificates } = settings;
    certificates.extend(CERTIFICATES.map(PathBuf::from));
    Ok(RegistrySettings { mirrors, insecure, certificates, proxies })
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, SettingsError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| SettingsError::Read { path: path.to_owned(), source })?,
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| SettingsError::Malformed { path: path.to_owned(), source })
}

impl DockerSettings {
    fn settings(self, path: &Path) -> Result<Settings, SettingsError> {
        let failed = |source| SettingsError::Host { path: path.to_owned(), source };
        let mirrors = self.registry_mirrors.iter().map(|text| text.parse());
        let mirrors = mirrors.collect::<Result<Vec<Mirror>, _>>().map_err(failed)?;
        let insecure = self.insecure_registries.iter().map(|text| text.parse());
        let insecure = insecure.collect::<Result<_, _>>().map_err(failed)?;
        let mirrors = match mirrors.is_empty() {
            true => BTreeMap::new(),
            false => [(DOCKER_HUB.to_owned(), mirrors)].into(),
        };
        Ok(Settings { mirrors, insecure, certificates: Vec::new() })
    }
}

fn proxies(environment: &Environment) -> Proxies {
    let variable = |name: &str| {
        let lower = name.to_ascii_lowercase();
        environment.get(name).or_else(|| environment.get(&lower)).map(str::to_owned)
    };
    Proxies { http: variable("HTTP_PROXY"), https: variable("HTTPS_PROXY"), except: variable("NO_PROXY") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, which goes with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("trice-registries-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_callers_settings_come_before_those_of_all_and_those_before_dockers() {
        let folder = Folder::new("order");
        let [own, system, docker] = ["own", "system", "docker"].map(|name| folder.0.join(name));
        let insecure = || {
            let settings = settings_of(Some(&own), &system, &docker, Proxies::default()).unwrap();
            settings.insecure.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(insecure(), "");
        folder.write(
            "docker",
            r#"{"insecure-registries":["docker:1"],"registry-mirrors":["https://m/"],"debug":true}"#,
        );
        assert_eq!(insecure(), "docker:1");
        let settings = settings_of(None, &system, &docker, Proxies::default()).unwrap();
        assert_eq!(settings.mirrors["docker.io"][0].to_string(), "https://m");
        folder.write("system", r#"{"insecure":["system:1"]}"#);
        assert_eq!(insecure(), "system:1");
        folder.write("own", r#"{"insecure":["own:1"],"mirrors":{"docker.io":["http://m:5000"]}}"#);
        assert_eq!(insecure(), "own:1");
    }

    #[test]
    fn a_mistyped_setting_is_told_and_not_passed_by() {
        let folder = Folder::new("typo");
        let path = folder.write("own", r#"{"mirors":{}}"#);
        let error = settings_of(Some(&path), Path::new("/none"), Path::new("/none"), Proxies::default());
        let error = chain(&error.unwrap_err());
        assert!(error.contains("own` is not what it should be: unknown field `mirors`"), "{error}");
    }

    #[test]
    fn variables_say_where_credentials_lie_and_who_stands_between() {
        let mut environment = Environment { current_dir: "/here".into(), ..Environment::default() };
        assert_eq!(docker_config(&environment), None);
        let mut set = |name: &str, value: &str| {
            environment.variables.insert(name.to_owned(), value.to_owned());
            (docker_config(&environment), podman_config(&environment), proxies(&environment))
        };
        assert_eq!(set("HOME", "/root").0, Some("/root/.docker/config.json".into()));
        assert_eq!(set("DOCKER_CONFIG", "conf").0, Some("/here/conf/config.json".into()));
        assert_eq!(set("XDG_RUNTIME_DIR", "/run/me").1, Some("/run/me/containers/auth.json".into()));
        assert_eq!(set("REGISTRY_AUTH_FILE", "auth").1, Some("/here/auth".into()));
        assert_eq!(set("https_proxy", "http://p").2.https.as_deref(), Some("http://p"));
        assert_eq!(set("HTTPS_PROXY", "http://q").2.https.as_deref(), Some("http://q"));
    }
}
