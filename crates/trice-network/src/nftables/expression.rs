//! Rules as the kernel takes them: small instructions on registers.
//!
//! ```text
//! ip daddr 127.0.0.0/8 drop
//!   meta      nfproto        ──► register 8     only IPv4 has such a header
//!   cmp       register 8 == 2
//!   payload   4 bytes at 16 of the network header ──► register 8
//!   bitwise   register 8 & 255.0.0.0
//!   cmp       register 8 == 127.0.0.0
//!   immediate drop
//! ```
//!
//! Registers have four bytes each; the first is number 8. A wider value takes several, and a concatenation is one
//! value behind the other. `nft --debug=netlink list ruleset` prints the same instructions.
//!
//! Source: Linux `include/uapi/linux/netfilter/nf_tables.h`.

use trice_model::port::Protocol;

use super::rule::{Field, Rejection, Rule, Side, Statement, Verdict, Version};
use super::table::Family;
use super::value::Value;
use crate::attribute::Writer;

/// The first register.
const FIRST: u32 = 8;
/// The register whose content is a verdict.
const VERDICT: u32 = 0;

const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

const NFTA_LIST_ELEM: u16 = 1;

/// Writes the expressions of `rule`, which is in a table of `family`.
pub(crate) fn write_rule(rule: &Rule, family: Family, writer: &mut Writer<'_>) {
    let mut known = Known { family, network: None, protocol: None };
    if family == Family::Ip {
        known.network = Some(Network::Ip(Version::V4));
    }
    for statement in &rule.0 {
        write_statement(statement, &mut known, writer);
    }
}

/// Writes the attributes of a verdict.
pub(crate) fn write_verdict(verdict: &Verdict, writer: &mut Writer<'_>) {
    const NFTA_VERDICT_CODE: u16 = 1;
    const NFTA_VERDICT_CHAIN: u16 = 2;
    let (code, chain) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
        Verdict::Return => (-5, None),
    };
    writer.number(NFTA_VERDICT_CODE, i32::cast_unsigned(code));
    if let Some(chain) = chain {
        writer.text(NFTA_VERDICT_CHAIN, chain);
    }
}

/// Attributes of data: a value, or a verdict.
pub(crate) const NFTA_DATA_VALUE: u16 = 1;
/// See [`NFTA_DATA_VALUE`].
pub(crate) const NFTA_DATA_VERDICT: u16 = 2;

/// What is known of the packet already, and need not be asked before a header is read. `nft` 1.0.6 even stumbles over a
/// question that is not needed.
struct Known {
    family: Family,
    network: Option<Network>,
    protocol: Option<u8>,
}

/// What a packet is in its network header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Network {
    Ip(Version),
    Arp,
}

fn write_statement(statement: &Statement, known: &mut Known, writer: &mut Writer<'_>) {
    match statement {
        Statement::Version(version) => ask_for_network(Network::Ip(*version), known, writer),
        Statement::ForThisHost => {
            fib_type_of_destination(writer);
            compare(writer, EQUAL, &RTN_LOCAL.to_ne_bytes());
        }
        Statement::Is(field, value) => {
            load(&[*field], known, writer);
            compare_value(EQUAL, value, writer);
        }
        Statement::IsNot(field, value) => {
            load(&[*field], known, writer);
            compare_value(NOT_EQUAL, value, writer);
        }
        Statement::In(fields, set) => {
            load(fields, known, writer);
            lookup(set, Lookup::Member, writer);
        }
        Statement::NotIn(fields, set) => {
            load(fields, known, writer);
            lookup(set, Lookup::NoMember, writer);
        }
        Statement::State(states) => {
            let mask = states.iter().fold(0, |mask, state| mask | *state as u32);
            connection(CT_STATE, mask, writer);
        }
        Statement::Translated => connection(CT_STATUS, IPS_DST_NAT, writer),
        Statement::Then(verdict) => immediate_verdict(verdict, writer),
        Statement::Choose(fields, map) => {
            load(fields, known, writer);
            lookup(map, Lookup::Verdict, writer);
        }
        Statement::Translate(version, fields, map) => {
            load(fields, known, writer);
            lookup(map, Lookup::Value, writer);
            translate_destination(*version, writer);
        }
        Statement::TakeTurns { version, of, map } => {
            take_a_number(*of, writer);
            lookup(map, Lookup::Value, writer);
            translate_destination(*version, writer);
        }
        Statement::Masquerade => expression(writer, "masq", |_| ()),
        Statement::Reject(rejection) => reject(*rejection, writer),
        Statement::SetPort(protocol, side, port) => set_port(*protocol, *side, *port, writer),
        Statement::ForTransparentSocket => {
            transparency_of_socket(writer);
            compare(writer, EQUAL, &[1]);
        }
        Statement::SetMark(mark) => {
            immediate_value(&Value::Mark(*mark), writer);
            set_meta(META_MARK, writer);
        }
    }
}

/// Writes the rule that lets pass what came in by the link of this name, or, if it is not the whole name, by any that
/// begins so; as `iptables -i` would write it.
pub(crate) fn accept_from(name: &str, whole: bool, writer: &mut Writer<'_>) {
    accept_by(META_IIFNAME, name, whole, writer);
}

/// Writes the same for what goes out; as `iptables -o` would write it.
pub(crate) fn accept_to(name: &str, whole: bool, writer: &mut Writer<'_>) {
    accept_by(META_OIFNAME, name, whole, writer);
}

fn accept_by(key: u32, name: &str, whole: bool, writer: &mut Writer<'_>) {
    const NFTA_COUNTER_BYTES: u16 = 1;
    const NFTA_COUNTER_PACKETS: u16 = 2;
    meta(key, FIRST, writer);
    let end: &[u8] = if whole { &[0] } else { &[] };
    compare(writer, EQUAL, &[name.as_bytes(), end].concat());
    expression(writer, "counter", |data| {
        data.bytes(NFTA_COUNTER_BYTES, &[0; 8]);
        data.bytes(NFTA_COUNTER_PACKETS, &[0; 8]);
    });
    immediate_verdict(&Verdict::Accept, writer);
}

fn expression(writer: &mut Writer<'_>, name: &str, data: impl FnOnce(&mut Writer<'_>)) {
    const NFTA_EXPR_NAME: u16 = 1;
    const NFTA_EXPR_DATA: u16 = 2;
    writer.nested(NFTA_LIST_ELEM, |writer| {
        writer.text(NFTA_EXPR_NAME, name);
        writer.nested(NFTA_EXPR_DATA, data);
    });
}

/// Loads the fields into registers, one behind the other.
fn load(fields: &[Field], known: &mut Known, writer: &mut Writer<'_>) {
    for field in fields {
        match field {
            Field::Source(version) | Field::Destination(version) => {
                ask_for_network(Network::Ip(*version), known, writer);
            }
            Field::ArpSource | Field::ArpSourceEther => ask_for_network(Network::Arp, known, writer),
            Field::Icmpv6Type | Field::NeighbourTarget => {
                ask_for_network(Network::Ip(Version::V6), known, writer);
                ask_for_protocol(ICMPV6, known, writer);
            }
            Field::PortOf(protocol, _) => ask_for_protocol(protocol.number(), known, writer),
            Field::InputInterface
            | Field::OutputInterface
            | Field::Protocol
            | Field::DestinationPort
            | Field::EtherSource => {}
        }
    }
    let mut register = FIRST;
    for field in fields {
        load_one(*field, register, writer);
        register += field.value_type().registers() as u32;
    }
}

fn load_one(field: Field, register: u32, writer: &mut Writer<'_>) {
    let network = |offset, field: Field, writer: &mut Writer<'_>| {
        payload(NETWORK_HEADER, offset, field.value_type().len() as u32, register, writer);
    };
    match field {
        Field::InputInterface => meta(META_IIFNAME, register, writer),
        Field::OutputInterface => meta(META_OIFNAME, register, writer),
        Field::Protocol => meta(META_L4PROTO, register, writer),
        Field::Source(Version::V4) => network(12, field, writer),
        Field::Destination(Version::V4) => network(16, field, writer),
        Field::Source(Version::V6) => network(8, field, writer),
        Field::Destination(Version::V6) => network(24, field, writer),
        Field::ArpSourceEther => network(8, field, writer),
        Field::ArpSource => network(14, field, writer),
        Field::EtherSource => payload(LINK_HEADER, 6, 6, register, writer),
        Field::Icmpv6Type => payload(TRANSPORT_HEADER, 0, 1, register, writer),
        Field::NeighbourTarget => payload(TRANSPORT_HEADER, 8, 16, register, writer),
        Field::DestinationPort => {
            payload(TRANSPORT_HEADER, port_offset(Side::Destination), 2, register, writer)
        }
        Field::PortOf(_, side) => payload(TRANSPORT_HEADER, port_offset(side), 2, register, writer),
    }
}

/// Asks which header follows that of the link: tables for IP know the version, those for frames the kind.
fn ask_for_network(network: Network, known: &mut Known, writer: &mut Writer<'_>) {
    const NFPROTO_IPV4: u8 = 2;
    const NFPROTO_IPV6: u8 = 10;
    if known.network == Some(network) {
        return;
    }
    known.network = Some(network);
    if known.family == Family::Bridge {
        let kind: u16 = match network {
            Network::Ip(Version::V4) => 0x0800,
            Network::Ip(Version::V6) => 0x86dd,
            Network::Arp => 0x0806,
        };
        meta(META_PROTOCOL, FIRST, writer);
        compare(writer, EQUAL, &kind.to_be_bytes());
        if network == Network::Arp {
            ask_for_arp_of_ethernet(writer);
        }
        return;
    }
    meta(META_NFPROTO, FIRST, writer);
    compare(writer, EQUAL, &[if network == Network::Ip(Version::V6) { NFPROTO_IPV6 } else { NFPROTO_IPV4 }]);
}

/// Asks that addresses in ARP are where they are for IPv4 on Ethernet: six and four bytes long.
fn ask_for_arp_of_ethernet(writer: &mut Writer<'_>) {
    payload(NETWORK_HEADER, 0, 2, FIRST, writer);
    compare(writer, EQUAL, &[0, 1]);
    payload(NETWORK_HEADER, 4, 2, FIRST, writer);
    compare(writer, EQUAL, &[6, 4]);
}

/// The number by which IP calls ICMPv6.
const ICMPV6: u8 = 58;

fn ask_for_protocol(protocol: u8, known: &mut Known, writer: &mut Writer<'_>) {
    if known.protocol != Some(protocol) {
        meta(META_L4PROTO, FIRST, writer);
        compare(writer, EQUAL, &[protocol]);
        known.protocol = Some(protocol);
    }
}

const META_PROTOCOL: u32 = 1;
const META_MARK: u32 = 3;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;

fn meta(key: u32, register: u32, writer: &mut Writer<'_>) {
    const NFTA_META_DREG: u16 = 1;
    const NFTA_META_KEY: u16 = 2;
    expression(writer, "meta", |data| {
        data.number(NFTA_META_DREG, register);
        data.number(NFTA_META_KEY, key);
    });
}

/// Gives a packet what is in the first register.
fn set_meta(key: u32, writer: &mut Writer<'_>) {
    const NFTA_META_KEY: u16 = 2;
    const NFTA_META_SREG: u16 = 3;
    expression(writer, "meta", |data| {
        data.number(NFTA_META_KEY, key);
        data.number(NFTA_META_SREG, FIRST);
    });
}

fn transparency_of_socket(writer: &mut Writer<'_>) {
    const NFTA_SOCKET_KEY: u16 = 1;
    const NFTA_SOCKET_DREG: u16 = 2;
    const TRANSPARENT: u32 = 0;
    expression(writer, "socket", |data| {
        data.number(NFTA_SOCKET_KEY, TRANSPARENT);
        data.number(NFTA_SOCKET_DREG, FIRST);
    });
}

const LINK_HEADER: u32 = 0;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

const NFTA_PAYLOAD_DREG: u16 = 1;
const NFTA_PAYLOAD_BASE: u16 = 2;
const NFTA_PAYLOAD_OFFSET: u16 = 3;
const NFTA_PAYLOAD_LEN: u16 = 4;
const NFTA_PAYLOAD_SREG: u16 = 5;
const NFTA_PAYLOAD_CSUM_TYPE: u16 = 6;
const NFTA_PAYLOAD_CSUM_OFFSET: u16 = 7;

fn payload(base: u32, offset: u32, len: u32, register: u32, writer: &mut Writer<'_>) {
    expression(writer, "payload", |data| {
        data.number(NFTA_PAYLOAD_DREG, register);
        data.number(NFTA_PAYLOAD_BASE, base);
        data.number(NFTA_PAYLOAD_OFFSET, offset);
        data.number(NFTA_PAYLOAD_LEN, len);
    });
}

fn port_offset(side: Side) -> u32 {
    match side {
        Side::Source => 0,
        Side::Destination => 2,
    }
}

/// Writes the port into the packet and corrects the checksum, whose place differs between protocols.
fn set_port(protocol: Protocol, side: Side, port: u16, writer: &mut Writer<'_>) {
    const INTERNET_CHECKSUM: u32 = 1;
    immediate_value(&Value::Port(port), writer);
    expression(writer, "payload", |data| {
        data.number(NFTA_PAYLOAD_SREG, FIRST);
        data.number(NFTA_PAYLOAD_BASE, TRANSPORT_HEADER);
        data.number(NFTA_PAYLOAD_OFFSET, port_offset(side));
        data.number(NFTA_PAYLOAD_LEN, 2);
        let checksum = match protocol {
            Protocol::Tcp => Some(16),
            Protocol::Udp => Some(6),
            Protocol::Sctp => None, // a CRC over all, which the kernel computes when the packet leaves
        };
        if let Some(offset) = checksum {
            data.number(NFTA_PAYLOAD_CSUM_TYPE, INTERNET_CHECKSUM);
            data.number(NFTA_PAYLOAD_CSUM_OFFSET, offset);
        }
    });
}

/// Compares the first register with the value. Of a network, its part alone.
fn compare_value(operator: u32, value: &Value, writer: &mut Writer<'_>) {
    if let Value::Network(net) = value {
        mask(&Value::mask(net), writer);
    }
    compare(writer, operator, &value.bytes());
}

fn compare(writer: &mut Writer<'_>, operator: u32, value: &[u8]) {
    const NFTA_CMP_SREG: u16 = 1;
    const NFTA_CMP_OP: u16 = 2;
    const NFTA_CMP_DATA: u16 = 3;
    expression(writer, "cmp", |data| {
        data.number(NFTA_CMP_SREG, FIRST);
        data.number(NFTA_CMP_OP, operator);
        data.nested(NFTA_CMP_DATA, |data| data.bytes(NFTA_DATA_VALUE, value));
    });
}

/// Keeps only those bits of the first register that are set in `bits`.
fn mask(bits: &[u8], writer: &mut Writer<'_>) {
    const NFTA_BITWISE_SREG: u16 = 1;
    const NFTA_BITWISE_DREG: u16 = 2;
    const NFTA_BITWISE_LEN: u16 = 3;
    const NFTA_BITWISE_MASK: u16 = 4;
    const NFTA_BITWISE_XOR: u16 = 5;
    expression(writer, "bitwise", |data| {
        data.number(NFTA_BITWISE_SREG, FIRST);
        data.number(NFTA_BITWISE_DREG, FIRST);
        data.number(NFTA_BITWISE_LEN, bits.len() as u32);
        data.nested(NFTA_BITWISE_MASK, |data| data.bytes(NFTA_DATA_VALUE, bits));
        data.nested(NFTA_BITWISE_XOR, |data| data.bytes(NFTA_DATA_VALUE, &vec![0; bits.len()]));
    });
}

const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// The destination of the connection was changed.
const IPS_DST_NAT: u32 = 1 << 5;

/// Asks whether one of the bits in `bits` is set.
fn connection(key: u32, bits: u32, writer: &mut Writer<'_>) {
    const NFTA_CT_DREG: u16 = 1;
    const NFTA_CT_KEY: u16 = 2;
    expression(writer, "ct", |data| {
        data.number(NFTA_CT_DREG, FIRST);
        data.number(NFTA_CT_KEY, key);
    });
    mask(&bits.to_ne_bytes(), writer);
    compare(writer, NOT_EQUAL, &[0; 4]);
}

/// The kind of an address that is one of this machine's.
const RTN_LOCAL: u32 = 2;

fn fib_type_of_destination(writer: &mut Writer<'_>) {
    const NFTA_FIB_DREG: u16 = 1;
    const NFTA_FIB_RESULT: u16 = 2;
    const NFTA_FIB_FLAGS: u16 = 3;
    const ADDRESS_TYPE: u32 = 3;
    const OF_DESTINATION: u32 = 2;
    expression(writer, "fib", |data| {
        data.number(NFTA_FIB_DREG, FIRST);
        data.number(NFTA_FIB_RESULT, ADDRESS_TYPE);
        data.number(NFTA_FIB_FLAGS, OF_DESTINATION);
    });
}

/// What is done with the element that a key leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lookup {
    /// On if there is one.
    Member,
    /// On if there is none.
    NoMember,
    /// Its values take the place of the key.
    Value,
    /// Its verdict is carried out.
    Verdict,
}

fn lookup(set: &str, what: Lookup, writer: &mut Writer<'_>) {
    const NFTA_LOOKUP_SET: u16 = 1;
    const NFTA_LOOKUP_SREG: u16 = 2;
    const NFTA_LOOKUP_DREG: u16 = 3;
    const NFTA_LOOKUP_FLAGS: u16 = 5;
    const INVERTED: u32 = 1;
    expression(writer, "lookup", |data| {
        data.text(NFTA_LOOKUP_SET, set);
        data.number(NFTA_LOOKUP_SREG, FIRST);
        match what {
            Lookup::Member => {}
            Lookup::NoMember => data.number(NFTA_LOOKUP_FLAGS, INVERTED),
            Lookup::Value => data.number(NFTA_LOOKUP_DREG, FIRST),
            Lookup::Verdict => data.number(NFTA_LOOKUP_DREG, VERDICT),
        }
    });
}

fn take_a_number(modulus: u32, writer: &mut Writer<'_>) {
    const NFTA_NG_DREG: u16 = 1;
    const NFTA_NG_MODULUS: u16 = 2;
    const NFTA_NG_TYPE: u16 = 3;
    const INCREMENTAL: u32 = 0;
    expression(writer, "numgen", |data| {
        data.number(NFTA_NG_DREG, FIRST);
        data.number(NFTA_NG_MODULUS, modulus);
        data.number(NFTA_NG_TYPE, INCREMENTAL);
    });
}

/// Sends the connection to the address in the first register and the port in the one behind it.
fn translate_destination(version: Version, writer: &mut Writer<'_>) {
    const NFTA_NAT_TYPE: u16 = 1;
    const NFTA_NAT_FAMILY: u16 = 2;
    const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
    const NFTA_NAT_REG_PROTO_MIN: u16 = 5;
    const DESTINATION: u32 = 1;
    let family = match version {
        Version::V4 => 2,
        Version::V6 => 10,
    };
    expression(writer, "nat", |data| {
        data.number(NFTA_NAT_TYPE, DESTINATION);
        data.number(NFTA_NAT_FAMILY, family);
        data.number(NFTA_NAT_REG_ADDR_MIN, FIRST);
        data.number(NFTA_NAT_REG_PROTO_MIN, FIRST + version.address_type().registers() as u32);
    });
}

fn reject(rejection: Rejection, writer: &mut Writer<'_>) {
    const NFTA_REJECT_TYPE: u16 = 1;
    const NFTA_REJECT_ICMP_CODE: u16 = 2;
    const TCP_RESET: u32 = 1;
    const ICMP_OF_EITHER_FAMILY: u32 = 2;
    const PORT_UNREACHABLE: u8 = 1;
    expression(writer, "reject", |data| match rejection {
        Rejection::Reset => data.number(NFTA_REJECT_TYPE, TCP_RESET),
        Rejection::PortUnreachable => {
            data.number(NFTA_REJECT_TYPE, ICMP_OF_EITHER_FAMILY);
            data.byte(NFTA_REJECT_ICMP_CODE, PORT_UNREACHABLE);
        }
    });
}

const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;

fn immediate_value(value: &Value, writer: &mut Writer<'_>) {
    expression(writer, "immediate", |data| {
        data.number(NFTA_IMMEDIATE_DREG, FIRST);
        data.nested(NFTA_IMMEDIATE_DATA, |data| data.bytes(NFTA_DATA_VALUE, &value.bytes()));
    });
}

fn immediate_verdict(verdict: &Verdict, writer: &mut Writer<'_>) {
    expression(writer, "immediate", |data| {
        data.number(NFTA_IMMEDIATE_DREG, VERDICT);
        data.nested(NFTA_IMMEDIATE_DATA, |data| {
            data.nested(NFTA_DATA_VERDICT, |data| write_verdict(verdict, data));
        });
    });
}
