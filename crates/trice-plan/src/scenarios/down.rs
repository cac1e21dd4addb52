//! `down`, `stop` and `rm`: who goes, in which order, and what stays.

use std::time::Duration;

use insta::assert_snapshot;
use trice_model::container::{ContainerState, ExitStatus};
use trice_model::mount::{Mount, MountSource};
use trice_model::service::Condition;

use crate::testing::{World, down_with_volumes, name, services, text};
use trice_model::intent::{DownOptions, Intent};

fn shop() -> World {
    let mut world = World::new(&[("db", "pg:16"), ("web", "shop:1")]);
    world.depends("web", "db", Condition::ServiceStarted);
    world.volume("data");
    let source = MountSource::Volume { key: Some(name("data")), subpath: None, nocopy: false };
    world.service("db").volumes.push(Mount { target: "/data".into(), read_only: false, source });
    let source = MountSource::Volume { key: None, subpath: None, nocopy: false };
    world.service("db").volumes.push(Mount { target: "/scratch".into(), read_only: false, source });
    world.up();
    world
}

fn down(world: &mut World, options: DownOptions) -> String {
    let intent = Intent::Down { project: world.project.name.clone(), options };
    text(world.plan(&intent))
}

#[test]
fn a_project_goes_down_against_its_dependencies_and_keeps_its_data() {
    assert_snapshot!(down(&mut shop(), DownOptions::default()), @"
    1 stop container shop-web-1        the project goes down
    2 stop container shop-db-1         the project goes down   after 1
    3 remove container shop-web-1      the project goes down   after 1
    4 remove container shop-db-1       the project goes down   after 2
    5 disconnect instance shop-db-1    the project goes down   after 4
    6 disconnect instance shop-web-1   the project goes down   after 3
    7 remove network shop_default      the project goes down   after 5 6
    ");
}

#[test]
fn with_volumes_nothing_is_left() {
    let mut world = shop();
    let intent = down_with_volumes(&world.project.name);
    assert_snapshot!(text(world.plan(&intent)), @"
    1 stop container shop-web-1        the project goes down
    2 stop container shop-db-1         the project goes down   after 1
    3 remove container shop-web-1      the project goes down   after 1
    4 remove container shop-db-1       the project goes down   after 2
    5 disconnect instance shop-db-1    the project goes down   after 4
    6 disconnect instance shop-web-1   the project goes down   after 3
    7 remove network shop_default      the project goes down   after 5 6
    8 remove volume 71c18690ee42       asked to remove         after 4
    9 remove volume shop_data          asked to remove         after 4
    ");
    world.satisfy(&intent);
    let found = &world.machine.found;
    assert!(found.containers.is_empty() && found.instances.is_empty());
    assert!(found.networks.is_empty() && found.volumes.is_empty());
    assert_eq!(world.plan(&intent).unwrap().steps, []);
}

#[test]
fn anonymous_volumes_of_earlier_containers_go_with_the_volumes() {
    let mut world = shop();
    world.satisfy(&Intent::Down { project: name("shop"), options: DownOptions::default() });
    let left = world.machine.found.volumes.len();
    assert_eq!(left, 2);
    world.satisfy(&down_with_volumes(&name("shop")));
    assert!(world.machine.found.volumes.is_empty());
}

#[test]
fn a_named_service_takes_those_that_depend_on_it_along_and_leaves_the_network() {
    let mut world = shop();
    world.add("mail", "shop:1");
    world.up();
    let options = DownOptions { services: services(&["db"]), ..DownOptions::default() };
    assert_snapshot!(down(&mut world, options), @"
    1 stop container shop-web-1        the project goes down
    2 stop container shop-db-1         the project goes down   after 1
    3 remove container shop-web-1      the project goes down   after 1
    4 remove container shop-db-1       the project goes down   after 2
    5 disconnect instance shop-db-1    the project goes down   after 4
    6 disconnect instance shop-web-1   the project goes down   after 3
    ");
}

#[test]
fn containers_that_the_files_do_not_know_stay_with_what_they_use() {
    let mut world = shop();
    let known = Some(services(&["web"]));
    let options = DownOptions { known, volumes: true, ..DownOptions::default() };
    assert_snapshot!(down(&mut world, options.clone()), @"
    1 stop container shop-web-1        the project goes down
    2 remove container shop-web-1      the project goes down   after 1
    3 disconnect instance shop-web-1   the project goes down   after 2
    note: network `shop_default` stays: `shop-db-1` is on it
    note: containers of services that are not in the files: `shop-db-1` (`--remove-orphans` removes them)
    ");
    let all = DownOptions { remove_orphans: true, ..options };
    assert!(down(&mut world, all).contains("remove network shop_default"));
}

#[test]
fn a_network_that_another_project_is_on_stays() {
    let mut world = shop();
    let mut other = World::new(&[("api", "shop:1")]);
    other.project.name = name("other");
    other.machine = world.machine.clone();
    other.network("default").external = true;
    other.up();
    world.machine = other.machine.clone();
    let plan = down(&mut world, DownOptions::default());
    assert!(plan.contains("note: network `shop_default` stays: `other-api-1` is on it"), "{plan}");
    let plan = down(&mut other, DownOptions::default());
    assert!(!plan.contains("shop"), "{plan}");
}

#[test]
fn a_stop_goes_against_the_dependencies_and_stops_what_would_come_again() {
    let mut world = shop();
    let at = trice_model::time::Timestamp(9_000_000);
    world.set_state("web", 1, ContainerState::Restarting { exit: ExitStatus::Code(1), at });
    let (project, timeout) = (name("shop"), Some(Duration::from_secs(3)));
    let intent = Intent::Stop { project, services: services(&[]), timeout };
    assert_snapshot!(text(world.plan(&intent)), @"
    1 stop container shop-web-1   asked to stop
    2 stop container shop-db-1    asked to stop   after 1
    ");
    world.satisfy(&intent);
    assert_eq!(world.plan(&intent).unwrap().steps, []);
}

#[test]
fn rm_takes_what_has_ended_and_with_stop_the_rest() {
    let mut world = shop();
    world.set_state("web", 1, ContainerState::Exited { exit: ExitStatus::Code(0) });
    let remove =
        |stop| Intent::Remove { project: name("shop"), services: services(&[]), stop, volumes: true };
    assert_snapshot!(text(world.plan(&remove(false))), @"
    1 remove container shop-web-1      asked to remove
    2 disconnect instance shop-web-1   its container goes   after 1
    ");
    assert_snapshot!(text(world.plan(&remove(true))), @"
    1 stop container shop-db-1         asked to remove
    2 remove container shop-web-1      asked to remove
    3 remove container shop-db-1       asked to remove      after 1
    4 disconnect instance shop-db-1    its container goes   after 3
    5 disconnect instance shop-web-1   its container goes   after 2
    6 remove volume 71c18690ee42       asked to remove      after 3
    ");
}
