//! JSON Schemas that lie beside the types they come from.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Holds `schemas/<name>.schema.json` against `schema`, which comes from the types.
///
/// With `TRICE_WRITE_SCHEMAS` in the environment the file is written instead.
///
/// # Panics
/// If the file is another one.
pub fn must_be(name: &str, schema: &Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let path = folder.join(format!("{name}.schema.json"));
    let text = format!("{schema:#}\n");
    if std::env::var_os("TRICE_WRITE_SCHEMAS").is_some() {
        fs::write(&path, &text).expect("write the schema");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let hint = "write it anew: TRICE_WRITE_SCHEMAS=1 cargo test --workspace schema";
    assert!(kept == text, "schemas/{name}.schema.json is not that of the types: {hint}");
}
