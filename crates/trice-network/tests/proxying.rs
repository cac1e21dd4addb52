//! Ports that are passed on by this process.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use trice_model::network::Way;
use trice_model::port::Protocol::{self, Tcp, Udp};
use trice_network::divert;
use trice_network::port::reserve_port;
use trice_network::proxy::{Proxy, Targets, serve};

use crate::place::{Place, REFUSAL, SOON, ask_udp_from};
use crate::server::Server;
use crate::world::{HOST, HOST6, REMOTE, REMOTE6, WAY_BACK, World, published_port};

/// The table of routes of another engine.
const OTHERS: u32 = 4343;

/// An engine's proxy for one port, on a thread in the host's namespace.
struct Engine {
    kept: OwnedFd,
    commands: Option<oneshot::Sender<()>>,
    leads: mpsc::Sender<Targets>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    fn new(host: &Place, port: &str, targets: Targets) -> Self {
        let wanted = published_port(port);
        let kept = host.run(|| reserve_port(&wanted)).unwrap();
        let socket = kept.try_clone().unwrap();
        let namespace = host.namespace.try_clone().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let (leads, to_lead) = mpsc::channel::<Targets>();
        let (ready, is_ready) = mpsc::channel();
        let protocol = wanted.target.protocol;
        let thread = std::thread::spawn(move || {
            Place { namespace }.enter();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let proxy: Proxy = serve(socket, protocol, targets).unwrap();
                ready.send(()).unwrap();
                let mut ended = ended;
                loop {
                    tokio::select! {
                        _ = &mut ended => return,
                        () = tokio::time::sleep(Duration::from_millis(1)) => {
                            to_lead.try_iter().for_each(|targets| proxy.lead(targets));
                        }
                    }
                }
            });
        });
        is_ready.recv().unwrap();
        Self { kept, commands: Some(end), leads, thread: Some(thread) }
    }

    /// Stops passing on; the port stays kept.
    fn stop(mut self) -> OwnedFd {
        self.end();
        self.kept.try_clone().unwrap()
    }

    fn end(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

fn to(backends: &[SocketAddr]) -> Targets {
    Targets { backends: backends.to_vec(), ..Targets::default() }
}

fn at(ip: impl Into<std::net::IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

#[test]
fn ipv6_of_the_host_leads_to_a_container_without_it_and_the_loopback_to_any() {
    let mut world = World::new(&["front", "back ipv6"]);
    let four = world.instance("four", &["front"], 2);
    let six = world.instance("six", &["back"], 2);
    for protocol in [Tcp, Udp] {
        let _four = Server::start(&four.place, protocol, "0.0.0.0:80", "four");
        let _six = Server::start(&six.place, protocol, "[::]:80", "six");
        let _to_four =
            Engine::new(&world.host, &format!("[::]:8080/{protocol}"), to(&[at(four.address(), 80)]));
        let _to_six =
            Engine::new(&world.host, &format!("[::]:8081/{protocol}"), to(&[at(six.address6(), 80)]));
        world.publish(&format!("[::]:8081/{protocol}"), &[at(six.address6(), 80)]);
        assert_eq!(world.host.ask(protocol, "[::1]:8080"), "four 10.77.1.1");
        assert_eq!(world.remote.ask(protocol, &format!("[{HOST6}]:8080")), "four 10.77.1.1");
        assert_eq!(world.host.ask(protocol, "[::1]:8081"), "six fd00:77:2::1");
        // Where the packet filter leads it, the caller keeps its address.
        let answer = world.remote.ask(protocol, &format!("[{HOST6}]:8081"));
        assert_eq!(answer, format!("six {REMOTE6}"));
    }
}

#[test]
fn a_port_that_respects_the_hosts_packet_filter_keeps_the_callers_address_and_obeys_the_filter() {
    let mut world = World::new(&["front ipv6"]);
    let web = world.instance("web", &["front"], 2);
    let near = vec!["10.77.1.0/24".parse().unwrap(), "fd00:77:1::/64".parse().unwrap()];
    let transparent = |backend| Targets { backends: vec![backend], transparent: true, near: near.clone() };
    let neighbour = world.instance("neighbour", &["front"], 3);
    for protocol in [Tcp, Udp] {
        let _web = Server::start(&web.place, protocol, "[::]:80", "web");
        let ports = [format!("8080/{protocol}"), format!("[::]:8080/{protocol}")];
        let backends = [at(web.address(), 80), at(web.address6(), 80)];
        let _engines: Vec<Engine> = ports
            .iter()
            .zip(backends)
            .map(|(port, backend)| Engine::new(&world.host, port, transparent(backend)))
            .collect();
        for (port, backend) in ports.iter().zip(backends) {
            world.publish(port, &[backend]);
            world.firewall.published.last_mut().unwrap().way = Way::Transparent;
        }
        world.apply();
        world.host.run(|| {
            // Another engine in this namespace comes and goes.
            divert::begin(OTHERS).unwrap();
            divert::end(OTHERS).unwrap();
        });
        world.with_and_without_br_netfilter(|how| {
            let remote = |host: &str| world.remote.ask(protocol, &format!("{host}:8080"));
            assert_eq!(remote(HOST), format!("web {REMOTE}"), "{protocol} {how}");
            assert_eq!(remote(&format!("[{HOST6}]")), format!("web {REMOTE6}"), "{protocol} {how}");
            assert_eq!(world.host.ask(protocol, "127.0.0.1:8080"), "web 10.77.1.1", "{protocol} {how}");
            assert_eq!(world.host.ask(protocol, "[::1]:8080"), "web fd00:77:1::1", "{protocol} {how}");
            let near = neighbour.place.ask(protocol, "10.77.1.1:8080");
            assert_eq!(near, "web 10.77.1.1", "{protocol} {how}");
        });
        world.host.program("nft add table inet host");
        world.host.program("nft add chain inet host input { type filter hook input priority 0 ; }");
        world
            .host
            .program(&format!("nft add rule inet host input iifname lan0 {protocol} dport 8080 reject"));
        let outcome = world.remote.eventual_outcome(protocol, &format!("{HOST}:8080"));
        assert_eq!(outcome, REFUSAL, "{protocol}");
        world.host.program("nft delete table inet host");
    }
    world.host.run(|| divert::end(WAY_BACK)).unwrap();
    for version in ["-4", "-6"] {
        assert!(!world.host.ip(&format!("{version} rule show")).contains("0x74726963"));
    }
}

#[test]
fn connections_are_spread_and_go_elsewhere_when_a_container_does() {
    let world = World::new(&["front"]);
    let replicas: Vec<_> = (2..5).map(|n| world.server(&format!("w{n}"), "front", n, Tcp, 80)).collect();
    let backends: Vec<SocketAddr> = replicas.iter().map(|(instance, _)| at(instance.address(), 80)).collect();
    let engine = Engine::new(&world.host, "[::1]:8080", to(&backends));
    let mut answers = std::collections::BTreeMap::new();
    for _ in 0..30 {
        *answers.entry(world.host.ask(Tcp, "[::1]:8080")).or_insert(0) += 1;
    }
    assert_eq!(answers.values().copied().collect::<Vec<_>>(), [10, 10, 10]);
    engine.leads.send(to(&backends[2..])).unwrap();
    crate::place::wait_until("all go to the last one", || {
        (0..6).all(|_| world.host.ask(Tcp, "[::1]:8080").starts_with("w4 "))
    });
    engine.leads.send(to(&[])).unwrap();
    crate::place::wait_until("nobody is there", || {
        world.host.eventual_outcome(Tcp, "[::1]:8080") != "w4 10.77.1.1"
    });
}

#[test]
fn a_datagrams_caller_stays_with_its_container_until_that_is_gone() {
    let world = World::new(&["front"]);
    let (a, _a) = world.server("a", "front", 2, Udp, 53);
    let (b, _b) = world.server("b", "front", 3, Udp, 53);
    let backends = [at(a.address(), 53), at(b.address(), 53)];
    let engine = Engine::new(&world.host, "[::1]:53/udp", to(&backends));
    let socket = world.host.run(|| UdpSocket::bind("[::1]:0")).unwrap();
    let ask = || ask_udp_from(&socket, "[::1]:53", SOON).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(), "a 10.77.1.1");
    }
    engine.leads.send(to(&backends[1..])).unwrap();
    crate::place::wait_until("the other one answers", || ask() == "b 10.77.1.1");
}

#[test]
fn a_port_that_is_no_longer_passed_on_is_kept_and_hears_nobody() {
    let world = World::new(&["front"]);
    let (web, _web) = world.server("web", "front", 2, Tcp, 80);
    let engine = Engine::new(&world.host, "[::1]:8080", to(&[at(web.address(), 80)]));
    assert_eq!(world.host.ask(Tcp, "[::1]:8080"), "web 10.77.1.1");
    let kept = engine.stop();
    assert_eq!(world.host.outcome(Tcp, "[::1]:8080"), crate::place::SILENCE);
    assert!(world.host.run(|| reserve_port(&published_port("[::1]:8080"))).is_err());
    drop(kept);
}

#[test]
fn thousands_of_connections_one_after_the_other_find_a_port_each() {
    let world = World::new(&["front"]);
    let (web, _web) = world.server("web", "front", 2, Tcp, 80);
    // So few that each is needed again many times.
    world.host.write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40099");
    let _engine = Engine::new(&world.host, "[::]:8080", to(&[at(web.address(), 80)]));
    let remote = format!("[{HOST6}]:8080");
    world.host.ip(&format!("address add {HOST6}/64 dev lan0 nodad"));
    world.remote.ip(&format!("address add {REMOTE6}/64 dev lan1 nodad"));
    crate::place::wait_until("the address is usable", || {
        world.host.ip(&format!("route get {HOST6}")).contains("local")
    });
    for _ in 0..2_000 {
        assert_eq!(world.remote.ask(Protocol::Tcp, &remote), "web 10.77.1.1");
    }
}
