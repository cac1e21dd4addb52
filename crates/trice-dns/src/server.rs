//! The sockets of all instances, and the one table that they read.
//!
//! ```text
//! serve(instance, udp, tcp) ──► Serving            dropped: its loops, connections and questions end
//! replace(table) ──► Arc<Table> ──► each packet reads the whole of one table
//! ```
//!
//! A datagram that the table answers is answered in its instance's loop; one that must be forwarded waits in
//! a task of its own, within the limits of [`Settings`]. Beyond them the answer is REFUSED, which makes
//! resolvers ask elsewhere.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, net};

use hickory_proto::op::{Message, ResponseCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use trice_model::dns::NameTable;
use trice_model::network::InstanceName;

use crate::exchange::Outgoing;
use crate::forward::{Route, forward};
use crate::react::{Reaction, react};
use crate::reply::{self, Transport};
use crate::settings::Settings;
use crate::sockets::{InstanceSockets, Origin};
use crate::table::Table;

mod tcp;
mod udp;

/// Answers for all instances of one table.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// Answers one instance, until it is dropped.
#[derive(Debug)]
#[must_use = "the instance is answered until this is dropped"]
pub struct Serving {
    /// The loops; their own tasks end with them.
    _loops: JoinSet<()>,
}

/// Why an instance cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The runtime does not take one of its sockets.
    #[error("answer names of instance `{instance}`")]
    Adopt {
        /// The instance.
        instance: InstanceName,
        /// What the kernel says.
        source: io::Error,
    },
}

/// What all instances share.
struct Shared {
    table: watch::Sender<Arc<Table>>,
    upstreams: watch::Sender<Vec<IpAddr>>,
    sockets: Arc<dyn InstanceSockets>,
    settings: Settings,
    in_flight: Arc<Semaphore>,
    seed: AtomicU64,
}

impl Server {
    /// Makes a server with an empty table. `upstreams` are the host's resolvers.
    pub fn new(upstreams: Vec<IpAddr>, sockets: impl InstanceSockets) -> Self {
        Self::with_settings(upstreams, sockets, Settings::default())
    }

    /// Makes a server with other limits than the usual ones.
    pub fn with_settings(upstreams: Vec<IpAddr>, sockets: impl InstanceSockets, settings: Settings) -> Self {
        let shared = Shared {
            table: watch::Sender::new(Arc::default()),
            upstreams: watch::Sender::new(upstreams),
            sockets: Arc::new(sockets),
            in_flight: Arc::new(Semaphore::new(settings.in_flight)),
            settings,
            seed: AtomicU64::new(rand::random()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Puts another table in the place of the present one. Each packet is answered from one of them, never
    /// from both.
    pub fn replace(&self, table: &NameTable) {
        self.shared.table.send_replace(Arc::new(Table::compile(table)));
    }

    /// Asks other resolvers from now on for instances that name none of their own.
    pub fn set_upstreams(&self, upstreams: Vec<IpAddr>) {
        self.shared.upstreams.send_replace(upstreams);
    }

    /// Answers what comes in through the sockets of `instance`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ServeError::Adopt`] if the sockets are not of the kernel's usual kind.
    pub fn serve(
        &self,
        instance: InstanceName,
        udp: net::UdpSocket,
        tcp: net::TcpListener,
    ) -> Result<Serving, ServeError> {
        let adopted = udp.set_nonblocking(true).and_then(|()| tcp.set_nonblocking(true)).and_then(|()| {
            Ok((tokio::net::UdpSocket::from_std(udp)?, tokio::net::TcpListener::from_std(tcp)?))
        });
        let (udp, tcp) =
            adopted.map_err(|source| ServeError::Adopt { instance: instance.clone(), source })?;
        let client = Arc::new(Client {
            in_flight: Arc::new(Semaphore::new(self.shared.settings.in_flight_per_instance)),
            shared: Arc::clone(&self.shared),
            instance,
        });
        let mut loops = JoinSet::new();
        loops.spawn(udp::answer_datagrams(Arc::clone(&client), udp));
        loops.spawn(tcp::answer_connections(client, tcp));
        Ok(Serving { _loops: loops })
    }
}

/// An instance whose questions are answered.
struct Client {
    shared: Arc<Shared>,
    instance: InstanceName,
    in_flight: Arc<Semaphore>,
}

/// What follows a packet.
enum Step {
    /// Nothing.
    Drop,
    /// Send this.
    Reply(Vec<u8>),
    /// Wait for a resolver.
    Forward(Pending),
}

/// A question for a resolver, with its place among those in flight.
struct Pending {
    message: Box<Message>,
    asked: Outgoing,
    route: Route,
    _places: [OwnedSemaphorePermit; 2],
}

impl Client {
    /// Decides what follows a packet, without waiting.
    fn step(&self, packet: &[u8], transport: Transport) -> Step {
        let table = Arc::clone(&self.shared.table.borrow());
        let view = table.view(&self.instance);
        let seed = self.shared.seed.fetch_add(1, Ordering::Relaxed);
        let message = match react(packet, view, transport, seed) {
            Reaction::Drop => return Step::Drop,
            Reaction::Reply(bytes) => return Step::Reply(bytes),
            Reaction::Forward(message) => message,
        };
        let Some(places) = self.places() else {
            let refusal = reply::refusal(&message, ResponseCode::Refused, transport);
            return refusal.map_or(Step::Drop, Step::Reply);
        };
        let own = view.map_or(&[][..], |view| view.servers());
        let route = self.route(own);
        let room = message.max_payload().max(reply::DATAGRAM);
        let asked = Outgoing { query: packet.to_vec(), room, client: transport };
        Step::Forward(Pending { message, asked, route, _places: places })
    }

    /// Takes a place among this instance's questions in flight, and one among those of all.
    fn places(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = Arc::clone(&self.in_flight).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.shared.in_flight).try_acquire_owned().ok()?;
        Some([own, all])
    }

    /// Returns the way to the instance's `own` servers, or else to the host's.
    fn route(&self, own: &[IpAddr]) -> Route {
        if own.is_empty() {
            Route { origin: Origin::Engine, servers: self.shared.upstreams.borrow().clone() }
        } else {
            Route { origin: Origin::Instance(self.instance.clone()), servers: own.to_vec() }
        }
    }

    /// Waits for a resolver; the answer is SERVFAIL if none has a good one.
    async fn finish(&self, pending: Pending) -> Option<Vec<u8>> {
        let Pending { message, asked, route, _places } = pending;
        let client = asked.client;
        let answer = forward(asked, route, &self.shared.sockets, &self.shared.settings).await;
        answer.or_else(|| reply::refusal(&message, ResponseCode::ServFail, client))
    }
}

#[cfg(test)]
mod tests;
