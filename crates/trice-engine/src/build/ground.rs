//! The network of builds, as the loop keeps it: made for the first step that needs it, gone with the last build.
//!
//! ```text
//! Absent ──first step──► Making ──► There ──last build over──► Absent, and its bridge is on its way out
//!                                     └── step ──► Place, with names answered ──dropped──► off again
//! ```
//!
//! Nothing of it outlives an engine: the next one finds the record of the network and has it go, and the namespaces of
//! steps go with their processes. So the keeper holds none of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use trice_api::fault::{Code, Fault};
use trice_dns::server::Serving;
use trice_model::network::{InstanceName, InstanceSpec};
use trice_network::instance::{self, Connected};
use trice_network::nftables::TableOwner;
use trice_plan::building;

use crate::engine::{Destination, Engine};
use crate::event::Event;
use crate::failure;
use crate::observe;
use crate::perform::{self, Outcome};

/// What the loop knows of the network of builds.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    /// How many builds are being carried out.
    pub(crate) builds: usize,
    /// The network or who is on it has changed in this turn.
    pub(crate) changed: bool,
    bridge: Bridge,
    /// Steps that wait for the bridge.
    waiting: Vec<Asked>,
    /// Those whose namespaces are being made.
    connecting: BTreeMap<InstanceName, Reply>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Bridge {
    #[default]
    Absent,
    Making,
    There,
}

type Reply = oneshot::Sender<Result<Place, Fault>>;

/// A step that wants a place.
#[derive(Debug)]
struct Asked {
    step: InstanceName,
    guarded: bool,
    reply: Reply,
}

/// A step's place on the network, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// Its namespace.
    pub(crate) namespace: OwnedFd,
    spec: InstanceSpec,
    _serving: Option<Serving>,
    rules: Option<TableOwner>,
    events: UnboundedSender<Event>,
}

impl Place {
    /// Returns the host's address on the network.
    pub(crate) fn gateway(&self) -> IpAddr {
        let gateway = self.spec.endpoints.iter().find_map(|end| end.gateway);
        gateway.unwrap_or(Ipv4Addr::LOCALHOST).into()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for end in &self.spec.endpoints {
            // Its address is given out again, and nobody else is to answer for it then.
            if let Err(error) = instance::cut_off(end) {
                let error = &error as &dyn std::error::Error;
                tracing::error!(step = %self.spec.name, error, "take a step off its network");
            }
        }
        let _ = self.events.send(Event::PlaceLeft(self.spec.name.clone()));
        // The kernel forgets the rules at the end of their socket, and takes as long for that as for all the rest.
        let _ = self.rules.take().map(TableOwner::close_aside);
    }
}

impl Engine {
    /// Takes in that a step wants a place.
    pub(crate) fn place_step(&mut self, step: InstanceName, guarded: bool, reply: Reply) {
        let asked = Asked { step, guarded, reply };
        match self.ground.bridge {
            Bridge::There => self.connect_step(asked),
            Bridge::Making => self.ground.waiting.push(asked),
            Bridge::Absent => {
                self.ground.waiting.push(asked);
                // That of former builds must have gone.
                if !self.world.leaving.contains(&building::network_name()) {
                    self.make_ground();
                }
            }
        }
    }

    fn make_ground(&mut self) {
        let chosen =
            observe::look_at_host(&mut self.world, &self.backends, &mut self.tables).and_then(|()| {
                let chosen = building::network(&self.world.found, &self.backends.realm);
                chosen.map_err(|error| failure::of("make the network of builds", &error))
            });
        match chosen {
            Ok(spec) => {
                self.world.found.building.network = Some(spec.clone());
                self.ground.bridge = Bridge::Making;
                self.ground.changed = true;
                self.jobs.push((perform::create_network(spec), Destination::Ground));
            }
            Err(fault) => self.refuse_steps(&fault),
        }
    }

    fn refuse_steps(&mut self, fault: &Fault) {
        for asked in std::mem::take(&mut self.ground.waiting) {
            // Whoever asked may have gone.
            let _ = asked.reply.send(Err(fault.clone()));
        }
    }

    /// Takes in that the network is there, or could not be made.
    pub(crate) fn ground_made(&mut self, result: Result<Outcome, Fault>) {
        self.ground.bridge = Bridge::There;
        match result {
            Ok(_) => {
                for asked in std::mem::take(&mut self.ground.waiting) {
                    self.connect_step(asked);
                }
            }
            Err(fault) => {
                self.refuse_steps(&fault);
                // There may be half of it.
                return self.let_ground_go();
            }
        }
        if self.ground.builds == 0 {
            self.let_ground_go();
        }
    }

    fn connect_step(&mut self, Asked { step, guarded, reply }: Asked) {
        let found = &self.world.found;
        let Some(network) = found.building.network.as_ref() else {
            let _ = reply.send(Err(Fault::new(Code::Internal, "the network of builds is gone")));
            return;
        };
        let place = (&step, guarded);
        match building::step(found, network, place, &self.backends.realm, &mut self.ids) {
            Ok(spec) => {
                self.world.found.building.steps.insert(step.clone(), spec.clone());
                self.ground.changed = true;
                self.ground.connecting.insert(step.clone(), reply);
                self.jobs.push((perform::connect_step(spec), Destination::Place(step)));
            }
            Err(errors) => {
                let fault = errors.first().map(failure::of_plan);
                let fault = fault.unwrap_or_else(|| Fault::new(Code::Internal, "no address for a step"));
                let _ = reply.send(Err(fault));
            }
        }
    }

    /// Takes in that a step has a namespace, or that none could be made.
    pub(crate) fn place_made(&mut self, step: &InstanceName, result: Result<Outcome, Fault>) {
        let Some(reply) = self.ground.connecting.remove(step) else { return };
        let place = result.and_then(|outcome| match outcome {
            Outcome::Connected(connected) => self.furnish(step, *connected),
            _ => Err(Fault::new(Code::Internal, "a step was put on no network")),
        });
        if place.is_err() {
            self.place_left(step);
        }
        // Who has gone drops it, which is told.
        let _ = reply.send(place);
    }

    /// Has names answered in a step's namespace.
    fn furnish(&mut self, step: &InstanceName, connected: Connected) -> Result<Place, Fault> {
        let spec = self.world.found.building.steps.get(step).cloned();
        let spec = spec.ok_or_else(|| Fault::new(Code::Internal, "a step has left its network"))?;
        let (mut serving, mut rules) = (None, None);
        if let Some(dns) = connected.dns {
            let served = self.backends.names.serve(step.clone(), dns.udp, dns.tcp);
            serving = Some(served.map_err(|error| failure::of("connect a step", &error))?);
            rules = Some(dns.rules);
        }
        let (namespace, events) = (connected.namespace, self.events.clone());
        Ok(Place { namespace, spec, _serving: serving, rules, events })
    }

    /// Takes in that a step is off the network.
    pub(crate) fn place_left(&mut self, step: &InstanceName) {
        if let Some(spec) = self.world.found.building.steps.remove(step) {
            self.let_links_go(&spec);
        }
        self.ground.changed = true;
    }

    /// Takes in that a build is over.
    pub(crate) fn build_over(&mut self) {
        self.ground.builds -= 1;
        if self.ground.builds == 0 && self.ground.bridge == Bridge::There {
            self.let_ground_go();
        }
    }

    fn let_ground_go(&mut self) {
        self.ground.bridge = Bridge::Absent;
        self.ground.changed = true;
        if let Some(spec) = self.world.found.building.network.take() {
            self.remove_bridge(spec);
        }
    }

    /// Takes in that the bridge of former builds has gone.
    pub(crate) fn ground_gone(&mut self) {
        if !self.ground.waiting.is_empty() && self.ground.bridge == Bridge::Absent {
            self.make_ground();
        }
    }
}
