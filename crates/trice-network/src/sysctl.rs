//! Settings of the kernel for the network namespace of the calling thread.
//!
//! Source: sysctl(8); Linux `Documentation/networking/ip-sysctl.rst`.

use std::fs::{self, File};
use std::io::{self, Write};

/// Why a setting was not made.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// The name is that of no setting of a network namespace.
    #[error("sysctl `{name}` is none of the network's: those begin with `net.`")]
    Foreign {
        /// The name.
        name: String,
    },
    /// This kernel has no such setting.
    #[error("this kernel has no sysctl `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The kernel did not take the value.
    #[error("set sysctl `{name}` to `{value}`")]
    Write {
        /// The name.
        name: String,
        /// The value.
        value: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Sets `name`, written with dots or slashes, to `value`.
///
/// What has the value already is not written: some settings walk over all interfaces.
pub(crate) fn set(name: &str, value: &str) -> Result<(), SysctlError> {
    let path = path(name)?;
    let found = fs::read_to_string(&path).unwrap_or_default(); // a few can only be written
    if found.split_whitespace().eq(value.split_whitespace()) {
        return Ok(());
    }
    let write = || File::options().write(true).open(&path)?.write_all(value.as_bytes());
    write().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SysctlError::Unknown { name: name.to_owned() },
        _ => SysctlError::Write { name: name.to_owned(), value: value.to_owned(), source },
    })
}

/// Returns whether the setting has this value.
pub(crate) fn is(name: &str, value: &str) -> bool {
    let found = path(name).ok().and_then(|path| fs::read_to_string(path).ok());
    found.is_some_and(|found| found.split_whitespace().eq(value.split_whitespace()))
}

/// Returns whether this kernel has the setting.
pub(crate) fn exists(name: &str) -> bool {
    path(name).is_ok_and(|path| fs::exists(path).unwrap_or(false))
}

/// Returns whether one of the parts of `name` is `part`: an interface that the setting is about.
pub(crate) fn mentions(name: &str, part: &str) -> bool {
    slashed(name).split('/').any(|found| found == part)
}

fn path(name: &str) -> Result<String, SysctlError> {
    let slashed = slashed(name);
    let parts_are_names = slashed.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if slashed.starts_with("net/") && parts_are_names {
        Ok(format!("/proc/sys/{slashed}"))
    } else {
        Err(SysctlError::Foreign { name: name.to_owned() })
    }
}

/// Returns `name` with slashes between its parts. The separator is whichever comes first; the other one then stands
/// for itself in the other writing, since interfaces may have dots in their names.
fn slashed(name: &str) -> String {
    if name.find(['.', '/']).is_some_and(|first| name[first..].starts_with('/')) {
        return name.to_owned();
    }
    let swap = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_with_dots_or_slashes_and_interfaces_may_have_dots() {
        assert_eq!(path("net.ipv4.ip_forward").unwrap(), "/proc/sys/net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/ip_forward").unwrap(), "/proc/sys/net/ipv4/ip_forward");
        assert_eq!(path("net.ipv4.conf.a/b.rp_filter").unwrap(), "/proc/sys/net/ipv4/conf/a.b/rp_filter");
        assert!(mentions("net.ipv4.conf.eth0.rp_filter", "eth0"));
        assert!(!mentions("net.ipv4.conf.eth01.rp_filter", "eth0"));
    }

    #[test]
    fn what_is_not_the_networks_is_refused() {
        for bad in ["kernel.shmmax", "net", "net..x", "net/../kernel/shmmax", ""] {
            assert!(matches!(set(bad, "1"), Err(SysctlError::Foreign { .. })), "{bad}");
        }
    }

    #[test]
    fn a_setting_that_is_not_there_is_an_error_that_names_it() {
        let error = set("net.ipv4.no_such_setting", "1").unwrap_err();
        assert_eq!(error.to_string(), "this kernel has no sysctl `net.ipv4.no_such_setting`");
    }

    #[test]
    fn what_has_the_value_already_is_not_written() {
        let name = "net.ipv4.tcp_available_congestion_control"; // which nobody can write
        let value = fs::read_to_string(path(name).unwrap()).unwrap();
        set(name, value.trim()).unwrap();
        assert!(matches!(set(name, "another"), Err(SysctlError::Write { .. })));
    }
}
