//! A question as the table understands it.
//!
//! Source: RFC 1035, section 4.1.2.

use std::net::IpAddr;

use hickory_proto::op::Query;
use hickory_proto::rr::{Name, RecordType};

/// A name and what is asked about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name in lower case, without the dot at its end; empty for the root.
    pub name: String,
    /// What is asked.
    pub kind: Kind,
}

/// What is asked about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its IPv4 addresses.
    A,
    /// Its IPv6 addresses.
    Aaaa,
    /// The name of this address, which the question's name stands for.
    Reverse(IpAddr),
    /// How its zone is run: `NS`, `SOA`, `DS` or `DNSKEY`. No program asks this about a host.
    Zone,
    /// Anything else.
    Other,
}

impl From<&Query> for Question {
    fn from(query: &Query) -> Self {
        let mut name = query.name().to_ascii();
        name.make_ascii_lowercase();
        if name.ends_with('.') {
            name.pop();
        }
        let kind = match query.query_type() {
            RecordType::A => Kind::A,
            RecordType::AAAA => Kind::Aaaa,
            RecordType::PTR => whole_address(query.name()).map_or(Kind::Other, Kind::Reverse),
            RecordType::NS | RecordType::SOA | RecordType::DS | RecordType::DNSKEY => Kind::Zone,
            _ => Kind::Other,
        };
        Self { name, kind }
    }
}

/// Returns the address that a name below `in-addr.arpa` or `ip6.arpa` stands for, unless it stands for a
/// range.
fn whole_address(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: RecordType) -> Question {
        Question::from(&Query::query(Name::from_ascii(name).expect("a name"), kind))
    }

    #[test]
    fn a_question_is_known_by_its_name_in_lower_case_and_its_kind() {
        assert_eq!(question("Web.", RecordType::A), Question { name: "web".into(), kind: Kind::A });
        assert_eq!(question(".", RecordType::NS), Question { name: String::new(), kind: Kind::Zone });
        assert_eq!(question("web.", RecordType::MX).kind, Kind::Other);
        assert_eq!(question("web.", RecordType::AAAA).kind, Kind::Aaaa);
    }

    #[test]
    fn a_reverse_question_stands_for_one_whole_address() {
        let cases = [
            ("2.0.18.172.in-addr.arpa.", Some("172.18.0.2")),
            ("2.0.18.172.IN-ADDR.ARPA.", Some("172.18.0.2")),
            ("18.172.in-addr.arpa.", None),
            ("1.2.0.18.172.in-addr.arpa.", None),
            ("256.0.18.172.in-addr.arpa.", None),
            ("web.", None),
            ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", Some("fd00::1")),
        ];
        for (name, address) in cases {
            let expected =
                address.map_or(Kind::Other, |text| Kind::Reverse(text.parse().expect("an address")));
            assert_eq!(question(name, RecordType::PTR).kind, expected, "{name}");
        }
    }
}
