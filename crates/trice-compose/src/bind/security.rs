//! Capabilities and `security_opt`.

use std::collections::BTreeSet;

use trice_model::capability::Capability;
use trice_model::service::{CapabilitySet, SecurityOptions};

use crate::bind::Binder;
use crate::tree::node::Node;
use crate::tree::path::Path;

impl Binder<'_> {
    pub(super) fn capabilities(&mut self, service: &Node, key: &str, path: &Path<'_>) -> CapabilitySet {
        let list = path.key(key);
        let mut set = BTreeSet::new();
        for (index, item) in service.list_at(key).iter().enumerate() {
            if item.as_text().is_some_and(|text| text.eq_ignore_ascii_case("all")) {
                return CapabilitySet::All;
            }
            set.extend(self.value::<Capability>(item, &list.index(index)));
        }
        CapabilitySet::Only(set)
    }

    pub(super) fn security(&mut self, service: &Node, path: &Path<'_>) -> SecurityOptions {
        let mut options = SecurityOptions::default();
        let list = path.key("security_opt");
        for (index, item) in service.list_at("security_opt").iter().enumerate() {
            let Some(text) = item.as_text() else { continue };
            let (key, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
            match (key, value) {
                ("no-new-privileges", "" | "true") => options.no_new_privileges = true,
                ("no-new-privileges", "false") => options.no_new_privileges = false,
                ("seccomp", "unconfined") => options.seccomp_unconfined = true,
                ("systempaths", "unconfined") => options.systempaths_unconfined = true,
                _ => self.not_honoured(item, &list.index(index), format!("security option `{text}`")),
            }
        }
        options
    }
}
