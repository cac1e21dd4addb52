//! `image history`: how an image was made, the last step first.
//!
//! Source: docker/cli `cli/command/image/formatter_history.go`.

use clap::{ArgAction, Args};
use serde::Serialize;
use serde_json::Value;
use trice_api::image::{HistoryView, ImageHistory};
use trice_model::time::Timestamp;

use crate::clock;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::listing::{self, Format, NARROW};
use crate::output;
use crate::table::Table;
use crate::words;

/// The fields of a row.
const FIELDS: [&str; 6] = ["Comment", "CreatedAt", "CreatedBy", "CreatedSince", "ID", "Size"];
/// How much of a command is shown.
const COMMAND_WIDTH: usize = 45;
/// The id of a step that is no image.
const MISSING: &str = "<missing>";

/// What is typed after `image history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The image, by name or id
    image: String,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// `table`, `json`, or a template
    #[arg(long, default_value = "table")]
    format: Format,
    /// Whole ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Sizes and moments for people
    #[arg(short = 'H', long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t = true, default_missing_value = "true")]
    human: bool,
    /// That of the image for this platform
    #[arg(long)]
    platform: Option<String>,
}

/// Carries out `image history`.
pub(crate) async fn run(args: &HistoryArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let call = ImageHistory { image: args.image.clone(), platform: args.platform.clone() };
    let steps = invocation.engine()?.call(&call).await?;
    output::print(&render(args, &steps, clock::now())?)?;
    Ok(0)
}

fn render(args: &HistoryArgs, steps: &[HistoryView], now: Timestamp) -> Result<String, Failure> {
    let rows: Vec<Row> = steps.iter().map(|step| Row::of(step, args, now)).collect();
    if args.quiet {
        return Ok(rows.iter().map(|row| format!("{}\n", row.id)).collect());
    }
    // Texts always have a JSON form.
    let values =
        || rows.iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect::<Vec<Value>>();
    match &args.format {
        Format::Json => Ok(values().iter().map(|row| format!("{row}\n")).collect()),
        Format::Text(template) => listing::text(template, &values()),
        Format::TableOf(template) => listing::table(template, &values(), &FIELDS, header),
        Format::Table => {
            let when = if args.human { "CREATED" } else { "CREATED AT" };
            let mut table = Table::new(NARROW, ["IMAGE", when, "CREATED BY", "SIZE", "COMMENT"]);
            for row in rows {
                let when = if args.human { row.created_since } else { row.created_at };
                table.row([row.id, when, row.created_by, row.size, row.comment]);
            }
            Ok(table.to_string())
        }
    }
}

/// A step as scripts know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    comment: String,
    created_at: String,
    created_by: String,
    created_since: String,
    #[serde(rename = "ID")]
    id: String,
    size: String,
}

impl Row {
    fn of(step: &HistoryView, args: &HistoryArgs, now: Timestamp) -> Self {
        let id = step.id.as_deref().unwrap_or(MISSING);
        let command = step.created_by.replace('\t', " ");
        let at = |created: Timestamp| {
            created.rfc3339().get(..19).map(|text| format!("{text}Z")).unwrap_or_default()
        };
        Self {
            comment: step.comment.clone(),
            created_at: step.created.map(at).unwrap_or_default(),
            created_by: if args.no_trunc { command } else { words::shortened(&command, COMMAND_WIDTH) },
            created_since: step.created.map(|created| words::ago(created, now)).unwrap_or_default(),
            id: if args.no_trunc || id == MISSING { id } else { super::short(id) }.to_owned(),
            size: if args.human { words::size(step.bytes) } else { step.bytes.to_string() },
        }
    }
}

/// Returns the head of a field's column.
fn header(field: &str) -> String {
    match field {
        "ID" => "IMAGE".to_owned(),
        "CreatedAt" => "CREATED AT".to_owned(),
        "CreatedBy" => "CREATED BY".to_owned(),
        "CreatedSince" => "CREATED".to_owned(),
        other => other.to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ImageCommand;
    use super::super::tests::NOW;
    use super::*;
    use crate::arguments::{Command, parse};

    fn history(line: &str) -> String {
        let typed = ["trice", "image", "history", "app"].into_iter().chain(line.split_whitespace());
        let Some(Command::Image(ImageCommand::History(args))) = parse(typed).unwrap().command else {
            panic!("not image history")
        };
        let step = |id: Option<&str>, command: &str, bytes: u64| HistoryView {
            id: id.map(str::to_owned),
            created: Some(Timestamp(NOW.0 - 5_000_000_000)),
            created_by: command.to_owned(),
            bytes,
            comment: "buildkit.dockerfile.v0".to_owned(),
        };
        let id = format!("sha256:{}", "7d".repeat(32));
        let steps = [
            step(Some(&id), r#"CMD ["sleep" "100"]"#, 0),
            step(None, "RUN /bin/sh -c echo something that is rather long > /f # buildkit", 3),
        ];
        render(&args, &steps, NOW).unwrap()
    }

    #[test]
    fn the_table_has_dockers_columns() {
        insta::assert_snapshot!(history(""), @r#"
        IMAGE          CREATED         CREATED BY                                      SIZE      COMMENT
        7d7d7d7d7d7d   5 seconds ago   CMD ["sleep" "100"]                             0B        buildkit.dockerfile.v0
        <missing>      5 seconds ago   RUN /bin/sh -c echo something that is rather…   3B        buildkit.dockerfile.v0
        "#);
    }

    #[test]
    fn the_json_is_one_object_a_line_with_dockers_keys() {
        let lines = history("--format json --human=false");
        insta::assert_snapshot!(lines.lines().next().unwrap(), @r#"{"Comment":"buildkit.dockerfile.v0","CreatedAt":"2026-11-21T06:49:40Z","CreatedBy":"CMD [\"sleep\" \"100\"]","CreatedSince":"5 seconds ago","ID":"7d7d7d7d7d7d","Size":"0"}"#);
        assert_eq!(history("-q"), "7d7d7d7d7d7d\n<missing>\n");
    }
}
