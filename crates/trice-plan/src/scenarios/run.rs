//! `run`: a container of its own beside a service's replicas.

use insta::assert_snapshot;
use trice_model::container::{ObservedContainer, Role};
use trice_model::port::HostPort;
use trice_model::service::Condition;

use crate::testing::{World, name, text};
use trice_model::intent::{Intent, RunOptions};

fn shop() -> World {
    let mut world = World::new(&[("db", "pg:16"), ("web", "shop:1")]);
    world.depends("web", "db", Condition::ServiceHealthy);
    world.service("web").restart = name("always");
    world.service("web").command = Some(vec!["serve".into()]);
    world.publish("web", HostPort::Fixed(8080), 80);
    world
}

fn options() -> RunOptions {
    RunOptions::new(name("web"), name("0123456789ab"))
}

fn run(world: &World, options: RunOptions) -> Intent {
    Intent::Run { project: Box::new(world.project.clone()), options: Box::new(options) }
}

fn one_off(world: &World) -> &ObservedContainer {
    world.machine.found.containers.values().find(|one| !one.spec.role.is_replica()).unwrap()
}

#[test]
fn a_one_off_brings_up_what_its_service_needs_and_not_the_service() {
    let mut world = shop();
    let intent = run(&world, options());
    assert_snapshot!(text(world.plan(&intent)), @"
    1 create network shop_default 172.27.98.0/24               not there yet
    2 connect instance shop-db-1 172.27.98.2                   not there yet    after 1
    3 connect instance shop-web-run-0123456789ab 172.27.98.3   not there yet    after 1
    4 create container shop-db-1                               not there yet    after 2
    5 create container shop-web-run-0123456789ab               not there yet    after 3
    6 start container shop-db-1                                wanted running   after 4
    7 await shop-db-1 healthy                                  needed by web    after 6
    8 start container shop-web-run-0123456789ab                wanted running   after 5 7
    ");
}

#[test]
fn a_one_off_is_made_once_for_its_request_and_removed_when_asked() {
    let mut world = shop();
    world.up();
    let intent = run(&world, RunOptions { rm: true, no_deps: true, ..options() });
    let plan = world.plan(&intent).unwrap();
    assert_snapshot!(plan, @"
    1 connect instance shop-web-run-0123456789ab 172.27.98.4   not there yet
    2 create container shop-web-run-0123456789ab               not there yet               after 1
    3 start container shop-web-run-0123456789ab                wanted running              after 2
    4 await shop-web-run-0123456789ab ended                    removed when it has ended   after 3
    5 remove container shop-web-run-0123456789ab               asked to remove             after 4
    6 disconnect instance shop-web-run-0123456789ab            its container goes          after 5
    ");
    // The engine dies when the container has ended: another one removes it and runs nothing.
    (1..=3).for_each(|step| {
        world.machine.carry_out_step(&plan, crate::plan::StepId(step), trice_model::time::Timestamp(u64::MAX))
    });
    assert_snapshot!(text(world.plan(&intent)), @"
    1 remove container shop-web-run-0123456789ab      asked to remove
    2 disconnect instance shop-web-run-0123456789ab   its container goes   after 1
    ");
}

#[test]
fn a_one_off_has_no_ports_no_policy_and_no_names_unless_asked() {
    let mut world = shop();
    let intent = run(&world, options());
    world.satisfy(&intent);
    let spec = &one_off(&world).spec;
    assert_eq!(spec.role, Role::OneOff("0123456789ab".into()));
    assert!(spec.published.is_empty() && spec.aliases.is_empty());
    assert_eq!(spec.restart, name("no"));
    assert_eq!(spec.labels["com.docker.compose.oneoff"], "True");
    assert_eq!(spec.labels["com.docker.compose.slug"], "0123456789ab");

    let mut world = shop();
    let intent = run(&world, RunOptions { service_ports: true, use_aliases: true, ..options() });
    world.satisfy(&intent);
    let spec = &one_off(&world).spec;
    assert_eq!(spec.published[0].host_port, 8080);
    assert_eq!(spec.aliases.values().flatten().collect::<Vec<_>>(), ["web"]);
}

#[test]
fn what_was_typed_comes_over_what_the_service_says() {
    let mut world = shop();
    world.service("web").environment = [("A".into(), "file".into()), ("B".into(), "file".into())].into();
    let typed = RunOptions {
        name: Some(name("debug")),
        entrypoint: Some(vec!["sh".into()]),
        environment: [("A".into(), "typed".into())].into(),
        user: Some("7".into()),
        working_dir: Some("/srv".into()),
        tty: true,
        ..options()
    };
    let intent = run(&world, typed.clone());
    world.satisfy(&intent);
    let spec = &one_off(&world).spec;
    assert_eq!((spec.name.as_str(), spec.process.args.join(" ")), ("debug", "sh".to_owned()));
    assert_eq!((&*spec.process.env["A"], &*spec.process.env["B"]), ("typed", "file"));
    assert_eq!((&*spec.process.user, &*spec.process.cwd, spec.process.tty), ("7", "/srv", true));

    let mut world = shop();
    let intent = run(&world, RunOptions { command: vec!["-c".into(), "env".into()], ..typed });
    world.satisfy(&intent);
    assert_eq!(one_off(&world).spec.process.args, ["sh", "-c", "env"]);
}
