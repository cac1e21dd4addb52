//! What others do to the host's network while we are there: packet filters, routes, resolvers.
//!
//! ```text
//! change ──► 200 ms without another ──► packet filters: our rules are put back
//!                                   └─► routes: those over our networks are told of
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::UnboundedSender;
use trice_dns::resolv_conf;
use trice_model::name::LinkName;
use trice_network::neighbours::{self, NeighbourError};
use trice_network::watch::{Change, Watch};

use crate::engine::{Engine, Handled};
use crate::event::Event;
use crate::observe;

/// How long it must be quiet: others change many things one after the other.
const SETTLED: Duration = Duration::from_millis(200);

/// Tells changes of the host's network as events, for as long as somebody takes them.
pub(crate) fn watch_network(events: &UnboundedSender<Event>) {
    let events = events.clone();
    let mut watch = match Watch::open() {
        Ok(watch) => watch,
        Err(error) => return tracing::warn!(%error, "changes of the host's network are not heard of"),
    };
    let listen = move || {
        loop {
            match watch.next(None) {
                Ok(change) if events.send(Event::NetworkChanged(change)).is_ok() => {}
                Ok(_) => return,
                Err(error) => {
                    return tracing::warn!(%error, "changes of the host's network are not heard of any more");
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("network-watch".to_owned()).stack_size(256 * 1024);
    if let Err(error) = thread.spawn(listen) {
        tracing::warn!(%error, "changes of the host's network are not heard of");
    }
}

/// Tells changes of the host's resolvers as events, until what is returned is dropped.
///
/// The folder is watched and not the file: most programs write another file and put it in its place. A link leads to
/// where a program keeps it, and that is watched too.
pub(crate) fn watch_resolvers(file: &Path, events: &UnboundedSender<Event>) -> Option<RecommendedWatcher> {
    let events = events.clone();
    let mut files = vec![file.to_owned()];
    files.extend(file.canonicalize().ok().filter(|real| real != file));
    let watched = files.clone();
    let on_change = move |event: notify::Result<notify::Event>| {
        let concerns = |path: &PathBuf| watched.iter().any(|file| path.file_name() == file.file_name());
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(concerns)) {
            // The engine may be leaving.
            let _ = events.send(Event::ResolversChanged);
        }
    };
    let begin = || {
        let mut watcher = notify::recommended_watcher(on_change)?;
        for folder in files.iter().filter_map(|file| file.parent()) {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
        Ok::<_, notify::Error>(watcher)
    };
    begin()
        .inspect_err(|error| tracing::warn!(%error, "changes of the host's resolvers are not heard of"))
        .ok()
}

impl Engine {
    /// Takes note of a change, to be looked at when there are no more.
    pub(crate) fn network_changed(&mut self, change: Change) -> Handled {
        if self.unsettled.is_empty() {
            self.later(SETTLED, Event::NetworkSettled);
        }
        self.unsettled.insert(change);
        Handled::Nothing
    }

    /// Looks at what has changed.
    pub(crate) fn network_settled(&mut self) -> Handled {
        let changes = std::mem::take(&mut self.unsettled);
        if changes.contains(&Change::Filters)
            && let Some(links) = self.admitted.clone().filter(|links| !links.is_empty())
        {
            self.change_neighbours(links);
        }
        if changes.contains(&Change::Routes) {
            self.look_at_routes();
        }
        Handled::Nothing
    }

    /// Asks the host's resolvers as they are now.
    pub(crate) fn resolvers_changed(&mut self) -> Handled {
        if let Ok(text) = std::fs::read_to_string(&self.backends.resolv_conf) {
            self.backends.names.set_upstreams(resolv_conf::parse(&text).servers);
        }
        Handled::Nothing
    }

    /// Has packets of our bridges let through by packet filters of others, if the bridges are other ones than before.
    pub(crate) fn admit(&mut self) {
        let bridges = self.firewalls.values().flat_map(|firewall| &firewall.bridges);
        let links: Vec<LinkName> = bridges.map(|bridge| bridge.link.clone()).collect();
        if self.admitted.as_ref() != Some(&links) {
            self.change_neighbours(links);
        }
    }

    fn change_neighbours(&mut self, links: Vec<LinkName>) {
        let (mark, prefix) = (self.backends.realm.mark(), self.backends.realm.link_prefix());
        let named: Vec<LinkName> =
            links.iter().filter(|link| !link.as_str().starts_with(&prefix)).cloned().collect();
        let tables = &mut self.tables;
        let result = neighbours::look(tables, &mark).map_err(|error| vec![error]).and_then(|neighbours| {
            if links.is_empty() {
                neighbours::withdraw(tables, &neighbours)
            } else {
                neighbours::admit(tables, &neighbours, &mark, &prefix, &named)
            }
        });
        for error in result.err().into_iter().flatten() {
            let error: &NeighbourError = &error;
            tracing::error!(error = error as &dyn std::error::Error, "live with other packet filters");
        }
        self.admitted = Some(links);
    }

    /// Tells of routes that have come over our networks.
    fn look_at_routes(&mut self) {
        if let Err(fault) = observe::look_at_host(&mut self.world, &self.backends, &mut self.tables) {
            return tracing::error!(%fault, "look at the routes");
        }
        for warning in trice_plan::subnet::overlapped_routes(&self.world.found) {
            if self.warned.insert(warning.clone()) {
                tracing::warn!("{warning}");
            }
        }
    }
}
