//! What a process shows as its command line.
//!
//! The kernel shows the memory in which it once laid down arguments and variables. A process that no longer is what it
//! was started as writes something else there.
//!
//! Source: proc(5), `/proc/[pid]/cmdline`, `/proc/[pid]/environ` and `/proc/[pid]/stat`.

use std::fs;
use std::io;
use std::ops::Range;
use std::sync::OnceLock;

use crate::fork::SingleThread;

/// Where the kernel laid down this process's arguments and variables.
#[derive(Debug)]
struct Areas {
    arguments: Range<usize>,
    variables: Range<usize>,
}

static AREAS: OnceLock<Areas> = OnceLock::new();

/// Finds out where this process shows its command line, for [`set`] where `/proc` is out of reach.
///
/// # Errors
/// Those of reading `/proc/self/stat`, and `InvalidData` if it is none.
pub fn remember() -> io::Result<()> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let areas = areas(&stat).ok_or(io::ErrorKind::InvalidData)?;
    AREAS.get_or_init(|| areas);
    Ok(())
}

/// Shows `title` as the command line and no variables from now on. Nothing happens without [`remember`].
///
/// The program's own view of its arguments and variables is lost too.
pub fn set(_proof: &SingleThread, title: &str) {
    let Some(areas) = AREAS.get() else { return };
    overwrite(&areas.variables, b"");
    overwrite(&areas.arguments, title.as_bytes());
}

/// Fills `area` with `text` and zeros; the last byte is always zero.
fn overwrite(area: &Range<usize>, text: &[u8]) {
    let room = area.len().saturating_sub(1);
    let text = &text[..text.len().min(room)];
    let place = area.start as *mut u8;
    // SAFETY: the kernel told the area as that of this process's arguments or variables, at the far end of its stack,
    // where it stays mapped and writable. Nobody reads it meanwhile: there is one thread. Whoever reads it later, such
    // as `std::env`, finds strings that end with a zero, as before.
    unsafe { place.write_bytes(0, area.len()) };
    // SAFETY: as above; `text` is shorter than the area and lies elsewhere.
    unsafe { place.copy_from_nonoverlapping(text.as_ptr(), text.len()) };
}

/// Reads the fields 48 to 51, counted from 1. The second is the program's name, which may hold anything.
fn areas(stat: &str) -> Option<Areas> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<usize> = rest.split_whitespace().skip(45).take(4).flat_map(str::parse).collect();
    let [arguments_start, arguments_end, variables_start, variables_end] = fields[..] else { return None };
    let areas =
        Areas { arguments: arguments_start..arguments_end, variables: variables_start..variables_end };
    // The kernel shows zeros to those who may not know.
    let told = arguments_start != 0 && arguments_start <= arguments_end && variables_start <= variables_end;
    told.then_some(areas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_areas_are_the_ones_that_the_kernel_shows() {
        let areas = areas(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert_eq!(areas.arguments.len(), fs::read("/proc/self/cmdline").unwrap().len());
        assert_eq!(areas.variables.len(), fs::read("/proc/self/environ").unwrap().len());
    }

    #[test]
    fn a_stat_that_tells_nothing_is_refused() {
        assert!(areas("7 (a) S 1 2 3").is_none());
        let zeros = format!("7 (a b) S{}", " 0".repeat(49));
        assert!(areas(&zeros).is_none());
    }
}
