//! Where an instance asks for names: 127.0.0.11, in its own namespace.
//!
//! ```text
//! program ──► 127.0.0.11:53 ──output──► 127.0.0.11:61053   our sockets, answered by the engine
//!         ◄── 127.0.0.11:53 ◄──output── 127.0.0.11:61053
//! ```
//!
//! Our sockets cannot take port 53 themselves: a name server in the container that binds to all addresses would find
//! it in use. The two ports are exchanged as packets leave, without NAT and without an entry in connection tracking
//! for each question.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

use trice_model::port::Protocol;

use crate::nftables::rule::{Field, Rule, Side, Statement, Version};
use crate::nftables::table::{Chain, Family, Hook, Kind, Point, Priority, Table};
use crate::nftables::value::Value;
use crate::nftables::{self, NftablesError, TableOwner};

/// The address that containers ask.
pub const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// The port that containers ask.
const DNS_PORT: u16 = 53;
/// The port that our sockets have: above those that the kernel gives to programs which do not choose.
const SOCKET_PORT: u16 = 61_053;

/// Why an instance has nobody to ask for names.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// The address cannot be listened on.
    #[error("listen on {address} for names")]
    Listen {
        /// The address.
        address: SocketAddrV4,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The ports cannot be exchanged.
    #[error("lead port 53 to the sockets for names")]
    Lead(#[from] NftablesError),
}

/// The sockets at which questions of one instance arrive. They do not block.
#[derive(Debug)]
pub struct DnsSockets {
    /// For questions in one packet.
    pub udp: UdpSocket,
    /// For longer ones.
    pub tcp: TcpListener,
    /// What keeps the instance, if it has `NET_ADMIN`, from flushing the rules that lead port 53 here.
    pub rules: TableOwner,
}

/// Opens the sockets in the thread's namespace, whose `lo` is up, and leads port 53 to them.
pub(crate) fn open() -> Result<DnsSockets, ResolverError> {
    let address = SocketAddrV4::new(DNS_ADDRESS, SOCKET_PORT);
    let listen = || {
        let (udp, tcp) = (UdpSocket::bind(address)?, TcpListener::bind(address)?);
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        Ok((udp, tcp))
    };
    let (udp, tcp) = listen().map_err(|source| ResolverError::Listen { address, source })?;
    let mut rules = TableOwner::open()?;
    nftables::replace(&mut rules, &[table()])?;
    Ok(DnsSockets { udp, tcp, rules })
}

/// Tells whether port 53 leads to the sockets in the thread's namespace.
pub(crate) fn is_led() -> Result<bool, NftablesError> {
    let table = table();
    nftables::exists(&mut TableOwner::open()?, table.family, &table.name)
}

fn table() -> Table {
    let hook = Hook { kind: Kind::Filter, point: Point::Output, priority: Priority::Raw };
    let rules = [Protocol::Udp, Protocol::Tcp].into_iter().flat_map(exchange).collect();
    let chain = Chain { name: "output".to_owned(), hook: Some(hook), rules };
    Table { family: Family::Ip, name: "trice-dns".to_owned(), sets: Vec::new(), chains: vec![chain] }
}

/// Returns the rules for questions and for answers. Each protocol has its own, since the checksum that must follow the
/// port is in another place.
fn exchange(protocol: Protocol) -> [Rule; 2] {
    let lead = |address: Field, side: Side, from: u16, to: u16| {
        Rule(vec![
            Statement::Is(address, Value::Ipv4(DNS_ADDRESS)),
            Statement::Is(Field::PortOf(protocol, side), Value::Port(from)),
            Statement::SetPort(protocol, side, to),
        ])
    };
    [
        lead(Field::Destination(Version::V4), Side::Destination, DNS_PORT, SOCKET_PORT),
        lead(Field::Source(Version::V4), Side::Source, SOCKET_PORT, DNS_PORT),
    ]
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::namespace::in_new_namespace;

    #[test]
    fn the_two_ports_are_exchanged_in_both_protocols_and_both_ways() {
        insta::assert_snapshot!(table(), @"
        table ip trice-dns {
            chain output {
                type filter hook output priority raw; policy accept;
                ip daddr 127.0.0.11 udp dport 53 udp dport set 61053
                ip saddr 127.0.0.11 udp sport 61053 udp sport set 53
                ip daddr 127.0.0.11 tcp dport 53 tcp dport set 61053
                ip saddr 127.0.0.11 tcp sport 61053 tcp sport set 53
            }
        }
        ");
    }

    /// On `lo` nobody looks at checksums, so that no packet would tell.
    #[test]
    fn the_checksum_is_corrected_where_each_protocol_has_it() {
        let instructions = in_new_namespace(|_| {
            nftables::replace(&mut TableOwner::open().unwrap(), &[table()]).expect("this test takes root");
            let list = ["--debug=netlink", "list", "table", "ip", "trice-dns"];
            Command::new("nft").args(list).output().expect("this test asks `nft` (Debian: nftables)")
        });
        let output = instructions.expect("this test takes root");
        let instructions = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{:?} {}", output.status, String::from_utf8_lossy(&output.stderr));
        let writes: Vec<&str> = instructions
            .lines()
            .filter_map(|line| line.split_once("payload write reg 1 => 2b @ transport header + "))
            .filter_map(|(_, place)| place.split_once(" csum_flags"))
            .map(|(place, _)| place)
            .collect();
        assert_eq!(
            writes,
            [
                "2 csum_type 1 csum_off 6",
                "0 csum_type 1 csum_off 6",
                "2 csum_type 1 csum_off 16",
                "0 csum_type 1 csum_off 16"
            ]
        );
    }
}
