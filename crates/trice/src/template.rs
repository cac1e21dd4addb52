//! The part of Go's templates that `--format` is used with.
//!
//! ```text
//! {{.Name}}\t{{upper .State}}{{if .Health}} ({{.Health}}){{else}} -{{end}}
//! {{range .Publishers}} {{.PublishedPort}}{{end}}
//! {{json .}}   {{.Labels | json}}   {{if eq .State "running"}}…   {{- trims -}}
//! ```
//!
//! Source: Go `text/template`; docker/cli `templates/templates.go` for the functions.

mod evaluate;
mod parse;

use serde_json::Value;

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// `{{` without `}}`.
    #[error("`{{{{` is not closed by `}}}}`")]
    Open,
    /// A text without its second quote.
    #[error("a text is not closed by its quote")]
    Quote,
    /// Something that stands at a wrong place.
    #[error("`{0}` is not expected here")]
    Unexpected(String),
    /// `if` or `range` without `end`.
    #[error("`{0}` has no `{{{{end}}}}`")]
    NoEnd(&'static str),
    /// A function that is not there.
    #[error("there is no function `{0}`")]
    NoFunction(String),
    /// A field that is not there.
    #[error("there is no field `{0}`: there are {1}")]
    NoField(String, String),
    /// A function that got what it does not take.
    #[error("`{0}` does not take that")]
    Arguments(&'static str),
}

/// A template, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

impl Template {
    /// Fills the template in with `value`.
    pub(crate) fn fill(&self, value: &Value) -> Result<String, TemplateError> {
        let mut out = String::new();
        evaluate::nodes(&self.nodes, value, &mut out)?;
        Ok(out)
    }
}

impl std::str::FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        parse::template(text).map(|nodes| Self { nodes })
    }
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// Text as it is.
    Text(String),
    /// A value.
    Output(Pipeline),
    /// The first whose value is true, else the last.
    If(Vec<(Pipeline, Vec<Node>)>, Vec<Node>),
    /// Once for each item; the second if there is none.
    Range(Pipeline, Vec<Node>, Vec<Node>),
}

/// Commands, each of which gets the former one's value as its last argument.
type Pipeline = Vec<Command>;

/// A function and its arguments, or one value.
type Command = Vec<Operand>;

/// A word of a command.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    /// `.` with no names, `.A.B` with two.
    Field(Vec<String>),
    /// A text, a number or a truth value.
    Literal(Value),
    /// A function.
    Function(String),
    /// A pipeline in parentheses.
    Nested(Pipeline),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &str) -> Result<String, TemplateError> {
        let value = json!({
            "Name": "web-1", "State": "running", "Health": "", "ExitCode": 3,
            "Publishers": [
                { "PublishedPort": 8080, "Protocol": "tcp" },
                { "PublishedPort": 53, "Protocol": "udp" },
            ],
        });
        template.parse::<Template>()?.fill(&value)
    }

    #[test]
    fn fields_functions_and_pipelines_are_filled_in() {
        let cases = [
            ("{{.Name}} {{ .ExitCode }}", "web-1 3"),
            ("{{upper .State}} {{.State | title | printf \"%s!\"}}", "RUNNING Running!"),
            (
                "{{json .Publishers}}",
                r#"[{"Protocol":"tcp","PublishedPort":8080},{"Protocol":"udp","PublishedPort":53}]"#,
            ),
            ("{{json .Name}}", r#""web-1""#),
            ("{{len .Publishers}} {{len .Name}}", "2 5"),
            ("{{join (split .Name \"-\") \"+\"}}", "web+1"),
            ("{{(index .Publishers 1).Protocol}} {{truncate .Name 3}}", "udp web"),
            ("{{println .Name}}{{print .ExitCode `x`}}", "web-1\n3x"),
            ("{{/* nothing */}}a {{- .Name -}} b", "aweb-1b"),
        ];
        for (template, text) in cases {
            assert_eq!(filled(template).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn conditions_and_loops_choose_and_repeat() {
        let cases = [
            ("{{if .Health}}h{{else}}no{{end}}", "no"),
            ("{{if eq .State \"exited\" \"running\"}}r{{end}}", "r"),
            ("{{if .Health}}h{{else if ne .ExitCode 0}}e{{else}}n{{end}}", "e"),
            ("{{if and .Name (not .Health)}}y{{end}}{{if or .Health .Name}}y{{end}}", "yy"),
            ("{{range .Publishers}}{{.PublishedPort}}/{{.Protocol}} {{end}}", "8080/tcp 53/udp "),
            ("{{range .Health}}x{{else}}none{{end}}", "none"),
        ];
        for (template, text) in cases {
            assert_eq!(filled(template).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn a_template_that_is_wrong_says_what_is_wrong() {
        let wrong = |template: &str| filled(template).unwrap_or_else(|error| error.to_string());
        assert_eq!(
            wrong("{{.Nmae}}"),
            "there is no field `Nmae`: there are ExitCode, Health, Name, Publishers, State"
        );
        assert_eq!(wrong("{{.Name"), "`{{` is not closed by `}}`");
        assert_eq!(wrong("{{upper \"x}}"), "a text is not closed by its quote");
        assert_eq!(wrong("{{shout .Name}}"), "there is no function `shout`");
        assert_eq!(wrong("{{if .Name}}x"), "`if` has no `{{end}}`");
        assert_eq!(wrong("{{end}}"), "`end` is not expected here");
        assert_eq!(wrong("{{upper .Publishers}}"), "`upper` does not take that");
        assert_eq!(wrong("{{.Name)}}"), "`)` is not expected here");
    }
}
