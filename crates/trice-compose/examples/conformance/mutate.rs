//! Small accidents to a text, as they happen while somebody types.

use crate::numbers::Numbers;

/// Changes `text` in one place.
pub(crate) fn accident(text: &str, numbers: &mut Numbers) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = numbers.below(characters.len().max(1));
    let special = [
        "-", ":", "?", "[", "]", "{", "}", ",", "#", "&a ", "*a", "!", "|", ">", "'", "\"", "%", "@", "`",
        "\n", "\t", " ", "- ", ": ", " #", "---\n", "...\n", "? ", "\\", "~", "<<: ", "=", "  ", "\u{e9}",
        "\r\n", "!!str ", "\u{85}", "\u{a0}",
    ];
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let line = numbers.below(lines.len().max(1));
    let with_line = |changed: String| {
        let replaced = lines
            .iter()
            .enumerate()
            .map(|(at, other)| if at == line { changed.clone() } else { (*other).to_owned() });
        replaced.collect::<String>()
    };
    match numbers.below(7) {
        0 => characters.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, c)| c).collect(),
        1 | 2 => {
            let (before, after) = characters.split_at(at);
            format!(
                "{}{}{}",
                before.iter().collect::<String>(),
                numbers.pick(&special),
                after.iter().collect::<String>()
            )
        }
        3 => with_line(format!(" {}", lines[line])),
        4 => with_line(lines[line].strip_prefix(' ').unwrap_or(lines[line]).to_owned()),
        5 => with_line(format!("{}{}", lines[line], lines[line])),
        _ => with_line(lines[line].trim_end_matches('\n').to_owned()),
    }
}
