//! What is wrong with an intent: where, what, and a way out.

use thiserror::Error;

use crate::address::AddressError;
use crate::connect::ConnectError;
use crate::lower::LowerError;
use crate::network::NetworkError;
use crate::order::OrderError;
use crate::place::PlaceError;
use crate::port::PortError;
use crate::start::StartError;
use crate::subnet::SubnetError;
use crate::volume::VolumeError;

/// One mistake, at its place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {mistake}")]
pub struct PlanError {
    /// The key's path in the project, such as `services.web.ports[0]`, by which file and line are found.
    pub path: String,
    /// What is wrong there.
    pub mistake: Mistake,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Mistake {
    /// The order of services.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The containers of a service.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A network's addresses.
    #[error(transparent)]
    Subnet(#[from] SubnetError),
    /// A container's address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A port of the host.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// What becomes of a service and its image.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// A container that joins or leaves a network.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Containers that should be there.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl PlanError {
    /// Makes the mistake of `path`.
    pub(crate) fn new(path: impl Into<String>, mistake: impl Into<Mistake>) -> Self {
        Self { path: path.into(), mistake: mistake.into() }
    }

    /// Returns a way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match &self.mistake {
            Mistake::Order(error) => error.hint(),
            Mistake::Place(error) => error.hint(),
            Mistake::Network(error) => error.hint(),
            Mistake::Subnet(error) => error.hint(),
            Mistake::Address(error) => error.hint(),
            Mistake::Port(error) => error.hint(),
            Mistake::Volume(error) => error.hint(),
            Mistake::Lower(error) => error.hint(),
            Mistake::Connect(error) => error.hint(),
            Mistake::Start(error) => error.hint(),
        }
    }
}

/// Mistakes as they are gathered: all are told at once.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<PlanError>);

impl Mistakes {
    /// Notes a mistake.
    pub(crate) fn add(&mut self, error: PlanError) {
        // Replicas make the same mistake as often as there are replicas.
        if !self.0.contains(&error) {
            self.0.push(error);
        }
    }

    /// Takes the value out of `result`, or notes its mistakes.
    pub(crate) fn sift<T>(&mut self, result: Result<T, Vec<PlanError>>) -> Option<T> {
        result.map_err(|errors| errors.into_iter().for_each(|error| self.add(error))).ok()
    }

    /// Ends the gathering.
    ///
    /// # Errors
    /// All that was noted.
    pub(crate) fn done(self) -> Result<(), Vec<PlanError>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
