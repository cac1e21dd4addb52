//! What an image was made of, for others to check.
//!
//! ```text
//! steps that the image needs ──► materials: images, repositories and files of servers, with their digests
//! build ──► parameters; with `mode=max` the Dockerfile and its steps too
//! ```
//!
//! Sources: SLSA, `provenance/v0.2` and `provenance/v1`; BuildKit, `docs/attestations/slsa-provenance.md`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use trice_dockerfile::graph::{Operation, Step, StepId, StepMount};
use trice_image::digest::Digest;
use trice_image::images::attest::package;
use trice_image::images::build::Attestation;
use trice_image::platform::Platform;
use trice_model::attestation::{Provenance, SlsaVersion};
use trice_model::build::Build;
use trice_model::image::RegistryRef;
use trice_model::time::Timestamp;

use crate::builder::{Script, seconds};

/// How the parameters and the configuration of a build are to be read: see `docs/builds.md`.
const BUILD_TYPE: &str = "trice:dockerfile@v1";

/// Something that an image was made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Material {
    uri: String,
    algorithm: &'static str,
    hex: String,
}

impl Material {
    /// Returns an image that a registry has, or that is here under its name.
    pub(crate) fn image(name: &RegistryRef, platform: &Platform, digest: &Digest) -> Self {
        Self { uri: package(name, platform), algorithm: "sha256", hex: digest.hex().to_owned() }
    }

    /// Returns an image that is in a file.
    pub(crate) fn archive(reference: &str, id: &Digest) -> Self {
        Self { uri: reference.to_owned(), algorithm: "sha256", hex: id.hex().to_owned() }
    }

    /// Returns a file of a server, whose digest is `sha256:…`.
    pub(crate) fn file(url: &str, digest: &str) -> Self {
        let hex = digest.trim_start_matches("sha256:").to_owned();
        Self { uri: without_user(url), algorithm: "sha256", hex }
    }

    /// Returns a commit.
    pub(crate) fn commit(remote: &str, commit: &str) -> Self {
        let algorithm = if commit.len() == 64 { "sha256" } else { "sha1" };
        Self { uri: without_user(remote), algorithm, hex: commit.to_owned() }
    }

    fn written(&self) -> Value {
        json!({ "uri": self.uri, "digest": { self.algorithm: self.hex } })
    }
}

/// Leaves out of an address who asks, and with which password.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// What is known of how an image was made.
pub(crate) struct Facts<'a> {
    pub(crate) build: &'a Build,
    pub(crate) script: &'a Script,
    /// What the context came from, if it came from elsewhere.
    pub(crate) source: Option<&'a Material>,
    /// What contexts came from.
    pub(crate) contexts: &'a [Material],
    pub(crate) steps: &'a [Step],
    pub(crate) materials: &'a BTreeMap<StepId, BTreeSet<Material>>,
    /// The last step of the image.
    pub(crate) result: Option<StepId>,
    /// When it began and ended.
    pub(crate) times: (Timestamp, Timestamp),
}

/// Returns what is stated about the image `id`; `before` has what was stated on a basis.
pub(crate) fn attestation<E>(
    provenance: &Provenance,
    facts: &Facts<'_>,
    id: &Digest,
    before: impl FnOnce(&Digest) -> Result<Vec<Attestation>, E>,
) -> Result<Attestation, E> {
    let (predicate_type, timeless) = match provenance.version {
        SlsaVersion::V02 => ("https://slsa.dev/provenance/v0.2", facts.version_02(provenance, None)),
        SlsaVersion::V1 => ("https://slsa.dev/provenance/v1", facts.version_1(provenance, None)),
    };
    let basis = Digest::of(timeless.to_string().as_bytes());
    // The image is the same as then, and so is how it was made: when that was is still true.
    if let Some(known) = before(&basis)?.pop() {
        return Ok(known);
    }
    let run = facts.run(id);
    let predicate = match provenance.version {
        SlsaVersion::V02 => facts.version_02(provenance, Some(&run)),
        SlsaVersion::V1 => facts.version_1(provenance, Some(&run)),
    };
    Ok(Attestation {
        predicate_type: predicate_type.to_owned(),
        predicate: predicate.to_string().into_bytes(),
        basis,
    })
}

/// What only one run has.
struct Run {
    id: String,
    started: String,
    finished: String,
}

impl Facts<'_> {
    fn run(&self, id: &Digest) -> Run {
        let (started, finished) = self.times;
        let (started, finished) = match self.build.source_date_epoch {
            Some(epoch) => (seconds(epoch), seconds(epoch)),
            None => (started.rfc3339(), finished.rfc3339()),
        };
        let run = Digest::of(format!("{id} {started}").as_bytes());
        Run { id: run.hex()[..32].to_owned(), started, finished }
    }

    fn version_02(&self, provenance: &Provenance, run: Option<&Run>) -> Value {
        let mut predicate = json!({
            "builder": { "id": provenance.builder },
            "buildType": BUILD_TYPE,
            "materials": self.materials(),
            "invocation": {
                "configSource": self.config_source("entryPoint"),
                "parameters": self.parameters(provenance.complete),
                "environment": { "platform": Platform::host().to_string() },
            },
            "metadata": {
                // What commands fetch, and files of this machine, have no digest here.
                "completeness": {
                    "parameters": provenance.complete, "environment": true, "materials": false,
                },
                "reproducible": false,
            },
        });
        if provenance.complete {
            predicate["buildConfig"] = self.config();
        }
        if let Some(run) = run {
            predicate["metadata"]["buildInvocationID"] = json!(run.id);
            predicate["metadata"]["buildStartedOn"] = json!(run.started);
            predicate["metadata"]["buildFinishedOn"] = json!(run.finished);
        }
        predicate
    }

    fn version_1(&self, provenance: &Provenance, run: Option<&Run>) -> Value {
        let mut predicate = json!({
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "configSource": self.config_source("path"),
                    "request": self.parameters(provenance.complete),
                },
                "internalParameters": { "builderPlatform": Platform::host().to_string() },
                "resolvedDependencies": self.materials(),
            },
            "runDetails": { "builder": { "id": provenance.builder }, "metadata": {} },
        });
        if provenance.complete {
            predicate["buildDefinition"]["internalParameters"]["buildConfig"] = self.config();
        }
        if let Some(run) = run {
            predicate["runDetails"]["metadata"] =
                json!({ "invocationId": run.id, "startedOn": run.started, "finishedOn": run.finished });
        }
        predicate
    }

    fn config_source(&self, file: &str) -> Value {
        let mut source = self.source.map(Material::written).unwrap_or_else(|| json!({}));
        source[file] = json!(self.script.name);
        source
    }

    /// Returns what was asked for: with `complete` also what may be nobody else's business.
    fn parameters(&self, complete: bool) -> Value {
        let build = self.build;
        let mut parameters = json!({ "frontend": "dockerfile.v0" });
        let mut args = Map::new();
        args.extend(build.target.iter().map(|target| ("target".to_owned(), json!(target))));
        if complete {
            args.extend(build.args.iter().map(|(name, value)| (format!("build-arg:{name}"), json!(value))));
            args.extend(build.labels.iter().map(|(name, value)| (format!("label:{name}"), json!(value))));
            let (mut secrets, mut agents) = (BTreeMap::new(), BTreeMap::new());
            for mount in self.needed().into_iter().flat_map(|id| mounts(&self.steps[id.0 as usize])) {
                match mount {
                    StepMount::Secret { id, required, .. } => *secrets.entry(id).or_default() |= *required,
                    StepMount::Agent { id, required, .. } => *agents.entry(id).or_default() |= *required,
                    _ => {}
                }
            }
            for (name, used) in [("secrets", secrets), ("ssh", agents)] {
                let listed: Vec<Value> = used
                    .iter()
                    .map(|(id, required): (_, &bool)| json!({ "id": id, "optional": !required }))
                    .collect();
                if !listed.is_empty() {
                    parameters[name] = json!(listed);
                }
            }
        }
        if !args.is_empty() {
            parameters["args"] = Value::Object(args);
        }
        if self.source.is_none() {
            parameters["locals"] = json!([{ "name": "context" }, { "name": "dockerfile" }]);
        }
        parameters
    }

    /// Returns the Dockerfile and the steps that the image needs.
    fn config(&self) -> Value {
        let name = |id: StepId| format!("step{}", id.0);
        let steps: Vec<Value> = self
            .needed()
            .into_iter()
            .map(|id| {
                let step = &self.steps[id.0 as usize];
                let inputs: Vec<String> = step.needs().into_iter().map(name).collect();
                json!({
                    "id": name(id), "name": step.title, "platform": step.platform, "inputs": inputs,
                    "lines": { "start": step.lines.first, "end": step.lines.last },
                })
            })
            .collect();
        json!({ "dockerfile": self.script.text, "steps": steps })
    }

    fn materials(&self) -> Vec<Value> {
        let needed = self.needed();
        let of_steps = self.materials.iter().filter(|(step, _)| needed.contains(step));
        let all: BTreeSet<&Material> =
            of_steps.flat_map(|(_, materials)| materials).chain(self.contexts).chain(self.source).collect();
        all.into_iter().map(Material::written).collect()
    }

    /// Returns the steps that the image needs.
    fn needed(&self) -> BTreeSet<StepId> {
        let (mut needed, mut waiting) = (BTreeSet::new(), Vec::from_iter(self.result));
        while let Some(step) = waiting.pop() {
            if needed.insert(step) {
                waiting.extend(self.steps[step.0 as usize].needs());
            }
        }
        needed
    }
}

fn mounts(step: &Step) -> &[StepMount] {
    match &step.operation {
        Operation::Run(run) => &run.mounts,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use trice_dockerfile::evaluate::{Evaluated, evaluate};
    use trice_dockerfile::parse::parse;
    use trice_dockerfile::wanted::Wanted;

    use super::*;

    /// Returns what is stated of the image of a Dockerfile.
    fn stated(provenance: &Provenance, text: &str, times: (u64, u64), before: &[Attestation]) -> Attestation {
        let Ok(Evaluated::Graph(graph)) =
            evaluate(&parse(text).unwrap(), &Wanted::default(), &BTreeMap::new())
        else {
            panic!("it means something")
        };
        let mut build = Build::of_folder(Path::new("/"));
        build.args.insert("TOKEN".to_owned(), "x".to_owned());
        build.target = Some("last".to_owned());
        let all = [(0, "https://me:secret@h/needed"), (2, "https://h/never")];
        let materials = all.map(|(step, url)| (StepId(step), [Material::file(url, "sha256:0f")].into()));
        let facts = Facts {
            build: &build,
            script: &Script { name: "Dockerfile".to_owned(), text: text.to_owned() },
            source: None,
            contexts: &[],
            steps: &graph.steps,
            materials: &materials.into(),
            result: Some(StepId(1)),
            times: (Timestamp(times.0), Timestamp(times.1)),
        };
        let known = |basis: &Digest| {
            let same = before.iter().filter(|attestation| attestation.basis == *basis);
            Ok::<_, std::convert::Infallible>(same.cloned().collect())
        };
        attestation(provenance, &facts, &Digest::of(b"image"), known).unwrap()
    }

    const TEXT: &str = "FROM scratch AS last\nADD https://h/needed /\nRUN --mount=type=secret,id=s a\nADD https://h/never /\n";

    fn provenance(complete: bool, version: SlsaVersion) -> Provenance {
        Provenance { complete, version, builder: "https://b".to_owned() }
    }

    #[test]
    fn the_least_says_what_went_in_and_nothing_of_how() {
        let least = stated(&provenance(false, SlsaVersion::V02), TEXT, (0, 1_000_000_000), &[]);
        insta::assert_snapshot!(String::from_utf8(least.predicate).unwrap(), @r#"{"buildType":"trice:dockerfile@v1","builder":{"id":"https://b"},"invocation":{"configSource":{"entryPoint":"Dockerfile"},"environment":{"platform":"linux/amd64"},"parameters":{"args":{"target":"last"},"frontend":"dockerfile.v0","locals":[{"name":"context"},{"name":"dockerfile"}]}},"materials":[{"digest":{"sha256":"0f"},"uri":"https://h/needed"}],"metadata":{"buildFinishedOn":"1970-01-01T00:00:01.000000000Z","buildInvocationID":"9dcdcb31e1fbab7d5e119e0373eff6f2","buildStartedOn":"1970-01-01T00:00:00.000000000Z","completeness":{"environment":true,"materials":false,"parameters":false},"reproducible":false}}"#);
    }

    #[test]
    fn all_has_the_dockerfile_the_arguments_and_which_secrets_were_used() {
        let all = stated(&provenance(true, SlsaVersion::V1), TEXT, (0, 1_000_000_000), &[]);
        insta::assert_snapshot!(String::from_utf8(all.predicate).unwrap(), @r#"{"buildDefinition":{"buildType":"trice:dockerfile@v1","externalParameters":{"configSource":{"path":"Dockerfile"},"request":{"args":{"build-arg:TOKEN":"x","target":"last"},"frontend":"dockerfile.v0","locals":[{"name":"context"},{"name":"dockerfile"}],"secrets":[{"id":"s","optional":true}]}},"internalParameters":{"buildConfig":{"dockerfile":"FROM scratch AS last\nADD https://h/needed /\nRUN --mount=type=secret,id=s a\nADD https://h/never /\n","steps":[{"id":"step0","inputs":[],"lines":{"end":2,"start":2},"name":"[1/3] ADD https://h/needed /","platform":"/"},{"id":"step1","inputs":["step0"],"lines":{"end":3,"start":3},"name":"[2/3] RUN --mount=type=secret,id=s a","platform":"/"}]},"builderPlatform":"linux/amd64"},"resolvedDependencies":[{"digest":{"sha256":"0f"},"uri":"https://h/needed"}]},"runDetails":{"builder":{"id":"https://b"},"metadata":{"finishedOn":"1970-01-01T00:00:01.000000000Z","invocationId":"9dcdcb31e1fbab7d5e119e0373eff6f2","startedOn":"1970-01-01T00:00:00.000000000Z"}}}"#);
    }

    #[test]
    fn the_same_build_at_another_time_states_what_it_stated() {
        let of = |complete, time, before: &[Attestation]| {
            stated(&provenance(complete, SlsaVersion::V02), TEXT, (time, time), before)
        };
        let first = of(true, 1, &[]);
        assert_eq!(of(true, 2, std::slice::from_ref(&first)), first);
        assert_ne!(of(true, 2, &[]), first, "times are in it");
        assert_ne!(of(false, 1, std::slice::from_ref(&first)), first);
    }
}
