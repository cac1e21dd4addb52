//! One engine among those of this machine: what keeps the names of its links and tables apart from another's.
//!
//! ```text
//! run directory ──hash──► tag 4f2a91c07d35 ──► bridge      tr4f2a6b86b273           of a network's name
//!                                         ├──► host link   tr4f2a0c91d7e2           another one each time
//!                                         ├──► nft table   trice-4f2a91c07d35-shop
//!                                         └──► cgroup      trice-4f2a91c07d35
//! ```
//!
//! Links have names of 15 characters at most: they bear the tag's first four digits only. Two engines whose tags
//! begin alike are told apart by everything else.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use trice_model::id::Ids;
use trice_model::name::{LinkName, NetworkName, ProjectName};

use crate::digest;

/// An engine, as the names of what it makes tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Realm {
    tag: String,
    machine: String,
    engine_version: String,
}

impl Realm {
    /// Returns the realm of the engine of `engine_version` that keeps its sockets in `run_directory`.
    pub fn new(run_directory: &Path, engine_version: &str) -> Self {
        let mut tag = digest::hex(run_directory.as_os_str().as_bytes());
        tag.truncate(12);
        Self { tag, machine: String::new(), engine_version: engine_version.to_owned() }
    }

    /// Returns the same engine on the machine that is known by the id `machine`.
    pub fn on_machine(self, machine: &str) -> Self {
        Self { machine: machine.to_owned(), ..self }
    }

    /// Returns the twelve hexadecimal digits that stand for the run directory.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Returns the number of this engine's table of routes; those below 2^31 are left to people.
    pub fn way_back(&self) -> u32 {
        let digits = self.tag.bytes().take(8).filter_map(|digit| char::from(digit).to_digit(16));
        digits.fold(0, |number, digit| number << 4 | digit) | 1 << 31
    }

    /// Returns what tells this machine from all others.
    pub fn machine(&self) -> &str {
        &self.machine
    }

    /// Returns the engine's version, which containers carry in a label.
    pub fn engine_version(&self) -> &str {
        &self.engine_version
    }

    /// Returns how the names of all links of this engine begin.
    pub fn link_prefix(&self) -> String {
        format!("tr{}", &self.tag[..4])
    }

    /// Returns the interface of the bridge of `network`.
    pub fn bridge(&self, network: &NetworkName) -> LinkName {
        self.link(&digest::hex(network.as_str().as_bytes())[..8])
    }

    /// Returns a new name for the host's end of a pair.
    pub fn host_link(&self, ids: &mut Ids) -> LinkName {
        self.link(&ids.suffix(8))
    }

    /// Returns the name of the packet filter's table of `project`.
    pub fn table(&self, project: &ProjectName) -> String {
        format!("{}-{project}", self.mark())
    }

    /// Returns the name of the packet filter's table of builds, which is no project's.
    pub fn table_of_builds(&self) -> String {
        format!("{}.builds", self.mark())
    }

    /// Returns the project whose packet filter's table has this name.
    pub fn project_of_table(&self, table: &str) -> Option<ProjectName> {
        table.strip_prefix(&self.mark())?.strip_prefix('-')?.parse().ok()
    }

    /// Returns how the names of this engine's tables begin, and the comment that its rules bear in tables of others.
    pub fn mark(&self) -> String {
        format!("trice-{}", self.tag)
    }

    fn link(&self, digits: &str) -> LinkName {
        format!("{}{digits}", self.link_prefix()).parse().expect("14 letters and digits name a link")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_links_fit_the_kernel_and_differ_between_engines_and_networks() {
        let (a, b) = (Realm::new(Path::new("/run/a"), "1"), Realm::new(Path::new("/run/b"), "1"));
        let (front, back) = ("shop_front".parse().unwrap(), "shop_back".parse().unwrap());
        assert_eq!(a.bridge(&front).as_str().len(), 14);
        assert_eq!(a.bridge(&front), a.bridge(&front));
        assert_ne!(a.bridge(&front), b.bridge(&front));
        assert_ne!(a.bridge(&front), a.bridge(&back));
        let mut ids = Ids::new([1; 4]);
        assert_ne!(a.host_link(&mut ids), a.host_link(&mut ids));
    }
}
