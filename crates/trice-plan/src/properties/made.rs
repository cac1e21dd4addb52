//! Made-up projects, and changes to them between two times at which they come up.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use trice_model::container::{ContainerState, ExitStatus, ObservedContainer};
use trice_model::mount::{Mount, MountSource};
use trice_model::name::ServiceName;
use trice_model::network::{Attachment, Network};
use trice_model::port::HostPort;
use trice_model::project::Project;
use trice_model::service::{Condition, NetworkMode, Service};
use trice_model::time::Timestamp;

use crate::found;
use crate::testing::{World, key, name};
use trice_model::intent::{Recreate, UpOptions};

/// The services of made-up projects.
pub(super) const SERVICES: [&str; 5] = ["alfa", "bravo", "charlie", "delta", "echo"];
const NETWORKS: [&str; 3] = ["default", "front", "back"];

/// A made-up service; what it depends on are services before it.
#[derive(Debug, Clone)]
pub(super) struct Made {
    replicas: u32,
    networks: BTreeSet<usize>,
    needs: Vec<(usize, Need)>,
    mounts: BTreeSet<usize>,
    port: Option<HostPort>,
    host_network: bool,
}

#[derive(Debug, Clone, Copy)]
struct Need {
    condition: Condition,
    restart: bool,
    link: bool,
}

/// A change between two times at which a project comes up.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    Nothing,
    Environment(usize),
    Image(usize),
    Scale(usize, u32),
    Rename(usize),
    Join(usize, usize),
    Internal(usize),
    Subnet(usize, u8),
    FixedAddress(usize, u8),
    Forget(usize),
    Crash(usize),
    CrashLoop(usize),
    Reboot,
}

fn need() -> impl Strategy<Value = Need> {
    let condition = prop_oneof![
        Just(Condition::ServiceStarted),
        Just(Condition::ServiceHealthy),
        Just(Condition::ServiceCompletedSuccessfully),
    ];
    (condition, any::<bool>(), any::<bool>()).prop_map(|(condition, restart, link)| Need {
        condition,
        restart,
        link,
    })
}

fn made(index: usize) -> impl Strategy<Value = Made> {
    let port = prop_oneof![
        Just(None),
        Just(Some(HostPort::Any)),
        Just(Some(HostPort::Fixed(8000 + index as u16))),
        Just(Some(HostPort::OneOf { first: 9000, last: 9031 })),
    ];
    (
        0..4_u32,
        vec(0..NETWORKS.len(), 1..3),
        vec((0..index.max(1), need()), 0..3),
        vec(0..3_usize, 0..3),
        port,
        proptest::bool::weighted(0.1),
    )
        .prop_map(move |(replicas, networks, needs, mounts, port, host_network)| Made {
            replicas,
            networks: networks.into_iter().collect(),
            needs: needs.into_iter().filter(|(needed, _)| *needed < index).collect(),
            mounts: mounts.into_iter().collect(),
            port: port.filter(|_| !host_network),
            host_network,
        })
}

pub(super) fn project() -> impl Strategy<Value = Vec<Made>> {
    (made(0), made(1), made(2), made(3), made(4)).prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

pub(super) fn edit() -> impl Strategy<Value = Edit> {
    let service = 0..SERVICES.len();
    let network = 0..NETWORKS.len();
    prop_oneof![
        Just(Edit::Nothing),
        service.clone().prop_map(Edit::Environment),
        service.clone().prop_map(Edit::Image),
        (service.clone(), 0..5_u32).prop_map(|(service, count)| Edit::Scale(service, count)),
        service.clone().prop_map(Edit::Rename),
        (service.clone(), network.clone()).prop_map(|(service, network)| Edit::Join(service, network)),
        network.clone().prop_map(Edit::Internal),
        (network.clone(), 1..4_u8).prop_map(|(network, third)| Edit::Subnet(network, third)),
        (service.clone(), 2..9_u8).prop_map(|(service, last)| Edit::FixedAddress(service, last)),
        service.clone().prop_map(Edit::Forget),
        service.clone().prop_map(Edit::Crash),
        service.prop_map(Edit::CrashLoop),
        Just(Edit::Reboot),
    ]
}

pub(super) fn options() -> impl Strategy<Value = UpOptions> {
    let recreate =
        prop_oneof![4 => Just(Recreate::Diverged), 1 => Just(Recreate::Force), 1 => Just(Recreate::Never)];
    let flags = (any::<bool>(), any::<bool>(), proptest::bool::weighted(0.2), any::<bool>());
    let services = prop_oneof![3 => Just(Vec::new()), 1 => vec(0..SERVICES.len(), 1..3)];
    (recreate, flags, services).prop_map(|(recreate, (remove_orphans, wait, no_deps, renew), services)| {
        UpOptions {
            recreate,
            remove_orphans,
            wait,
            no_deps,
            renew_anonymous_volumes: renew,
            services: services.into_iter().map(|index| name(SERVICES[index])).collect(),
            ..UpOptions::default()
        }
    })
}

/// Makes the project; services that others need completed run to their end.
pub(super) fn world(all: &[Made]) -> World {
    let mut world = World::new(&[]);
    for network in NETWORKS {
        world.network(network);
    }
    for volume in ["data", "logs"] {
        world.volume(volume);
    }
    for (service_name, made) in SERVICES.iter().zip(all) {
        world.add(service_name, "app:1");
        let service = world.service(service_name);
        service.replicas = made.replicas;
        service.networks =
            made.networks.iter().map(|network| (key(NETWORKS[*network]), Attachment::default())).collect();
        if made.host_network {
            service.network_mode = NetworkMode::Host;
        }
        let sources = [Some(key("data")), Some(key("logs")), None];
        service.volumes = made
            .mounts
            .iter()
            .map(|index| Mount {
                target: format!("/mnt/{index}").into(),
                read_only: false,
                source: MountSource::Volume { key: sources[*index].clone(), subpath: None, nocopy: false },
            })
            .collect();
        if let Some(port) = made.port {
            world.publish(service_name, port, 80);
        }
        for (needed, need) in &made.needs {
            world.depends(service_name, SERVICES[*needed], need.condition).restart = need.restart;
            if need.link {
                world.link(service_name, SERVICES[*needed], "peer");
            }
        }
    }
    let project = &mut world.project;
    let completed: BTreeSet<ServiceName> = dependencies(project, Condition::ServiceCompletedSuccessfully);
    // What runs to its end is never found healthy.
    for service in project.services.values_mut() {
        for (needed, dependency) in &mut service.depends_on {
            if completed.contains(needed) && dependency.condition == Condition::ServiceHealthy {
                dependency.condition = Condition::ServiceStarted;
            }
        }
    }
    world.machine.one_shots = completed;
    world
}

fn dependencies(project: &Project, condition: Condition) -> BTreeSet<ServiceName> {
    let all = project.services.values().flat_map(|service| &service.depends_on);
    all.filter(|(_, dependency)| dependency.condition == condition)
        .map(|(needed, _)| needed.clone())
        .collect()
}

pub(super) fn apply(world: &mut World, edit: &Edit, count: usize) {
    let value = count.to_string();
    match edit {
        Edit::Nothing => {}
        Edit::Environment(service) => {
            change(world, *service, |one| _ = one.environment.insert("N".into(), value))
        }
        Edit::Image(service) => {
            let image = format!("app:{}", count + 2);
            world.image(&image);
            change(world, *service, |one| one.image = name(&image));
        }
        Edit::Scale(service, count) => change(world, *service, |one| one.replicas = *count),
        Edit::Rename(service) => change(world, *service, |one| {
            one.replicas = one.replicas.min(1);
            one.container_name = Some(name(&format!("{}-{count}", SERVICES[*service])));
        }),
        Edit::Join(service, network) => change(world, *service, |one| {
            let network = key(NETWORKS[*network]);
            if one.networks.remove(&network).is_none() || one.networks.is_empty() {
                one.networks.insert(network, Attachment::default());
            }
        }),
        Edit::Internal(network) => {
            let network = world.network(NETWORKS[*network]);
            network.internal = !network.internal;
        }
        Edit::Subnet(network, third) => {
            let subnet = name(&format!("10.7.{third}.0/24"));
            if world.project.networks.values().all(|network| subnet_of(network) != Some(subnet)) {
                world.ipv4(NETWORKS[*network]).subnet = Some(subnet);
            }
        }
        Edit::FixedAddress(service, last) => fix_address(world, *service, *last),
        Edit::Forget(service) => {
            let gone: ServiceName = name(SERVICES[*service]);
            world.project.services.remove(&gone);
            for service in world.project.services.values_mut() {
                service.depends_on.remove(&gone);
                service.links.retain(|link| link.service != gone);
            }
        }
        Edit::Crash(service) => end(world, *service, ContainerState::Exited { exit: ExitStatus::Code(1) }),
        Edit::CrashLoop(service) => {
            let at = Timestamp(u64::MAX);
            end(world, *service, ContainerState::Restarting { exit: ExitStatus::Code(1), at });
        }
        Edit::Reboot => world.machine.reboot(),
    }
}

/// Ends the running containers of a service by themselves.
fn end(world: &mut World, service: usize, state: ContainerState) {
    let theirs = |one: &&mut ObservedContainer| one.spec.service.as_str() == SERVICES[service];
    for container in world.machine.found.containers.values_mut().filter(theirs) {
        if found::is_running(container) {
            container.state = state;
        }
    }
}

fn change(world: &mut World, service: usize, with: impl FnOnce(&mut Service)) {
    if let Some(service) = world.project.services.get_mut(&name::<ServiceName>(SERVICES[service])) {
        with(service);
    }
}

fn subnet_of(network: &Network) -> Option<Ipv4Net> {
    network.ipv4.as_ref().and_then(|pool| pool.subnet)
}

/// Fixes an address on a network whose subnet the file gives, if nobody in the file has it.
fn fix_address(world: &mut World, service: usize, last: u8) {
    let fixed = |attachment: &Attachment| attachment.ipv4_address.map(|ip| ip.octets()[3]);
    let attachments = world.project.services.values().flat_map(|service| service.networks.values());
    if attachments.filter_map(fixed).any(|taken| taken == last) {
        return;
    }
    let networks = world.project.networks.clone();
    change(world, service, |one| {
        one.replicas = one.replicas.min(1);
        for (key, attachment) in &mut one.networks {
            let subnet = subnet_of(&networks[key]).filter(|_| one.network_mode == NetworkMode::Own);
            attachment.ipv4_address = subnet.and_then(|subnet| subnet.hosts().nth(usize::from(last) - 1));
        }
    });
}
