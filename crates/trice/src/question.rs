//! Questions to the user.

use std::io::{self, BufRead, Write};

/// Asks on the terminal. Nobody there to answer is a no.
pub(crate) fn is_sure(question: &str) -> io::Result<bool> {
    let mut out = io::stderr();
    write!(out, "? {question} [yN] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if !answer.ends_with('\n') {
        writeln!(out)?;
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
