//! A question to resolvers outside, until one of them answers.
//!
//! ```text
//! 0 s       1 s       2 s                   4 s       5 s       6 s
//! first ────┼─────────┼─────────────────────┤
//!           second ───┼─────────────────────┼─────────┤
//!                     third ────────────────┼─────────┼─────────┤ SERVFAIL
//! ```
//!
//! A resolver that fails, says SERVFAIL or REFUSED, makes room for the next one at once. The first good
//! answer wins. Question and answer are passed on as bytes, with an id that nobody else knows.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::exchange::{Outgoing, exchange};
use crate::packet;
use crate::settings::Settings;
use crate::sockets::{InstanceSockets, Origin};

/// Whom to ask, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// From where.
    pub(crate) origin: Origin,
    /// Whom, in this order.
    pub(crate) servers: Vec<IpAddr>,
}

/// Asks the servers of `route`; `None` if none of them gives a good answer.
pub(crate) async fn forward(
    asked: Outgoing,
    route: Route,
    sockets: &Arc<dyn InstanceSockets>,
    settings: &Settings,
) -> Option<Vec<u8>> {
    let id = packet::id(&asked.query)?;
    let mut round = Round {
        asked,
        origin: route.origin,
        sockets: Arc::clone(sockets),
        patience: settings.server_timeout,
        running: JoinSet::new(),
    };
    let mut waiting = route.servers.into_iter().take(settings.servers);
    loop {
        match waiting.next() {
            Some(server) => round.ask(SocketAddr::new(server, settings.port)),
            // Those that still run are the last hope.
            None if round.running.is_empty() => return None,
            None => {}
        }
        let until = (waiting.len() > 0).then(|| Instant::now() + settings.next_server_after);
        if let Some(answer) = round.first_good_before(until).await {
            return Some(packet::with_id(answer, id));
        }
    }
}

/// The servers that are being asked one question. They are given up when it is dropped.
struct Round {
    asked: Outgoing,
    origin: Origin,
    sockets: Arc<dyn InstanceSockets>,
    patience: Duration,
    running: JoinSet<Option<Vec<u8>>>,
}

impl Round {
    /// Begins to ask `server`, with an id that is used for it alone.
    fn ask(&mut self, server: SocketAddr) {
        let mut asked = self.asked.clone();
        asked.query = packet::with_id(asked.query, rand::random());
        let (origin, sockets, patience) = (self.origin.clone(), Arc::clone(&self.sockets), self.patience);
        self.running.spawn(async move {
            match timeout(patience, exchange(&origin, sockets.as_ref(), server, &asked)).await {
                Ok(Ok(answer)) => (!packet::is_failure(&answer)).then_some(answer),
                Ok(Err(error)) => {
                    debug!(error = &error as &dyn std::error::Error, "a resolver fails");
                    None
                }
                Err(_elapsed) => {
                    debug!(%server, "a resolver does not answer");
                    None
                }
            }
        });
    }

    /// Waits for a good answer, until `until`, or until another server should be asked because one has
    /// failed. Without `until` all that run are waited for.
    async fn first_good_before(&mut self, until: Option<Instant>) -> Option<Vec<u8>> {
        let Some(until) = until else {
            while let Some(ended) = self.running.join_next().await {
                if let Ok(Some(answer)) = ended {
                    return Some(answer);
                }
            }
            return None;
        };
        timeout_at(until, self.running.join_next()).await.ok()??.ok()?
    }
}
