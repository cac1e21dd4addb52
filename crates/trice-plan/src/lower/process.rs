//! The process of a container: arguments, variables, privileges.
//!
//! ```text
//! service says      arguments
//! nothing           image's entrypoint, image's command
//! command           image's entrypoint, service's command
//! entrypoint        service's entrypoint, service's command: the image's was meant for another one
//! ```
//!
//! Sources: Compose Specification, `05-services.md`, "command", "entrypoint", "cap_add"; moby
//! `daemon/pkg/oci/caps`.

use std::collections::{BTreeMap, BTreeSet};

use trice_model::capability::Capability;
use trice_model::container::{ProcessSpec, SeccompSpec};
use trice_model::image::ImageConfig;
use trice_model::name::HostName;
use trice_model::service::{CapabilitySet, Service};

use crate::lower::{LowerError, Lowering};
use crate::mistake::PlanError;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The variable that tells the host name.
pub(crate) const HOSTNAME: &str = "HOSTNAME";

/// Makes the process; the variables of linked services are set when all addresses are known.
pub(crate) fn lower(work: &Lowering<'_>, hostname: &HostName, errors: &mut Vec<PlanError>) -> ProcessSpec {
    let (service, image) = (work.place.service, &work.image.config);
    let path = format!("services.{}", work.place.service_name);
    let args = arguments(service, image);
    if args.is_empty() {
        let error = LowerError::NoCommand { image: service.image.to_string() };
        errors.push(PlanError::new(path.clone(), error));
    }
    let cwd = directory(service, image);
    if !cwd.starts_with('/') {
        let error = LowerError::RelativeWorkingDir { path: cwd.clone() };
        errors.push(PlanError::new(format!("{path}.working_dir"), error));
    }
    let unconfined = service.privileged || service.security.seccomp_unconfined;
    ProcessSpec {
        args,
        env: variables(service, image, hostname),
        link_env: BTreeMap::new(),
        cwd,
        user: user(service, image),
        groups: service.group_add.clone(),
        tty: service.tty,
        stdin_open: service.stdin_open,
        capabilities: capabilities(service),
        no_new_privileges: service.security.no_new_privileges,
        seccomp: if unconfined { SeccompSpec::Unconfined } else { SeccompSpec::Default },
        ulimits: service.ulimits.clone(),
        oom_score_adj: service.oom_score_adj,
    }
}

fn arguments(service: &Service, image: &ImageConfig) -> Vec<String> {
    let (entrypoint, image_cmd) = match &service.entrypoint {
        Some(own) => (own, &[][..]),
        None => (&image.entrypoint, &image.cmd[..]),
    };
    let command = service.command.as_deref().unwrap_or(image_cmd);
    entrypoint.iter().chain(command).cloned().collect()
}

fn variables(service: &Service, image: &ImageConfig, hostname: &HostName) -> BTreeMap<String, String> {
    let usual =
        [("PATH", Some(PATH)), (HOSTNAME, Some(hostname.as_str())), ("TERM", service.tty.then_some("xterm"))];
    let usual = usual.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    usual.chain(image.env.iter().cloned()).chain(service.environment.clone()).collect()
}

fn directory(service: &Service, image: &ImageConfig) -> String {
    let mut said = [&service.working_dir, &image.working_dir].into_iter().flatten();
    said.find(|path| !path.is_empty()).cloned().unwrap_or_else(|| "/".to_owned())
}

fn user(service: &Service, image: &ImageConfig) -> String {
    let mut said = [&service.user, &image.user].into_iter().flatten();
    said.find(|user| !user.is_empty()).cloned().unwrap_or_else(|| "0".to_owned())
}

/// Returns the capabilities of the service's processes.
pub(crate) fn capabilities(service: &Service) -> BTreeSet<Capability> {
    use CapabilitySet::{All, Only};
    if service.privileged {
        return Capability::all();
    }
    match (&service.cap_add, &service.cap_drop) {
        // Nothing at all and everything at once: what is added is what was thought of last.
        (All, All) => Capability::all(),
        (All, Only(dropped)) => &Capability::all() - dropped,
        (Only(added), All) => added.clone(),
        (Only(added), Only(dropped)) => &(&Capability::default_set() - dropped) | added,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn entrypoint_and_command_follow_the_table() {
        let image = ImageConfig { entrypoint: words("entry"), cmd: words("cmd"), ..ImageConfig::default() };
        let cases = [
            (None, None, "entry cmd"),
            (None, Some("own"), "entry own"),
            (None, Some(""), "entry"),
            (Some("start"), None, "start"),
            (Some("start"), Some("own"), "start own"),
            (Some(""), Some("own"), "own"),
            (Some(""), None, ""),
        ];
        for (entrypoint, command, expected) in cases {
            let mut service = testing::service("app:1");
            service.entrypoint = entrypoint.map(words);
            service.command = command.map(words);
            assert_eq!(arguments(&service, &image), words(expected), "{entrypoint:?} {command:?}");
        }
    }

    #[test]
    fn capabilities_are_the_usual_ones_more_and_less() {
        let only = |names: &[&str]| Only(names.iter().map(|name| name.parse().unwrap()).collect());
        use CapabilitySet::{All, Only};
        let count = |cap_add: CapabilitySet, cap_drop: CapabilitySet| {
            let mut service = testing::service("app:1");
            (service.cap_add, service.cap_drop) = (cap_add, cap_drop);
            capabilities(&service).len()
        };
        assert_eq!(count(only(&[]), only(&[])), 14);
        assert_eq!(count(only(&["NET_ADMIN"]), only(&["CHOWN", "KILL"])), 13);
        assert_eq!(count(only(&["CHOWN"]), All), 1);
        assert_eq!(count(All, only(&["CHOWN"])), 40);
        let mut service = testing::service("app:1");
        service.privileged = true;
        assert_eq!(capabilities(&service), Capability::all());
    }

    #[test]
    fn variables_of_the_service_come_over_the_images_and_those_over_the_usual_ones() {
        let image = ImageConfig {
            env: vec![
                ("PATH".into(), "/image".into()),
                ("A".into(), "image".into()),
                ("B".into(), "image".into()),
            ],
            ..ImageConfig::default()
        };
        let mut service = testing::service("app:1");
        service.environment.insert("B".into(), "service".into());
        let env = variables(&service, &image, &"box".parse().unwrap());
        let lines: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(lines, ["A=image", "B=service", "HOSTNAME=box", "PATH=/image"]);
        service.tty = true;
        let env = variables(&service, &ImageConfig::default(), &"box".parse().unwrap());
        assert_eq!(env["TERM"], "xterm");
        assert_eq!(env["PATH"], PATH);
    }
}
