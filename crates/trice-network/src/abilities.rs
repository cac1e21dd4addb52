//! What this kernel can do for networks.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use netlink_packet_route::link::InfoKind;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use crate::link;
use crate::netlink::{Netlink, NetlinkError, NetlinkFamily};
use crate::nftables::table::{Family, Table};
use crate::nftables::{self, TableOwner};
use crate::sysctl;

/// Something that a kernel can do or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ability {
    /// What it is for.
    pub what: &'static str,
    /// The kernel's option.
    pub option: &'static str,
    /// Nothing works without it.
    pub needed: bool,
    /// It is there.
    pub there: bool,
}

/// Looks what this kernel can do, in the network namespace of the calling thread. A table of the name `probe` is made
/// and removed.
///
/// # Errors
/// What keeps the kernel from telling anything at all.
pub fn abilities(probe: &str) -> Result<Vec<Ability>, NetlinkError> {
    let mut netlink = Netlink::open(NetlinkFamily::Route)?;
    let kinds = [
        ("bridges for networks", "CONFIG_BRIDGE", true, InfoKind::Bridge),
        ("interfaces of containers", "CONFIG_VETH", true, InfoKind::Veth),
        ("networks with driver macvlan", "CONFIG_MACVLAN", false, InfoKind::MacVlan),
        ("networks with driver ipvlan", "CONFIG_IPVLAN", false, InfoKind::IpVlan),
    ];
    let mut all = Vec::new();
    for (what, option, needed, kind) in kinds {
        all.push(Ability { what, option, needed, there: link::is_known(&mut netlink, kind)? });
    }
    let table = |family| takes_table(family, probe);
    let has = |family, kind, protocol| socket_with(family, kind, SocketFlags::CLOEXEC, protocol).is_ok();
    all.extend([
        Ability {
            what: "published ports and the separation of networks",
            option: "CONFIG_NF_TABLES_INET",
            needed: true,
            there: table(Family::Inet),
        },
        Ability {
            what: "keeping containers to their own addresses",
            option: "CONFIG_NF_TABLES_BRIDGE",
            needed: false,
            there: table(Family::Bridge),
        },
        Ability {
            what: "IPv6",
            option: "CONFIG_IPV6",
            needed: false,
            there: sysctl::exists("net.ipv6.conf.all.disable_ipv6"),
        },
        Ability {
            what: "ports of SCTP",
            option: "CONFIG_IP_SCTP",
            needed: false,
            there: has(AddressFamily::INET, SocketType::STREAM, Some(ipproto::SCTP)),
        },
        Ability {
            what: "keeping published ports",
            option: "CONFIG_INET",
            needed: true,
            there: TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).is_ok(),
        },
    ]);
    Ok(all)
}

fn takes_table(family: Family, name: &str) -> bool {
    let Ok(mut owner) = TableOwner::open() else { return false };
    let table = Table { family, name: name.to_owned(), sets: Vec::new(), chains: Vec::new() };
    let taken = nftables::replace(&mut owner, &[table]).is_ok();
    // What could not be made need not go.
    taken && nftables::remove(&mut owner, &[family], name).is_ok()
}
