//! What holds for all projects: made up, brought up, changed, cut off in the middle, taken down.
//!
//! The machine that carries plans out takes steps in any order that the plan allows, and stumbles over each
//! one that comes too early: a container without its network, an address that two have, a port that is still
//! held.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use trice_model::container::ObservedContainer;
use trice_model::mount::{Mount, MountSource};
use trice_model::name::ServiceName;
use trice_model::network::Attachment;
use trice_model::port::HostPort;
use trice_model::service::{Condition, NetworkMode};
use trice_model::time::Timestamp;

use crate::action::Action;
use crate::found;
use crate::intent::{Intent, Recreate, UpOptions};
use crate::plan::{Plan, StepId};
use crate::testing::{World, down_with_volumes, key, name};

const SERVICES: [&str; 5] = ["alfa", "bravo", "charlie", "delta", "echo"];
const NETWORKS: [&str; 3] = ["default", "front", "back"];

/// A made-up service; what it depends on are services before it.
#[derive(Debug, Clone)]
struct Made {
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
enum Edit {
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

fn project() -> impl Strategy<Value = Vec<Made>> {
    (made(0), made(1), made(2), made(3), made(4)).prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

fn edit() -> impl Strategy<Value = Edit> {
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
        service.prop_map(Edit::Crash),
        Just(Edit::Reboot),
    ]
}

fn options() -> impl Strategy<Value = UpOptions> {
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
fn world(all: &[Made]) -> World {
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

fn dependencies(project: &trice_model::project::Project, condition: Condition) -> BTreeSet<ServiceName> {
    let all = project.services.values().flat_map(|service| &service.depends_on);
    all.filter(|(_, dependency)| dependency.condition == condition)
        .map(|(needed, _)| needed.clone())
        .collect()
}

fn apply(world: &mut World, edit: &Edit, count: usize) {
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
            if world.project.networks.values().all(|network| network.subnet != Some(subnet)) {
                world.network(NETWORKS[*network]).subnet = Some(subnet);
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
        Edit::Crash(service) => {
            let theirs = |one: &&mut ObservedContainer| one.spec.service.as_str() == SERVICES[*service];
            let exit = trice_model::container::ExitStatus::Code(1);
            for container in world.machine.found.containers.values_mut().filter(theirs) {
                container.state = trice_model::container::ContainerState::Exited { exit };
            }
        }
        Edit::Reboot => world.machine.reboot(),
    }
}

fn change(world: &mut World, service: usize, with: impl FnOnce(&mut trice_model::service::Service)) {
    if let Some(service) = world.project.services.get_mut(&name::<ServiceName>(SERVICES[service])) {
        with(service);
    }
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
            let subnet = networks[key].subnet.filter(|_| one.network_mode == NetworkMode::Own);
            attachment.ipv4_address = subnet.and_then(|subnet| subnet.hosts().nth(usize::from(last) - 1));
        }
    });
}

/// Carries `plan` out in an order of its own: `choices` says which of the possible steps comes next; it ends
/// after `limit` steps.
fn carry_out(world: &mut World, plan: &Plan, choices: &[usize], limit: usize, now: Timestamp) {
    let mut open: Vec<usize> = (1..=plan.steps.len()).collect();
    let mut done: BTreeSet<StepId> = BTreeSet::new();
    for turn in 0..limit.min(plan.steps.len()) {
        let ready: Vec<usize> = open
            .iter()
            .copied()
            .filter(|id| plan.steps[id - 1].after.iter().all(|before| done.contains(before)))
            .collect();
        assert!(!ready.is_empty(), "nothing can go on after {done:?}:\n{plan}");
        let id = ready[choices[turn % choices.len()] % ready.len()];
        check_before(world, plan, id);
        world.machine.carry_out_step(plan, StepId(id), now);
        open.retain(|other| *other != id);
        done.insert(StepId(id));
    }
}

fn check_before(world: &World, plan: &Plan, id: usize) {
    if let Action::StartContainer(target) = &plan.steps[id - 1].action
        && is_planned_with_dependencies(plan)
    {
        let unmet = world.machine.unmet(&target.id, &world.project, plan);
        assert!(unmet.is_empty(), "step {id} starts too early, {unmet:?}:\n{plan}");
    }
}

/// Plans that were made without dependencies are noted, so that nobody expects an order of them.
fn is_planned_with_dependencies(plan: &Plan) -> bool {
    !plan.notes.iter().any(|note| note == NO_ORDER)
}

const NO_ORDER: &str = "made without dependencies";

fn plan_up(world: &mut World, intent: &Intent, options: &UpOptions) -> Option<Plan> {
    // Some edits contradict each other; what matters here are plans.
    let mut plan = world.plan(intent).ok()?;
    if options.no_deps {
        plan.notes.push(NO_ORDER.to_owned());
    }
    Some(plan)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_converges_in_every_order_and_after_every_crash(
        all in project(),
        edits in vec((edit(), options(), 0..60_usize), 1..5),
        choices in vec(any::<usize>(), 8..40),
    ) {
        let mut world = world(&all);
        for (count, (edit, options, limit)) in edits.iter().enumerate() {
            apply(&mut world, edit, count);
            world.pass_time();
            let mut options = options.clone();
            options.services.retain(|service| world.project.services.contains_key(service));
            let intent = world.wants(options.clone());
            // The engine dies somewhere in the middle, and another one goes on.
            let Some(plan) = plan_up(&mut world, &intent, &options) else { continue };
            let now = world.now();
            carry_out(&mut world, &plan, &choices, *limit, now);
            world.machine.take_over();
            let plan = plan_up(&mut world, &intent, &options).unwrap();
            carry_out(&mut world, &plan, &choices, usize::MAX, now);
            let rest = world.plan(&intent).unwrap();
            assert!(rest.steps.is_empty() && rest.complete, "left to do:\n{rest}after:\n{plan}");
        }
    }

    #[test]
    fn everything_stops_before_what_it_depends_on_and_nothing_is_left(
        all in project(),
        choices in vec(any::<usize>(), 8..40),
        limit in 0..60_usize,
    ) {
        let mut world = world(&all);
        world.up();
        let intent = down_with_volumes(&world.project.name);
        let now = world.now();
        for limit in [limit, usize::MAX] {
            let plan = world.plan(&intent).unwrap();
            for step in &plan.steps {
                if let Action::StopContainer { container, .. } = &step.action {
                    let live = world.machine.found.containers.values().filter(|one| found::is_live(one));
                    let service = &world.machine.found.containers[&container.id].spec.service;
                    for dependent in live.filter(|one| one.spec.depends_on.contains_key(service)) {
                        let stop = plan.steps.iter().position(|step| stops(&step.action, dependent));
                        let stop = StepId(stop.expect("what lives is stopped") + 1);
                        assert!(step.after.contains(&stop), "{} stops too early:\n{plan}", container.name);
                    }
                }
            }
            carry_out(&mut world, &plan, &choices, limit, now);
        }
        let found = &world.machine.found;
        assert!(found.containers.is_empty() && found.instances.is_empty(), "{found:?}");
        assert!(found.networks.is_empty() && found.volumes.is_empty(), "{found:?}");
    }

    #[test]
    fn a_change_of_scale_touches_no_other_service(
        all in project(),
        service in 0..SERVICES.len(),
        count in 0..6_u32,
    ) {
        let mut world = world(&all);
        // In the same moment as the scaling: a later `up` would run one-shots once more.
        let intent = world.wants(UpOptions::default());
        let plan = world.plan(&intent).unwrap();
        world.carry_out(&plan);
        let scale = [(name(SERVICES[service]), count)].into();
        let intent = world.wants(UpOptions { scale, ..UpOptions::default() });
        let plan = world.plan(&intent).unwrap();
        for step in &plan.steps {
            let touched = match &step.action {
                Action::CreateContainer(spec) => spec.name.as_str(),
                Action::ConnectInstance(spec) => spec.name.as_str(),
                Action::DisconnectInstance(name) => name.as_str(),
                Action::PublishPorts { instance, .. } => instance.as_str(),
                Action::StartContainer(target) | Action::RemoveContainer(target) => target.name.as_str(),
                Action::StopContainer { container, .. } => container.name.as_str(),
                // The first replica may be the first that needs a volume of its own; waiting touches nothing.
                Action::CreateVolume(_) | Action::Await { .. } => continue,
                Action::FetchImage { .. }
                | Action::CreateNetwork(_)
                | Action::RemoveNetwork(_)
                | Action::RemoveVolume(_) => panic!("{} in:\n{plan}", step.action),
            };
            assert!(touched.starts_with(&format!("shop-{}-", SERVICES[service])), "{touched} in:\n{plan}");
        }
    }

    #[test]
    fn plans_and_intents_survive_the_way_through_json(all in project(), options in options()) {
        let mut world = world(&all);
        let intent = world.wants(options);
        let text = serde_json::to_string(&intent).unwrap();
        assert_eq!(serde_json::from_str::<Intent>(&text).unwrap(), intent);
        if let Ok(plan) = world.plan(&intent) {
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        }
    }
}

fn stops(action: &Action, dependent: &ObservedContainer) -> bool {
    match action {
        Action::StopContainer { container, .. } => container.id == dependent.spec.id,
        Action::FetchImage { .. }
        | Action::CreateNetwork(_)
        | Action::RemoveNetwork(_)
        | Action::CreateVolume(_)
        | Action::RemoveVolume(_)
        | Action::ConnectInstance(_)
        | Action::DisconnectInstance(_)
        | Action::PublishPorts { .. }
        | Action::CreateContainer(_)
        | Action::StartContainer(_)
        | Action::RemoveContainer(_)
        | Action::Await { .. } => false,
    }
}
