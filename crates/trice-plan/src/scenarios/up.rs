//! `up`: what is made, what is made again, and in which order.

use std::time::Duration;

use insta::assert_snapshot;
use trice_model::container::{ContainerState, ExitStatus};
use trice_model::mount::{Mount, MountSource};
use trice_model::port::HostPort;
use trice_model::service::{Condition, PullPolicy};
use trice_model::time::Timestamp;

use crate::testing::{World, name, plan_for, plan_with, services};
use trice_model::intent::{Recreate, UpOptions};

fn anonymous(target: &str) -> Mount {
    let source = MountSource::Volume { key: None, subpath: None, nocopy: false };
    Mount { target: target.into(), read_only: false, source }
}

fn named(key: &str, target: &str) -> Mount {
    let source = MountSource::Volume { key: Some(name(key)), subpath: None, nocopy: false };
    Mount { target: target.into(), read_only: false, source }
}

/// A web service that waits for a migration, which waits for a database.
fn shop() -> World {
    let mut world = World::new(&[("db", "pg:16"), ("migrate", "shop:1"), ("web", "shop:1")]);
    world.depends("migrate", "db", Condition::ServiceHealthy);
    world.depends("web", "migrate", Condition::ServiceCompletedSuccessfully);
    world.depends("web", "db", Condition::ServiceHealthy);
    world.machine.one_shots = services(&["migrate"]);
    world
}

#[test]
fn a_project_comes_up_in_the_order_of_its_dependencies() {
    assert_snapshot!(plan_for(&mut shop()), @"
     1 create network shop_default 172.27.98.0/24    not there yet
     2 connect instance shop-db-1 172.27.98.2        not there yet           after 1
     3 connect instance shop-migrate-1 172.27.98.3   not there yet           after 1
     4 connect instance shop-web-1 172.27.98.4       not there yet           after 1
     5 create container shop-db-1                    not there yet           after 2
     6 create container shop-migrate-1               not there yet           after 3
     7 create container shop-web-1                   not there yet           after 4
     8 start container shop-db-1                     wanted running          after 5
     9 await shop-db-1 healthy                       needed by migrate web   after 8
    10 start container shop-migrate-1                wanted running          after 6 9
    11 await shop-migrate-1 completed                needed by web           after 10
    12 start container shop-web-1                    wanted running          after 7 9 11
    ");
}

#[test]
fn a_second_up_runs_what_has_completed_once_more_and_leaves_the_rest_alone() {
    let mut world = shop();
    world.up();
    assert_snapshot!(plan_for(&mut world), @"1 start container shop-migrate-1   wanted running");
}

#[test]
fn the_same_intent_planned_again_does_not_run_a_one_shot_twice() {
    let mut world = shop();
    let intent = world.wants(UpOptions::default());
    let plan = world.plan(&intent).unwrap();
    world.carry_out(&plan);
    assert_eq!(world.plan(&intent).unwrap().steps, []);
}

#[test]
fn a_new_image_recreates_its_service_and_nothing_else() {
    let mut world = World::new(&[("db", "pg:16"), ("web", "shop:1")]);
    world.up();
    world.image("shop:2");
    world.service("web").image = name("shop:2");
    assert_snapshot!(plan_for(&mut world), @"
    1 stop container shop-web-1     image changed from shop:1
    2 remove container shop-web-1   replaced by 3               after 1
    3 create container shop-web-1   replaces 2                  after 2
    4 start container shop-web-1    wanted running              after 3
    ");
}

#[test]
fn a_stopped_container_that_changed_needs_no_stop_and_its_removal_says_why() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.up();
    world.set_state("web", 1, ContainerState::Exited { exit: ExitStatus::Code(1) });
    world.service("web").environment.insert("DEBUG".into(), "1".into());
    assert_snapshot!(plan_for(&mut world), @"
    1 remove container shop-web-1   environment changed: DEBUG
    2 create container shop-web-1   replaces 1                   after 1
    3 start container shop-web-1    wanted running               after 2
    ");
}

#[test]
fn a_stopped_container_that_did_not_change_is_started() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.up();
    world.set_state("web", 1, ContainerState::Exited { exit: ExitStatus::Code(1) });
    assert_snapshot!(plan_for(&mut world), @"1 start container shop-web-1   wanted running");
}

#[test]
fn scaling_up_fills_the_lowest_free_numbers() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.service("web").replicas = 3;
    world.up();
    let second = world.replica("web", 2).spec.id.clone();
    world.machine.found.containers.remove(&second);
    world.machine.found.instances.remove("shop-web-2");
    world.service("web").replicas = 4;
    assert_snapshot!(plan_for(&mut world), @"
    1 connect instance shop-web-2 172.27.98.5   not there yet
    2 connect instance shop-web-4 172.27.98.6   not there yet
    3 create container shop-web-2               not there yet    after 1
    4 create container shop-web-4               not there yet    after 2
    5 start container shop-web-2                wanted running   after 3
    6 start container shop-web-4                wanted running   after 4
    ");
}

#[test]
fn scaling_down_takes_the_highest_numbers_away() {
    let mut world = World::new(&[("db", "pg:16"), ("web", "shop:1")]);
    world.service("web").replicas = 3;
    world.up();
    let scale = [(name("web"), 1)].into();
    assert_snapshot!(plan_with(&mut world, UpOptions { scale, ..UpOptions::default() }), @"
    1 stop container shop-web-2        scaled to 1
    2 stop container shop-web-3        scaled to 1
    3 remove container shop-web-2      scaled to 1           after 1
    4 remove container shop-web-3      scaled to 1           after 2
    5 disconnect instance shop-web-2   not wanted any more   after 3
    6 disconnect instance shop-web-3   not wanted any more   after 4
    ");
}

#[test]
fn a_missing_image_is_fetched_before_anything_is_made() {
    let mut world = World::new(&[("cache", "redis:7"), ("web", "shop:1")]);
    world.machine.found.images.clear();
    world.service("web").pull_policy = PullPolicy::Always;
    assert_snapshot!(plan_for(&mut world), @"
    1 fetch image redis:7   not here yet
    2 fetch image shop:1    pull_policy is always
    the rest follows from what these steps bring
    ");
    let intent = world.wants(UpOptions::default());
    let plan = world.plan(&intent).unwrap();
    assert!(!plan.complete);
    world.carry_out(&plan);
    assert!(world.plan(&intent).unwrap().complete, "what was fetched for this intent is not fetched again");
}

#[test]
fn an_image_is_fetched_again_when_its_last_comparison_is_too_long_ago() {
    let mut world = World::new(&[("web", "shop:1"), ("db", "pg:16")]);
    world.service("web").pull_policy = PullPolicy::Refresh(Duration::from_nanos(60));
    let mut compared = |nanos: u64| {
        let then = Timestamp(world.now().0 - nanos);
        world.machine.found.compared.insert(name("shop:1"), then);
        plan_for(&mut world)
    };
    assert!(!compared(59).contains("fetch"));
    assert_snapshot!(compared(61), @"
    1 fetch image shop:1   not compared with its registry for too long
    the rest follows from what these steps bring
    ");
    let intent = world.wants(UpOptions::default());
    let plan = world.plan(&intent).unwrap();
    world.carry_out(&plan);
    assert!(world.plan(&intent).unwrap().complete, "what was fetched for this intent is not fetched again");
}

#[test]
fn an_image_that_must_not_be_fetched_must_be_here() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.machine.found.images.clear();
    world.service("web").pull_policy = PullPolicy::Never;
    assert_snapshot!(
        plan_for(&mut world),
        @"services.web.image: image `shop:1` is not here, and `pull_policy: never` forbids to fetch it"
    );
    world.service("web").pull_policy = PullPolicy::Build;
    assert!(plan_for(&mut world).contains("`pull_policy: build` forbids"));
}

#[test]
fn a_service_that_asked_for_it_is_restarted_with_its_dependency_and_so_are_those_that_follow_it() {
    let mut world = World::new(&[("db", "pg:16"), ("api", "shop:1"), ("web", "shop:1"), ("mail", "shop:1")]);
    world.depends("api", "db", Condition::ServiceStarted).restart = true;
    world.depends("mail", "db", Condition::ServiceStarted);
    world.link("web", "api", "backend");
    world.up();
    world.service("db").environment.insert("TUNING".into(), "2".into());
    assert_snapshot!(plan_for(&mut world), @"
    1 stop container shop-web-1    api is restarted
    2 stop container shop-api-1    db is recreated               after 1
    3 stop container shop-db-1     environment changed: TUNING   after 2
    4 remove container shop-db-1   replaced by 5                 after 3
    5 create container shop-db-1   replaces 4                    after 4
    6 start container shop-db-1    wanted running                after 5
    7 start container shop-api-1   wanted running                after 2 6
    8 start container shop-web-1   wanted running                after 1 7
    ");
}

#[test]
fn orphans_are_told_and_removed_when_asked() {
    let mut world = World::new(&[("web", "shop:1"), ("old", "shop:1"), ("debug", "shop:1")]);
    world.up();
    world.project.services.remove("old");
    world.project.services.remove("debug");
    world.project.inactive.insert(name("debug"));
    assert_snapshot!(
        plan_for(&mut world),
        @"note: containers of services that are not in the files: `shop-old-1` (`--remove-orphans` \
        removes them)"
    );
    assert_snapshot!(plan_with(&mut world, UpOptions { remove_orphans: true, ..UpOptions::default() }), @"
    1 stop container shop-old-1        its service is not in the files
    2 remove container shop-old-1      its service is not in the files   after 1
    3 disconnect instance shop-old-1   not wanted any more               after 2
    ");
}

#[test]
fn force_recreates_what_is_named_once_and_never_recreates_nothing() {
    let mut world = World::new(&[("db", "pg:16"), ("web", "shop:1")]);
    world.depends("web", "db", Condition::ServiceStarted);
    world.up();
    let force = UpOptions { recreate: Recreate::Force, services: services(&["web"]), ..UpOptions::default() };
    assert_snapshot!(plan_with(&mut world, force.clone()), @"
    1 stop container shop-web-1     recreation is forced
    2 remove container shop-web-1   replaced by 3          after 1
    3 create container shop-web-1   replaces 2             after 2
    4 start container shop-web-1    wanted running         after 3
    ");
    let intent = world.wants(force);
    let plan = world.plan(&intent).unwrap();
    world.carry_out(&plan);
    assert_eq!(world.plan(&intent).unwrap().steps, [], "the intent has its recreation");
    world.service("web").environment.insert("DEBUG".into(), "1".into());
    let never = UpOptions { recreate: Recreate::Never, ..UpOptions::default() };
    assert_snapshot!(plan_with(&mut world, never), @"");
}

#[test]
fn volumes_come_before_their_container_and_an_anonymous_one_is_taken_over() {
    let mut world = World::new(&[("db", "pg:16")]);
    world.volume("data");
    world.image("pg:16").volumes.insert("/var/cache".into());
    world.service("db").volumes = vec![named("data", "/data"), anonymous("/scratch")];
    assert_snapshot!(plan_for(&mut world), @"
    1 create network shop_default 172.27.98.0/24   not there yet
    2 create volume shop_data                      not there yet
    3 create volume f893a2eefb32                   not there yet
    4 create volume 71c18690ee42                   not there yet
    5 connect instance shop-db-1 172.27.98.2       not there yet    after 1
    6 create container shop-db-1                   not there yet    after 2 3 4 5
    7 start container shop-db-1                    wanted running   after 6
    ");
    world.up();
    let before = world.replica("db", 1).spec.mounts.clone();
    world.service("db").environment.insert("TUNING".into(), "2".into());
    world.up();
    assert_eq!(world.replica("db", 1).spec.mounts, before);
}

#[test]
fn an_anonymous_volume_is_renewed_when_asked() {
    let mut world = World::new(&[("db", "pg:16")]);
    world.service("db").volumes = vec![anonymous("/scratch")];
    world.up();
    let options =
        UpOptions { recreate: Recreate::Force, renew_anonymous_volumes: true, ..UpOptions::default() };
    assert_snapshot!(plan_with(&mut world, options), @"
    1 stop container shop-db-1     recreation is forced
    2 remove container shop-db-1   replaced by 5          after 1
    3 remove volume f893a2eefb32   renewed                after 2
    4 create volume c34d0bff9015   not there yet
    5 create container shop-db-1   replaces 2             after 2 4
    6 start container shop-db-1    wanted running         after 5
    ");
}

#[test]
fn a_port_is_reserved_first_and_only_when_its_old_holder_has_given_it_back() {
    let mut world = World::new(&[("api", "shop:1"), ("web", "shop:1")]);
    world.publish("web", HostPort::Fixed(8080), 80);
    world.up();
    let port = world.service("web").ports.remove(0);
    world.service("api").ports.push(port);
    assert_snapshot!(plan_for(&mut world), @"
    1 stop container shop-web-1                                         ports changed
    2 stop container shop-api-1                                         ports changed
    3 remove container shop-api-1                                       replaced by 5               after 2
    4 remove container shop-web-1                                       replaced by 6               after 1
    5 create container shop-api-1                                       replaces 3                  after 3
    6 create container shop-web-1                                       replaces 4                  after 4
    7 publish ports shop-api-1 0.0.0.0:8080->80/tcp [::]:8080->80/tcp   reserved before the start   after 3 4
    8 start container shop-api-1                                        wanted running              after 5 7
    9 start container shop-web-1                                        wanted running              after 6
    ");
}

#[test]
fn named_services_bring_their_dependencies_unless_told_not_to() {
    let mut world = shop();
    world.add("mail", "shop:1");
    let options = UpOptions { services: services(&["migrate"]), ..UpOptions::default() };
    assert_snapshot!(plan_with(&mut world, options.clone()), @"
    1 create network shop_default 172.27.98.0/24    not there yet
    2 connect instance shop-db-1 172.27.98.2        not there yet       after 1
    3 connect instance shop-migrate-1 172.27.98.3   not there yet       after 1
    4 create container shop-db-1                    not there yet       after 2
    5 create container shop-migrate-1               not there yet       after 3
    6 start container shop-db-1                     wanted running      after 4
    7 await shop-db-1 healthy                       needed by migrate   after 6
    8 start container shop-migrate-1                wanted running      after 5 7
    ");
    let alone = UpOptions { no_deps: true, ..options };
    assert_snapshot!(plan_with(&mut world, alone), @"
    1 create network shop_default 172.27.98.0/24    not there yet
    2 connect instance shop-migrate-1 172.27.98.2   not there yet    after 1
    3 create container shop-migrate-1               not there yet    after 2
    4 start container shop-migrate-1                wanted running   after 3
    ");
}

#[test]
fn waiting_is_for_health_where_there_is_a_probe_and_for_the_end_of_a_one_shot() {
    let mut world = shop();
    assert_snapshot!(plan_with(&mut world, UpOptions { wait: true, ..UpOptions::default() }), @"
     1 create network shop_default 172.27.98.0/24    not there yet
     2 connect instance shop-db-1 172.27.98.2        not there yet           after 1
     3 connect instance shop-migrate-1 172.27.98.3   not there yet           after 1
     4 connect instance shop-web-1 172.27.98.4       not there yet           after 1
     5 create container shop-db-1                    not there yet           after 2
     6 create container shop-migrate-1               not there yet           after 3
     7 create container shop-web-1                   not there yet           after 4
     8 start container shop-db-1                     wanted running          after 5
     9 await shop-db-1 healthy                       needed by migrate web   after 8
    10 start container shop-migrate-1                wanted running          after 6 9
    11 await shop-migrate-1 completed                needed by web           after 10
    12 start container shop-web-1                    wanted running          after 7 9 11
    13 await shop-db-1 running or healthy            asked to wait           after 8
    14 await shop-migrate-1 completed                asked to wait           after 10
    15 await shop-web-1 running or healthy           asked to wait           after 12
    ");
}

#[test]
fn without_a_start_containers_are_made_and_nothing_waits() {
    let mut world = shop();
    assert_snapshot!(plan_with(&mut world, UpOptions { no_start: true, ..UpOptions::default() }), @"
    1 create network shop_default 172.27.98.0/24    not there yet
    2 connect instance shop-db-1 172.27.98.2        not there yet   after 1
    3 connect instance shop-migrate-1 172.27.98.3   not there yet   after 1
    4 connect instance shop-web-1 172.27.98.4       not there yet   after 1
    5 create container shop-db-1                    not there yet   after 2
    6 create container shop-migrate-1               not there yet   after 3
    7 create container shop-web-1                   not there yet   after 4
    ");
}

#[test]
fn an_optional_dependency_softens_and_a_service_scaled_to_zero_is_not_waited_for() {
    let mut world = shop();
    world.service("web").depends_on.get_mut("migrate").unwrap().required = false;
    let scale = [(name("db"), 0)].into();
    assert_snapshot!(plan_with(&mut world, UpOptions { scale, ..UpOptions::default() }), @"
    1 create network shop_default 172.27.98.0/24    not there yet
    2 connect instance shop-migrate-1 172.27.98.2   not there yet    after 1
    3 connect instance shop-web-1 172.27.98.3       not there yet    after 1
    4 create container shop-migrate-1               not there yet    after 2
    5 create container shop-web-1                   not there yet    after 3
    6 start container shop-migrate-1                wanted running   after 4
    7 await shop-migrate-1 completed (optional)     needed by web    after 6
    8 start container shop-web-1                    wanted running   after 5 7
    ");
}

#[test]
fn a_changed_name_moves_the_container_and_its_instance() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.up();
    world.service("web").container_name = Some(name("front"));
    assert_snapshot!(plan_for(&mut world), @"
    1 stop container shop-web-1            container_name changed from shop-web-1
    2 remove container shop-web-1          replaced by 5                            after 1
    3 disconnect instance shop-web-1       not wanted any more                      after 2
    4 connect instance front 172.27.98.3   not there yet
    5 create container front               replaces 2                               after 2 4
    6 start container front                wanted running                           after 5
    ");
}

#[test]
fn the_timeout_of_an_up_takes_the_place_of_each_grace() {
    let mut world = World::new(&[("web", "shop:1")]);
    world.up();
    world.service("web").environment.insert("DEBUG".into(), "1".into());
    let timeout = Some(Duration::from_secs(1));
    let intent = world.wants(UpOptions { timeout, ..UpOptions::default() });
    let stop = world.plan(&intent).unwrap().steps.swap_remove(0).action;
    assert_eq!(stop, crate::action::Action::stop(world.replica("web", 1), timeout));
}

#[test]
fn mistakes_name_their_key_and_come_all_at_once() {
    let mut world = World::new(&[("api", "shop:1"), ("db", "pg:16"), ("web", "shop:1")]);
    world.depends("api", "db", Condition::ServiceHealthy);
    world.service("db").healthcheck = None;
    world.image("shop:1").cmd.clear();
    world.service("web").working_dir = Some("srv".into());
    assert_snapshot!(plan_for(&mut world), @"
    services.api.depends_on.db.condition: service `db` has no health check to wait for
    services.api: there is no command: neither the service nor image `shop:1` has one
    services.web: there is no command: neither the service nor image `shop:1` has one
    services.web.working_dir: working directory `srv` is not absolute
    ");
    world.service("api").container_name = Some(name("one"));
    world.service("web").container_name = Some(name("one"));
    world.network("default").external = true;
    world.volume("data").external = true;
    world.service("web").volumes = vec![named("data", "/data"), named("nowhere", "/nowhere")];
    assert_snapshot!(plan_for(&mut world), @"
    services.web.container_name: the name `one` belongs to a container of service `api`
    services.web.volumes[1]: volume `nowhere` is not defined
    networks.default: external network `shop_default` is not there
    volumes.data: external volume `shop_data` is not there
    ");
}

#[test]
fn a_cycle_and_a_service_that_is_not_there_are_named() {
    let mut world = World::new(&[("api", "shop:1"), ("web", "shop:1")]);
    world.depends("api", "web", Condition::ServiceStarted);
    world.link("web", "api", "api");
    assert_snapshot!(plan_for(&mut world), @"services: dependency cycle: api -> web -> api");
    let options = UpOptions { services: services(&["nobody"]), ..UpOptions::default() };
    assert_snapshot!(plan_with(&mut world, options), @"services.nobody: service `nobody` is not defined");
}
