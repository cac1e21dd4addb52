//! The JSON Schema of what crosses the engine's socket, as it lies in `schemas/api.schema.json`.

use std::fs;
use std::path::Path;

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::fault::Fault;
use crate::stream::{StreamNotice, StreamRequest};
use crate::{build, call, image, inside, system};

/// Adds a request's path, body and answer to `calls`.
fn add<C: Call>(generator: &mut SchemaGenerator, calls: &mut Map<String, Value>) {
    let (body, answer) = (generator.subschema_for::<C>(), generator.subschema_for::<C::Answer>());
    calls.insert(format!("/v1/{}", C::PATH), json!({ "body": body, "answer": answer }));
}

fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let mut calls = Map::new();
    add::<build::Build>(&mut generator, &mut calls);
    add::<call::Operate>(&mut generator, &mut calls);
    add::<call::Cancel>(&mut generator, &mut calls);
    add::<call::Plan>(&mut generator, &mut calls);
    add::<call::ListContainers>(&mut generator, &mut calls);
    add::<call::ListProjects>(&mut generator, &mut calls);
    add::<call::ListNetworks>(&mut generator, &mut calls);
    add::<call::Examine>(&mut generator, &mut calls);
    add::<call::Describe>(&mut generator, &mut calls);
    add::<call::Kill>(&mut generator, &mut calls);
    add::<call::Pause>(&mut generator, &mut calls);
    add::<call::Watch>(&mut generator, &mut calls);
    add::<call::Logs>(&mut generator, &mut calls);
    add::<call::Exec>(&mut generator, &mut calls);
    add::<call::Attach>(&mut generator, &mut calls);
    add::<call::Run>(&mut generator, &mut calls);
    add::<image::PullImages>(&mut generator, &mut calls);
    add::<image::PushImages>(&mut generator, &mut calls);
    add::<image::MissingImages>(&mut generator, &mut calls);
    add::<image::ListTags>(&mut generator, &mut calls);
    add::<image::SearchImages>(&mut generator, &mut calls);
    add::<image::EnterRegistry>(&mut generator, &mut calls);
    add::<image::ListImages>(&mut generator, &mut calls);
    add::<image::InspectImages>(&mut generator, &mut calls);
    add::<image::ImageHistory>(&mut generator, &mut calls);
    add::<image::TagImage>(&mut generator, &mut calls);
    add::<image::RemoveImages>(&mut generator, &mut calls);
    add::<image::PruneImages>(&mut generator, &mut calls);
    add::<image::SaveImages>(&mut generator, &mut calls);
    add::<image::LoadImages>(&mut generator, &mut calls);
    add::<image::ImportImage>(&mut generator, &mut calls);
    add::<inside::CopyFiles>(&mut generator, &mut calls);
    add::<inside::Changes>(&mut generator, &mut calls);
    add::<inside::ExportFiles>(&mut generator, &mut calls);
    add::<inside::Commit>(&mut generator, &mut calls);
    add::<system::DiskUsage>(&mut generator, &mut calls);
    add::<system::PruneVolumes>(&mut generator, &mut calls);
    add::<system::PruneBuilds>(&mut generator, &mut calls);
    let stream = [generator.subschema_for::<StreamRequest>(), generator.subschema_for::<StreamNotice>()];
    let fault = generator.subschema_for::<Fault>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What crosses the socket of trice's engine",
        "description": "Each request is a POST with a JSON body. An answer is JSON, or lines of it for what takes time.",
        "calls": calls,
        "stream": { "request": stream[0], "notice": stream[1] },
        "fault": fault,
        "$defs": generator.definitions(),
    })
}

#[test]
fn every_request_is_in_the_schema() {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap().flatten();
    let texts = files.map(|file| fs::read_to_string(file.path()).unwrap());
    let requests: usize =
        texts.map(|text| text.lines().filter(|line| line.starts_with("impl Call for")).count()).sum();
    assert_eq!(schema()["calls"].as_object().map(Map::len), Some(requests));
}

#[test]
fn the_schema_is_that_of_the_types() {
    trice_test::schema::must_be("api", &schema());
}
