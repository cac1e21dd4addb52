//! What usually lies behind a complaint of the YAML parser.
//!
//! The parser names the place where it could not go on, which is often behind the mistake. What stands in the line before
//! that place tells more than the complaint does.

/// Returns a way out of `complaint`, which is about the character `column` of `line`, both counted from zero.
pub(crate) fn hint(complaint: &str, line: &str, column: usize) -> Option<String> {
    let before: String = line.chars().take(column).collect();
    let lacks = |what: &str| complaint.contains(what);
    let hint = if lacks("did not find expected") && before.ends_with(['"', '\'']) {
        "a quoted text ends right before this: is a quote above left open? a quote inside of it is `''` or `\\\"`"
    } else if lacks("did not find expected key") && line.trim_start().starts_with("- ") {
        "keys and items cannot stand side by side: write `key: value`, or indent all items alike"
    } else if lacks("mapping values are not allowed") && before.contains(": ") {
        "put the value in quotes: it has a colon with a blank behind it"
    } else {
        KNOWN.iter().find(|(words, _)| complaint.contains(words))?.1
    };
    Some(hint.to_owned())
}

/// Words of complaints that need no look at the line, and what to do.
const KNOWN: [(&str, &str); 11] = [
    (
        "mapping values are not allowed",
        "is a line above indented less, in need of quotes, or without its colon and the blank behind it?",
    ),
    ("did not find expected key", "the keys of a mapping begin at the same column"),
    ("did not find expected '-'", "the items of a list begin with `- `, all at the same column"),
    ("cannot start any token", "put the value in quotes, and indent with blanks, not with tabs"),
    ("tab character", "indent with blanks"),
    ("unexpected end of stream", "close the quote"),
    ("unexpected document indicator", "close the quote"),
    ("expected ',' or", "is a comma missing here, or a bracket above left open?"),
    ("could not find expected ':'", "does this line lack its colon, or a blank behind it?"),
    ("unknown escape character", "write `\\\\` for a backslash, or use single quotes"),
    ("alphabetic or numeric", "put the value in quotes, or name an anchor above with `&`"),
];
