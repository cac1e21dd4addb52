//! Prints the JSON Schema of a Compose file, as it lies in `schemas/compose.schema.json`.
#![allow(clippy::print_stdout, reason = "a program for developers, which prints the schema")]

fn main() {
    println!("{}", serde_json::to_string_pretty(&trice_compose::config::schema()).expect("keys are texts"));
}
