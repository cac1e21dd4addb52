//! Counts: each question is answered with the next number, which a file remembers.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

const ADDRESS: &str = "0.0.0.0:7000";
const FILE: &str = "/data/count";

fn main() -> ExitCode {
    let ran = match std::env::args().nth(1).as_deref() {
        Some("--alive") => TcpStream::connect(ADDRESS).map(drop),
        _ => serve(),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counter: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let listener = TcpListener::bind(ADDRESS)?;
    println!("counter listens on port 7000");
    for stream in listener.incoming() {
        if let Err(error) = answer(stream?) {
            eprintln!("counter: {error}");
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut line = String::new();
    // Who only looks whether somebody listens asks nothing.
    if BufReader::new(&stream).read_line(&mut line)? == 0 {
        return Ok(());
    }
    let count =
        fs::read_to_string(FILE).ok().and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0) + 1;
    fs::write("/data/count.new", format!("{count}\n"))?;
    fs::rename("/data/count.new", FILE)?;
    let body = format!("{count}\n");
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
