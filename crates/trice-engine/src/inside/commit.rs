//! An image of a container: its image, and what it has changed of that as one more layer.
//!
//! Source: docker-container-commit(1).

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use trice_api::fault::{Code, Fault};
use trice_api::inside::Commit;
use trice_image::digest::Digest;
use trice_image::images::build::Draft;
use trice_image::pack::{Packing, pack};
use trice_model::container::ContainerSpec;
use trice_model::id::ContainerId;
use trice_model::image::RegistryRef;

use super::changes;
use crate::backends::Backends;
use crate::engine::now;
use crate::event::Question;
use crate::failure;
use crate::images::in_thread;
use crate::serve::Service;

/// What labels of Compose begin with: they are the container's, and not the image's.
const COMPOSE: &str = "com.docker.compose.";

/// Makes the image, and returns its id.
pub(super) async fn commit(call: Commit, service: Service) -> Result<String, Fault> {
    let inside = super::open(&call.container, false, &service).await?;
    in_thread(move || {
        let what = format!("commit container {}", inside.spec.name);
        let mut _still = None;
        if call.pause && inside.process.is_some() {
            _still = Some(Still { container: inside.spec.id.clone(), service: service.clone() });
            service.backends.containers.freeze(&inside.spec).map_err(|error| {
                failure::of(&what, &error).hint("`--pause=false` reads its files while it goes on")
            })?;
        }
        make(&call, &inside.spec, &inside.upper(&service.backends), &service.backends, &what)
    })
    .await
}

/// A container that is held still until this is dropped.
struct Still {
    container: ContainerId,
    service: Service,
}

impl Drop for Still {
    fn drop(&mut self) {
        self.service.ask(Question::GoOn(self.container.clone()));
    }
}

fn make(
    call: &Commit,
    spec: &ContainerSpec,
    upper: &std::path::Path,
    backends: &Backends,
    what: &str,
) -> Result<String, Fault> {
    let failed = |error: &(dyn Error + 'static)| failure::of_image_made(what, error);
    let images = &backends.images;
    let base: Digest = spec.image_id.parse().map_err(|_| {
        Fault::new(Code::Image, format!("{what}: `{}` is a folder, and no image", spec.image))
    })?;
    let lease = images.lease().map_err(|error| failed(&error))?;
    if !images.hold(&lease, &base).map_err(|error| failed(&error))? {
        return Err(Fault::new(Code::Image, format!("{what}: its image is not here any more")));
    }
    let workshop = images.workshop().map_err(|error| failed(&error))?;
    let root = File::open(upper).map_err(|error| failed(&error))?;
    let packing = Packing { overlay: true, skip: unmade(upper, spec), ..Packing::default() };
    let (reads, writes) = io::pipe().map_err(|error| failed(&error))?;
    let layer = std::thread::scope(|scope| {
        let packed = scope.spawn(|| pack(root.as_fd(), &packing, writes));
        let layer = images.layer_of_archive(&workshop, reads, "the container's files", |_| Ok(()));
        // Its own error says more than that of whoever reads half an archive.
        packed.join().expect("packing does not panic").map_err(|error| failed(&error))?;
        layer.map_err(|error| failed(&error))
    })?;
    let bytes = images.config(&base).map_err(|error| failed(&error))?;
    let config: Value = serde_json::from_slice(&bytes).map_err(|error| failed(&error))?;
    let config = changed(config, call, spec, layer.diff_id());
    let config = serde_json::to_vec(&config).map_err(|error| failed(&error))?;
    let config = trice_build::changes::changed(&config, &call.changes);
    let config = config.map_err(|error| failure::of_change(what, &error))?;
    images.publish(&lease, &workshop, &[layer]).map_err(|error| failed(&error))?;
    let names: Vec<RegistryRef> = call.name.clone().into_iter().collect();
    let rootfs = images.rootfs_of(&base).map_err(|error| failed(&error))?;
    let draft = Draft::new(config, rootfs);
    let mut made = images.commit(&lease, &[draft], &names).map_err(|error| failed(&error))?;
    Ok(made.remove(0).id) // of one draft
}

/// Returns the places for mounts that the image does not have and the container has not filled.
fn unmade(upper: &std::path::Path, spec: &ContainerSpec) -> BTreeSet<PathBuf> {
    let is_empty = |path: &PathBuf| {
        let there = upper.join(path);
        let in_image = spec.layers.iter().any(|layer| layer.join(path).symlink_metadata().is_ok());
        let is_empty = match there.symlink_metadata() {
            Ok(found) if found.is_dir() => there.read_dir().is_ok_and(|mut entries| entries.next().is_none()),
            Ok(found) => found.len() == 0,
            Err(_) => false,
        };
        is_empty && !in_image
    };
    changes::places(spec).into_iter().filter(is_empty).collect()
}

/// Returns the image's configuration with the container's own settings, its layer and a line of history.
fn changed(mut config: Value, call: &Commit, spec: &ContainerSpec, layer: &Digest) -> Value {
    let created = now().rfc3339();
    let command = spec.process.args.join(" ");
    let mut own = config["config"].as_object().cloned().unwrap_or_default();
    settings(&mut own, spec);
    config["config"] = Value::Object(own);
    config["created"] = json!(created);
    config["author"] = json!(call.author);
    config["comment"] = json!(call.message);
    push(&mut config["rootfs"]["diff_ids"], json!(layer));
    let mut step = json!({ "created": created, "created_by": command, "comment": call.message });
    if !call.author.is_empty() {
        step["author"] = json!(call.author);
    }
    push(&mut config["history"], step);
    config
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = json!([item]),
    }
}

fn settings(own: &mut Map<String, Value>, spec: &ContainerSpec) {
    let texts = |value: Option<&Value>| -> Vec<String> {
        let items = value.and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let entrypoint = texts(own.get("Entrypoint"));
    match spec.process.args.strip_prefix(entrypoint.as_slice()) {
        Some(rest) => drop(own.insert("Cmd".to_owned(), json!(rest))),
        None => {
            own.insert("Entrypoint".to_owned(), Value::Null);
            own.insert("Cmd".to_owned(), json!(spec.process.args));
        }
    }
    let named = |text: &String| text.split_once('=').map_or(text.clone(), |(name, _)| name.to_owned());
    let before: Vec<String> = texts(own.get("Env")).iter().map(named).collect();
    let mut variables = spec.process.env.clone();
    let mut env: Vec<String> = Vec::new();
    for name in before {
        env.extend(variables.remove(&name).map(|value| format!("{name}={value}")));
    }
    env.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
    own.insert("Env".to_owned(), json!(env));
    own.insert("WorkingDir".to_owned(), json!(spec.process.cwd));
    own.insert("User".to_owned(), json!(spec.process.user));
    let mut labels = own.get("Labels").and_then(Value::as_object).cloned().unwrap_or_default();
    let more = spec.labels.iter().filter(|(name, _)| !name.starts_with(COMPOSE));
    labels.extend(more.map(|(name, value)| (name.clone(), json!(value))));
    own.insert("Labels".to_owned(), Value::Object(labels));
}
