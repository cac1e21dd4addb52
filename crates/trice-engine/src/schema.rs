//! The JSON Schema of what lies in the store, as it lies in `schemas/store.schema.json`.

use std::fs;
use std::path::Path;

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};
use trice_build::record::{FilesRecord, StepRecord};
use trice_image::record::{ArchiveRecord, ImageRecord, NameRecord};
use trice_state::record::Record;
use trice_volume::record::VolumeRecord;

use crate::record::{ContainerRecord, InstanceRecord, IntentRecord, NetworkRecord};

/// Adds a table, with the version of its records, to `tables`.
fn add<R: Record>(generator: &mut SchemaGenerator, tables: &mut Map<String, Value>) {
    let record = generator.subschema_for::<R>();
    tables.insert(R::TABLE.to_owned(), json!({ "version": R::VERSION, "record": record }));
}

#[test]
fn the_schema_is_that_of_the_types() {
    let mut generator = SchemaGenerator::default();
    let mut tables = Map::new();
    add::<IntentRecord>(&mut generator, &mut tables);
    add::<NetworkRecord>(&mut generator, &mut tables);
    add::<InstanceRecord>(&mut generator, &mut tables);
    add::<ContainerRecord>(&mut generator, &mut tables);
    add::<StepRecord>(&mut generator, &mut tables);
    add::<FilesRecord>(&mut generator, &mut tables);
    add::<ImageRecord>(&mut generator, &mut tables);
    add::<NameRecord>(&mut generator, &mut tables);
    add::<ArchiveRecord>(&mut generator, &mut tables);
    add::<VolumeRecord>(&mut generator, &mut tables);
    let crates = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap().flatten();
    let texts = crates.filter_map(|one| fs::read_to_string(one.path().join("src/record.rs")).ok());
    let records: usize =
        texts.map(|text| text.lines().filter(|line| line.starts_with("impl Record for")).count()).sum();
    assert_eq!(tables.len(), records, "a record is not in the schema");
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What lies in the store of trice's engine",
        "description": "Each table holds records of one type, as JSON beside the version that wrote them.",
        "tables": tables,
        "$defs": generator.definitions(),
    });
    trice_test::schema::must_be("store", &schema);
}
