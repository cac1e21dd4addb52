//! Instances that change while their programs run.

use std::os::fd::AsFd;

use trice_model::network::InstanceSpec;
use trice_model::port::Protocol::Tcp;
use trice_network::instance::{reshape, verify};

use crate::place::SILENCE;
use crate::server::Server;
use crate::world::{Instance, REMOTE, World};

impl Instance {
    fn reshape(&mut self, world: &World, wanted: InstanceSpec) {
        let namespace = self.place.namespace.as_fd();
        // Twice: the second time there is nothing left to do.
        world.host.run(|| reshape(namespace, &self.spec, &wanted)).unwrap();
        world.host.run(|| reshape(namespace, &wanted, &wanted)).unwrap();
        assert!(world.host.run(|| verify(namespace, &wanted)).unwrap());
        self.spec = wanted;
    }
}

#[test]
fn an_interface_comes_and_goes_while_a_connection_of_another_one_goes_on() {
    let world = World::new(&["front", "back"]);
    let mut a = world.instance("a", &["front"], 2);
    let _a = Server::start(&a.place, Tcp, "0.0.0.0:80", "a");
    let back = world.instance("b", &["back"], 3);
    let front = a.spec.clone();
    assert_eq!(back.place.outcome(Tcp, "10.77.2.2:80"), SILENCE);
    let mut both = front.clone();
    let mut more = world.instance_spec("a", &["front", "back"], 2).endpoints.remove(1);
    more.interface = "eth1".parse().unwrap();
    both.endpoints.push(more);
    let connection = world.host.run(|| std::net::TcpStream::connect("10.77.1.2:80")).unwrap();
    a.reshape(&world, both);
    assert_eq!(back.place.ask(Tcp, "10.77.2.2:80"), "a 10.77.2.3");
    a.reshape(&world, front);
    assert_eq!(back.place.outcome(Tcp, "10.77.2.2:80"), SILENCE);
    assert!(!a.place.ip("-o link show").contains("eth1"));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut { connection }, &mut said).unwrap();
    assert_eq!(said, "a 10.77.1.1");
}

#[test]
fn the_default_route_moves_with_the_gateway_in_both_versions_of_ip() {
    let world = World::new(&["front ipv6", "back ipv6"]);
    let _remote = Server::start(&world.remote, Tcp, "[::]:80", "remote");
    let mut a = world.instance("a", &["front", "back"], 2);
    let route = |a: &Instance, version: &str| a.place.ip(&format!("{version} route show default"));
    assert!(route(&a, "-4").starts_with("default via 10.77.1.1 dev eth0"));
    assert!(route(&a, "-6").starts_with("default via fd00:77:1::1 dev eth0"));
    let mut wanted = a.spec.clone();
    wanted.endpoints[0].gateway = None;
    wanted.endpoints[0].gateway6 = None;
    wanted.endpoints[1].gateway = Some("10.77.2.1".parse().unwrap());
    wanted.endpoints[1].gateway6 = Some("fd00:77:2::1".parse().unwrap());
    a.reshape(&world, wanted.clone());
    assert_eq!(route(&a, "-4").trim(), "default via 10.77.2.1 dev eth1");
    assert_eq!(route(&a, "-6").lines().count(), 1, "{}", route(&a, "-6"));
    assert!(route(&a, "-6").starts_with("default via fd00:77:2::1 dev eth1"));
    assert_eq!(a.place.ask(Tcp, &format!("{REMOTE}:80")), "remote 192.0.2.1");
    wanted.endpoints[1].gateway = None;
    wanted.endpoints[1].gateway6 = None;
    a.reshape(&world, wanted);
    assert_eq!((route(&a, "-4"), route(&a, "-6")), (String::new(), String::new()));
}

#[test]
fn an_instance_without_ipv6_gets_it_with_a_network_that_has_it() {
    let world = World::new(&["front", "back ipv6"]);
    let mut a = world.instance("a", &["front"], 2);
    let b = world.instance("b", &["back"], 3);
    let _b = Server::start(&b.place, Tcp, "[::]:80", "b");
    let mut both = a.spec.clone();
    both.endpoints.push(world.instance_spec("a", &["front", "back"], 2).endpoints.remove(1));
    a.reshape(&world, both);
    assert_eq!(a.place.ask(Tcp, "[fd00:77:2::3]:80"), "b fd00:77:2::2");
    assert_eq!(a.place.ip("-6 -o address show dev eth0"), "", "the first network has none");
}

#[test]
fn more_addresses_and_settings_of_one_interface_are_given() {
    let world = World::new(&["front"]);
    let mut spec = world.instance_spec("a", &["front"], 2);
    let end = &mut spec.endpoints[0];
    end.more_addresses = vec!["169.254.8.8/16".parse().unwrap(), "fe80::8/64".parse().unwrap()];
    end.sysctls = [("net.ipv4.conf.eth0.log_martians".to_owned(), "1".to_owned())].into();
    end.interface = "eth0".parse().unwrap();
    let a = world.connect(spec);
    let shown = a.place.ip("-o address show dev eth0");
    assert!(shown.contains("169.254.8.8/16") && shown.contains("fe80::8/64"), "{shown}");
    assert_eq!(a.place.read("/proc/sys/net/ipv4/conf/eth0/log_martians"), "1");
    assert!(world.host.run(|| verify(a.place.namespace.as_fd(), &a.spec)).unwrap());
}
