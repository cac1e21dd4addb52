//! Networks: who is reached by whom, by which name and from where.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::mount::{MountPropagationFlags, mount_change};
use serde_json::Value;
use trice_sys::namespace::{Unshare, unshare};

use crate::build_network::answer_questions;
use crate::scenario::{Scenario, run, scenario_of};

/// Two services on networks of their own, one of them in both versions of IP, with ports of the host.
const TWO: &str = "
name: nets
services:
  web:
    image: rootfs:/
    command: ['python3', '-m', 'http.server', '80', '--bind', '::']
    working_dir: /usr/share/doc/busybox-static
    stop_grace_period: 0s
    ports: ['8080:80', '80']
    networks: { front: { aliases: [shop] } }
    deploy: { replicas: 1 }
  tool:
    image: rootfs:/
    command: sleep 1000
    stop_grace_period: 0s
    networks: [back]
networks:
  front: { enable_ipv6: true }
  back: {}
";

/// Asks for a page; `None` if nobody answers.
fn ask(address: &str) -> Option<String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_owned)
}

fn answers(address: &str) -> bool {
    ask(address).is_some_and(|line| line.contains("200"))
}

/// Says whether a container finds a name.
fn finds(scenario: &Scenario, service: &str, name: &str) -> bool {
    scenario.trice_with(&["exec", "-T", service, "getent", "ahosts", name]).ended_with() == Some(0)
}

fn port(scenario: &Scenario) -> String {
    scenario.trice("port web 80").success().stdout()
}

#[test]
fn a_port_is_reached_by_both_versions_of_ip_and_a_random_one_stays_the_same() {
    scenario_of(TWO, |nets| {
        nets.trice("up -d").success();
        nets.wait_for("the server to listen", || answers("127.0.0.1:8080"));
        assert!(answers("[::1]:8080"));
        let ports = port(nets);
        assert_eq!(ports.lines().count(), 4, "{ports}");
        nets.rewrite(&TWO.replace("aliases: [shop]", "aliases: [shop, store]"));
        nets.trice("up -d --force-recreate").success();
        assert_eq!(port(nets), ports);
        for line in ports.lines() {
            let address = line.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
            nets.wait_for("the server to listen", || answers(&address));
        }
    });
}

#[test]
fn a_route_that_comes_over_a_network_of_ours_is_told_of() {
    scenario_of(TWO, |nets| {
        let first = nets.trice("up -d").success().stderr();
        assert!(!first.contains("overlaps"), "{first}");
        let inspected = nets.trice("network inspect nets_back").success().stdout();
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        let subnet = inspected[0]["IPAM"]["Config"][0]["Subnet"].as_str().unwrap();
        let half = subnet.replace(".0/24", ".128/25");
        // As a VPN would.
        run("ip", &["link", "add", "vpn0", "type", "veth", "peer", "name", "vpn1"]);
        run("ip", &["link", "set", "vpn0", "up"]);
        run("ip", &["route", "add", &half, "dev", "vpn0"]);
        let warning = format!("the route to {half} through `vpn0` overlaps {subnet} of network `nets_back`");
        nets.wait_for("the engine to have seen it", || {
            nets.trice("up -d").success().stderr().contains(&warning)
        });
        let examined = nets.trice("doctor").stdout();
        assert!(examined.contains(&warning), "{examined}");
        run("ip", &["link", "delete", "vpn0"]);
    });
}

#[test]
fn another_resolver_of_the_hosts_is_asked_from_then_on() {
    scenario_of(TWO, |nets| {
        // A view of `/etc` that this scenario alone has, with its engine.
        unshare(Unshare::Mount).unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let folder = |name: &str| nets.home().join("etc").join(name).to_str().unwrap().to_owned();
        for name in ["upper", "work"] {
            fs::create_dir_all(folder(name)).unwrap();
        }
        let options = format!("lowerdir=/etc,upperdir={},workdir={}", folder("upper"), folder("work"));
        run("mount", &["-t", "overlay", "overlay", "-o", &options, "/etc"]);
        let resolvers = [("127.0.0.2", "192.0.2.1"), ("127.0.0.3", "192.0.2.2")];
        let ask_at = |resolver: &str| {
            fs::write("/etc/resolv.conf.new", format!("nameserver {resolver}\n")).unwrap();
            fs::rename("/etc/resolv.conf.new", "/etc/resolv.conf").unwrap();
        };
        for (resolver, address) in resolvers {
            answer_questions(resolver.parse().unwrap(), address.parse().unwrap());
        }
        ask_at("127.0.0.2");
        nets.trice("up -d").success();
        let found = || nets.shell("web", "getent ahostsv4 far.away.test | cut -d ' ' -f 1 | sort -u");
        assert_eq!(found(), "192.0.2.1\n");
        ask_at("127.0.0.3");
        nets.wait_for("the other resolver to be asked", || found() == "192.0.2.2\n");
    });
}

#[test]
fn a_connection_that_has_something_left_to_say_keeps_nothing_of_its_container() {
    let text = "name: nets\nservices:\n  web: { image: 'rootfs:/', stop_grace_period: 0s, extra_hosts: [gate=host-gateway], \
        command: [bash, -c, 'cat /dev/zero > /dev/tcp/gate/7100'] }\n";
    scenario_of(text, |nets| {
        let listening = TcpListener::bind("0.0.0.0:7100").unwrap();
        nets.trice("up -d").success();
        // Nobody reads what it says: it stays with the kernel when the container dies.
        let _silent = listening.accept().unwrap();
        nets.wait_for("the connection to be stuck", || {
            let connections = nets.shell("web", "cat /proc/net/tcp");
            connections.lines().any(|line| line.contains(":1BBC 01 ") && !line.contains(":1BBC 01 00000000:"))
        });
        nets.trice("down").success();
        nets.must_be_gone();
        assert!(nets.log().contains("removed links that connections had kept count=1"), "{}", nets.log());
    });
}

#[test]
fn a_replica_is_answered_no_more_once_it_was_removed() {
    let text = "name: nets\nx-p: &p { image: 'rootfs:/', command: sleep 1000, stop_grace_period: 0s }\n\
        services:\n  web: *p\n  tool: *p\n";
    scenario_of(text, |nets| {
        nets.trice("up -d").success();
        let found = || nets.shell("tool", "getent ahostsv4 web | cut -d ' ' -f 1 | sort -u | wc -l");
        for replicas in [4, 1, 3, 2, 5, 1] {
            nets.trice(&format!("scale web={replicas}")).success();
            assert_eq!(found().trim(), replicas.to_string());
        }
    });
}

#[test]
fn a_container_joins_and_leaves_a_network_by_hand_and_its_program_runs_on() {
    scenario_of(TWO, |nets| {
        nets.trice("up -d").success();
        let ids = nets.ids();
        assert!(!finds(nets, "tool", "shelf"));
        let joined = nets.trice("network connect --alias shelf nets_back nets-web-1").success();
        assert!(!joined.stderr().contains("already"), "{}", joined.stderr());
        assert!(finds(nets, "tool", "shelf") && finds(nets, "tool", "nets-web-1"));
        // Its own name leads to all its addresses, and what a program wrote there stays.
        let own =
            || nets.shell("web", "grep -ac \"$(hostname)\" /etc/hosts; grep -ac '^192.*mine' /etc/hosts");
        nets.shell("web", "printf '192.0.2.1 mine \\377' >>/etc/hosts");
        assert_eq!(own(), "3\n1\n");
        let inspected = nets.trice("network inspect nets_back").success().stdout();
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!(inspected[0]["Containers"].as_object().unwrap().len(), 2);
        nets.trice("up -d").success();
        assert!(finds(nets, "tool", "shelf"), "`up` leaves alone what was done by hand");
        nets.trice("network disconnect nets_back nets-web-1").success();
        assert!(!finds(nets, "tool", "shelf"));
        assert_eq!(own(), "2\n1\n");
        assert_eq!(nets.ids(), ids);
        nets.trice("network connect nets_lost nets-web-1").code(1);
        nets.trice("network connect nets_back nets-lost-1").code(1);
    });
}

#[test]
fn networks_that_nobody_is_on_are_pruned_and_others_listed() {
    scenario_of(TWO, |nets| {
        nets.trice("up -d").success();
        nets.trice("network disconnect nets_back nets-tool-1").success();
        nets.trice("network prune").success();
        let names = || nets.trice("network ls -q").success().stdout();
        assert_eq!(names(), "nets_back\nnets_front\n", "nobody there to answer is a no");
        nets.trice("network prune --force").success();
        assert_eq!(names(), "nets_front\n");
        nets.trice("up -d").success();
        assert_eq!(names(), "nets_back\nnets_front\n");
    });
}

#[test]
fn a_packet_filter_of_the_hosts_lets_our_packets_through_while_we_are_here_and_up_warns() {
    const UFW: &str = "add table ip filter
        add chain ip filter INPUT { type filter hook input priority 0; policy drop; }
        add rule ip filter INPUT iifname lo accept
        add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }";
    const FORWARD: [&str; 5] = ["list", "chain", "ip", "filter", "FORWARD"];
    scenario_of(TWO, |nets| {
        run("nft", &[UFW]);
        let before = run("nft", &FORWARD);
        let up = nets.trice("up -d").success();
        assert!(run("nft", &FORWARD).contains("accept"), "{}", up.stderr());
        assert!(up.stderr().contains("respect-firewall"), "{}", up.stderr());
        nets.trice("doctor").success();
        nets.trice("down").success();
        nets.wait_for("their table to be as it was", || run("nft", &FORWARD) == before);
        run("nft", &["delete", "table", "ip", "filter"]);
    });
}

#[test]
fn a_port_that_respects_the_firewall_is_closed_by_it() {
    const CLOSED: &str = "add table inet host
        add chain inet host input { type filter hook input priority 0; policy accept; }
        add rule inet host input tcp dport 7070 drop";
    let respectful = TWO
        .replace("'8080:80', '80'", "'7070:80'")
        .replace("    deploy: { replicas: 1 }", "    x-trice: { publish: respect-firewall }");
    scenario_of(&respectful, |nets| {
        nets.trice("up -d").success();
        nets.wait_for("the server to listen", || answers("127.0.0.1:7070") && answers("[::1]:7070"));
        run("nft", &[CLOSED]);
        assert_eq!(ask("127.0.0.1:7070"), None);
        assert_eq!(ask("[::1]:7070"), None);
        run("nft", &["delete", "table", "inet", "host"]);
        assert!(answers("127.0.0.1:7070"));
        // The way back to the proxy is a rule of the machine's; an engine that comes later finds and ends it.
        assert_eq!(nets.kill("trice-engine"), 1);
        nets.trice("ps").success();
        nets.wait_for("the port to be passed on again", || answers("[::1]:7070"));
        assert!(nets.traces().iter().any(|trace| trace.starts_with("rule -6")));
    });
}

#[test]
fn the_machine_is_examined_and_left_as_it_was() {
    scenario_of(TWO, |nets| {
        let examined = nets.trice("doctor").success().stdout();
        assert!(examined.contains("bridges for networks"), "{examined}");
        nets.must_be_gone();
    });
}
