//! Networks on an interface of the host's.

use trice_model::network::{IpvlanMode, MacvlanMode, Medium, NetworkSpec, Plug};
use trice_model::port::Protocol::Tcp;
use trice_network::bridge::{create_network, observe_networks, remove_networks};
use trice_network::instance::{connect, verify};

use crate::server::Server;
use crate::world::{HOST, World};

fn macvlan(world: &World, parent: &str) -> NetworkSpec {
    let medium = Medium::Macvlan { parent: parent.parse().unwrap(), mode: MacvlanMode::Bridge };
    NetworkSpec { medium, ..world.network("front").clone() }
}

fn present(world: &World, spec: &NetworkSpec) -> bool {
    world.host.run(|| observe_networks(std::slice::from_ref(spec))).unwrap()[0].present
}

#[test]
fn containers_on_macvlan_are_the_remotes_neighbours_and_each_others() {
    let world = World::new(&["front"]);
    let network = macvlan(&world, "lan0");
    world.host.run(|| create_network(&network)).unwrap();
    assert!(present(&world, &network));
    let instance = |name: &str, number: u8| {
        let mut spec = world.instance_spec(name, &["front"], number);
        let end = &mut spec.endpoints[0];
        let Medium::Macvlan { parent, mode } = network.medium.clone() else { panic!("not macvlan") };
        end.plug = Plug::Macvlan { parent, mode };
        end.address = Some(format!("192.0.2.{number}/24").parse().unwrap());
        end.gateway = Some("192.0.2.254".parse().unwrap());
        end.mac = Some(format!("02:42:c0:00:02:{number:02x}").parse().unwrap());
        world.connect(spec)
    };
    let (a, b) = (instance("a", 10), instance("b", 11));
    let is_as_asked = |one: &crate::world::Instance| {
        use std::os::fd::AsFd;
        world.host.run(|| verify(one.place.namespace.as_fd(), &one.spec)).unwrap()
    };
    assert!(is_as_asked(&a));
    let _a = Server::start(&a.place, Tcp, "0.0.0.0:80", "a");
    assert_eq!(world.remote.ask(Tcp, "192.0.2.10:80"), "a 192.0.2.2");
    assert_eq!(b.place.ask(Tcp, "192.0.2.10:80"), "a 192.0.2.11");
    assert!(a.place.ip("link show eth0").contains("02:42:c0:00:02:0a"));
    assert_eq!(a.place.ip("route show default").trim(), "default via 192.0.2.254 dev eth0");
    // As with any macvlan, the host itself is not among the neighbours.
    assert_ne!(a.place.outcome(Tcp, &format!("{HOST}:80")), "host");
    world.host.run(|| remove_networks(std::slice::from_ref(&network))).unwrap();
    assert!(present(&world, &network), "the interface is the host's");
}

#[test]
fn an_interface_that_the_host_does_not_have_is_an_error_that_names_it() {
    let world = World::new(&["front"]);
    let network = macvlan(&world, "enp7s0");
    assert!(!present(&world, &network));
    let error = world.host.run(|| create_network(&network)).unwrap_err();
    assert_eq!(error.to_string(), "the host has no interface `enp7s0`, which is the network's parent");
}

#[test]
fn what_this_kernel_cannot_do_is_named() {
    let world = World::new(&["front"]);
    let parent = "lan0".parse().unwrap();
    let medium = Medium::Ipvlan { parent, mode: IpvlanMode::L2 };
    let network = NetworkSpec { medium, ..world.network("front").clone() };
    let made = world.host.run(|| create_network(&network));
    let probe = ["link", "add", "name", "trprobe", "link", "lan0", "type", "ipvlan"];
    let known = world.host.run(|| std::process::Command::new("ip").args(probe).output()).unwrap();
    if known.status.success() {
        made.unwrap();
        return;
    }
    assert_eq!(made.unwrap_err().to_string(), "this kernel has no ipvlan (CONFIG_IPVLAN)");
    let mut spec = world.instance_spec("a", &["front"], 2);
    let parent = "lan0".parse().unwrap();
    spec.endpoints[0].plug = Plug::Ipvlan { parent, mode: IpvlanMode::L2 };
    let error = world.host.run(|| connect(&spec)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this kernel has no ipvlan (CONFIG_IPVLAN): containers cannot be on network `front`"
    );
}
