//! Texts with variables: `$V`, `${V}`, and the six operators.
//!
//! ```text
//!                unset   empty   set
//! ${V:-d}        d       d       value
//! ${V-d}         d       empty   value
//! ${V:?m}        error   error   value
//! ${V?m}         error   empty   value
//! ${V:+r}        empty   empty   r
//! ${V+r}         empty   r       r
//! $$             a dollar
//! ```
//!
//! Names are ASCII letters, digits and underscores. A dollar before anything else but `{` is a dollar. Braces are
//! counted, so that a default may hold JSON. Defaults, messages and replacements are templates too, and are looked at
//! only if they are needed.
//!
//! Source: Compose Specification, `12-interpolation.md`, and what Docker Compose does beyond it.

/// The deepest nesting of templates in defaults.
const MAX_DEPTH: usize = 64;
/// The longest text that a template may become, in bytes.
const MAX_LENGTH: usize = 1 << 20;

/// Why a template cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateMistake {
    #[error("`{0}` is not a variable")]
    Invalid(String),
    #[error("`{0}` has no closing brace")]
    Open(String),
    #[error("variable `{name}` is required{}", colon(.message))]
    Required { name: String, message: String },
    #[error("defaults are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("the text becomes longer than {} MiB", MAX_LENGTH >> 20)]
    TooLong,
}

fn colon(message: &str) -> String {
    if message.is_empty() { " and has no value".to_owned() } else { format!(": {message}") }
}

impl TemplateMistake {
    /// Returns a way out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid(_) => Some("write `$$` for a dollar that begins no variable".to_owned()),
            Self::Open(_) => {
                Some("close it with `}`, or write `$$` for a dollar that begins no variable".to_owned())
            }
            Self::Required { name, .. } => Some(format!("set `{name}` in the environment or in `.env`")),
            Self::TooDeep | Self::TooLong => None,
        }
    }
}

/// A mistake, and the byte of the template at which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misplaced {
    pub(crate) mistake: TemplateMistake,
    pub(crate) offset: usize,
}

/// What variables are looked up in.
pub(crate) trait Lookup {
    /// Returns the value of `name`.
    fn value(&self, name: &str) -> Option<&str>;

    /// Is told each variable that has no value where nothing takes its place.
    fn missing(&mut self, name: &str);
}

/// Fills the variables of `template` in.
pub(crate) fn fill(template: &str, lookup: &mut dyn Lookup) -> Result<String, Misplaced> {
    let mut out = String::with_capacity(template.len());
    fill_into(&mut out, template, lookup, 0)?;
    Ok(out)
}

/// A variable that a template names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) name: &'a str,
    pub(crate) operator: Option<Operator>,
    /// What follows the operator.
    pub(crate) argument: &'a str,
}

/// What follows a variable's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `-` and `:-`.
    Default { or_empty: bool },
    /// `?` and `:?`.
    Required { or_empty: bool },
    /// `+` and `:+`.
    Replacement { or_empty: bool },
}

/// Returns the variables that `template` names up to its first mistake, those in defaults and replacements after the
/// one they stand in.
pub(crate) fn references(template: &str) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    let mut waiting = vec![(template, 0)];
    while let Some((mut rest, depth)) = waiting.pop() {
        while let Some(dollar) = rest.find('$') {
            rest = &rest[dollar..];
            let Ok((piece, length)) = next(rest) else { break };
            rest = &rest[length..];
            let Piece::Variable(reference) = piece else { continue };
            if !matches!(reference.operator, Some(Operator::Required { .. })) && depth < MAX_DEPTH {
                waiting.push((reference.argument, depth + 1));
            }
            found.push(reference);
        }
    }
    found
}

enum Piece<'a> {
    Dollar,
    Variable(Reference<'a>),
}

fn fill_into(
    out: &mut String,
    template: &str,
    lookup: &mut dyn Lookup,
    depth: usize,
) -> Result<(), Misplaced> {
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        let offset = template.len() - rest.len();
        let misplaced = |mistake| Misplaced { mistake, offset };
        let (piece, length) = next(rest).map_err(misplaced)?;
        match piece {
            Piece::Dollar => out.push('$'),
            Piece::Variable(_) if depth == MAX_DEPTH => return Err(misplaced(TemplateMistake::TooDeep)),
            Piece::Variable(reference) => {
                expand(out, &reference, lookup, depth).map_err(|inner| misplaced(inner.mistake))?;
            }
        }
        if out.len() > MAX_LENGTH {
            return Err(misplaced(TemplateMistake::TooLong));
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    Ok(())
}

/// Appends what `reference` stands for.
fn expand(
    out: &mut String,
    reference: &Reference<'_>,
    lookup: &mut dyn Lookup,
    depth: usize,
) -> Result<(), Misplaced> {
    let name = reference.name;
    let value = lookup.value(name);
    let has_value = |or_empty: bool| value.is_some_and(|value| !(or_empty && value.is_empty()));
    match reference.operator {
        Some(Operator::Default { or_empty }) if !has_value(or_empty) => {
            fill_into(out, reference.argument, lookup, depth + 1)
        }
        Some(Operator::Replacement { or_empty }) if has_value(or_empty) => {
            fill_into(out, reference.argument, lookup, depth + 1)
        }
        Some(Operator::Required { or_empty }) if !has_value(or_empty) => {
            let mut message = String::new();
            fill_into(&mut message, reference.argument, lookup, depth + 1)?;
            let mistake = TemplateMistake::Required { name: name.to_owned(), message };
            Err(Misplaced { mistake, offset: 0 })
        }
        Some(Operator::Replacement { .. }) => {
            out.push_str(value.unwrap_or_default());
            Ok(())
        }
        Some(Operator::Default { .. } | Operator::Required { .. }) | None => {
            match value {
                Some(value) => out.push_str(value),
                None => lookup.missing(name),
            }
            Ok(())
        }
    }
}

/// Returns what begins at the dollar that `text` begins with, and how many bytes it takes.
fn next(text: &str) -> Result<(Piece<'_>, usize), TemplateMistake> {
    let after = &text[1..];
    if after.starts_with('$') {
        return Ok((Piece::Dollar, 2));
    }
    if let Some(inside) = after.strip_prefix('{') {
        return braced(text, inside);
    }
    let name = &after[..name_length(after)];
    if name.is_empty() {
        return Ok((Piece::Dollar, 1));
    }
    Ok((Piece::Variable(Reference { name, operator: None, argument: "" }), 1 + name.len()))
}

/// Reads what stands in the braces of `text`; `inside` begins after the opening one.
fn braced<'a>(text: &'a str, inside: &'a str) -> Result<(Piece<'a>, usize), TemplateMistake> {
    let Some(end) = closing_brace(inside) else {
        return Err(TemplateMistake::Open(excerpt(text)));
    };
    let (body, whole) = (&inside[..end], &text[..end + 3]);
    let (name, rest) = body.split_at(name_length(body));
    let (or_empty, operator) = match rest.strip_prefix(':') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let operator = match operator.bytes().next() {
        _ if name.is_empty() => return Err(TemplateMistake::Invalid(excerpt(whole))),
        None if rest.is_empty() => None,
        Some(b'-') => Some(Operator::Default { or_empty }),
        Some(b'?') => Some(Operator::Required { or_empty }),
        Some(b'+') => Some(Operator::Replacement { or_empty }),
        None | Some(_) => return Err(TemplateMistake::Invalid(excerpt(whole))),
    };
    let skipped = if operator.is_some() { 1 + usize::from(or_empty) } else { 0 };
    Ok((Piece::Variable(Reference { name, operator, argument: &rest[skipped..] }), whole.len()))
}

/// Returns the byte of the brace that closes what is open before `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 1 => return Some(offset),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn name_length(text: &str) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !is_name(c)).unwrap_or(text.len())
}

/// Returns the beginning of `text`, for a message.
fn excerpt(text: &str) -> String {
    let mut line = text.lines().next().unwrap_or_default().chars();
    let start: String = line.by_ref().take(40).collect();
    if line.next().is_some() { format!("{start}…") } else { start }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Table(BTreeMap<&'static str, &'static str>, Vec<String>);

    impl Lookup for Table {
        fn value(&self, name: &str) -> Option<&str> {
            self.0.get(name).copied()
        }

        fn missing(&mut self, name: &str) {
            self.1.push(name.to_owned());
        }
    }

    /// Fills `template` in with `S` set to `s`, `E` empty and all else unset; says what is missing or wrong.
    fn filled(template: &str) -> String {
        let mut table = Table(BTreeMap::from([("S", "s"), ("E", ""), ("_x1", "x")]), Vec::new());
        match fill(template, &mut table) {
            Ok(text) if table.1.is_empty() => text,
            Ok(text) => format!("{text} (missing {})", table.1.join(" ")),
            Err(Misplaced { mistake, offset }) => format!("{offset}: {mistake}"),
        }
    }

    #[test]
    fn each_operator_does_its_work_on_what_is_unset_empty_and_set() {
        let rows = [
            ("${N}|${E}|${S}", "||s (missing N)"),
            ("$N|$E|$S", "||s (missing N)"),
            ("${N:-d}|${E:-d}|${S:-d}", "d|d|s"),
            ("${N-d}|${E-d}|${S-d}", "d||s"),
            ("${S:?m}", "s"),
            ("${N:?m}", "0: variable `N` is required: m"),
            ("x${E:?}", "1: variable `E` is required and has no value"),
            ("${N?m}", "0: variable `N` is required: m"),
            ("${E?m}|${S?m}", "|s"),
            ("${N:+r}|${E:+r}|${S:+r}", "||r"),
            ("${N+r}|${E+r}|${S+r}", "|r|r"),
            ("$$S $$$S $${S}", "$S $s ${S}"),
        ];
        for (template, text) in rows {
            assert_eq!(filled(template), text, "{template}");
        }
    }

    #[test]
    fn a_dollar_that_begins_no_variable_is_a_dollar_and_a_brace_must_be_right() {
        let rows = [
            ("$1 $(x) $- a$", "$1 $(x) $- a$"),
            ("$S-x ${S}-x $SÖ", "s-x s-x sÖ"),
            ("${_x1}$_x1", "xx"),
            ("${1}", "0: `${1}` is not a variable"),
            ("${}", "0: `${}` is not a variable"),
            ("${S!}", "0: `${S!}` is not a variable"),
            ("${S }", "0: `${S }` is not a variable"),
            ("${#S}", "0: `${#S}` is not a variable"),
            ("${S%x}", "0: `${S%x}` is not a variable"),
            ("${S:d}", "0: `${S:d}` is not a variable"),
            ("${S:1}", "0: `${S:1}` is not a variable"),
            ("${S:}", "0: `${S:}` is not a variable"),
            ("ab ${S", "3: `${S` has no closing brace"),
            ("${S:-${N}", "0: `${S:-${N}` has no closing brace"),
        ];
        for (template, text) in rows {
            assert_eq!(filled(template), text, "{template}");
        }
    }

    #[test]
    fn the_first_operator_wins_and_braces_are_counted() {
        let rows = [
            ("${N-a:-b}", "a:-b"),
            ("${N:-a-b:-c?d+e}", "a-b:-c?d+e"),
            (r#"${N:-{"a":{"b":1}}}"#, r#"{"a":{"b":1}}"#),
            ("p${N:-{}}q", "p{}q"),
            (r#"${N:-{"a":"}"}}"#, r#"{"a":"}"}"#),
            ("${N:-a}b}", "ab}"),
            ("${N:-'a}'}", "'a'}"),
            ("${N:-a\nb}", "a\nb"),
            ("${N:-${E:-${S}}}", "s"),
            ("${S:+${N:-x}${S}}", "xs"),
            ("${N:?${S} is needed}", "0: variable `N` is required: s is needed"),
            ("${N:-$$}", "$"),
        ];
        for (template, text) in rows {
            assert_eq!(filled(template), text, "{template}");
        }
    }

    #[test]
    fn what_is_not_needed_is_not_looked_at() {
        assert_eq!(filled("${S:-${N:?no}}${N:+${}}"), "s");
    }

    #[test]
    fn templates_cannot_take_the_stack_or_the_memory() {
        let nested = "${N:-".repeat(100_000) + &"}".repeat(100_000);
        assert_eq!(filled(&nested), "0: defaults are nested more than 64 deep");
        assert_eq!(references(&nested).len(), MAX_DEPTH + 1);
        let long = "${N:-".to_owned() + &"x".repeat(MAX_LENGTH + 1) + "}";
        assert_eq!(filled(&long), "0: the text becomes longer than 1 MiB");
    }

    #[test]
    fn the_variables_of_a_template_are_listed() {
        let names: Vec<&str> =
            references("$A ${B:-$C} ${D:?$E} $$F ${G+${H}}").iter().map(|found| found.name).collect();
        assert_eq!(names, ["A", "B", "D", "G", "H", "C"]);
    }
}
