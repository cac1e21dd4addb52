//! What an image says about its containers, from its configuration.
//!
//! Sources: OCI Image Specification, `config.md`; moby `image/spec/specs-go/v1/image.go` for what Docker adds
//! (`Healthcheck`, `Shell`).

use std::collections::BTreeSet;
use std::time::Duration;

use oci_spec::image::Config;
use serde::Deserialize;
use trice_model::health::{HealthTest, Healthcheck};
use trice_model::image::ImageConfig;
use trice_model::port::{ContainerPort, Protocol};
use trice_model::signal::SignalError;

use crate::manifest::{DocumentError, configuration, json};

/// Why a configuration cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A port is none.
    #[error("`{0}` is not a port: it is a number or a range, and `/tcp`, `/udp` or `/sctp`")]
    Port(String),
    /// The signal is none.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// The probe is of a kind that nobody knows.
    #[error("`{0}` is not a kind of health check: it is `NONE`, `CMD` or `CMD-SHELL`")]
    Healthcheck(String),
}

/// What Docker adds to the `config` of the specification.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Additions {
    healthcheck: Option<Probe>,
    shell: Option<Vec<String>>,
}

/// A probe; durations are in nanoseconds, and 0 is as if they were not there.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Probe {
    #[serde(default)]
    test: Option<Vec<String>>,
    #[serde(default)]
    interval: i64,
    #[serde(default)]
    timeout: i64,
    #[serde(default)]
    start_period: i64,
    #[serde(default)]
    start_interval: i64,
    #[serde(default)]
    retries: i64,
}

/// Reads what the configuration in `bytes` says about containers.
///
/// # Errors
/// [`ConfigError`] for anything that it says and that cannot be done.
pub fn image_config(bytes: &[u8]) -> Result<ImageConfig, ConfigError> {
    #[derive(Deserialize)]
    struct Outer {
        #[serde(default)]
        config: Option<Additions>,
    }
    let additions = json::<Outer>(bytes)?.config.unwrap_or_default();
    let config = configuration(bytes)?.config().clone().unwrap_or_default();
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Ok(ImageConfig {
        env: config.env().iter().flatten().map(|line| variable(line)).collect(),
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        cmd: config.cmd().clone().unwrap_or_default(),
        working_dir: text(config.working_dir()),
        user: text(config.user()),
        exposed_ports: exposed_ports(&config)?,
        volumes: config.volumes().iter().flatten().cloned().collect(),
        labels: config.labels().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect(),
        stop_signal: text(config.stop_signal()).map(|signal| signal.parse()).transpose()?,
        healthcheck: additions.healthcheck.map(|probe| healthcheck(probe, additions.shell)).transpose()?,
    })
}

fn variable(line: &str) -> (String, String) {
    let (key, value) = line.split_once('=').unwrap_or((line, ""));
    (key.to_owned(), value.to_owned())
}

fn exposed_ports(config: &Config) -> Result<BTreeSet<ContainerPort>, ConfigError> {
    let mut ports = BTreeSet::new();
    for text in config.exposed_ports().iter().flatten() {
        let fail = || ConfigError::Port(text.clone());
        let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol: Protocol = protocol.parse().map_err(|_| fail())?;
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let (first, last): (u16, u16) =
            (first.parse().map_err(|_| fail())?, last.parse().map_err(|_| fail())?);
        if first == 0 || first > last {
            return Err(fail());
        }
        ports.extend((first..=last).map(|number| ContainerPort { protocol, number }));
    }
    Ok(ports)
}

fn healthcheck(probe: Probe, shell: Option<Vec<String>>) -> Result<Healthcheck, ConfigError> {
    let duration =
        |nanos: i64| u64::try_from(nanos).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos);
    let mut test = probe.test.unwrap_or_default().into_iter();
    let (disable, test) = match test.next().as_deref() {
        None => (false, None),
        Some("NONE") => (true, None),
        Some("CMD") => (false, Some(HealthTest::Command(test.collect()))),
        Some("CMD-SHELL") => (false, Some(in_shell(test.next().unwrap_or_default(), shell))),
        Some(other) => return Err(ConfigError::Healthcheck(other.to_owned())),
    };
    Ok(Healthcheck {
        disable,
        test,
        interval: duration(probe.interval),
        timeout: duration(probe.timeout),
        retries: u32::try_from(probe.retries).ok().filter(|retries| *retries > 0),
        start_period: duration(probe.start_period),
        start_interval: duration(probe.start_interval),
    })
}

/// An image that names its own shell means that one; any other has the usual.
fn in_shell(text: String, shell: Option<Vec<String>>) -> HealthTest {
    match shell.filter(|shell| !shell.is_empty()) {
        Some(mut words) => {
            words.push(text);
            HealthTest::Command(words)
        }
        None => HealthTest::Shell(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<ImageConfig, ConfigError> {
        let outer =
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":"#;
        image_config(format!("{outer}{text}}}").as_bytes())
    }

    fn probe(text: &str, shell: &str) -> Result<Option<Healthcheck>, ConfigError> {
        Ok(config(&format!(r#"{{"Healthcheck":{text},"Shell":{shell}}}"#))?.healthcheck)
    }

    #[test]
    fn all_that_an_image_says_about_its_containers_is_read() {
        let read = config(
            r#"{"User":"web:70","ExposedPorts":{"80/tcp":{},"53":{},"90-91/udp":{}},"Env":["A=1=2","B"],
               "Entrypoint":["/run"],"Cmd":["-v"],"Volumes":{"/data":{}},"WorkingDir":"/srv",
               "Labels":{"a":"b"},"StopSignal":"SIGQUIT","ArgsEscaped":true}"#,
        )
        .unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read.env, [pair("A", "1=2"), pair("B", "")]);
        assert_eq!((read.entrypoint, read.cmd), (vec!["/run".to_owned()], vec!["-v".to_owned()]));
        assert_eq!((read.user.as_deref(), read.working_dir.as_deref()), (Some("web:70"), Some("/srv")));
        let ports: Vec<_> = read.exposed_ports.iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["53/tcp", "80/tcp", "90/udp", "91/udp"]);
        assert_eq!((read.volumes, read.labels), (["/data".to_owned()].into(), [pair("a", "b")].into()));
        assert_eq!(read.stop_signal.map(|signal| signal.number()), Some(3));
        assert_eq!(read.healthcheck, None);
    }

    #[test]
    fn nothing_said_and_null_are_nothing() {
        for text in ["null", "{}", r#"{"Env":null,"Cmd":null,"Entrypoint":null,"User":"","StopSignal":""}"#] {
            assert_eq!(config(text).unwrap(), ImageConfig::default(), "{text}");
        }
    }

    #[test]
    fn a_probe_runs_as_a_command_in_the_usual_shell_or_in_the_images_own() {
        let test = |text, shell| probe(text, shell).unwrap().unwrap().test;
        let words = |words: &[&str]| HealthTest::Command(words.iter().map(|&word| word.to_owned()).collect());
        assert_eq!(test(r#"{"Test":["CMD","curl","-f"]}"#, "null"), Some(words(&["curl", "-f"])));
        assert_eq!(
            test(r#"{"Test":["CMD-SHELL","true"]}"#, "null"),
            Some(HealthTest::Shell("true".to_owned()))
        );
        let bash = r#"["/bin/bash","-c"]"#;
        assert_eq!(test(r#"{"Test":["CMD-SHELL","true"]}"#, bash), Some(words(&["/bin/bash", "-c", "true"])));
    }

    #[test]
    fn a_probe_may_be_none_or_only_its_times() {
        assert!(probe(r#"{"Test":["NONE"]}"#, "null").unwrap().unwrap().disable);
        let times = probe(r#"{"Interval":1500000000,"Timeout":0,"Retries":3}"#, "null").unwrap().unwrap();
        assert_eq!((times.test, times.interval), (None, Some(Duration::from_millis(1500))));
        assert_eq!((times.timeout, times.retries), (None, Some(3)));
    }

    #[test]
    fn what_cannot_be_done_is_an_error_that_quotes_it() {
        let failure = |text: &str| config(text).unwrap_err().to_string();
        for bad in ["http/tcp", "0/tcp", "9-8/tcp", "80/ipx", "70000"] {
            assert!(failure(&format!(r#"{{"ExposedPorts":{{"{bad}":{{}}}}}}"#)).contains(bad));
        }
        assert!(failure(r#"{"StopSignal":"SIGFOO"}"#).contains("SIGFOO"));
        assert!(probe(r#"{"Test":["SHELL","x"]}"#, "null").is_err());
    }
}
