//! Linux capabilities by name.
//!
//! Source: Linux `include/uapi/linux/capability.h`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::text::written_as_text;

/// One capability; its number is its place in the kernel's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

/// A text that names no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a capability: names are listed in capabilities(7), such as `NET_ADMIN`")]
pub struct CapabilityError(String);

/// The kernel's names, in the kernel's order, without `CAP_`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container has unless it asks for more or less: the field's usual fourteen.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

impl Capability {
    /// To change interfaces, routes and the packet filter of one's network namespace.
    pub const NET_ADMIN: Self = Self(12);

    /// Returns the kernel's number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Returns all that this list knows.
    pub fn all() -> BTreeSet<Self> {
        (0..NAMES.len() as u8).map(Self).collect()
    }

    /// Returns the default set of a container.
    pub fn default_set() -> BTreeSet<Self> {
        Self::all()
            .into_iter()
            .filter(|capability| DEFAULT.contains(&NAMES[usize::from(capability.0)]))
            .collect()
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let number =
            NAMES.iter().position(|known| *known == name).ok_or_else(|| CapabilityError(text.to_owned()))?;
        Ok(Self(number as u8))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES[usize::from(self.0)])
    }
}

written_as_text!(Capability, "A capability, by its name without CAP_.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_with_a_name_here_is_the_one_that_the_kernel_calls_so() {
        assert_eq!("NET_ADMIN".parse(), Ok(Capability::NET_ADMIN));
    }

    #[test]
    fn names_are_read_in_any_case_with_and_without_prefix() {
        assert_eq!("cap_net_admin".parse::<Capability>().map(Capability::number), Ok(12));
        assert_eq!("CHECKPOINT_RESTORE".parse::<Capability>().map(Capability::number), Ok(40));
        assert!("NET_EVERYTHING".parse::<Capability>().is_err());
        assert_eq!(Capability::default_set().len(), 14);
    }
}
