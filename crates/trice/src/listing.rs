//! Lists in the forms that `--format` asks for: a table, JSON, or a template's.
//!
//! Source: docker/cli `cli/command/formatter/formatter.go`.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::table::Table;
use crate::template::{Template, TemplateError};

/// The least width of a column of containers, as Docker's tools have it.
pub(crate) const NARROW: usize = 10;

/// The form of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Format {
    /// A table with the usual columns.
    #[default]
    Table,
    /// JSON.
    Json,
    /// A table whose columns a template says.
    TableOf(Template),
    /// A template's text for each row.
    Text(Template),
}

/// Why a text is no form of a list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    /// A word that names none.
    #[error("`{0}` is neither `table` nor `json` nor a template such as `{{{{.Name}}}}`")]
    Unknown(String),
    /// A template that cannot be read.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let text = text.trim();
        // A shell hands these over as they were typed.
        let written = text.replace("\\t", "\t").replace("\\n", "\n");
        match (text, written.strip_prefix("table ")) {
            ("table" | "", _) => Ok(Self::Table),
            ("json", _) => Ok(Self::Json),
            (_, Some(columns)) if columns.contains("{{") => Ok(Self::TableOf(columns.parse()?)),
            (_, None) if text.contains("{{") => Ok(Self::Text(written.parse()?)),
            _ => Err(FormatError::Unknown(text.to_owned())),
        }
    }
}

/// Fills `template` in with each row, one line each.
pub(crate) fn text(template: &Template, rows: &[Value]) -> Result<String, Failure> {
    let lines = rows.iter().map(|row| template.fill(row).map(|line| line + "\n"));
    Ok(lines.collect::<Result<String, TemplateError>>()?)
}

/// Makes a table of the columns that `template` separates by tabs; `header` names a field's column.
pub(crate) fn table(
    template: &Template,
    rows: &[Value],
    fields: &[&str],
    header: impl Fn(&str) -> String,
) -> Result<String, Failure> {
    let headers: Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), header(field).into())).collect();
    let first = template.fill(&Value::Object(headers))?;
    let mut table = Table::new(NARROW, first.split('\t'));
    for row in rows {
        table.row(template.fill(row)?.split('\t').map(str::to_owned));
    }
    Ok(table.to_string())
}

/// A condition of `--filter`, such as `status=running`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
        Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(format: &str) -> Result<String, String> {
        let rows =
            [json!({ "Name": "web-1", "State": "running" }), json!({ "Name": "a", "State": "exited" })];
        match format.parse::<Format>().map_err(|error| error.to_string())? {
            Format::Table | Format::Json => Ok("usual".to_owned()),
            Format::TableOf(template) => table(&template, &rows, &["Name", "State"], str::to_uppercase)
                .map_err(|failure| failure.to_string()),
            Format::Text(template) => text(&template, &rows).map_err(|failure| failure.to_string()),
        }
    }

    #[test]
    fn templates_make_lines_or_tables() {
        assert_eq!(listed("{{.Name}}").as_deref(), Ok("web-1\na\n"));
        assert_eq!(listed(r"{{.Name}}\t{{.State}}").as_deref(), Ok("web-1\trunning\na\texited\n"));
        insta::assert_snapshot!(listed(r"table {{.Name}}\t{{.State}}").unwrap(), @"
        NAME      STATE
        web-1     running
        a         exited
        ");
    }

    #[test]
    fn words_name_the_usual_forms_and_other_words_none() {
        assert_eq!(listed("table").as_deref(), Ok("usual"));
        assert_eq!(listed("json").as_deref(), Ok("usual"));
        assert_eq!(
            listed("yaml").err().as_deref(),
            Some("`yaml` is neither `table` nor `json` nor a template such as `{{.Name}}`")
        );
        assert!(listed("{{.Nmae}}").is_err());
    }
}
