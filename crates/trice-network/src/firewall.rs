//! The packet filter of a project: one table, replaced whole.
//!
//! ```text
//! FirewallSpec ──rules──► Table ──one transaction──► kernel ──► route_localnet, ip_forward ──► stale UDP flows forgotten
//! ```
//!
//! The settings that let packets through come after the rules that keep the wrong ones out, never before.

mod forwarding;
mod guard;
mod rules;
mod sets;
mod version;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use trice_model::network::{FirewallPort, FirewallSpec, Way};
use trice_model::port::Protocol;

use crate::conntrack::{ConntrackError, forget_stale_flows};
use crate::divert::{self, DivertError};
use crate::nftables::{self, NftablesError, TableOwner};
use crate::sysctl::{self, SysctlError};

/// Why the packet filter is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// A published port and its container are of two versions of IP.
    #[error("publish {host}/{protocol}: the packet filter cannot lead it to {backend}")]
    Family {
        /// The host's side.
        host: SocketAddr,
        /// The protocol.
        protocol: Protocol,
        /// The container's side.
        backend: SocketAddr,
    },
    /// The kernel did not take the table.
    #[error(transparent)]
    Nftables(#[from] NftablesError),
    /// The kernel did not take a setting.
    #[error("let packets through to containers")]
    Setting(#[from] SysctlError),
    /// Answers to the proxy do not come back to it.
    #[error(transparent)]
    Divert(#[from] DivertError),
    /// Connections that go to the wrong place were not forgotten.
    #[error(transparent)]
    Conntrack(#[from] ConntrackError),
}

/// Makes the packet filter as `spec` says, in the place of what its tables were.
///
/// Connections go on, apart from UDP flows to containers that no longer answer for their port.
///
/// # Errors
/// [`FirewallError`]. If it is that of the table, the table is as it was.
pub fn apply_firewall(owner: &mut TableOwner, spec: &FirewallSpec) -> Result<Guarding, FirewallError> {
    let tables = [rules::table(spec)?, guard::table(spec)];
    let guarding = match nftables::replace(owner, &tables) {
        Ok(()) => Guarding::On,
        Err(error) => {
            // The kernel may lack frames' part of nf_tables; if it is something else, it is said again.
            nftables::replace(owner, &tables[..1])?;
            Guarding::Off(error)
        }
    };
    for bridge in &spec.bridges {
        // The bridge of a network that is about to be made or removed need not be there.
        let name = format!("net/ipv4/conf/{}/route_localnet", bridge.link);
        if sysctl::exists(&name) {
            sysctl::set(&name, "1")?;
        }
    }
    forwarding::allow(&spec.bridges)?;
    if spec.published.iter().any(|port| port.way == Way::Transparent) {
        divert::begin(spec.way_back)?;
    }
    forget_stale_flows(&spec.published)?;
    Ok(guarding)
}

/// Whether containers are kept to their own addresses.
#[derive(Debug)]
pub enum Guarding {
    /// They are.
    On,
    /// The kernel cannot do it.
    Off(NftablesError),
}

/// Removes the packet filter that `spec` describes. That there is none does not hinder.
///
/// # Errors
/// [`FirewallError`].
pub fn remove_firewall(owner: &mut TableOwner, spec: &FirewallSpec) -> Result<(), FirewallError> {
    // The kernel may lack frames' part of nf_tables.
    let is_guarded = nftables::exists(owner, guard::FAMILY, &spec.table).unwrap_or(false);
    let families = [rules::FAMILY, guard::FAMILY];
    nftables::remove(owner, &families[..=usize::from(is_guarded)], &spec.table)?;
    let without_backends = |port: &FirewallPort| FirewallPort { backends: Vec::new(), ..port.clone() };
    let ports: Vec<FirewallPort> = spec.published.iter().map(without_backends).collect();
    Ok(forget_stale_flows(&ports)?)
}

/// Returns the names of the packet filters that begin with `prefix`.
///
/// # Errors
/// [`FirewallError::Nftables`].
pub fn observe_firewalls(owner: &mut TableOwner, prefix: &str) -> Result<BTreeSet<String>, FirewallError> {
    Ok(nftables::names(owner, prefix)?)
}
