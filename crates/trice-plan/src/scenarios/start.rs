//! `start`, `restart`, and the way back after a reboot: from records alone.

use insta::assert_snapshot;
use trice_model::container::{ContainerState, ExitStatus};
use trice_model::service::Condition;

use crate::testing::{World, found, name, services, text};
use trice_model::intent::Intent;

fn shop() -> World {
    let mut world = World::new(&[("db", "pg:16"), ("migrate", "shop:1"), ("web", "shop:1")]);
    world.depends("migrate", "db", Condition::ServiceHealthy);
    world.depends("web", "migrate", Condition::ServiceCompletedSuccessfully);
    world.depends("web", "db", Condition::ServiceHealthy).restart = true;
    world.machine.one_shots = services(&["migrate"]);
    world.up();
    world
}

fn restart(names: &[&str], no_deps: bool) -> Intent {
    Intent::Restart { project: name("shop"), services: services(names), timeout: None, no_deps }
}

#[test]
fn a_start_takes_what_is_there_with_its_dependencies() {
    let mut world = shop();
    world.satisfy(&Intent::Stop { project: name("shop"), services: services(&[]), timeout: None });
    let intent = Intent::Start { project: name("shop"), services: services(&["web"]), wait: true };
    assert_snapshot!(text(world.plan(&intent)), @"
    1 start container shop-db-1             wanted running
    2 await shop-db-1 healthy               needed by migrate web   after 1
    3 start container shop-migrate-1        wanted running          after 2
    4 await shop-migrate-1 completed        needed by web           after 3
    5 start container shop-web-1            wanted running          after 2 4
    6 await shop-db-1 running or healthy    asked to wait           after 1
    7 await shop-migrate-1 completed        asked to wait           after 3
    8 await shop-web-1 running or healthy   asked to wait           after 5
    ");
    let plan = world.plan(&intent).unwrap();
    world.carry_out(&plan);
    assert_eq!(world.plan(&intent).unwrap().steps, []);
}

#[test]
fn a_start_of_nothing_says_so() {
    let mut world = shop();
    let intent = Intent::Start { project: name("shop"), services: services(&["mail"]), wait: false };
    assert_snapshot!(text(world.plan(&intent)), @"services.mail: service `mail` has no container to start");
    world.set_state("web", 1, ContainerState::Exited { exit: ExitStatus::Code(1) });
    world.machine.found.instances.remove("shop-web-1");
    let intent = Intent::Start { project: name("shop"), services: services(&["web"]), wait: false };
    assert_snapshot!(
        text(world.plan(&intent)),
        @"services.web: the network of container `shop-web-1` is gone"
    );
    let intent = Intent::Start { project: name("nobody"), services: services(&[]), wait: false };
    assert_snapshot!(text(world.plan(&intent)), @"name: project `nobody` has no containers");
}

#[test]
fn a_restart_takes_followers_along_once() {
    let mut world = shop();
    assert_snapshot!(text(world.plan(&restart(&["db"], false))), @"
    1 stop container shop-web-1    db is restarted
    2 stop container shop-db-1     asked to restart   after 1
    3 start container shop-db-1    wanted running     after 2
    4 await shop-db-1 healthy      needed by web      after 3
    5 start container shop-web-1   wanted running     after 1 4
    ");
    assert_snapshot!(text(world.plan(&restart(&["db"], true))), @"
    1 stop container shop-db-1    asked to restart
    2 start container shop-db-1   wanted running     after 1
    ");
    let plan = world.plan(&restart(&["db"], false)).unwrap();
    // The engine dies when it has started the one and not yet the other.
    let now = world.now();
    (1..=3).for_each(|step| world.machine.carry_out_step(&plan, crate::plan::StepId(step), now));
    assert_snapshot!(
        text(world.plan(&restart(&["db"], false))),
        @"1 start container shop-web-1   wanted running"
    );
    let plan = world.plan(&restart(&["db"], false)).unwrap();
    world.carry_out(&plan);
    assert_eq!(world.plan(&restart(&["db"], false)).unwrap().steps, [], "this restart has been done");
    world.pass_time();
    assert_ne!(world.plan(&restart(&["db"], false)).unwrap().steps, [], "another one has not");
}

#[test]
fn after_a_reboot_policies_decide_and_the_order_is_that_of_an_up() {
    let mut world = shop();
    for (service, policy) in [("db", "always"), ("web", "unless-stopped")] {
        let id = world.replica(service, 1).spec.id.clone();
        found(&mut world).containers.get_mut(&id).unwrap().spec.restart = name(policy);
        world.set_state(service, 1, ContainerState::Exited { exit: ExitStatus::Unknown });
    }
    found(&mut world).networks.values_mut().for_each(|network| network.present = false);
    found(&mut world).instances.values_mut().for_each(|instance| instance.present = false);
    let intent = Intent::Resume { project: name("shop") };
    assert_snapshot!(text(world.plan(&intent)), @"
    1 create network shop_default 172.27.98.0/24   its bridge is gone
    2 connect instance shop-db-1 172.27.98.2       its namespace is gone   after 1
    3 connect instance shop-web-1 172.27.98.4      its namespace is gone   after 1
    4 start container shop-db-1                    wanted running          after 2
    5 await shop-db-1 healthy                      needed by web           after 4
    6 start container shop-web-1                   wanted running          after 3 5
    ");
    world.satisfy(&intent);
    assert_eq!(world.plan(&intent).unwrap().steps, []);
}
