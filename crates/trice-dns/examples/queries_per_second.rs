//! Prints how many questions a second one instance's server answers: names of its own, and names that it
//! forwards.
//!
//! ```text
//! cargo run --release -p trice-dns --example queries_per_second [SECONDS]
//! ```
//!
//! Everything is on loopback in one process: the server, the clients, and the resolver that it forwards to.
#![allow(clippy::print_stdout, reason = "a program that prints a figure")]

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket as StdUdpSocket};
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, UdpSocket};
use tokio::task::JoinSet;
use trice_dns::server::Server;
use trice_dns::settings::Settings;
use trice_dns::sockets::{InstanceSockets, tcp_here, udp_here};
use trice_model::dns::{NameTable, NamedEndpoint};
use trice_model::network::InstanceName;

const CLIENTS: u64 = 8;

/// Every instance is in the namespace of this process.
struct Here;

impl InstanceSockets for Here {
    fn udp(&self, _instance: &InstanceName, server: IpAddr) -> io::Result<StdUdpSocket> {
        udp_here(server)
    }

    fn tcp(&self, _instance: &InstanceName, server: IpAddr) -> io::Result<TcpSocket> {
        tcp_here(server)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(2), |text| text.parse())?;
    let resolver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let settings = Settings { port: resolver.local_addr()?.port(), ..Settings::default() };
    tokio::spawn(echo(resolver));

    let server = Server::with_settings(vec![Ipv4Addr::LOCALHOST.into()], Here, settings);
    server.replace(&names(100)?);
    let udp = StdUdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = udp.local_addr()?;
    let _serving = server.serve("web".parse()?, udp, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)?;

    for (what, name) in [("own names, 3 replicas", "service7"), ("forwarded names", "www.test")] {
        let rate = measure(address, name, Duration::from_secs(seconds)).await?;
        println!("{what}: {rate:.0} questions a second, {CLIENTS} clients, one at a time each");
    }
    Ok(())
}

/// Makes a table of one network with `count` services of three replicas.
fn names(count: u8) -> Result<NameTable, Box<dyn Error>> {
    let mut table = NameTable::default();
    let network: trice_model::name::NetworkName = "shop_default".parse()?;
    let endpoint = |service: u8, replica: u8| NamedEndpoint {
        names: vec![format!("shop-service{service}-{replica}"), format!("service{service}")],
        ipv4: Some(Ipv4Addr::new(10, 0, service, replica)),
        ipv6: None,
    };
    let endpoints = (0..count).flat_map(|service| (1..=3).map(move |replica| endpoint(service, replica)));
    table.networks.insert(network.clone(), endpoints.collect());
    let view = table.views.entry("web".parse()?).or_default();
    view.networks.push(network);
    view.external = true;
    Ok(table)
}

/// A resolver that says NOERROR to all, without looking.
async fn echo(socket: UdpSocket) -> io::Result<()> {
    let mut buffer = [0; 512];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await?;
        buffer[2] |= 0x80;
        socket.send_to(&buffer[..length], peer).await?;
    }
}

/// Lets the clients ask for `name` until `time` is over.
async fn measure(server: SocketAddr, name: &str, time: Duration) -> Result<f64, Box<dyn Error>> {
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let query = query(name);
        clients.spawn(async move {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            socket.connect(server).await?;
            let (mut count, mut buffer) = (0_u64, [0; 512]);
            while started.elapsed() < time {
                socket.send(&query).await?;
                socket.recv(&mut buffer).await?;
                count += 1;
            }
            Ok::<u64, io::Error>(count)
        });
    }
    let mut total = 0;
    while let Some(count) = clients.join_next().await {
        total += count??;
    }
    Ok(total as f64 / started.elapsed().as_secs_f64())
}

/// Writes a question for the IPv4 addresses of `name`.
fn query(name: &str) -> Vec<u8> {
    let mut bytes = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    bytes
}
