//! What networks cost on this machine, in a network namespace that is gone afterwards.
//!
//! ```text
//! cargo run --release -p trice-network --example network_cost [INSTANCES] [PORTS]
//! ```
//!
//! It takes root. Each line is the median and the best of several runs: the kernel's lock for network links is one for
//! the whole machine, so that others' containers disturb us.
#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use trice_model::name::LinkName;
use trice_model::network::{
    EndpointSpec, FirewallBridge, FirewallPort, FirewallSpec, InstanceSpec, Ipv4PoolSpec, MacAddress, Medium,
    NetworkSpec, Plug, Way,
};
use trice_model::port::Protocol;
use trice_network::bridge::{create_network, observe_networks, remove_networks};
use trice_network::firewall::{apply_firewall, remove_firewall};
use trice_network::host::observe_host;
use trice_network::instance::{Connected, connect, cut_off, verify};
use trice_network::nftables::TableOwner;
use trice_sys::namespace::{Unshare, unshare};

type AnyError = Box<dyn Error + Send + Sync>;
type Outcome<T> = Result<T, AnyError>;

const RUNS: usize = 9;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u16| arguments.next().map_or(Ok(default), |text| text.parse());
    let (instances, ports) = (number(50)?, number(1000)?);
    unshare(Unshare::Net)?; // of the one thread there is: those that follow inherit it
    measure_networks()?;
    measure_instances(instances)?;
    measure_firewall(ports)
}

fn measure_networks() -> Outcome<()> {
    let network = network();
    let (mut create, mut again, mut observe, mut remove) = (vec![], vec![], vec![], vec![]);
    for _ in 0..RUNS {
        create.push(timed(|| create_network(&network))?.0);
        again.push(timed(|| create_network(&network))?.0);
        observe.push(timed(|| observe_networks(std::slice::from_ref(&network)))?.0);
        remove.push(timed(|| remove_networks(std::slice::from_ref(&network)))?.0);
    }
    print("create a network", &mut create);
    print("create it again", &mut again);
    print("observe it", &mut observe);
    print("remove it", &mut remove);
    let mut host =
        (0..RUNS).map(|_| Ok(timed(|| Ok(observe_host("tr", &[]))?)?.0)).collect::<Outcome<Vec<_>>>()?;
    print("observe the host", &mut host);
    Ok(())
}

fn measure_instances(count: u16) -> Outcome<()> {
    let network = network();
    create_network(&network)?;
    let (mut one, mut sequential, mut parallel) = (vec![], vec![], vec![]);
    let (mut verified, mut cut, mut dropped) = (vec![], vec![], vec![]);
    for run in 0..RUNS as u16 {
        let specs: Vec<InstanceSpec> = (0..count).map(|n| instance(run * 2 * count + n)).collect();
        let (whole, held) = timed(|| specs.iter().map(connect_timed).collect::<Outcome<Vec<_>>>())?;
        sequential.push(whole);
        one.extend(held.iter().map(|(time, _)| *time));
        let (time, _) = timed(|| verify(held[0].1.namespace.as_fd(), &specs[0]))?;
        verified.push(time);
        cut.push(
            timed(|| specs.iter().try_for_each(|spec| cut_off(&spec.endpoints[0])))?.0 / u32::from(count),
        );
        let before = Instant::now();
        drop(held);
        dropped.push(before.elapsed());
        let specs: Vec<InstanceSpec> = (0..count).map(|n| instance((run * 2 + 1) * count + n)).collect();
        parallel.push(timed(|| connect_on_two_threads(&specs))?.0);
    }
    print("connect an instance", &mut one);
    print(&format!("connect {count} instances, one thread"), &mut sequential);
    print(&format!("connect {count} instances, two threads"), &mut parallel);
    print("verify an instance", &mut verified);
    print("cut an instance off", &mut cut);
    print(&format!("drop {count} instances"), &mut dropped);
    Ok(remove_networks(&[network])?)
}

fn measure_firewall(ports: u16) -> Outcome<()> {
    let network = network();
    create_network(&network)?;
    let mut owner = TableOwner::open()?;
    for (count, backends) in [(0, 1), (100, 1), (ports, 1), (100, 3)] {
        let spec = firewall(&network, count, backends);
        apply_firewall(&mut owner, &spec)?;
        let mut times = Vec::new();
        for _ in 0..RUNS {
            times.push(timed(|| apply_firewall(&mut owner, &spec))?.0);
        }
        print(&format!("replace a table of {count} ports with {backends} containers each"), &mut times);
    }
    remove_firewall(&mut owner, &firewall(&network, 0, 0))?;
    Ok(remove_networks(&[network])?)
}

fn connect_timed(spec: &InstanceSpec) -> Outcome<(Duration, Connected)> {
    timed(|| connect(spec))
}

fn connect_on_two_threads(specs: &[InstanceSpec]) -> Outcome<Vec<(Duration, Connected)>> {
    let (left, right) = specs.split_at(specs.len() / 2);
    let connect_all = |specs: &[InstanceSpec]| specs.iter().map(connect_timed).collect::<Outcome<Vec<_>>>();
    thread::scope(|scope| {
        let other = scope.spawn(|| connect_all(right));
        let mut connected = connect_all(left)?;
        connected.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        Ok(connected)
    })
}

fn timed<T, E: Into<AnyError>>(work: impl FnOnce() -> Result<T, E>) -> Outcome<(Duration, T)> {
    let before = Instant::now();
    let result = work().map_err(Into::into)?;
    Ok((before.elapsed(), result))
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    println!("{what:<58} {:>10.2?}   best {:>10.2?}", times[times.len() / 2], times[0]);
}

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

fn bridge() -> LinkName {
    "trmeasure".parse().expect("written out")
}

fn network() -> NetworkSpec {
    let subnet = "10.77.0.0/16".parse().expect("written out");
    NetworkSpec {
        name: "measure".parse().expect("written out"),
        owner: None,
        medium: Medium::Bridge(bridge()),
        ipv4: Some(Ipv4PoolSpec {
            subnet,
            gateway: GATEWAY,
            ip_range: subnet,
            aux_addresses: BTreeMap::new(),
        }),
        ipv6: None,
        internal: false,
        attachable: false,
        mtu: 1500,
        icc: true,
        masquerade: true,
        host_binding: None,
        interface_prefix: None,
        labels: BTreeMap::new(),
    }
}

fn instance(number: u16) -> InstanceSpec {
    let network = network();
    let [high, low] = (number + 2).to_be_bytes();
    let address = Ipv4Addr::new(10, 77, high, low);
    let endpoint = EndpointSpec {
        network: network.name,
        plug: Plug::Bridge {
            bridge: bridge(),
            host_link: format!("trm{number}").parse().expect("at most 8 letters"),
            isolated: false,
            guarded: true,
        },
        interface: "eth0".parse().expect("written out"),
        mac: Some(MacAddress::of_ipv4(address)),
        address: Some(format!("{address}/16").parse().expect("an address and a mask")),
        address6: None,
        more_addresses: Vec::new(),
        gateway: Some(GATEWAY),
        gateway6: None,
        gw_priority: 0,
        mtu: network.mtu,
        sysctls: BTreeMap::new(),
        by_hand: None,
    };
    InstanceSpec {
        name: format!("measure-{number}").parse().expect("letters and digits"),
        project: "measure".parse().expect("written out"),
        endpoints: vec![endpoint],
        sysctls: BTreeMap::new(),
        dns: true,
    }
}

fn firewall(network: &NetworkSpec, ports: u16, backends: u8) -> FirewallSpec {
    let bridge = FirewallBridge {
        link: bridge(),
        subnets: network.subnets().collect(),
        internal: network.internal,
        icc: network.icc,
        masquerade: network.masquerade,
    };
    let backend = |n| SocketAddr::from(([10, 77, 0, n + 2], 80));
    let published = |port| FirewallPort {
        host_ip: Ipv4Addr::UNSPECIFIED.into(),
        host_port: port,
        protocol: Protocol::Tcp,
        backends: (0..backends).map(backend).collect(),
        way: Way::Direct,
    };
    FirewallSpec {
        table: "trice-measure".to_owned(),
        bridges: vec![bridge],
        published: (20_000..20_000 + ports).map(published).collect(),
        ..FirewallSpec::default()
    }
}
