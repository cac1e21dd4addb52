//! `version`: which trice this is. It loads no files and asks nobody.

use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::output;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is typed after `version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Only the number
    #[arg(long)]
    short: bool,
    /// As text or as JSON
    #[arg(short, long, value_enum, default_value_t)]
    format: VersionFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum VersionFormat {
    #[default]
    Pretty,
    Json,
}

/// Carries out `version`.
pub(crate) fn run(args: &VersionArgs) -> Result<u8, Failure> {
    output::print(&render(args)).map(|()| 0)
}

/// Returns what people are told.
pub(crate) fn line() -> String {
    format!("trice version {VERSION}")
}

fn render(args: &VersionArgs) -> String {
    match args.format {
        VersionFormat::Json => serde_json::json!({ "version": VERSION }).to_string(),
        VersionFormat::Pretty if args.short => VERSION.to_owned(),
        VersionFormat::Pretty => line(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_told_to_people_scripts_and_programs() {
        let told = |short, format| render(&VersionArgs { short, format });
        assert_eq!(told(false, VersionFormat::Pretty), format!("trice version {VERSION}"));
        assert_eq!(told(true, VersionFormat::Pretty), VERSION);
        assert_eq!(told(false, VersionFormat::Json), format!(r#"{{"version":"{VERSION}"}}"#));
    }
}
