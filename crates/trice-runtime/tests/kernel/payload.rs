//! What the tests run in containers beside a shell: this program, which is in the host's root that they see.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::fs;
use std::io::{self, Write};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// The first argument of a payload.
pub(crate) const ARGUMENT: &str = "trice-payload";

/// Returns the command line of a payload.
pub(crate) fn command(args: &[&str]) -> Vec<String> {
    let program = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    [program.as_str(), ARGUMENT].iter().chain(args).map(|&arg| arg.to_owned()).collect()
}

/// Does what `args` say, and returns the code to end with.
pub(crate) fn run(args: &[String]) -> i32 {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["lines", count, width] => lines(count.parse().unwrap(), width.parse().unwrap()),
        ["sockets", families @ ..] => sockets(families),
        ["exchange", one, other, ready] => exchange(one, other, ready),
        ["spy", ready] => spy(ready),
        _ => return 2,
    }
    0
}

/// Writes numbered lines, each of `width` digits.
fn lines(count: usize, width: usize) {
    let mut out = io::BufWriter::new(io::stdout());
    for number in 0..count {
        writeln!(out, "{number:0width$}").unwrap();
    }
    out.flush().unwrap();
}

/// Tries to make a socket of each family, and says how that went.
fn sockets(families: &[&str]) {
    for family in families {
        let number = family.parse().unwrap();
        let made =
            socket_with(AddressFamily::from_raw(number), SocketType::STREAM, SocketFlags::empty(), None);
        let word = made.map_or_else(|error| error.raw_os_error().to_string(), |_| "made".to_owned());
        println!("{family} {word}");
    }
}

/// Exchanges two names again and again, until it is ended; makes the file `ready` when it has begun.
fn exchange(one: &str, other: &str, ready: &str) {
    let mut count = 0_u64;
    loop {
        // One of them may be a mount point just now.
        let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
        count += 1;
        if count == 100 {
            fs::write(ready, "").unwrap();
        }
    }
}

/// Looks at all processes again and again, and says which of them let it see their descriptors although they have not
/// become a program of the container yet: their names are still that of the keeper.
fn spy(ready: &str) {
    let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let itself = std::process::id().to_string();
    for round in 0_u64.. {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(pid) = entry.file_name().into_string() else { continue };
            if pid == itself || !pid.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            let descriptors = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
            let mut links = descriptors.map(|descriptor| descriptor.path()).chain([entry.path().join("exe")]);
            let seen = links.any(|link| fs::read_link(link).is_ok());
            let now = name(&pid);
            if seen && !now.is_empty() && now != "true\n" {
                println!("{pid} {now}");
            }
        }
        if round == 1 {
            fs::write(ready, "").unwrap();
        }
    }
}
