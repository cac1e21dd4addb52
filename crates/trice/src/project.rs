//! Which project is meant, and what its files want.

use std::collections::BTreeSet;

use trice_api::call::{ListContainers, Selection};
use trice_api::fault::Fault;
use trice_compose::config;
use trice_compose::diagnostic::Mistakes;
use trice_compose::load::{Loaded, Model};
use trice_model::name::{ProjectName, ServiceName};
use trice_model::project::Project;

use crate::engine::Engine;
use crate::failure::Failure;

/// Where what the engine complains about stands in the files, if there are files.
#[derive(Debug, Default)]
pub(crate) struct Places(Option<Model>);

impl Places {
    /// Returns why a command fails, each fault at its place.
    pub(crate) fn failure(&self, faults: Vec<Fault>) -> Failure {
        let placed = |fault: Fault| {
            let place = fault.path.as_deref().and_then(|path| self.0.as_ref()?.place(path));
            (fault, place)
        };
        Failure::Faults(faults.into_iter().map(placed).collect())
    }

    /// Tells whether the files say how a service's image is made.
    pub(crate) fn is_built(&self, service: &ServiceName) -> bool {
        self.0.as_ref().is_some_and(|model| model.has(&format!("services.{service}.build")))
    }

    /// Tells whether the files name a service's image.
    pub(crate) fn names_image(&self, service: &ServiceName) -> bool {
        self.0.as_ref().is_some_and(|model| model.has(&format!("services.{service}.image")))
    }

    /// Returns a variable as the files see it: the caller's, else that of `.env`.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = config::environment(self.0.as_ref()?);
        variables.find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// A project that is wanted, and that trice can do all of.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) project: Project,
    pub(crate) places: Places,
}

impl TryFrom<Loaded> for Wanted {
    type Error = Failure;

    /// Refuses files that ask for what trice cannot do yet.
    fn try_from(loaded: Loaded) -> Result<Self, Failure> {
        if loaded.not_honoured.is_empty() {
            Ok(Self { project: loaded.project, places: Places(Some(loaded.model)) })
        } else {
            Err(Failure::NotHonoured(Mistakes(loaded.not_honoured)))
        }
    }
}

/// A project that may have containers, with its files or without.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) name: ProjectName,
    pub(crate) project: Option<Project>,
    pub(crate) places: Places,
}

impl From<Loaded> for Scope {
    fn from(loaded: Loaded) -> Self {
        let name = loaded.project.name.clone();
        Self { name, project: Some(loaded.project), places: Places(Some(loaded.model)) }
    }
}

impl Scope {
    /// A project of which nothing but the name is known.
    pub(crate) fn named(name: ProjectName) -> Self {
        Self { name, project: None, places: Places::default() }
    }

    /// Returns its services, those that are not active included, if there are files.
    pub(crate) fn known(&self) -> Option<BTreeSet<ServiceName>> {
        let project = self.project.as_ref()?;
        Some(project.services.keys().chain(&project.inactive).cloned().collect())
    }

    /// Returns the containers of `services`, or of all for none.
    pub(crate) fn selection(&self, services: &[ServiceName]) -> Selection {
        Selection {
            project: Some(self.name.clone()),
            services: services.iter().cloned().collect(),
            ..Selection::default()
        }
    }

    /// Refuses services that neither the files nor any container know.
    pub(crate) async fn check(&self, services: &[ServiceName], engine: &Engine) -> Result<(), Failure> {
        let known = self.known().unwrap_or_default();
        let unknown: Vec<&ServiceName> =
            services.iter().filter(|service| !known.contains(*service)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let containers = engine.call(&ListContainers { of: self.selection(services) }).await?;
        let found: BTreeSet<&ServiceName> = containers.iter().map(|container| &container.service).collect();
        match unknown.into_iter().find(|service| !found.contains(service)) {
            Some(service) => Err(self.no_service(service)),
            None => Ok(()),
        }
    }

    /// Returns the failure for a service that nobody knows.
    pub(crate) fn no_service(&self, service: &ServiceName) -> Failure {
        let known: Vec<String> = self.known().unwrap_or_default().iter().map(ToString::to_string).collect();
        let hint = (!known.is_empty()).then(|| format!("there are: {}", known.join(", ")));
        Failure::Usage {
            message: format!("there is no service `{service}` in project `{}`", self.name),
            hint,
        }
    }
}
