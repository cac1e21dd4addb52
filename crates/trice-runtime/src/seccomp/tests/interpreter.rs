//! Runs a program as the kernel does, and fails where the kernel would refuse it.

use trice_sys::seccomp::SockFilter;

use super::reader::Data;

/// Returns the program's verdict.
pub(super) fn run(program: &[SockFilter], call: &Data) -> u32 {
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let SockFilter { code, jt, jf, k } = program[at];
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        at += 1;
        match code {
            0x20 => accumulator = load(call, k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x06 => return k,
            code => panic!("the kernel's filters know no instruction {code:#x}"),
        }
    }
}

/// Reads a word of `struct seccomp_data` on a little-endian machine.
fn load(call: &Data, offset: u32) -> u32 {
    match offset {
        0 => call.number,
        4 => call.architecture,
        16..64 if offset.is_multiple_of(4) => {
            let argument = call.arguments[((offset - 16) / 8) as usize];
            if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
        }
        offset => panic!("there is no word at {offset}"),
    }
}
