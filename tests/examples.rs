//! The examples, as their comments and the README say that they are used.

use std::collections::BTreeSet;
use std::process::Command;

use crate::scenario::{Ran, Scenario, get, run, scenario};

const SHOP: &str = "docker-compose.example.yml";

/// Returns the number of the visit, the web container and the api container that a page of the shop names.
fn visit() -> (u32, String, String) {
    let page = get(8080, "/").expect("the shop answers");
    let words: Vec<&str> = page.lines().last().unwrap_or_default().split([' ', ',', '.']).collect();
    let after = |word: &str| {
        let at = words.iter().position(|found| found.ends_with(word)).expect("a word of the page");
        words[at + 1].to_owned()
    };
    assert!(page.contains("<li>apples: 3</li>"), "{page}");
    (after("Visit").parse().unwrap(), after("web"), after("api"))
}

#[test]
fn the_shop_opens_counts_its_visits_and_is_gone_without_a_trace() {
    scenario(SHOP, |shop| {
        shop.trice("up --wait").success();
        let states = shop.states();
        assert_eq!(
            states,
            [
                "shop-api-1 running",
                "shop-cache-1 running",
                "shop-migrate-1 exited",
                "shop-web-1 running",
                "shop-web-2 running",
                "shop-web-3 running"
            ]
        );
        let health = shop.members("Health");
        assert!(
            health.iter().all(|(name, health)| health == "healthy" || name == "shop-migrate-1"),
            "{health:?}"
        );

        let visits: Vec<_> = (0..30).map(|_| visit()).collect();
        let numbers: Vec<u32> = visits.iter().map(|(number, _, _)| *number).collect();
        assert_eq!(numbers, (1..=30).collect::<Vec<_>>());
        let replicas: BTreeSet<&str> = visits.iter().map(|(_, web, _)| web.as_str()).collect();
        assert_eq!(replicas.len(), 3, "{replicas:?}");

        shop.trice("down").success();
        assert!(get(8080, "/").is_none());
        shop.trice("up --wait").success();
        assert_eq!(visit().0, 31, "what the volume holds outlives `down`");
        shop.trice("down --volumes").success();
        shop.trice("up --wait").success();
        assert_eq!(visit().0, 1, "and not `down --volumes`");
        shop.trice("down --volumes").success();
        shop.must_be_gone();
    });
}

#[test]
fn services_of_the_shop_know_those_that_share_a_network_with_them() {
    scenario(SHOP, |shop| {
        shop.trice("up --wait").success();
        let knows = |service: &str, name: &str| {
            let script = format!("getent ahostsv4 {name} | cut -d ' ' -f 1 | sort -u | wc -l");
            shop.shell(service, &script).trim().parse::<u32>().unwrap()
        };
        assert_eq!(knows("api", "web"), 3, "each replica has an address");
        assert_eq!(knows("api", "shop-web-2"), 1);
        assert_eq!(knows("api", "cache"), 1);
        assert_eq!(knows("web", "cache"), 0, "no network has both");
        assert_eq!(knows("web", "backend"), 1, "the link's alias");
        assert_eq!(knows("api", "backend"), 0, "which is nobody else's");
        let port = shop.shell("web", "echo $BACKEND_PORT_8000_TCP_PROTO://$BACKEND_PORT_8000_TCP_ADDR");
        assert_eq!(
            port.trim(),
            format!(
                "tcp://{}",
                shop.shell("web", "getent ahostsv4 backend | head -n 1 | cut -d ' ' -f 1").trim()
            )
        );
        let routes = |service: &str| shop.shell(service, "ip -4 route show default").lines().count();
        assert_eq!((routes("web"), routes("cache")), (1, 0), "an internal network leads nowhere");
    });
}

#[test]
fn databases_of_the_distribution_keep_their_data_on_volumes() {
    scenario("examples/data/compose.yaml", |data| {
        data.trice("up --wait").success();
        assert_eq!(get(8081, "/").as_deref(), Some("<h1>nginx answers</h1>\n"));
        data.trice("exec -T redis redis-cli set colour green").success();
        sql(data, "create table t (n int); insert into t select generate_series(1, 1000)");
        data.trice("down").success();
        data.trice("up --wait").success();
        assert_eq!(data.trice("exec -T redis redis-cli get colour").success().stdout(), "green\n");
        assert_eq!(sql(data, "select sum(n) from t"), "500500\n");
        // A killed server is started again, and finds its data.
        data.crash("data-redis-1");
        data.crash("data-postgres-1");
        data.wait_for("redis to answer", || {
            data.trice("exec -T redis redis-cli get colour").stdout() == "green\n"
        });
        data.wait_for("PostgreSQL to answer", || {
            let ready = data.trice("exec -T -u postgres postgres pg_isready -q -h /var/run/postgresql");
            ready.ended_with() == Some(0)
        });
        assert_eq!(sql(data, "select count(*) from t"), "1000\n");
    });
}

/// Asks PostgreSQL.
fn sql(data: &Scenario, question: &str) -> String {
    let psql = [
        "exec",
        "-T",
        "-u",
        "postgres",
        "postgres",
        "psql",
        "-h",
        "/var/run/postgresql",
        "-qtA",
        "-c",
        question,
    ];
    data.trice_with(&psql).success().stdout()
}

#[test]
fn images_come_from_archives() {
    scenario("examples/archive/compose.yaml", |archive| {
        let maker = archive.file().with_file_name("make-images");
        assert!(Command::new(maker).status().unwrap().success());
        archive.trice("up --wait").success();
        let page = get(8082, "/").expect("busybox serves");
        assert!(page.starts_with("a page from BusyBox v"), "{page}");
        let images: BTreeSet<String> = archive.members("Image").into_values().collect();
        assert_eq!(images.len(), 2, "{images:?}");
        assert_eq!(archive.shell("web", "ls /"), "bin\ndev\netc\nproc\nroot\nsys\ntmp\nvar\nwww\n");
    });
}

#[test]
fn services_are_built_on_this_machine_and_of_nothing() {
    scenario("examples/build/compose.yaml", |project| {
        let up = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let mut command = project.command(&words);
            command.env("RUST", run("rustc", &["--print", "sysroot"]).trim());
            Ran::with_input(command, line, "").success().stderr()
        };
        up("up --wait");
        assert_eq!(get(8083, "/").as_deref(), Some("Hello, visitor 1.\n"));
        let ids = project.ids();
        let again = up("up --build --wait");
        assert!(!again.contains(" DONE") && !again.contains("Creat"), "{again}");
        assert_eq!(project.ids(), ids, "nothing has changed");
        assert_eq!(get(8083, "/").as_deref(), Some("Hello, visitor 2.\n"));
        let files = project.trice("cp counter:/ -").success();
        assert!(!files.stdout().contains("bin/sh"), "the counter's image has the counter");
        up("down");
        up("up --wait");
        assert_eq!(get(8083, "/").as_deref(), Some("Hello, visitor 3.\n"), "the count is on a volume");
    });
}
