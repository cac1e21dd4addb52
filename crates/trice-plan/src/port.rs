//! Which port of the host leads to a container.
//!
//! A fixed port is what it is, and replicas of a service share it. Of a range, and where the file leaves it
//! open, each replica takes its own: the one that it had, or else a free one. Open ones are searched above
//! the ports that Linux gives to outgoing connections, where nothing else turns up between the plan and the
//! start, and from a place that follows from the names, so that a project gets the same ports again after its
//! going down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use trice_model::name::{ContainerName, ProjectName, ServiceName};
use trice_model::network::InstanceName;
use trice_model::port::{ContainerPort, HostPort, Port, Protocol, PublishedPort};

use crate::digest;
use crate::mistake::PlanError;

/// Above `net.ipv4.ip_local_port_range`, and then its upper part, which is IANA's range for such uses.
const OPEN_PORTS: [RangeInclusive<u16>; 2] = [61_000..=65_535, 49_152..=60_999];

/// Why a port of the host cannot lead to a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// It leads elsewhere.
    #[error("host port {port}/{protocol} is published by `{holder}` already")]
    Taken {
        /// The port.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
        /// Who publishes it.
        holder: ContainerName,
    },
    /// Each port of a range is taken.
    #[error("no host port is free in {first}-{last}/{protocol}")]
    RangeExhausted {
        /// The first one.
        first: u16,
        /// The last one.
        last: u16,
        /// Their protocol.
        protocol: Protocol,
    },
    /// A container in the host's network has the host's ports already.
    #[error("ports cannot be published with `network_mode: host`")]
    HostNetwork,
    /// A container in another's network has that one's ports.
    #[error("ports cannot be published with the network of another container")]
    GuestNetwork,
}

impl PortError {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Taken { holder, .. } => Some(format!("choose another port, or stop `{holder}`")),
            Self::RangeExhausted { .. } => {
                Some("each replica takes a port of its own: widen the range, or lower the scale".into())
            }
            Self::GuestNetwork => Some("publish them where that network comes from".into()),
            Self::HostNetwork => {
                Some("take `ports` out: the container listens on the host's addresses".into())
            }
        }
    }
}

/// A container that wants ports of the host.
#[derive(Debug, Clone)]
pub(crate) struct Berth<'a> {
    /// Which container.
    pub(crate) instance: InstanceName,
    /// Its service: replicas share fixed ports.
    pub(crate) owner: (&'a ProjectName, &'a ServiceName),
    /// What it wants.
    pub(crate) ports: Vec<Port>,
    /// It has an address of IPv6 to be reached by from outside.
    pub(crate) has_ipv6: bool,
    /// What it has had.
    pub(crate) previous: &'a [PublishedPort],
}

/// A port of the host that leads to a container.
#[derive(Debug, Clone)]
pub(crate) struct Lead<'a> {
    /// The container.
    pub(crate) holder: ContainerName,
    /// Its service.
    pub(crate) owner: (&'a ProjectName, &'a ServiceName),
    /// The port.
    pub(crate) port: PublishedPort,
}

/// The ports of each container, in the order of its wishes.
pub(crate) type Published = BTreeMap<InstanceName, Vec<PublishedPort>>;

/// Ports of the host that are not to be given out.
#[derive(Debug)]
pub(crate) struct Occupied<'a> {
    /// Those that lead to containers.
    pub(crate) leads: Vec<Lead<'a>>,
    /// Those that somebody else listens on.
    pub(crate) busy: &'a [(Protocol, u16)],
    /// Those that containers at rest had.
    pub(crate) resting: BTreeSet<(Protocol, u16)>,
}

/// Gives ports to each berth, beside those that are `occupied`.
///
/// # Errors
/// All wishes that cannot be met.
pub(crate) fn allocate(occupied: Occupied<'_>, berths: &[Berth<'_>]) -> Result<Published, Vec<PlanError>> {
    let Occupied { leads, busy, resting } = occupied;
    let mut board = Board { leads: BTreeMap::new(), busy: busy.iter().copied().collect(), resting };
    leads.into_iter().for_each(|lead| board.note(lead));
    let mut given: BTreeMap<(&InstanceName, usize), Vec<PublishedPort>> = BTreeMap::new();
    let mut errors = Vec::new();
    for pass in [Board::take_fixed, Board::take_previous, Board::take_free] {
        for berth in berths {
            for (index, port) in berth.ports.iter().enumerate() {
                let key = (&berth.instance, index);
                if given.contains_key(&key) {
                    continue;
                }
                match pass(&mut board, berth, port) {
                    Ok(Some(published)) => _ = given.insert(key, published),
                    Ok(None) => {}
                    Err(error) => errors.push(PlanError::new(path(berth, index), error)),
                }
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut published = Published::new();
    for ((instance, _), ports) in given {
        published.entry(instance.clone()).or_default().extend(ports);
    }
    Ok(published)
}

fn path(berth: &Berth<'_>, index: usize) -> String {
    format!("services.{}.ports[{index}]", berth.owner.1)
}

/// Who has which port.
struct Board<'a> {
    leads: BTreeMap<(Protocol, u16), Vec<Lead<'a>>>,
    busy: BTreeSet<(Protocol, u16)>,
    resting: BTreeSet<(Protocol, u16)>,
}

impl<'a> Board<'a> {
    fn take_fixed(&mut self, berth: &Berth<'a>, port: &Port) -> Result<Option<Taken>, PortError> {
        let HostPort::Fixed(number) = port.published else { return Ok(None) };
        let wanted = published(port, number, berth.has_ipv6);
        let rival = |wanted: &PublishedPort| {
            let mut rivals = self.rivals(wanted);
            let rival = rivals.find(|lead| lead.owner != berth.owner || lead.port != *wanted);
            rival.map(|lead| lead.holder.clone())
        };
        match wanted.iter().find_map(rival) {
            Some(holder) => Err(PortError::Taken { port: number, protocol: port.target.protocol, holder }),
            None => Ok(Some(self.give(wanted, berth))),
        }
    }

    fn take_previous(&mut self, berth: &Berth<'a>, port: &Port) -> Result<Option<Taken>, PortError> {
        let in_range = |number: u16| match port.published {
            HostPort::Any => true,
            HostPort::Fixed(_) => false,
            HostPort::OneOf { first, last } => (first..=last).contains(&number),
        };
        let fits = |previous: &PublishedPort| {
            let wanted = published(port, previous.host_port, berth.has_ipv6);
            let is_free = |one: &PublishedPort| self.rivals(one).next().is_none();
            (in_range(previous.host_port) && wanted.contains(previous) && wanted.iter().all(is_free))
                .then_some(wanted)
        };
        let kept = berth.previous.iter().find_map(fits);
        Ok(kept.map(|kept| self.give(kept, berth)))
    }

    fn take_free(&mut self, berth: &Berth<'a>, port: &Port) -> Result<Option<Taken>, PortError> {
        let (ranges, begin) = match port.published {
            HostPort::Fixed(_) => return Ok(None),
            HostPort::Any => (OPEN_PORTS.to_vec(), begin(&berth.instance, port.target)),
            HostPort::OneOf { first, last } => (vec![first..=last], 0),
        };
        let protocol = port.target.protocol;
        let wanted = |number| published(port, number, berth.has_ipv6);
        let free = || {
            let numbers = ranges.iter().flat_map(|range| round(range.clone(), begin));
            numbers.filter(|number| self.is_free(protocol, *number, &wanted(*number)))
        };
        // What belongs to a container at rest is taken last: it would miss it at its next start.
        let number = free()
            .find(|number| !self.resting.contains(&(protocol, *number)))
            .or_else(|| free().next())
            .ok_or_else(|| exhausted(&ranges, protocol))?;
        Ok(Some(self.give(wanted(number), berth)))
    }

    fn is_free(&self, protocol: Protocol, number: u16, wanted: &[PublishedPort]) -> bool {
        !self.busy.contains(&(protocol, number)) && wanted.iter().all(|one| self.rivals(one).next().is_none())
    }

    /// Returns those who have the same port on an address that is also wanted.
    fn rivals(&self, wanted: &PublishedPort) -> impl Iterator<Item = &Lead<'a>> {
        let key = (wanted.target.protocol, wanted.host_port);
        let host_ip = wanted.host_ip;
        self.leads.get(&key).into_iter().flatten().filter(move |lead| meet(lead.port.host_ip, host_ip))
    }

    fn give(&mut self, ports: Taken, berth: &Berth<'a>) -> Taken {
        for port in &ports {
            self.note(Lead { holder: berth.instance.clone(), owner: berth.owner, port: *port });
        }
        ports
    }

    fn note(&mut self, lead: Lead<'a>) {
        let key = (lead.port.target.protocol, lead.port.host_port);
        self.leads.entry(key).or_default().push(lead);
    }
}

/// What one wish comes to: the same port on each address that is meant.
type Taken = Vec<PublishedPort>;

/// Returns the ports of the host that `port` means with the number `host_port`. Without an address it means all, of
/// both versions of IP; SCTP cannot be passed on between them.
fn published(port: &Port, host_port: u16, has_ipv6: bool) -> Taken {
    let all_ipv6 = Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
        .filter(|_| has_ipv6 || port.target.protocol != Protocol::Sctp);
    let all = [Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), all_ipv6];
    let addresses = port.host_ip.map_or_else(|| all.to_vec(), |ip| vec![Some(ip)]);
    let target = port.target;
    addresses.into_iter().flatten().map(|host_ip| PublishedPort { host_ip, host_port, target }).collect()
}

/// Tells whether a connection could mean either address: they are the same, or one is all of their version.
fn meet(a: IpAddr, b: IpAddr) -> bool {
    a == b || a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified())
}

fn begin(instance: &InstanceName, target: ContainerPort) -> u32 {
    digest::number(&[instance.as_str(), &target.to_string()])
}

fn exhausted(ranges: &[RangeInclusive<u16>], protocol: Protocol) -> PortError {
    let first = ranges.iter().map(|range| *range.start()).min().unwrap_or_default();
    let last = ranges.iter().map(|range| *range.end()).max().unwrap_or_default();
    PortError::RangeExhausted { first, last, protocol }
}

/// Returns the numbers of `range`, from the one that `begin` points to and round.
fn round(range: RangeInclusive<u16>, begin: u32) -> impl Iterator<Item = u16> {
    let (first, count) = (*range.start(), range.len() as u32);
    (0..count).map(move |step| first + (begin.wrapping_add(step) % count) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Wish {
        instance: &'static str,
        service: &'static str,
        ports: Vec<Port>,
        previous: Vec<PublishedPort>,
    }

    fn target(number: u16) -> ContainerPort {
        ContainerPort { protocol: Protocol::Tcp, number }
    }

    fn port(published: HostPort) -> Port {
        Port { target: target(80), published, host_ip: None }
    }

    fn wish(instance: &'static str, ports: &[Port]) -> Wish {
        let service = instance.split('-').next().unwrap_or(instance);
        Wish { instance, service, ports: ports.to_vec(), previous: Vec::new() }
    }

    fn give(busy: &[(Protocol, u16)], wishes: &[Wish]) -> Result<Vec<Vec<u16>>, Vec<String>> {
        give_beside(busy, &[], wishes)
    }

    fn give_beside(
        busy: &[(Protocol, u16)],
        resting: &[u16],
        wishes: &[Wish],
    ) -> Result<Vec<Vec<u16>>, Vec<String>> {
        let project: ProjectName = "shop".parse().unwrap();
        let services: Vec<ServiceName> = wishes.iter().map(|wish| wish.service.parse().unwrap()).collect();
        let berths: Vec<Berth<'_>> = wishes
            .iter()
            .zip(&services)
            .map(|(wish, service)| Berth {
                instance: wish.instance.parse().unwrap(),
                owner: (&project, service),
                ports: wish.ports.clone(),
                has_ipv6: false,
                previous: &wish.previous,
            })
            .collect();
        let resting = resting.iter().map(|number| (Protocol::Tcp, *number)).collect();
        match allocate(Occupied { leads: Vec::new(), busy, resting }, &berths) {
            Ok(published) => Ok(berths.iter().map(|berth| numbers(&published[&berth.instance])).collect()),
            Err(errors) => Err(errors.iter().map(PlanError::to_string).collect()),
        }
    }

    /// Returns the numbers of ports, those of both versions of IP once.
    fn numbers(ports: &[PublishedPort]) -> Vec<u16> {
        let mut numbers: Vec<u16> = ports.iter().map(|port| port.host_port).collect();
        numbers.dedup();
        numbers
    }

    #[test]
    fn a_port_without_an_address_is_one_of_both_versions_of_ip() {
        let shown = |host_ip: Option<&str>, protocol: Protocol| -> Vec<String> {
            let target = ContainerPort { protocol, number: 80 };
            let host_ip = host_ip.map(|ip| ip.parse().unwrap());
            let port = Port { target, published: HostPort::Fixed(8080), host_ip };
            published(&port, 8080, false).iter().map(ToString::to_string).collect()
        };
        assert_eq!(shown(None, Protocol::Tcp), ["0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp"]);
        assert_eq!(shown(Some("0.0.0.0"), Protocol::Udp), ["0.0.0.0:8080->80/udp"]);
        assert_eq!(shown(Some("::1"), Protocol::Tcp), ["[::1]:8080->80/tcp"]);
        assert_eq!(shown(None, Protocol::Sctp), ["0.0.0.0:8080->80/sctp"]);
    }

    #[test]
    fn replicas_share_a_fixed_port_and_services_do_not() {
        let fixed = [port(HostPort::Fixed(8080))];
        assert_eq!(give(&[], &[wish("web-1", &fixed), wish("web-2", &fixed)]).unwrap(), [[8080], [8080]]);
        assert_eq!(
            give(&[], &[wish("web-1", &fixed), wish("api-1", &fixed)]).unwrap_err(),
            ["services.api.ports[0]: host port 8080/tcp is published by `web-1` already"]
        );
    }

    #[test]
    fn one_port_may_lead_to_two_services_on_two_addresses() {
        let on = |ip: &str| [Port { host_ip: Some(ip.parse().unwrap()), ..port(HostPort::Fixed(80)) }];
        assert!(give(&[], &[wish("web-1", &on("127.0.0.1")), wish("api-1", &on("127.0.0.2"))]).is_ok());
        assert!(give(&[], &[wish("web-1", &on("0.0.0.0")), wish("api-1", &on("127.0.0.2"))]).is_err());
        assert!(give(&[], &[wish("web-1", &on("0.0.0.0")), wish("api-1", &on("::1"))]).is_ok());
        assert!(give(&[], &[wish("web-1", &on("::")), wish("api-1", &on("::1"))]).is_err());
    }

    #[test]
    fn each_replica_takes_its_own_of_a_range_until_it_ends() {
        let range = [port(HostPort::OneOf { first: 9000, last: 9001 })];
        let wishes = ["web-1", "web-2", "web-3"].map(|name| wish(name, &range));
        assert_eq!(give(&[], &wishes[..2]).unwrap(), [[9000], [9001]]);
        assert_eq!(
            give(&[], &wishes).unwrap_err(),
            ["services.web.ports[0]: no host port is free in 9000-9001/tcp"]
        );
    }

    #[test]
    fn an_open_port_is_kept_and_a_new_one_is_not_busy_and_the_same_again() {
        let open = [port(HostPort::Any)];
        let first = give(&[], &[wish("web-1", &open)]).unwrap()[0][0];
        assert!(first >= 61_000, "{first}");
        assert_eq!(give(&[], &[wish("web-1", &open)]).unwrap(), [[first]]);
        let busy = [(Protocol::Tcp, first)];
        assert_ne!(give(&busy, &[wish("web-1", &open)]).unwrap(), [[first]]);
        // A port that the container has is busy because the container has it.
        let mut kept = wish("web-1", &open);
        kept.previous = vec![PublishedPort {
            host_ip: Ipv4Addr::UNSPECIFIED.into(),
            host_port: first,
            target: target(80),
        }];
        assert_eq!(give(&busy, &[kept]).unwrap(), [[first]]);
    }

    #[test]
    fn a_port_of_a_container_at_rest_is_taken_last() {
        let range = [port(HostPort::OneOf { first: 9000, last: 9001 })];
        let wishes = ["web-1", "web-2"].map(|name| wish(name, &range));
        assert_eq!(give_beside(&[], &[9000], &wishes).unwrap(), [[9001], [9000]]);
    }
}
