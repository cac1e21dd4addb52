//! From a service and its image to a container with nothing left open.
//!
//! ```text
//! image config ──under──► service ──with──► place, instance, ports, volumes ──► ContainerSpec
//! ```
//!
//! What the service says comes before what the image says, and both before the field's usual defaults.
//!
//! Sources: Compose Specification, `05-services.md`; OCI Image Specification, `conversion.md`; moby
//! `daemon/pkg/oci/defaults.go` for the defaults.

pub(crate) mod health;
pub(crate) mod mounts;
pub(crate) mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use trice_model::container::{
    ContainerSpec, MASKED_PATHS, NetworkNamespace, READONLY_PATHS, ResolverSpec, Role,
};
use trice_model::id::Ids;
use trice_model::image::ObservedImage;
use trice_model::name::{HostName, Key, NetworkName};
use trice_model::network::{InstanceSpec, NetworkSpec};
use trice_model::port::{ContainerPort, PublishedPort};
use trice_model::project::Project;
use trice_model::restart::RestartPolicy;
use trice_model::service::{ExtraHost, Service};
use trice_model::signal::Signal;
use trice_model::units::Bytes;
use trice_model::volume::VolumeSpec;

use crate::found::Found;
use crate::label::{self, ContainerFacts};
use crate::mistake::PlanError;
use crate::place::{Home, Place};
use crate::realm::Realm;
use crate::{diff, instance, order};

const SHM_SIZE: Bytes = Bytes(64 << 20);
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Why a service cannot become a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// Nobody says what to run.
    #[error("there is no command: neither the service nor image `{image}` has one")]
    NoCommand {
        /// The image.
        image: String,
    },
    /// The working directory must not depend on another one.
    #[error("working directory `{path}` is not absolute")]
    RelativeWorkingDir {
        /// The path.
        path: String,
    },
    /// The setting would change the host's network.
    #[error("`{name}` cannot be set with `network_mode: host`")]
    HostSysctl {
        /// The setting.
        name: String,
    },
    /// What belongs to a network is that of another container.
    #[error("`{attribute}` belongs to the network, which is that of another container")]
    Guest {
        /// The attribute.
        attribute: String,
    },
    /// There is no network to reach the host by.
    #[error("`{host}: host-gateway` needs a network, and the service is on none")]
    NoGateway {
        /// The name that should mean the host.
        host: String,
    },
    /// The image is not here and must not be fetched.
    #[error("image `{image}` is not here, and `pull_policy: {policy}` forbids to fetch it")]
    ImageAbsent {
        /// The image.
        image: String,
        /// The policy that forbids it.
        policy: &'static str,
    },
}

impl LowerError {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoCommand { .. } => Some("write `command:`".into()),
            Self::RelativeWorkingDir { path } => Some(format!("write `/{path}`")),
            Self::HostSysctl { .. } => Some("set it on the host with sysctl(8)".into()),
            Self::Guest { .. } => Some("write it where that network comes from".into()),
            Self::NoGateway { .. } => None,
            Self::ImageAbsent { .. } => Some("import it, or take `pull_policy` out".into()),
        }
    }
}

/// All that makes a container.
#[derive(Debug)]
pub(crate) struct Lowering<'a> {
    /// Its project.
    pub(crate) project: &'a Project,
    /// Which container it is.
    pub(crate) place: &'a Place<'a>,
    /// Its image.
    pub(crate) image: &'a ObservedImage,
    /// The instance it lives in, if not the host's namespace: its own or another container's.
    pub(crate) instance: Option<&'a InstanceSpec>,
    /// The names of the networks that are there, with their addresses.
    pub(crate) found: &'a Found,
    /// The networks, by key.
    pub(crate) networks: &'a BTreeMap<Key, NetworkSpec>,
    /// The ports of the host that lead to it.
    pub(crate) published: Vec<PublishedPort>,
    /// Volumes without a name are not taken over from the container that is there.
    pub(crate) renew_volumes: bool,
    /// The engine.
    pub(crate) realm: &'a Realm,
}

/// A container, and the volumes without a name that it needs.
#[derive(Debug)]
pub(crate) struct Lowered {
    /// The container.
    pub(crate) container: ContainerSpec,
    /// Volumes that are new with it.
    pub(crate) volumes: Vec<VolumeSpec>,
}

/// Makes the container, under a new id.
///
/// # Errors
/// All that the service says and cannot be had.
pub(crate) fn lower(work: &Lowering<'_>, ids: &mut Ids) -> Result<Lowered, Vec<PlanError>> {
    let mut errors = Vec::new();
    let id = ids.container();
    let (place, service) = (work.place, work.place.service);
    let short = || id.short().parse().expect("twelve hexadecimal digits are a host name");
    let hostname: HostName = service.hostname.clone().unwrap_or_else(short);
    let process = process::lower(work, &hostname, &mut errors);
    let (mounts, volumes) = mounts::lower(work, ids);
    let open = service.privileged || service.security.systempaths_unconfined;
    let paths = |paths: &[&str]| if open { Vec::new() } else { paths.iter().map(PathBuf::from).collect() };
    let mut container = ContainerSpec {
        id,
        name: place.name.clone(),
        project: work.project.name.clone(),
        service: place.service_name.clone(),
        role: place.role.clone(),
        labels: under(&work.image.config.labels, &service.labels),
        image: service.image.clone(),
        image_id: work.image.id.clone(),
        layers: work.image.layers.clone(),
        process,
        hostname,
        domainname: service.domainname.clone(),
        mounts,
        shm_size: service.shm_size.unwrap_or(SHM_SIZE),
        read_only: service.read_only,
        init: service.init,
        network: match &place.home {
            Home::Host => NetworkNamespace::Host,
            Home::Own => NetworkNamespace::Instance(place.name.clone()),
            Home::Guest(host) => NetworkNamespace::Instance(host.clone()),
        },
        aliases: aliases(work),
        links: service.links.clone(),
        external_links: service.external_links.clone(),
        links_env: service.links_env,
        exposed: exposed(service, work.image),
        published: work.published.clone(),
        publish: service.publish,
        hosts: hosts(work, &mut errors),
        resolver: ResolverSpec {
            servers: service.dns.clone(),
            search: service.dns_search.clone(),
            options: service.dns_opt.clone(),
        },
        sysctls: sysctls(work, &mut errors),
        privileged: service.privileged,
        masked_paths: paths(&MASKED_PATHS),
        readonly_paths: paths(&READONLY_PATHS),
        resources: service.resources,
        stop_signal: service.stop_signal.or(work.image.config.stop_signal).unwrap_or(Signal::TERM),
        stop_grace: service.stop_grace_period.unwrap_or(STOP_GRACE),
        restart: restart(place),
        health: health::lower(service.healthcheck.as_ref(), work.image.config.healthcheck.as_ref()),
        depends_on: order::dependencies(service),
        attach: service.attach,
        config_hash: String::new(),
    };
    check_guest(work, &mut errors);
    // The hash covers what people wrote; the labels of Compose, of which it is one, come on top.
    container.config_hash = diff::config_hash(&container);
    container.labels = label::of_container(&container.labels, &facts(work, &container), work.realm);
    if errors.is_empty() { Ok(Lowered { container, volumes }) } else { Err(errors) }
}

fn facts<'a>(work: &'a Lowering<'_>, container: &'a ContainerSpec) -> ContainerFacts<'a> {
    ContainerFacts {
        project: work.project,
        service: &container.service,
        role: &container.role,
        image_id: &container.image_id,
        depends_on: &container.depends_on,
        config_hash: &container.config_hash,
    }
}

/// Returns `low` with `high` over it.
fn under(low: &BTreeMap<String, String>, high: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    low.iter().chain(high).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn aliases(work: &Lowering<'_>) -> BTreeMap<NetworkName, Vec<String>> {
    let place = work.place;
    let known = place.service.networks.iter().filter(|_| place.answers && place.home == Home::Own);
    known
        .filter_map(|(key, attachment)| {
            let network = work.networks.get(key)?;
            let mut names = vec![place.service_name.to_string()];
            names.extend(
                attachment.aliases.iter().filter(|alias| *alias != place.service_name.as_str()).cloned(),
            );
            Some((network.name.clone(), names))
        })
        .collect()
}

fn exposed(service: &Service, image: &ObservedImage) -> BTreeSet<ContainerPort> {
    let published = service.ports.iter().map(|port| port.target);
    image.config.exposed_ports.iter().chain(&service.expose).copied().chain(published).collect()
}

/// Returns the lines for `/etc/hosts`. The host is reached by the gateway of the network that leads out, or,
/// where none does, of the first one.
fn hosts(work: &Lowering<'_>, errors: &mut Vec<PlanError>) -> Vec<(IpAddr, String)> {
    let mut lines = Vec::new();
    for (name, address) in &work.place.service.extra_hosts {
        let addresses = match address {
            ExtraHost::Address(address) => vec![*address],
            ExtraHost::HostGateway => host_addresses(work),
        };
        if addresses.is_empty() {
            let path = format!("services.{}.extra_hosts", work.place.service_name);
            errors.push(PlanError::new(path, LowerError::NoGateway { host: name.clone() }));
        }
        lines.extend(addresses.into_iter().map(|address| (address, name.clone())));
    }
    lines
}

/// Returns the host's addresses as the container sees them, of each version of IP.
fn host_addresses(work: &Lowering<'_>) -> Vec<IpAddr> {
    let Some(own) = work.instance else { return vec![Ipv4Addr::LOCALHOST.into()] };
    let ipv4 = own.endpoints.iter().find_map(|endpoint| endpoint.gateway).map(IpAddr::V4);
    let ipv6 = own.endpoints.iter().find_map(|endpoint| endpoint.gateway6).map(IpAddr::V6);
    let outside: Vec<IpAddr> = ipv4.into_iter().chain(ipv6).collect();
    if !outside.is_empty() {
        return outside;
    }
    let Some(first) = own.endpoints.first() else { return Vec::new() };
    let ours = work.networks.values().find(|network| network.name == first.network);
    let network = ours.or_else(|| work.found.networks.get(&first.network).map(|there| &there.spec));
    let ipv4 = network.and_then(|network| network.ipv4.as_ref()).map(|pool| IpAddr::V4(pool.gateway));
    let ipv6 = network.and_then(|network| network.ipv6.as_ref()).map(|pool| IpAddr::V6(pool.gateway));
    ipv4.into_iter().chain(ipv6).collect()
}

/// Checks that a service with the network of another container asks for nothing that is that one's.
fn check_guest(work: &Lowering<'_>, errors: &mut Vec<PlanError>) {
    let Home::Guest(_) = work.place.home else { return };
    let service = work.place.service;
    let said = [
        ("links", !service.links.is_empty()),
        ("external_links", !service.external_links.is_empty()),
        ("dns", !service.dns.is_empty()),
    ];
    for (attribute, _) in said.into_iter().filter(|(_, said)| *said) {
        let path = format!("services.{}.{attribute}", work.place.service_name);
        errors.push(PlanError::new(path, LowerError::Guest { attribute: attribute.to_owned() }));
    }
}

fn sysctls(work: &Lowering<'_>, errors: &mut Vec<PlanError>) -> BTreeMap<String, String> {
    let service = work.place.service;
    let (network, own): (BTreeMap<_, _>, BTreeMap<_, _>) =
        service.sysctls.clone().into_iter().partition(|(name, _)| instance::is_network_sysctl(name));
    let error = |name: String| match work.place.home {
        Home::Own => None,
        Home::Host => Some((name.clone(), LowerError::HostSysctl { name })),
        Home::Guest(_) => Some((name.clone(), LowerError::Guest { attribute: name })),
    };
    errors.extend(network.into_keys().filter_map(error).map(|(name, error)| {
        PlanError::new(format!("services.{}.sysctls.{name}", work.place.service_name), error)
    }));
    own
}

fn restart(place: &Place<'_>) -> RestartPolicy {
    match place.role {
        Role::Replica(_) => place.service.restart,
        Role::OneOff(_) => RestartPolicy::No,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trice_model::service::Condition;

    use crate::testing::{World, name};
    use trice_model::intent::UpOptions;

    /// Returns a record, a line each, without what says nothing, and without what is long or never the same.
    fn summary(world: &World, service: &str) -> String {
        let record = serde_json::to_value(&world.replica(service, 1).spec).unwrap();
        let without =
            ["id", "hostname", "masked_paths", "readonly_paths", "labels", "config_hash", "capabilities"];
        let lines = |value: &serde_json::Value| -> String {
            let entries = value.as_object().unwrap().iter();
            let told =
                entries.filter(|(name, value)| !without.contains(&name.as_str()) && !value.is_object());
            let told = told.filter(|(_, value)| ![json!(null), json!(false), json!([])].contains(value));
            told.map(|(name, value)| format!("{name}: {value}\n")).collect()
        };
        let env = record["process"]["env"].as_object().unwrap();
        let names: Vec<&str> = env.keys().map(String::as_str).collect();
        format!("{}process\n{}env {}\n", lines(&record), lines(&record["process"]), names.join(" "))
    }

    #[test]
    fn a_plain_service_gets_the_usual_defaults() {
        let mut world = World::new(&[("web", "shop:1")]);
        world.up();
        insta::assert_snapshot!(summary(&world, "web"), @r#"
        attach: true
        image: "shop:1"
        image_id: "sha256:shop:1"
        layers: ["/layers/shop:1"]
        links_env: "ports"
        name: "shop-web-1"
        project: "shop"
        publish: "direct"
        restart: "no"
        service: "web"
        shm_size: 67108864
        stop_signal: "SIGTERM"
        process
        args: ["serve"]
        cwd: "/"
        seccomp: "default"
        user: "0"
        env HOSTNAME PATH
        "#);
        let spec = &world.replica("web", 1).spec;
        assert_eq!(spec.hostname.as_str(), spec.id.short());
        assert_eq!((spec.masked_paths.len(), spec.readonly_paths.len()), (12, 5));
        assert_eq!(spec.process.capabilities.len(), 14);
        assert_eq!(spec.stop_grace.as_secs(), 10);
    }

    #[test]
    fn the_service_comes_before_the_image_and_the_image_before_the_defaults() {
        let mut world = World::new(&[("web", "shop:1")]);
        let image = world.image("shop:1");
        image.working_dir = Some("/image".into());
        image.user = Some("app".into());
        image.stop_signal = Some(name("SIGQUIT"));
        image.labels = [("from".into(), "image".into()), ("image".into(), "yes".into())].into();
        let service = world.service("web");
        service.working_dir = Some("/service".into());
        service.labels.insert("from".into(), "service".into());
        service.privileged = true;
        world.up();
        let spec = &world.replica("web", 1).spec;
        assert_eq!((&*spec.process.cwd, &*spec.process.user), ("/service", "app"));
        assert_eq!(spec.stop_signal, name("SIGQUIT"));
        assert_eq!((&*spec.labels["from"], &*spec.labels["image"]), ("service", "yes"));
        assert!(spec.masked_paths.is_empty() && spec.readonly_paths.is_empty());
    }

    #[test]
    fn outside_tools_find_the_labels_that_they_know() {
        let mut world = World::new(&[("db", "pg:16"), ("web", "shop:1")]);
        world.depends("web", "db", Condition::ServiceHealthy);
        world.link("web", "db", "store");
        world.up();
        let mut labels = world.replica("web", 1).spec.labels.clone();
        let hash = labels.insert("com.docker.compose.config-hash".into(), "64 digits".into());
        assert_eq!(hash.map(|hash| hash.len()), Some(64));
        let lines: String = labels.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        insta::assert_snapshot!(lines, @"
        com.docker.compose.config-hash=64 digits
        com.docker.compose.container-number=1
        com.docker.compose.depends_on=db:service_healthy:false
        com.docker.compose.image=sha256:shop:1
        com.docker.compose.oneoff=False
        com.docker.compose.project=shop
        com.docker.compose.project.config_files=/shop/compose.yaml
        com.docker.compose.project.working_dir=/shop
        com.docker.compose.service=web
        com.docker.compose.version=0.1.0
        ");
        let network = &world.machine.found.networks.values().next().unwrap().spec.labels;
        assert_eq!(network["com.docker.compose.network"], "default");
    }

    #[test]
    fn the_same_question_gets_the_same_plan() {
        let plan = || {
            let mut world = World::new(&[("db", "pg:16"), ("web", "shop:1")]);
            let intent = world.wants(UpOptions::default());
            world.plan(&intent).unwrap()
        };
        assert_eq!(plan(), plan());
    }
}
