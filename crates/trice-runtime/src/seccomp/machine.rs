//! What a filter must know of the machine: its architecture and its kernel's version.

use std::fmt;
use std::str::FromStr;

use super::syscalls::Abi;

/// The machine that a filter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// The kernel's architecture.
    pub architecture: Architecture,
    /// The kernel's version.
    pub kernel: KernelVersion,
}

/// An architecture of kernels that there are filters for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// 64-bit x86; it runs i386 and x32 programs too.
    X86_64,
    /// 64-bit ARM; it runs 32-bit ARM programs too.
    Aarch64,
}

/// The first two numbers of a kernel's version, which are all that rules compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

/// Why there is no filter for a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// It has an architecture that there are no tables of system calls for.
    #[error("no system call filter for machine `{0}`: there are filters for x86_64 and aarch64")]
    Architecture(String),
    /// The kernel's version cannot be read.
    #[error("`{0}` is not a kernel version: it begins with two numbers, such as `6.1`")]
    Kernel(String),
}

impl Machine {
    /// Reads what uname(2) says: `machine` and `release`.
    ///
    /// # Errors
    /// [`MachineError`] if either is not understood.
    pub fn from_uname(machine: &str, release: &str) -> Result<Self, MachineError> {
        Ok(Self { architecture: machine.parse()?, kernel: release.parse()? })
    }
}

impl Architecture {
    /// Returns the ways in which programs call this kernel, its own first.
    pub fn abis(self) -> &'static [Abi] {
        match self {
            Self::X86_64 => &[Abi::X86_64, Abi::X32, Abi::I386],
            Self::Aarch64 => &[Abi::Aarch64, Abi::Arm],
        }
    }
}

impl FromStr for Architecture {
    type Err = MachineError;

    fn from_str(text: &str) -> Result<Self, MachineError> {
        match text {
            "x86_64" => Ok(Self::X86_64),
            "aarch64" => Ok(Self::Aarch64),
            _ => Err(MachineError::Architecture(text.to_owned())),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}

impl KernelVersion {
    /// Whether the kernel that runs is at least this one. One that does not say its version is not.
    pub fn is_here(self) -> bool {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        release.parse().is_ok_and(|running: Self| running >= self)
    }
}

impl FromStr for KernelVersion {
    type Err = MachineError;

    /// Reads `4.8` and what kernels call themselves, such as `6.1.0-18-amd64`.
    fn from_str(text: &str) -> Result<Self, MachineError> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self { major, minor }),
            _ => Err(MachineError::Kernel(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_read_from_what_uname_says() {
        let machine = Machine::from_uname("aarch64", "6.18.44-fc-v657").expect("both are understood");
        assert_eq!(machine.architecture, Architecture::Aarch64);
        assert_eq!(machine.kernel, KernelVersion { major: 6, minor: 18 });
        assert_eq!("5.15".parse(), Ok(KernelVersion { major: 5, minor: 15 }));
        for bad in ["", "6", "six.one", "6.x"] {
            assert_eq!(bad.parse::<KernelVersion>(), Err(MachineError::Kernel(bad.to_owned())));
        }
        assert_eq!("riscv64".parse::<Architecture>(), Err(MachineError::Architecture("riscv64".to_owned())));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let version = |text: &str| text.parse::<KernelVersion>().expect("a version");
        assert!(version("5.15") > version("5.4"));
        assert!(version("10.0") > version("9.19"));
        assert!(version("3.0").is_here() && !version("1000.0").is_here());
    }
}
