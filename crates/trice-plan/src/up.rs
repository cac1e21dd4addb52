//! A project comes up: what its files say becomes what is there.
//!
//! ```text
//! services ─► places ─► networks ─► images here? ─no─► fetch, look, plan again
//!                                      │yes
//!             instances, ports ◄───────┘
//!                 └─► containers ─► fates ─► changes ─► steps
//! ```
//!
//! Source: docker/compose `pkg/compose/create.go` and `convergence.go` for what users are used to.

use std::collections::{BTreeMap, BTreeSet};

use trice_model::container::ObservedContainer;
use trice_model::id::Ids;
use trice_model::mount::MountSource;
use trice_model::name::{Key, ServiceName};
use trice_model::network::{InstanceName, InstanceSpec, NetworkSpec};
use trice_model::port::{Port, PublishedPort};
use trice_model::project::Project;
use trice_model::service::{Condition, PublishMode, Service};
use trice_model::time::Timestamp;

use crate::address::{self, Addresses, Held};
use crate::bystander::{self, Bystanders};
use crate::converge::{Convergence, Taken};
use crate::fetch;
use crate::follow;
use crate::found::{self, Found};
use crate::instance::{self, Making};
use crate::lower::{self, Lowered, Lowering};
use crate::mistake::{Mistakes, PlanError};
use crate::network::{self, NetworkError, Networks};
use crate::order::{self, OrderError};
use crate::place::{self, Home, Place, Places};
use crate::plan::Plan;
use crate::port::{self, Berth, Lead, Occupied, PortError, Published};
use crate::realm::Realm;
use crate::subnet;
use crate::volume::{self, VolumeError, Volumes};
use crate::weave;
use trice_model::intent::UpOptions;

/// Plans an `up`.
///
/// # Errors
/// All mistakes at once.
pub(crate) fn plan(
    project: &Project,
    options: &UpOptions,
    found: &Found,
    realm: &Realm,
    asked_at: Timestamp,
    ids: &mut Ids,
) -> Result<Plan, Vec<PlanError>> {
    let services = order::selection(project, &options.services, options.no_deps)?;
    let mut places = place::replicas(project, &services, options, found)?;
    places.add_cut_off(project, found, asked_at);
    plan_places(&Wish { project, options, found, realm, asked_at }, &services, places, ids)
}

/// What is asked for, and what is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// The project.
    pub(crate) project: &'a Project,
    /// How it comes up.
    pub(crate) options: &'a UpOptions,
    /// What is there.
    pub(crate) found: &'a Found,
    /// The engine.
    pub(crate) realm: &'a Realm,
    /// When it was asked for.
    pub(crate) asked_at: Timestamp,
}

/// Plans so that the places of `services` are taken as they should be.
///
/// # Errors
/// All mistakes at once.
pub(crate) fn plan_places(
    wish: &Wish<'_>,
    services: &[ServiceName],
    places: Places<'_>,
    ids: &mut Ids,
) -> Result<Plan, Vec<PlanError>> {
    let (networks, volumes) = objects(wish, services, &places)?;
    let made = places.places.iter().filter(|place| place.kept().is_none());
    let wanted = made.map(|place| (place.service_name, place.service));
    if let Some(mut fetches) = fetch::plan(wanted, wish.found, wish.asked_at)? {
        fetches.notes.extend(places.notes);
        return Ok(fetches);
    }
    let bystanders = bystander::look(&wish.project.name, wish.found, &places, &networks);
    let (addresses, published, port_notes) = allocate(wish, &places, &networks, &bystanders)?;
    let (taken, seat_notes) = seat(wish, places.places, &networks, &addresses, &published, ids)?;
    let leaving = places.leaving;
    let convergence =
        Convergence { wish, networks: &networks, addresses: &addresses, taken, leaving, bystanders };
    let mut changes = convergence.changes(volumes.missing, ids);
    let overlaps = subnet::overlapped_routes(wish.found);
    let notes = [places.notes, networks.notes.clone(), volumes.notes, port_notes, seat_notes, overlaps];
    changes.notes = notes.concat();
    Ok(weave::weave(changes))
}

/// Works out networks and volumes, and what else can be checked without the images.
fn objects(
    wish: &Wish<'_>,
    services: &[ServiceName],
    places: &Places<'_>,
) -> Result<(Networks, Volumes), Vec<PlanError>> {
    let mut mistakes = Mistakes::default();
    places.name_conflicts(wish.found).into_iter().for_each(|error| mistakes.add(error));
    let named = || services.iter().filter_map(|name| wish.project.services.get(name));
    let selected = || named().chain(places.places.iter().map(|place| place.service));
    let network_keys: BTreeSet<Key> =
        selected().flat_map(|service| service.networks.keys().cloned()).collect();
    let volume_keys: BTreeSet<Key> =
        selected().flat_map(|service| &service.volumes).filter_map(|mount| key_of(&mount.source)).collect();
    for place in &places.places {
        check_keys(wish.project, place, &mut mistakes);
    }
    let networks = mistakes.sift(network::wanted(wish.project, &network_keys, wish.found, wish.realm));
    let volumes = mistakes.sift(volume::wanted(wish.project, &volume_keys, wish.found, wish.realm));
    mistakes.done()?;
    Ok((networks.unwrap_or_default(), volumes.unwrap_or_default()))
}

fn key_of(source: &MountSource) -> Option<Key> {
    match source {
        MountSource::Volume { key, .. } => key.clone(),
        MountSource::Bind(_) | MountSource::Tmpfs(_) | MountSource::Image { .. } => None,
    }
}

/// Checks that what a service names is defined, and that it does not want what excludes each other.
fn check_keys(project: &Project, place: &Place<'_>, mistakes: &mut Mistakes) {
    let (service, path) = (place.service, format!("services.{}", place.service_name));
    for key in service.networks.keys().filter(|key| !project.networks.contains_key(*key)) {
        let error = NetworkError::Undefined { key: key.clone() };
        mistakes.add(PlanError::new(format!("{path}.networks.{key}"), error));
    }
    for (index, mount) in service.volumes.iter().enumerate() {
        if let Some(key) = key_of(&mount.source).filter(|key| !project.volumes.contains_key(key)) {
            mistakes.add(PlanError::new(format!("{path}.volumes[{index}]"), VolumeError::Undefined { key }));
        }
    }
    if place.publishes && !service.ports.is_empty() {
        let error = match place.home {
            Home::Own => None,
            Home::Host => Some(PortError::HostNetwork),
            Home::Guest(_) => Some(PortError::GuestNetwork),
        };
        mistakes_of(&format!("{path}.ports"), error, mistakes);
    }
}

fn mistakes_of(path: &str, error: Option<PortError>, mistakes: &mut Mistakes) {
    error.into_iter().for_each(|error| mistakes.add(PlanError::new(path, error)));
}

/// Gives out addresses and ports of the host.
fn allocate(
    wish: &Wish<'_>,
    places: &Places<'_>,
    networks: &Networks,
    bystanders: &Bystanders<'_>,
) -> Result<(Addresses, Published, Vec<String>), Vec<PlanError>> {
    let mut mistakes = Mistakes::default();
    let addresses = mistakes.sift(allocate_addresses(wish, places, networks, bystanders));
    let mut notes = BTreeSet::new();
    let berths = berths(wish, places, networks, &mut notes);
    let published = mistakes.sift(port::allocate(occupied(wish, places), &berths));
    mistakes.done()?;
    Ok((addresses.unwrap_or_default(), published.unwrap_or_default(), notes.into_iter().collect()))
}

fn allocate_addresses(
    wish: &Wish<'_>,
    places: &Places<'_>,
    networks: &Networks,
    bystanders: &Bystanders<'_>,
) -> Result<Addresses, Vec<PlanError>> {
    let mut seats: Vec<_> =
        places.places.iter().flat_map(|place| instance::seats(place, networks, wish.found)).collect();
    let moved = networks.moved(wish.found);
    for bystander in &bystanders.moving {
        seats.extend(instance::seats_of(&bystander.spec, &moved));
    }
    // Whoever gets an address here, or goes, gives the old one back.
    let vacating: BTreeSet<InstanceName> = seats
        .iter()
        .map(|seat| &seat.instance)
        .chain(bystanders.leaving.iter().map(|leaver| &leaver.spec.name))
        .cloned()
        .collect();
    let held: Vec<Held> = wish
        .found
        .instances
        .values()
        .flat_map(|there| there.spec.endpoints.iter().map(move |endpoint| (&there.spec.name, endpoint)))
        .flat_map(|(name, endpoint)| endpoint.addresses().map(move |address| (name, endpoint, address)))
        .map(|(name, endpoint, address)| Held {
            instance: name.clone(),
            network: endpoint.network.clone(),
            address,
            // What somebody connected by hand to a network that stays is not asked for again.
            leaving: vacating.contains(name)
                && (endpoint.by_hand.is_none() || moved.contains_key(&endpoint.network)),
        })
        .collect();
    address::allocate(&networks.by_name(), &held, &seats)
}

/// Returns the wishes for ports of the host. Where no network leads out none can be met, and that is only
/// told: the same file does the same with others.
fn berths<'a>(
    wish: &Wish<'a>,
    places: &'a Places<'_>,
    networks: &Networks,
    notes: &mut BTreeSet<String>,
) -> Vec<Berth<'a>> {
    let mut berths = Vec::new();
    let wishing =
        |place: &&Place<'_>| place.publishes && place.kept().is_none() && !place.service.ports.is_empty();
    for place in places.places.iter().filter(wishing) {
        let attached = || place.service.networks.keys().filter_map(|key| networks.specs.get(key));
        let leads_in = |network: &&NetworkSpec| !network.internal && network.medium.bridge().is_some();
        if place.home != Home::Own || !attached().any(|network| leads_in(&network)) {
            notes.insert(format!(
                "ports of `{}` are not published: it is on no network with a way out",
                place.service_name
            ));
            continue;
        }
        let binding = attached().filter(leads_in).find_map(|network| network.host_binding);
        let bound = |port: &Port| Port { host_ip: port.host_ip.or(binding), ..port.clone() };
        let ports: Vec<Port> = place.service.ports.iter().map(bound).collect();
        notes.extend(exposure(place, &ports, &wish.found.host.firewalls));
        berths.push(Berth {
            instance: place.name.clone(),
            owner: (&wish.project.name, place.service_name),
            ports,
            has_ipv6: attached().filter(leads_in).any(|network| network.ipv6.is_some()),
            previous: place.old.map_or(&[], |old| &old.spec.published),
        });
    }
    berths
}

/// Tells of ports that everybody reaches though a packet filter of the host turns away what nobody asked for: what
/// goes to containers never comes by it.
fn exposure(place: &Place<'_>, ports: &[Port], firewalls: &[String]) -> Option<String> {
    let open: Vec<String> = ports
        .iter()
        .filter(|port| port.host_ip.is_none_or(|ip| ip.is_unspecified()))
        .map(|port| port.target.to_string())
        .collect();
    let is_direct = place.service.publish == PublishMode::Direct;
    (is_direct && !open.is_empty() && !firewalls.is_empty()).then(|| {
        format!(
            "everybody who reaches this machine reaches {} of `{}`, past the rules of {}: publish on 127.0.0.1, or \
             write `x-trice: {{publish: respect-firewall}}`",
            open.join(", "),
            place.service_name,
            firewalls.join(", ")
        )
    })
}

/// Returns the ports of the host that belong to others, and to containers that this plan leaves alone.
fn occupied<'a>(wish: &Wish<'a>, places: &Places<'_>) -> Occupied<'a> {
    // What is at rest and not made again is started with the ports that it has.
    let kept = places.places.iter().filter_map(Place::kept);
    let cut_off = follow::cut_off(&wish.project.name, wish.found, wish.asked_at);
    let kept: BTreeSet<_> = kept.chain(cut_off).map(|container| &container.spec.id).collect();
    let ours: BTreeSet<_> = places.going().map(|container| &container.spec.id).collect();
    let others = wish.found.containers.values().filter(|container| !ours.contains(&container.spec.id));
    let (resting, active): (Vec<_>, Vec<_>) = others
        .flat_map(|container| container.spec.published.iter().map(move |port| (container, *port)))
        .partition(|(container, _)| found::is_at_rest(container) && !kept.contains(&container.spec.id));
    let lead = |(container, port): (&'a ObservedContainer, PublishedPort)| Lead {
        holder: container.spec.name.clone(),
        owner: (&container.spec.project, &container.spec.service),
        port,
    };
    Occupied {
        leads: active.into_iter().map(lead).collect(),
        busy: &wish.found.host.busy_ports,
        resting: resting.into_iter().map(|(_, port)| (port.target.protocol, port.host_port)).collect(),
    }
}

/// Makes instances and containers for all places, and notes what the user should know.
fn seat<'a>(
    wish: &Wish<'_>,
    places: Vec<Place<'a>>,
    networks: &Networks,
    addresses: &Addresses,
    published: &Published,
    ids: &mut Ids,
) -> Result<(Vec<Taken<'a>>, Vec<String>), Vec<PlanError>> {
    let mut mistakes = Mistakes::default();
    let notes = if wish.options.no_deps { Vec::new() } else { check_probes(wish, &places, &mut mistakes) };
    let mut taken = Vec::new();
    let moved = networks.moved(wish.found);
    let making = Making { project: wish.project, networks, found: wish.found, addresses, realm: wish.realm };
    let instances: Vec<Option<InstanceSpec>> = places
        .iter()
        .map(|place| {
            place.own_instance()?;
            let there = place.kept().and_then(|kept| wish.found.instance_of(kept));
            match there {
                Some(there) => Some(instance::reseated(&there.spec, &moved, addresses, wish.realm, ids)),
                None => instance::wanted(place, &making, ids),
            }
        })
        .collect();
    let by_name: BTreeMap<InstanceName, InstanceSpec> =
        instances.iter().flatten().map(|instance| (instance.name.clone(), instance.clone())).collect();
    for (place, instance) in places.into_iter().zip(instances) {
        if let Some(kept) = place.kept() {
            let container = kept.spec.clone();
            taken.push(Taken { place, instance, container, volumes: Vec::new() });
            continue;
        }
        // Only places whose images are here get this far: a plan that fetches ends before.
        let Some(image) = wish.found.images.get(&place.service.own_image()) else { continue };
        let there = |name| wish.found.instances.get(name).map(|there| &there.spec);
        let lowering = Lowering {
            project: wish.project,
            place: &place,
            image,
            instance: place.instance_name().and_then(|name| by_name.get(name).or_else(|| there(name))),
            found: wish.found,
            networks: &networks.specs,
            published: published.get(&place.name).cloned().unwrap_or_default(),
            renew_volumes: wish.options.renew_anonymous_volumes,
            realm: wish.realm,
        };
        if let Some(Lowered { container, volumes }) = mistakes.sift(lower::lower(&lowering, ids)) {
            taken.push(Taken { place, instance, container, volumes });
        }
    }
    mistakes.done()?;
    Ok((taken, notes))
}

/// Checks that a service that is waited for until it is healthy has a probe.
fn check_probes(wish: &Wish<'_>, places: &[Place<'_>], mistakes: &mut Mistakes) -> Vec<String> {
    let has_probe = |service: &Service| {
        let image = wish.found.images.get(&service.own_image());
        let theirs = image.and_then(|image| image.config.healthcheck.as_ref());
        lower::health::lower(service.healthcheck.as_ref(), theirs).is_some()
    };
    let services: BTreeMap<&ServiceName, &Service> =
        places.iter().map(|place| (place.service_name, place.service)).collect();
    let mut notes = Vec::new();
    for (name, service) in &services {
        for (needed, dependency) in &service.depends_on {
            let is_blind = services.get(needed).is_some_and(|needed| !has_probe(needed));
            if dependency.condition != Condition::ServiceHealthy || !is_blind {
                continue;
            }
            let error = OrderError::NoProbe { service: needed.clone() };
            if dependency.required {
                mistakes.add(PlanError::new(format!("services.{name}.depends_on.{needed}.condition"), error));
            } else {
                notes.push(format!("`{name}` does not wait for `{needed}`: {error}"));
            }
        }
    }
    notes
}
