//! Links of instances that have left.
//!
//! ```text
//! cut off ──► a moment later ──► gone with its namespace
//!                           └──► still there: removed
//! ```
//!
//! A pair of links goes with the namespace of its inner end, which costs nobody anything. But a connection whose program
//! has died with something left to say holds its namespace for minutes: until the kernel gives it up.

use std::time::Duration;

use trice_model::name::LinkName;
use trice_model::network::{EndpointSpec, InstanceSpec};
use trice_network::link;

use crate::engine::Engine;
use crate::event::Event;

/// How long it is left to the kernel.
const BY_ITSELF: Duration = Duration::from_millis(500);

impl Engine {
    /// Sees to it that the links of an instance go which has been cut off.
    pub(crate) fn let_links_go(&mut self, spec: &InstanceSpec) {
        let is_first = self.lingering.is_empty();
        self.lingering.extend(spec.endpoints.iter().filter_map(EndpointSpec::host_link).cloned());
        if is_first && !self.lingering.is_empty() {
            self.later(BY_ITSELF, Event::LinksDue);
        }
    }

    /// Removes the links that are still there, beside everything else.
    pub(crate) fn remove_links(&self) {
        let (links, events): (Vec<LinkName>, _) = (self.lingering.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            match link::remove_links(&links) {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "removed links that connections had kept"),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "remove links of containers that left"
                    );
                }
            }
            let _ = events.send(Event::LinksGone(links.len()));
        });
    }

    /// Takes in that the first `count` links have gone.
    pub(crate) fn links_gone(&mut self, count: usize) {
        self.lingering.drain(..count);
        if !self.lingering.is_empty() {
            self.later(BY_ITSELF, Event::LinksDue);
        }
    }
}
