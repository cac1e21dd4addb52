//! What a step depends on, in one word: two steps with the same key make the same files.
//!
//! ```text
//! key = digest of  what is done, how it is done here
//!                  the layers below
//!                  for each source and mount, the digest of the files that it has
//! ```
//!
//! No time and no place of a file is in it, no content of a secret, no name of a cache, and nothing that only says how
//! to reach the net. Nobody's word is taken for a key: what an image says of its own making never is one.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::graph::{Copy, Operation, Origin, Run, Source, Step, StepMount};

/// What steps mean. Another number makes all steps be carried out again.
const SEMANTICS: u32 = 3;

/// What a step depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// Returns it as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Step {
    /// Returns the key of a step. `below` are the layers of its input, the lowest first; `files` are the digests of
    /// the files of its sources or mounts that have some, in their order; `platform` is the machine's that it is for.
    ///
    /// What only has files that are there already has none.
    pub fn key(&self, below: &[String], files: &[String], platform: &str) -> Option<Key> {
        let operation = match &self.operation {
            Operation::Base(_) | Operation::Import(_) => return None,
            Operation::MakeFolder(make) => json!({ "folder": make }),
            Operation::Copy(copy) => copied(copy),
            Operation::Run(run) => executed(run),
        };
        let whole = json!([SEMANTICS, platform, operation, below, files]);
        Some(Key(blake3::hash(whole.to_string().as_bytes()).to_hex().to_string()))
    }
}

fn copied(copy: &Copy) -> Value {
    let sources: Vec<Value> = copy.sources.iter().map(source).collect();
    let Copy { destination, chown, chmod, exclude, sources: _ } = copy;
    json!({ "copy": [sources, destination, chown, chmod, exclude] })
}

/// Returns what a source is, but not where it is: its files have a digest.
fn source(source: &Source) -> Value {
    match source {
        Source::Files { kept, unpack, path, .. } => {
            // What a file is called decides how it is called where it goes.
            json!({ "files": [path.rsplit('/').next(), kept, unpack] })
        }
        Source::Document { name, content } => json!({ "document": [name, content] }),
        Source::Url { name, unpack, .. } => json!({ "url": [name, unpack] }),
        Source::Git(_) => json!("git"),
    }
}

fn executed(run: &Run) -> Value {
    let mounts: Vec<Value> = run.mounts.iter().map(mount).collect();
    let Run { args, env, cwd, user, script, network, insecure, devices, proxy: _, mounts: _ } = run;
    json!({ "run": [args, env, cwd, user, mounts, script, network, insecure, devices] })
}

fn mount(mount: &StepMount) -> Value {
    match mount {
        StepMount::Files { target, writable, .. } => json!({ "files": [target, writable] }),
        StepMount::Cache { target, read_only, .. } => json!({ "cache": [target, read_only] }),
        StepMount::Tmpfs { target, size } => json!({ "tmpfs": [target, size] }),
        StepMount::Secret { id, target, env, mode, uid, gid, required: _ } => {
            json!({ "secret": [id, target, env, mode, uid, gid] })
        }
        StepMount::Agent { id, target, mode, uid, gid, required: _ } => {
            json!({ "agent": [id, target, mode, uid, gid] })
        }
    }
}

impl Origin {
    /// Tells whether there are files.
    pub fn has_files(&self) -> bool {
        *self != Self::Nothing
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::evaluate::{Evaluated, evaluate};
    use crate::parse::parse;
    use crate::wanted::Wanted;

    /// Returns the key of the last step of a Dockerfile on nothing.
    fn key_with(source: &str, args: &[(&str, &str)], below: &str, files: &str) -> Key {
        let dockerfile = parse(&format!("FROM scratch\n{source}\n")).expect("it is a Dockerfile");
        let args = args.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let wanted = Wanted { args, ..Wanted::default() };
        let Ok(Evaluated::Graph(graph)) = evaluate(&dockerfile, &wanted, &BTreeMap::new()) else {
            panic!("it means something")
        };
        let step = graph.steps.last().expect("there is a step");
        step.key(&[below.to_owned()], &[files.to_owned()], "linux/amd64").expect("it has a key")
    }

    fn key(source: &str) -> Key {
        key_with(source, &[], "below", "files")
    }

    #[test]
    fn what_changes_the_files_changes_the_key() {
        let different = [
            "RUN a",
            "RUN a ",
            "RUN b",
            "RUN [\"a\"]",
            "ENV x=1\nRUN a",
            "ARG x=1\nARG y=2\nRUN a",
            "USER 1\nRUN a",
            "WORKDIR /w\nRUN a",
            "RUN --network=none a",
            "SHELL [\"/bin/bash\", \"-c\"]\nRUN a",
            "RUN --mount=type=tmpfs,target=/t a",
            "RUN --mount=type=secret,id=s a",
            "RUN --mount=type=secret,id=t a",
            "RUN --mount=target=/t a",
            "RUN --mount=target=/t,rw a",
            "RUN <<E\na\nE",
            "COPY a b",
            "COPY a b/",
            "COPY --chown=1 a b",
            "COPY --chmod=1 a b",
            "COPY --exclude=x a b",
            "COPY --parents a b",
            "COPY c b",
            "ADD a b",
            "COPY <<a b\nx\na",
            "COPY <<a b\ny\na",
            "WORKDIR /w",
            "USER 1\nWORKDIR /w",
        ];
        let same = ["RUN a "];
        let keys: BTreeMap<Key, &str> = different.iter().map(|source| (key(source), *source)).collect();
        assert_eq!(keys.len(), different.len() - same.len());
        assert_ne!(key_with("RUN a", &[], "other", "files"), key("RUN a"));
        assert_ne!(
            key_with("RUN --mount=target=/t a", &[], "below", "other"),
            key("RUN --mount=target=/t a")
        );
    }

    #[test]
    fn what_changes_no_file_changes_no_key() {
        let alike = [
            ("RUN a", "# comment\n  run    a"),
            ("RUN a", "LABEL x=y\nEXPOSE 80\nCMD x\nRUN a"),
            ("RUN a", "ARG never\nRUN a"),
            ("RUN --mount=type=cache,target=/c a", "RUN --mount=type=cache,id=x,sharing=locked,target=/c a"),
            ("RUN --mount=type=secret,id=s a", "RUN --mount=type=secret,id=s,required a"),
            ("COPY a b", "COPY x/../y/a b"),
            ("COPY a /b", "ENV x=1\nCOPY a /b"),
            ("COPY a b", "COPY --link a b"),
        ];
        for (one, other) in alike {
            assert_eq!(key(one), key(other), "{one} and {other}");
        }
        let proxy = [("HTTP_PROXY", "http://p")];
        assert_eq!(key_with("RUN a", &proxy, "below", "files"), key("RUN a"));
    }
}
