//! A command line into words, as a shell would split it.

/// Splits `text` at its blanks; quotes keep blanks together, a backslash keeps any character.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    let open = |quote: char| format!("`{text}`: a {quote} is not closed");
    while let Some(character) = characters.next() {
        match character {
            _ if character.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or_else(|| open('\''))? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or_else(|| open('"'))? {
                        '"' => break,
                        '\\' => word.push(characters.next().ok_or_else(|| open('"'))?),
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_split_as_a_shell_does() {
        let cases: [(&str, &[&str]); 5] = [
            ("sh -c 'echo  hi'", &["sh", "-c", "echo  hi"]),
            (r#"a"b c"d "\"""#, &["ab cd", "\""]),
            (r"a\ b  ''", &["a b", ""]),
            ("", &[]),
            ("  /bin/true ", &["/bin/true"]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        assert!(split("echo 'x").is_err() && split("echo \"x").is_err());
    }
}
