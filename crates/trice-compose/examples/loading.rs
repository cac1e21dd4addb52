//! Measures how long `config -q` and loading take for the project in a folder: the shortest of several runs.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program for developers, which reads files and a clock"
)]
#![allow(clippy::print_stdout, reason = "a program for developers, which prints its figures")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use trice_compose::files::{FileKind, Files};
use trice_compose::load::{load, model};
use trice_compose::request::Request;

struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, at_most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, at_most as u64), &mut bytes)?;
        Ok(bytes)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let folder = fs::metadata(path).ok()?.is_dir();
        Some(if folder { FileKind::Folder } else { FileKind::File })
    }
}

fn main() -> ExitCode {
    let Some(folder) = env::args().nth(1).map(PathBuf::from) else {
        println!("usage: measure FOLDER [RUNS]");
        return ExitCode::FAILURE;
    };
    let runs: u32 = env::args().nth(2).and_then(|runs| runs.parse().ok()).unwrap_or(5);
    let request = Request { current_dir: folder, ..Request::default() };
    let shortest = |run: &dyn Fn() -> bool| {
        let times = (0..runs).map(|_| {
            let start = Instant::now();
            let fine = run();
            (start.elapsed(), fine)
        });
        times.min().unwrap_or((Duration::ZERO, false))
    };
    let (time, fine) = shortest(&|| model(&request, &Disk).is_ok());
    println!("config -q  {time:?}  {}", if fine { "fine" } else { "refused" });
    let (time, fine) = shortest(&|| load(&request, &Disk).is_ok());
    println!("load       {time:?}  {}", if fine { "fine" } else { "refused" });
    ExitCode::SUCCESS
}
