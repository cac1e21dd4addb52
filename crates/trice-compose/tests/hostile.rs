//! Files that are made to take the machine down: each is loaded or refused, within bounds of time and memory.
//!
//! One test for all of them, in a program of its own: it reads from the kernel how much memory this process has had at
//! most.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test that looks at the clock and at the memory of its own process"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use trice_compose::files::{FileKind, Files};
use trice_compose::load::load;
use trice_compose::request::Request;

/// What the most hungry file may take, in MB, with what the test itself takes.
const MEMORY: u64 = 100;
/// What the slowest may take. It is a multiple of what it takes: this is built without optimisation, and the machine
/// may be busy. What grows without bounds takes minutes.
const TIME: Duration = Duration::from_secs(30);

/// The files of a project by name.
type Project = Vec<(String, String)>;

struct Memory(BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path, at_most: usize) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.as_bytes()[..text.len().min(at_most)].to_vec())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        self.0.contains_key(path).then_some(FileKind::File)
    }
}

/// A project of one file, which has a service beside what is hostile.
fn beside(text: &str) -> Project {
    vec![("compose.yaml".to_owned(), format!("services: {{s: {{image: x}}}}\n{text}\n"))]
}

fn whole(text: String) -> Project {
    vec![("compose.yaml".to_owned(), text)]
}

fn with_env(text: String) -> Project {
    let mut project = beside("x-a: 1");
    project.push((".env".to_owned(), text));
    project
}

fn many(from: usize, to: usize, line: impl Fn(usize) -> String) -> String {
    (from..to).map(line).collect()
}

/// What is hostile about a project, and what makes it.
type Hostile = (&'static str, fn() -> Project);

fn projects() -> Vec<Hostile> {
    vec![
        ("aliases that double", || {
            let first = "x-0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n".to_owned();
            let below = |at: usize| vec![format!("*a{}", at - 1); 9].join(", ");
            whole(first + &many(1, 12, |at| format!("x-{at}: &a{at} [{}]\n", below(at))))
        }),
        ("anchors around anchors around a long list", || {
            let anchors = many(0, 90, |at| format!("&a{at} ["));
            beside(&format!("x-a: {anchors}{}{}", "1,".repeat(100_000), "]".repeat(90)))
        }),
        ("merge keys that double", || {
            let line = |at: usize| format!("x-{at}: &a{at} {{<<: [*a{0}, *a{0}], a{at}: 1}}\n", at - 1);
            whole("x-0: &a0 {a: 1}\n".to_owned() + &many(1, 3_000, line))
        }),
        ("merge keys that repeat a long mapping", || {
            let first = format!("x-0: &a0 {{{}}}\n", many(0, 1_000, |at| format!("k{at}: 1, ")));
            whole(first + &format!("x-1: {{<<: [{}]}}\n", "*a0, ".repeat(100_000)))
        }),
        ("an alias inside of its anchor", || beside("x-a: &a [*a]")),
        ("lists in lists", || beside(&format!("x-a: {}{}", "[".repeat(10_000), "]".repeat(10_000)))),
        ("lists that nobody closes", || beside(&format!("x-a: {}", "[".repeat(1_000_000)))),
        ("dashes after dashes", || beside(&format!("x-a:\n  {}a", "- ".repeat(100_000)))),
        ("mappings in mappings", || {
            beside(&format!("x-a:\n{}", many(1, 2_000, |at| format!("{}a:\n", " ".repeat(at)))))
        }),
        ("keys without values", || beside(&format!("x-a: {{{}}}", "? a, ".repeat(300_000)))),
        ("one key again and again", || beside(&format!("x-a:\n{}", " a: 1\n".repeat(300_000)))),
        ("too large", || beside(&format!("x-a: {}", "a".repeat(17 << 20)))),
        ("very many items", || beside(&format!("x-a:\n{}", " - a\n".repeat(500_000)))),
        ("a mistake in each line", || {
            whole(many(0, 20_000, |at| format!("  s{at}: {{imge: x, ports: [x]}}\n")))
        }),
        ("mistakes in one long line", || {
            let services = many(0, 4_000, |at| format!("s{at}: {{imge: x, ports: [x]}}, "));
            whole(format!("services: {{{services}}}\n"))
        }),
        ("mistakes below a key of a megabyte", || {
            let labels = "1, ".repeat(10_000);
            whole(format!("services: {{{}: {{labels: [{labels}]}}}}\n", "a".repeat(1 << 20)))
        }),
        ("services without number", || {
            whole(format!("services:\n{}", many(0, 20_000, |at| format!("  s{at}: {{image: x}}\n"))))
        }),
        ("a circle of thousands", || {
            let line = |at: usize| format!("  s{at}: {{image: x, depends_on: [s{}]}}\n", (at + 1) % 3_000);
            whole(format!("services:\n{}", many(0, 3_000, line)))
        }),
        ("everybody waits for everybody", || {
            let all = many(0, 100, |at| format!("s{at}, "));
            whole(format!(
                "services:\n{}",
                many(0, 100, |at| format!("  s{at}: {{image: x, depends_on: [{all}]}}\n"))
            ))
        }),
        ("a chain of extends", || {
            let line = |at: usize| format!("  s{at}: {{extends: s{}, labels: [a{at}=1]}}\n", at - 1);
            whole(format!("services:\n  s0: {{image: x}}\n{}", many(1, 5_000, line)))
        }),
        ("a service of thousands that thousands extend", || {
            let base =
                format!("  b: {{image: x, labels: [{}]}}\n", many(0, 3_000, |at| format!("k{at}=v, ")));
            whole(format!("services:\n{base}{}", many(0, 5_000, |at| format!("  s{at}: {{extends: b}}\n"))))
        }),
        ("a chain of includes", || {
            let mut project = beside("include: [i0.yaml]");
            let file = |at: usize| (format!("i{at}.yaml"), format!("include: [i{}.yaml]\n", at + 1));
            project.extend((0..10_000).map(file));
            project
        }),
        ("includes that double", || {
            let mut project = beside("include: [i0.yaml]");
            let file = |at: usize| {
                (format!("i{at}.yaml"), format!("include: [i{0}.yaml, {{path: i{0}.yaml}}]\n", at + 1))
            };
            project.extend((0..25).map(file));
            project.push(("i25.yaml".to_owned(), "services: {}\n".to_owned()));
            project
        }),
        ("documents without number", || whole("services: {s: {image: x, tty: true}}\n---\n".repeat(20_000))),
        ("lists that grow with each document", || {
            whole("services: {s: {image: x, build: {cache_from: [a, b, c, d]}}}\n---\n".repeat(5_000))
        }),
        ("ranges of ports", || {
            let ranges = many(1, 1_000, |at| format!("'{at}-{0}:{at}-{0}', ", at + 60_000));
            whole(format!("services: {{s: {{image: x, ports: [{ranges}]}}}}\n"))
        }),
        ("a command of hundreds of thousands of words", || {
            whole(format!("services: {{s: {{image: x, command: '{}'}}}}\n", "a ".repeat(300_000)))
        }),
        ("numbers without end", || {
            let attributes = format!(
                "cpus: 1e999, mem_limit: {0}g, scale: {0}, stop_grace_period: {0}h",
                "9".repeat(10_000)
            );
            whole(format!("services: {{s: {{image: x, {attributes}}}}}\nx-n: {}\n", "9".repeat(1_000_000)))
        }),
        ("defaults in defaults", || {
            let image = format!("{}x{}", "${A:-".repeat(10_000), "}".repeat(10_000));
            whole(format!("services: {{s: {{image: '{image}'}}}}\n"))
        }),
        ("variables that nobody closes", || {
            whole(format!("services: {{s: {{image: '{}'}}}}\n", "${A:-{".repeat(100_000)))
        }),
        ("a long variable again and again", || {
            let mut project =
                whole(format!("services: {{s: {{image: x, command: [{}]}}}}\n", "$A, ".repeat(100_000)));
            project.push((".env".to_owned(), format!("A={}\n", "x".repeat(100_000))));
            project
        }),
        ("variables that double", || {
            with_env(
                "A0=xxxxxxxxxx\n".to_owned()
                    + &many(1, 60, |at| format!("A{at}=${{A{0}}}${{A{0}}}\n", at - 1)),
            )
        }),
        ("variables without number", || with_env(many(0, 300_000, |at| format!("A{at}=x\n")))),
        ("one variable again and again", || with_env("A=1\n".repeat(900_000))),
        ("quotes in an env file", || with_env(format!("A=\"{}", "\\\"".repeat(1_000_000)))),
        ("tags before commas", || beside(&format!("x-a: [{}]", "!a, 'b !c, d', ".repeat(20_000)))),
        ("control characters", || beside("x-a: \0")),
    ]
}

#[test]
fn hostile_files_are_loaded_or_refused_within_bounds() {
    for (name, make) in projects() {
        let files = make().into_iter().map(|(name, text)| (Path::new("/p").join(name), text)).collect();
        let files = Memory(files);
        let start = Instant::now();
        let request = Request { current_dir: PathBuf::from("/p"), ..Request::default() };
        let why = load(&request, &files).err().map(|mistakes| mistakes.to_string());
        let took = start.elapsed();
        assert!(took < TIME, "{name}: {took:?}");
        assert!(why.is_none_or(|why| !why.is_empty() && why.len() < 2 << 20), "{name}");
        assert!(peak() < MEMORY, "{name}: {} MB", peak());
    }
}

/// Returns the most memory that this process has had, in MB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it tells this too");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
    kib >> 10
}
