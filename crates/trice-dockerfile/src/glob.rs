//! Patterns of variables: `*` is any text, `?` any character, within a line.
//!
//! Source: POSIX, "Shell Command Language", 2.13, without bracket expressions.

/// A pattern.
pub(crate) struct Glob(Vec<Token>);

#[derive(Clone, Copy, PartialEq)]
enum Token {
    Any,
    One,
    Same(char),
}

impl Glob {
    /// Reads a pattern. The error is the character that needs no escape.
    pub(crate) fn new(pattern: &str) -> Result<Self, char> {
        let mut tokens = Vec::new();
        let mut rest = pattern.chars();
        while let Some(next) = rest.next() {
            tokens.push(match next {
                '*' if tokens.last() == Some(&Token::Any) => continue,
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => match rest.next() {
                    Some(escaped @ ('*' | '?' | '\\' | '/' | '}')) => Token::Same(escaped),
                    other => return Err(other.unwrap_or('\\')),
                },
                same => Token::Same(same),
            });
        }
        Ok(Self(tokens))
    }

    /// Returns `value` without the shortest or longest beginning that is like the pattern.
    pub(crate) fn without_beginning(&self, value: &str, longest: bool) -> String {
        let value: Vec<char> = value.chars().collect();
        let end = ends(&self.0, &value, longest).unwrap_or(0);
        value[end..].iter().collect()
    }

    /// Returns `value` without the shortest or longest end that is like the pattern.
    pub(crate) fn without_end(&self, value: &str, longest: bool) -> String {
        let value: Vec<char> = value.chars().rev().collect();
        let tokens: Vec<Token> = self.0.iter().rev().copied().collect();
        let end = ends(&tokens, &value, longest).unwrap_or(0);
        value[end..].iter().rev().collect()
    }

    /// Returns `value` with `replacement` in place of the first part that is like the pattern, or of every one.
    pub(crate) fn replaced(&self, value: &str, replacement: &str, every: bool) -> String {
        let value: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let (mut at, mut after, mut done) = (0, None, false);
        while at <= value.len() {
            let end = if done { None } else { ends(&self.0, &value[at..], true).map(|length| at + length) };
            match end {
                // Nothing is not found right after something.
                Some(end) if !(end == at && after == Some(at)) => {
                    out.push_str(replacement);
                    (after, done) = (Some(end), !every);
                    if end > at {
                        at = end;
                        continue;
                    }
                }
                _ => {}
            }
            out.extend(value.get(at));
            at += 1;
        }
        out
    }
}

/// Returns where the shortest or longest part at the beginning of `value` ends that is like `tokens`.
fn ends(tokens: &[Token], value: &[char], longest: bool) -> Option<usize> {
    // The places in the pattern that can be reached after so many characters.
    let mut reached = vec![false; tokens.len() + 1];
    reached[0] = true;
    let mut best = None;
    for at in 0..=value.len() {
        for (index, token) in tokens.iter().enumerate() {
            if reached[index] && *token == Token::Any {
                reached[index + 1] = true;
            }
        }
        if reached[tokens.len()] {
            best = Some(at);
            if !longest {
                return best;
            }
        }
        let Some(next) = value.get(at) else { break };
        let mut then = vec![false; tokens.len() + 1];
        for (index, token) in tokens.iter().enumerate().filter(|(index, _)| reached[*index]) {
            match token {
                Token::Any if *next != '\n' => then[index] = true,
                Token::One if *next != '\n' => then[index + 1] = true,
                Token::Same(same) if same == next => then[index + 1] = true,
                Token::Any | Token::One | Token::Same(_) => {}
            }
        }
        if !then.contains(&true) {
            break;
        }
        reached = then;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_and_the_longest_part_are_found_at_both_ends() {
        let glob = |pattern| Glob::new(pattern).unwrap();
        assert_eq!(glob("a*b").without_beginning("axbybz", false), "ybz");
        assert_eq!(glob("a*b").without_beginning("axbybz", true), "z");
        assert_eq!(glob("b*z").without_end("axbybz", false), "axby");
        assert_eq!(glob("b*z").without_end("axbybz", true), "ax");
        assert_eq!(glob("*").without_end("abc", false), "abc");
        assert_eq!(glob("\\*").without_beginning("*a", false), "a");
        assert_eq!(glob("a*").without_beginning("a\nb", true), "\nb");
    }

    #[test]
    fn one_part_or_all_are_replaced() {
        let replaced = |pattern, every| Glob::new(pattern).unwrap().replaced("aXbXc", "-", every);
        assert_eq!((replaced("X", false), replaced("X", true)), ("a-bXc".to_owned(), "a-b-c".to_owned()));
        assert_eq!((replaced("X*", true), replaced("*", true)), ("a-".to_owned(), "-".to_owned()));
        assert_eq!((replaced("", true), replaced("y", true)), ("-a-X-b-X-c-".to_owned(), "aXbXc".to_owned()));
    }
}
