//! Which devices the processes of a v2 cgroup may open: a BPF program of the kernel's second kind.
//!
//! ```text
//! r2 = type and access; r3 = major; r4 = minor
//! making any device node          → allow
//! c 1:{3,5,7,8,9}, 5:*, 136:*     → allow
//! everything else                 → deny
//! ```
//!
//! Sources: Linux `include/uapi/linux/bpf.h` (`struct bpf_cgroup_dev_ctx`), `Documentation/bpf/`; the devices are
//! those of the OCI Runtime Specification, `config-linux.md`, "Default Devices".

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// One instruction: operation, registers (source in the upper half), offset, operand.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    operand: i32,
}

const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const COPY: u8 = 0xbf;
const AND: u8 = 0x57;
const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_IF_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_DEVCG_ACC_MKNOD: i32 = 1;
const BPF_DEVCG_DEV_CHAR: i32 = 2;

/// The parts of the kernel's `union bpf_attr` that loading a program uses.
#[repr(C, align(8))]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The parts that attaching a program uses.
#[repr(C, align(8))]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Restricts the cgroup that `group` is open on, and all below it, to the usual devices.
///
/// # Errors
/// Those of bpf(2).
pub fn attach(group: BorrowedFd<'_>) -> io::Result<()> {
    let program = load()?;
    let attach = Attach {
        target: group.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    let pointer = &raw const attach;
    // SAFETY: `pointer` is to the beginning of a `bpf_attr` of the stated size, which the kernel only reads; both
    // descriptors in it are open.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, pointer, size_of::<Attach>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn load() -> io::Result<OwnedFd> {
    let program = program();
    let load = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..Load::default()
    };
    let pointer = &raw const load;
    // SAFETY: `pointer` is to the beginning of a `bpf_attr` of the stated size, and what it points to (the
    // instructions, a static string) lives until the call returns; the kernel only reads.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, pointer, size_of::<Load>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so `fd` is a new descriptor, ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Returns the program. Jumps to the end are counted from the back, so that a rule can be added in front.
fn program() -> Vec<Instruction> {
    let op = |code, registers, offset, operand| Instruction { code, registers, offset, operand };
    let minors = [3, 5, 7, 8, 9];
    let mut program = vec![
        op(LOAD_WORD, 0x12, 0, 0), // r2 = access << 16 | type
        op(LOAD_WORD, 0x13, 4, 0), // r3 = major
        op(LOAD_WORD, 0x14, 8, 0), // r4 = minor
        op(COPY, 0x25, 0, 0),      // r5 = access
        op(AND, 0x05, 0, -1 << 16),
        op(AND, 0x02, 0, 0xffff), // r2 = type
    ];
    // From each rule to `allow`: over the rules after it and the two instructions of `deny`.
    let rules = 5 + minors.len() as i16;
    let allow = |index: i16| rules - index - 1 + 2;
    let deny = |index: i16| rules - index - 1;
    program.push(op(JUMP_IF_EQUAL, 0x05, allow(0), BPF_DEVCG_ACC_MKNOD << 16));
    program.push(op(JUMP_IF_NOT_EQUAL, 0x02, deny(1), BPF_DEVCG_DEV_CHAR));
    program.push(op(JUMP_IF_EQUAL, 0x03, allow(2), 5));
    program.push(op(JUMP_IF_EQUAL, 0x03, allow(3), 136));
    program.push(op(JUMP_IF_NOT_EQUAL, 0x03, deny(4), 1));
    for (index, minor) in minors.into_iter().enumerate() {
        program.push(op(JUMP_IF_EQUAL, 0x04, allow(5 + index as i16), minor));
    }
    program.push(op(MOVE, 0x00, 0, 0)); // deny
    program.push(op(EXIT, 0x00, 0, 0));
    program.push(op(MOVE, 0x00, 0, 1)); // allow
    program.push(op(EXIT, 0x00, 0, 0));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel does, on type, access and numbers.
    fn allows(kind: i32, access: i32, major: i32, minor: i32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let (mut registers, mut at) = ([0_i64; 16], 0_usize);
        let program = program();
        loop {
            let Instruction { code, registers: pair, offset, operand } = program[at];
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            at += 1;
            match code {
                LOAD_WORD => registers[to] = i64::from(context[offset as usize / 4] as u32),
                MOVE => registers[to] = i64::from(operand),
                COPY => registers[to] = registers[from],
                AND => registers[to] &= i64::from(operand),
                JUMP_IF_EQUAL if registers[to] == i64::from(operand) => at += offset as usize,
                JUMP_IF_NOT_EQUAL if registers[to] != i64::from(operand) => at += offset as usize,
                JUMP_IF_EQUAL | JUMP_IF_NOT_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn the_usual_devices_may_be_opened_any_may_be_made_and_nothing_else() {
        const CHAR: i32 = 2;
        const BLOCK: i32 = 1;
        let (mknod, read_write) = (1, 6);
        for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, 4)] {
            assert!(allows(CHAR, read_write, major, minor), "{major}:{minor}");
        }
        for (kind, major, minor) in
            [(CHAR, 1, 1), (CHAR, 10, 229), (BLOCK, 8, 0), (BLOCK, 1, 3), (CHAR, 4, 64)]
        {
            assert!(!allows(kind, read_write, major, minor), "{kind} {major}:{minor}");
            assert!(allows(kind, mknod, major, minor), "making {kind} {major}:{minor}");
            assert!(
                !allows(kind, mknod | read_write, major, minor),
                "making and opening {kind} {major}:{minor}"
            );
        }
    }
}
