//! The numbers of system calls, one table for each way to call a kernel.
//!
//! The tables know more calls than the kernel at hand: a name without a number would be a hole in a profile.
//!
//! Sources: each table names its own; `AUDIT_ARCH_*` in Linux `include/uapi/linux/audit.h`.

use std::collections::BTreeMap;

/// A way to call a kernel: a set of numbers, and how their argument registers are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Abi {
    /// 64-bit x86.
    X86_64,
    /// 64-bit x86 with 32-bit pointers: the architecture of [`Abi::X86_64`], with a bit set in each number.
    X32,
    /// 32-bit x86.
    I386,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
}

/// Where the private calls of 32-bit ARM begin. They are far beyond all others and say nothing about how many
/// of those there are.
const PRIVATE: u32 = 0x000f_0000;

impl Abi {
    /// Returns the number by which the kernel tells a filter of the architecture.
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Returns what is added to each number of the table.
    pub fn bit(self) -> u32 {
        match self {
            Self::X32 => 0x4000_0000,
            Self::X86_64 | Self::I386 | Self::Aarch64 | Self::Arm => 0,
        }
    }

    /// Returns the number of each call, by its name.
    pub fn numbers(self) -> BTreeMap<&'static str, u32> {
        self.text().lines().filter_map(parse_line).map(|(number, name)| (name, number)).collect()
    }

    /// Returns the number after the last one of the table, private ones apart.
    pub fn end(self) -> u32 {
        let numbers = self.text().lines().filter_map(parse_line).map(|(number, _)| number);
        numbers.filter(|number| *number < PRIVATE).max().map_or(0, |last| last + 1)
    }

    fn text(self) -> &'static str {
        match self {
            Self::X86_64 => include_str!("x86_64.syscalls"),
            Self::X32 => include_str!("x32.syscalls"),
            Self::I386 => include_str!("i386.syscalls"),
            Self::Aarch64 => include_str!("aarch64.syscalls"),
            Self::Arm => include_str!("arm.syscalls"),
        }
    }
}

/// Reads a line of a table; `None` for a comment.
fn parse_line(line: &str) -> Option<(u32, &str)> {
    let (number, name) = line.split_once(' ')?;
    Some((number.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALL: [Abi; 5] = [Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64, Abi::Arm];

    #[test]
    fn every_line_of_a_table_is_a_comment_or_another_call() {
        for abi in ALL {
            let lines = abi.text().lines().filter(|line| !line.starts_with('#')).count();
            let numbers = abi.numbers();
            assert_eq!(numbers.len(), lines, "{abi:?}: names");
            assert_eq!(numbers.values().collect::<BTreeSet<_>>().len(), lines, "{abi:?}: numbers");
        }
    }

    #[test]
    fn architectures_are_told_by_elfs_machine_number_and_two_bits() {
        let (little_endian, wide) = (1 << 30, 1 << 31);
        for (abi, machine) in
            [(Abi::X86_64, 62 | wide), (Abi::I386, 3), (Abi::Aarch64, 183 | wide), (Abi::Arm, 40)]
        {
            assert_eq!(abi.audit(), machine | little_endian, "{abi:?}");
        }
    }

    #[test]
    fn known_calls_have_their_numbers() {
        for (abi, execve, openat2, last) in [
            (Abi::X86_64, 59, 437, 471),
            (Abi::X32, 520, 437, 547),
            (Abi::I386, 11, 437, 471),
            (Abi::Aarch64, 221, 437, 471),
            (Abi::Arm, 11, 437, 471),
        ] {
            let numbers = abi.numbers();
            assert_eq!((numbers["execve"], numbers["openat2"]), (execve, openat2), "{abi:?}");
            assert_eq!(abi.end(), last + 1, "{abi:?}");
        }
        assert_eq!(Abi::Arm.numbers()["set_tls"], 0x000f_0005);
    }
}
