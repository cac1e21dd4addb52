//! What steps of builds reach, and what they do not.
//!
//! The world is a network namespace beside the scenario's own, with a server in it, and the host's resolver is one of
//! the test's.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::sync::mpsc;
use std::thread;

use rustix::process::Signal;
use trice_dns::resolv_conf;
use trice_sys::namespace::{Unshare, unshare};

use crate::build::{folder, outcomes, project, write};
use crate::scenario::run;

/// The scenario's address in the world, and the server's.
const OURS: &str = "203.0.113.1";
const THEIRS: &str = "203.0.113.2";

/// Answers every caller with its address.
fn answer_callers(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let caller =
                stream.peer_addr().map_or_else(|error| error.to_string(), |peer| peer.ip().to_string());
            let _ = stream.read(&mut [0; 4096]);
            let length = caller.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all((head + &caller).as_bytes());
        }
    });
}

/// Makes a world that the scenario's machine is in, with a server on port 7000.
fn enter_the_world() {
    let (ready, is_ready) = mpsc::channel();
    let (plugged, is_plugged) = mpsc::channel::<()>();
    let (served, is_served) = mpsc::channel();
    // Its end would be the end of the world.
    thread::spawn(move || {
        unshare(Unshare::Net).expect("needs root");
        ready.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
        is_plugged.recv().unwrap();
        run("ip", &["address", "add", &format!("{THEIRS}/24"), "dev", "world1"]);
        run("ip", &["link", "set", "world1", "up"]);
        answer_callers(TcpListener::bind((THEIRS, 7000)).unwrap());
        served.send(()).unwrap();
        let _ = is_plugged.recv();
    });
    let world = is_ready.recv().unwrap().to_string();
    run("ip", &["link", "add", "world0", "type", "veth", "peer", "name", "world1", "netns", &world]);
    run("ip", &["address", "add", &format!("{OURS}/24"), "dev", "world0"]);
    run("ip", &["link", "set", "world0", "up"]);
    plugged.send(()).unwrap();
    is_served.recv().unwrap();
}

/// Leaves the world: nothing of it is to be taken for a trace of trice.
fn leave_the_world() {
    run("ip", &["link", "delete", "world0"]);
}

/// Answers for the host's resolver, in this network of the test's: all names have one address.
fn resolve_all_names() {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let resolvers = resolv_conf::parse(&text).servers;
    let host = *resolvers.first().expect("this test needs a resolver in /etc/resolv.conf");
    // One on the loopback is there already.
    run("ip", &["address", "add", &host.to_string(), "dev", "lo"]);
    answer_questions(host, THEIRS.parse().unwrap());
}

/// Answers questions that come to `resolver`, in this network of the test's: all names have that address.
pub(crate) fn answer_questions(resolver: IpAddr, address: Ipv4Addr) {
    let resolver = UdpSocket::bind((resolver, 53)).unwrap();
    thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, caller)) = resolver.recv_from(&mut packet) {
            // The name ends with a zero; its type and class follow.
            let end = packet[12..length].iter().position(|byte| *byte == 0).unwrap() + 12 + 5;
            let mut answer = packet[..end].to_vec();
            let is_ipv4 = packet[end - 3] == 1;
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]);
            if is_ipv4 {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4]);
                answer.extend(address.octets());
            }
            let _ = resolver.send_to(&answer, caller);
        }
    });
}

#[test]
fn a_step_reaches_the_world_by_its_names_and_nothing_that_the_host_keeps_to_itself() {
    let dockerfile = "FROM BASE\n\
        RUN wget -q -O /caller http://203.0.113.2:7000/ && hostname > /name && cat /etc/hosts > /hosts\n\
        RUN nslookup far.away.test > /looked\n\
        RUN echo | nc -w 3 203.0.113.2 7000 && ! nc -w 3 127.0.0.1 7001 < /dev/null\n\
        RUN ip -4 -o address > /addresses && ip route > /routes\n\
        RUN wget -q -O /host http://$(grep gate /etc/hosts | cut -f 1):7002/\n\
        CMD [\"sleep\", \"1000\"]\n";
    let build = "      extra_hosts: [gate=host-gateway, other=192.0.2.7]\n";
    project(build, dockerfile, |shop| {
        enter_the_world();
        resolve_all_names();
        answer_callers(TcpListener::bind("127.0.0.1:7001").unwrap());
        answer_callers(TcpListener::bind("0.0.0.0:7002").unwrap());
        let told = shop.trice("build").success().stderr();
        assert_eq!(outcomes(&told), ["CACH", "DONE", "DONE", "DONE", "DONE", "DONE"], "{told}");
        shop.trice("up -d").success();
        let text = |path: &str| shop.shell("web", &format!("cat {path}"));
        assert_eq!(text("/caller"), OURS, "the world sees the host");
        assert_eq!(text("/name"), "buildkitsandbox\n");
        assert!(text("/looked").contains(THEIRS), "{}", text("/looked"));
        let (addresses, routes) = (text("/addresses"), text("/routes"));
        assert!(addresses.contains("eth0") && routes.starts_with("default via "), "{addresses}{routes}");
        let own = text("/host");
        assert!(addresses.contains(&format!("inet {own}/")), "{own} of {addresses}");
        let hosts = text("/hosts");
        for line in ["127.0.0.1\tbuildkitsandbox", "192.0.2.7\tother"] {
            assert!(hosts.lines().any(|one| one == line), "{line} in {hosts}");
        }
        leave_the_world();
    });
}

#[test]
fn steps_at_the_same_time_do_not_reach_each_other() {
    // Each tells its address in a folder that both see, and serves until both have tried.
    let stage = |own: &str, other: &str| {
        format!(
            "FROM BASE AS {own}\n\
             RUN --mount=type=cache,target=/meet,id=meet \
             mkdir -p /srv && echo hello > /srv/file && httpd -p 7000 -h /srv && \
             ip -4 -o address show eth0 | sed 's/.*inet //; s/\\/.*//' > /meet/{own}.part && \
             wget -q -O - http://$(cat /meet/{own}.part):7000/file && mv /meet/{own}.part /meet/{own} && \
             until test -e /meet/{other}; do sleep 0.1; done; \
             if nc -w 2 $(cat /meet/{other}) 7000 < /dev/null; then echo met > /result; \
             else echo apart > /result; fi; touch /meet/{own}.done; \
             until test -e /meet/{other}.done; do sleep 0.1; done\n"
        )
    };
    let last =
        "FROM BASE\nCOPY --from=one /result /one\nCOPY --from=two /result /two\nCMD [\"sleep\", \"1000\"]\n";
    let dockerfile = stage("one", "two") + &stage("two", "one") + last;
    project("", &dockerfile, |shop| {
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /one /two"), "apart\napart\n");
    });
}

#[test]
fn the_hosts_network_is_for_steps_that_may_have_it() {
    let dockerfile = "FROM BASE\nRUN --network=host wget -q -O /caller http://127.0.0.1:7001/\nCMD [\"sleep\", \"1000\"]\n";
    project("", dockerfile, |shop| {
        answer_callers(TcpListener::bind("127.0.0.1:7001").unwrap());
        let told = shop.trice("build").code(1).stderr();
        for part in ["Dockerfile:2: ", "needs a right", "`network.host`", "build.entitlements"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        shop.trice("build --allow network.host").success();
        let text = fs::read_to_string(shop.file()).unwrap();
        shop.rewrite(&format!("{text}      entitlements: [network.host]\n"));
        shop.trice("up -d").success();
        assert_eq!(shop.shell("web", "cat /caller"), "127.0.0.1");
        // One network for all steps needs no more than to be said.
        let dockerfile = fs::read_to_string(folder(shop).join("Dockerfile")).unwrap();
        write(shop, "Dockerfile", &dockerfile.replace("--network=host ", ""));
        shop.trice("build").code(1);
        shop.rewrite(&format!("{text}      network: host\n"));
        shop.trice("build").success();
    });
}

#[test]
fn nothing_is_left_of_a_step_whose_engine_or_keeper_is_killed() {
    project("", "FROM BASE\nRUN sleep 1000\n", |shop| {
        let executes = || shop.traces().iter().any(|trace| trace.contains("sleep 1000"));
        for roles in [vec!["trice-engine"], vec!["trice-keeper"], vec!["trice-keeper", "trice-engine"]] {
            let build = shop.begin("build");
            shop.wait_for("the command to run", executes);
            for role in &roles {
                assert_eq!(shop.kill(role), 1, "one {role} runs");
            }
            // It asks the next engine again, until it dies too.
            build.signal(Signal::KILL);
            build.wait();
            // Where all of them have died, nobody is there to clear up until somebody comes.
            shop.trice("ps").success();
            shop.must_be_gone();
        }
    });
}

#[test]
fn the_network_of_builds_is_nobody_elses() {
    let build = "networks: { default: { name: trice.builds } }\n";
    project(build, "FROM BASE\n", |shop| {
        let text = fs::read_to_string(shop.file()).unwrap();
        shop.rewrite(&text.replace("    network_mode: none\n", ""));
        let told = shop.trice("up -d").code(1).stderr();
        assert!(told.contains("networks.default: network `trice.builds` is that of builds"), "{told}");
    });
}
