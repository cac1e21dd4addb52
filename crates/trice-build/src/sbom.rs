//! A list of the software in an image, by the program of another image that looks at its files.
//!
//! ```text
//! generator: BUILDKIT_SCAN_SOURCE=/run/src/core/sbom        the files, to be read
//!            BUILDKIT_SCAN_DESTINATION=/run/out             where it puts statements, without saying of what
//!            BUILDKIT_SCAN_name=value                       what it is told
//! ```
//!
//! Source: BuildKit, `docs/attestations/sbom-protocol.md`.

use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use serde_json::json;
use trice_dockerfile::document::Document;
use trice_dockerfile::graph::StepId;
use trice_image::digest::Digest;
use trice_image::images::build::Attestation;
use trice_image::platform::Platform;
use trice_model::attestation::Sbom;
use trice_model::build::BuildNetwork;
use trice_model::mount::{MountSpec, MountSpecSource};

use crate::base::{Found, Layer};
use crate::error::StepError;
use crate::event::{Event, Outcome};
use crate::execute::Work;
use crate::run::bind;
use crate::sandbox::{Command, SandboxError, Written};
use crate::step::{disk, top_first};

const SOURCE: &str = "/run/src/core/sbom";
const DESTINATION: &str = "/run/out";
const SPDX: &str = "https://spdx.dev/Document";
/// The longest statement that is read.
const LONGEST: u64 = 256 << 20;

/// A statement as generators write it.
#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: serde_json::Value,
}

impl Work<'_> {
    /// Has the software in the image `image` listed, unless the same generator has done so before. `step` is its number
    /// among those that are shown.
    pub(crate) fn sbom(
        &self,
        sbom: &Sbom,
        image: &Digest,
        layers: &[Layer],
        step: StepId,
    ) -> Result<Vec<Attestation>, StepError> {
        let (shown, began) = (step.0 as usize, Instant::now());
        (self.listener)(Event::Began { step: shown });
        let result = self.list(sbom, image, layers, step);
        let outcome = match &result {
            Ok((_, outcome)) => *outcome,
            Err(_) => Outcome::Failed,
        };
        (self.listener)(Event::Ended { step: shown, outcome, took: began.elapsed() });
        result.map(|(attestations, _)| attestations)
    }

    fn list(
        &self,
        sbom: &Sbom,
        image: &Digest,
        layers: &[Layer],
        step: StepId,
    ) -> Result<(Vec<Attestation>, Outcome), StepError> {
        let generator = sbom.generator.clone().resolved(self.bases.folder);
        let found = self.bases.image(&generator, &Platform::host());
        // It says all of why already.
        let found = found.map_err(|error| StepError::Files(error.to_string()))?;
        let Found::Image { document, layers: program, .. } = found else {
            return Err(StepError::Files(format!("`{generator}` is no image")));
        };
        let basis = json!(["sbom", image, Digest::of(&document.written()), sbom.parameters]);
        let basis = Digest::of(basis.to_string().as_bytes());
        let known =
            self.tools.images.attestations(image, &basis).map_err(|error| StepError::files(&error))?;
        if !known.is_empty() {
            return Ok((known, Outcome::Cached));
        }
        let out = self.workshop.scratch()?;
        fs::set_permissions(&out, Permissions::from_mode(0o755))
            .map_err(|source| disk("make a folder for what is listed", source))?;
        // Those that were just made are at their places by now.
        let place = |layer: &Layer| Layer {
            root: self.tools.images.layer_root(&layer.diff_id).unwrap_or_else(|| layer.root.clone()),
            ..layer.clone()
        };
        let layers: Vec<Layer> = layers.iter().map(place).collect();
        let source = if layers.is_empty() { vec![self.empty.clone()] } else { top_first(&layers) };
        let source =
            MountSpecSource::Image { image: generator, id: image.to_string(), layers: source, subpath: None };
        let mounts = vec![
            MountSpec { target: SOURCE.into(), read_only: true, source },
            bind(&out, DESTINATION, false),
        ];
        let command = scan(sbom, &document, top_first(&program), mounts)?;
        let mut written = |line: Written<'_>| self.wrote(step, line.is_error, line.line);
        let executed = self.tools.sandbox.execute(&command, &mut written, self.stop);
        let executed = executed.map_err(|error| match error {
            SandboxError::Cancelled => StepError::Cancelled,
            failed @ SandboxError::Failed(_) => StepError::Sandbox(failed),
        })?;
        if executed.exit.code() != 0 {
            return Err(StepError::Code { command: command.args.join(" "), code: executed.exit.code() });
        }
        Ok((statements(&out, &basis)?, Outcome::Done))
    }
}

/// Returns how the program of a generator is started.
fn scan(
    sbom: &Sbom,
    document: &Document,
    layers: Vec<PathBuf>,
    mounts: Vec<MountSpec>,
) -> Result<Command, StepError> {
    let config = &document.config;
    let args: Vec<String> = config.entrypoint.iter().chain(&config.cmd).flatten().cloned().collect();
    if args.is_empty() {
        return Err(StepError::Files(format!("the image `{}` has no program", sbom.generator)));
    }
    let own = config.env.iter().flatten();
    let own = own.map(|line| line.split_once('=').unwrap_or((line, "")));
    let told = sbom.parameters.iter().map(|(name, value)| (format!("BUILDKIT_SCAN_{name}"), value.clone()));
    let env = own.map(|(name, value)| (name.to_owned(), value.to_owned())).chain(told).chain([
        ("BUILDKIT_SCAN_SOURCE".to_owned(), SOURCE.to_owned()),
        ("BUILDKIT_SCAN_DESTINATION".to_owned(), format!("{DESTINATION}/")),
    ]);
    Ok(Command {
        layers,
        args,
        env: env.collect(),
        cwd: config.working_dir.clone().filter(|cwd| !cwd.is_empty()).unwrap_or_else(|| "/".to_owned()),
        user: config.user.clone().unwrap_or_default(),
        mounts,
        network: BuildNetwork::Default,
        privileged: false,
        hosts: Vec::new(),
        shm_size: None,
        ulimits: Default::default(),
    })
}

/// Reads what a generator has stated, in the order of the files' names.
fn statements(folder: &Path, basis: &Digest) -> Result<Vec<Attestation>, StepError> {
    let failed = |source| disk("read what was listed", source);
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    let mut stated = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().display().to_string();
        let wrong = |what: &str| StepError::Files(format!("the generator's `{name}`: {what}"));
        // Whoever wrote it may have made it a link to something else.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file =
            rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| wrong(&error.to_string()))?;
        let file = fs::File::from(file);
        if !file.metadata().is_ok_and(|found| found.is_file()) {
            return Err(wrong("it is no file"));
        }
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > LONGEST {
            return Err(wrong(&format!("it is longer than {} MiB", LONGEST >> 20)));
        }
        let statement: Statement = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(&format!("it is no statement of in-toto: {error}")))?;
        if statement.predicate_type != SPDX {
            return Err(wrong(&format!("it states `{}`, and not `{SPDX}`", statement.predicate_type)));
        }
        let predicate = statement.predicate.to_string().into_bytes();
        stated.push(Attestation { predicate_type: SPDX.to_owned(), predicate, basis: basis.clone() });
    }
    if stated.is_empty() {
        return Err(StepError::Files(format!("the generator has put nothing into `{DESTINATION}`")));
    }
    Ok(stated)
}
