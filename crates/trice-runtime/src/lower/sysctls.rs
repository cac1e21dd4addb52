//! Settings of the kernel that a container may have: those that its namespaces keep apart from the host's.
//!
//! Any other would be set for the whole machine, `kernel.core_pattern` even for code of the container's to run as the
//! host's root (CVE-2022-0811).
//!
//! Source: OCI Runtime Specification, `config-linux.md`, "Sysctl"; Linux `Documentation/admin-guide/sysctl/`.

use trice_model::container::{ContainerSpec, NetworkNamespace};

use super::LowerError;
use crate::operation::Operation;

/// Those of the IPC and UTS namespaces, which every container has for itself.
const OWN: [&str; 9] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.domainname",
];

/// Adds what sets them.
pub(super) fn add(spec: &ContainerSpec, operations: &mut Vec<Operation>) -> Result<(), LowerError> {
    for (key, value) in &spec.sysctls {
        check(key, value, &spec.network)?;
        operations.push(Operation::Sysctl { key: key.clone(), value: value.clone() });
    }
    Ok(())
}

fn check(key: &str, value: &str, network: &NetworkNamespace) -> Result<(), LowerError> {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    if !key.split('.').all(is_part) || value.contains(['\n', '\0']) {
        return Err(LowerError::BadSysctl(key.to_owned()));
    }
    let of_the_network = key.starts_with("net.");
    if of_the_network && *network == NetworkNamespace::Host {
        return Err(LowerError::SysctlOfHostNetwork(key.to_owned()));
    }
    if of_the_network || key.starts_with("fs.mqueue.") || OWN.contains(&key) {
        Ok(())
    } else {
        Err(LowerError::SysctlOfHost(key.to_owned()))
    }
}
