//! What follows from the state and has no life of its own: the names that are answered and the packet filters.

use trice_model::dns::NameTable;
use trice_model::name::ProjectName;
use trice_network::firewall::{self, Guarding};

use crate::engine::Engine;

impl Engine {
    /// Brings names and packet filters of the projects that changed in line with what is known.
    pub(crate) fn project(&mut self) {
        if self.changed.is_empty() {
            return;
        }
        self.backends.names.replace(&self.all_names());
        for project in std::mem::take(&mut self.changed) {
            self.project_firewall(&project);
        }
    }

    /// Returns the names of all projects: one server answers for them all, and an instance's view keeps them apart.
    fn all_names(&self) -> NameTable {
        let mut all = NameTable::default();
        for project in self.world.projects() {
            let names = trice_plan::names::names(&self.world.found, &project);
            all.networks.extend(names.networks);
            all.views.extend(names.views);
        }
        all
    }

    fn project_firewall(&mut self, project: &ProjectName) {
        let wanted = trice_plan::firewall::firewall(&self.world.found, &self.backends.realm, project);
        let known = self.firewalls.get(project);
        let nothing = wanted.bridges.is_empty() && wanted.guarded.is_empty() && wanted.published.is_empty();
        let result = match (nothing, known) {
            (true, None) => return,
            (true, Some(known)) => firewall::remove_firewall(&mut self.tables, known),
            (false, Some(known)) if *known == wanted => return,
            (false, _) => {
                firewall::apply_firewall(&mut self.tables, &wanted).map(|guarding| match guarding {
                    Guarding::On => {}
                    Guarding::Off(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(%project, error, "containers can pass for others on their networks");
                    }
                })
            }
        };
        match result {
            Err(error) => {
                tracing::error!(%project, error = &error as &dyn std::error::Error, "set the packet filter");
            }
            Ok(()) if nothing => drop(self.firewalls.remove(project)),
            Ok(()) => drop(self.firewalls.insert(project.clone(), wanted)),
        }
    }
}
