//! Patterns of paths, as `.dockerignore` and `--exclude` have them.
//!
//! ```text
//! *      anything within one part of a path        ?      one character of it
//! **     any number of parts, none included        [a-z]  one of these, [^a-z] none of these
//! \x     the character itself
//! ```
//!
//! They begin at the root. What lies below something that is matched, is matched too.
//!
//! Source: moby `patternmatcher`, whose words for all of this are Go's `filepath.Match` and regular expressions.

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no pattern of paths")]
pub struct PatternError(String);

/// A pattern of paths, or an exception from those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    tokens: Vec<Token>,
    /// All paths with this end are meant: `**/name`.
    end: Option<String>,
    is_exception: bool,
    /// The parts as they are written, to see what may be below.
    parts: Vec<Vec<Token>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Same(char),
    /// `?`.
    One,
    /// `[…]`.
    Class {
        ranges: Vec<(char, char)>,
        except: bool,
    },
    /// `*`.
    Within,
    /// `**` before something: nothing, or what follows.
    Parts,
    /// Anything up to a slash; only after [`Token::Parts`].
    UpToSlash,
    /// `**` at the end.
    Rest,
}

/// Patterns, of which the last one that matches counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    has_exceptions: bool,
}

/// What patterns say of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which of them match it, or something above it. One that would have changed nothing there was not asked, and does
    /// not count for what lies below: `!dir` brings back nothing of it that an earlier pattern leaves out only later.
    matched: Vec<bool>,
    /// It is meant.
    pub is_matched: bool,
}

impl Patterns {
    /// Reads patterns, one a text. Paths have no slash at their beginning.
    ///
    /// # Errors
    /// [`PatternError`] for the first that is none.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, PatternError> {
        let patterns = texts.into_iter().filter(|text| !text.trim().is_empty()).map(Pattern::new);
        let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
        let has_exceptions = patterns.iter().any(|pattern| pattern.is_exception);
        Ok(Self { patterns, has_exceptions })
    }

    /// Reads a `.dockerignore`.
    ///
    /// # Errors
    /// [`PatternError`] for the first line that is no pattern.
    pub fn of_file(text: &str) -> Result<Self, PatternError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (mark, rest) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest.trim()));
            if rest.is_empty() {
                return Err(PatternError(line.to_owned()));
            }
            let cleaned = cleaned(rest);
            let path = cleaned.strip_prefix('/').filter(|path| !path.is_empty()).unwrap_or(&cleaned);
            lines.push(format!("{mark}{path}"));
        }
        Self::new(lines.iter().map(String::as_str))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Returns what they say of the root, from which all others are reached.
    pub fn root(&self) -> Verdict {
        Verdict { matched: vec![false; self.patterns.len()], is_matched: false }
    }

    /// Returns what they say of `path`, which is in the folder of `above`.
    pub fn verdict(&self, path: &str, above: &Verdict) -> Verdict {
        let mut verdict = Verdict { matched: Vec::with_capacity(self.patterns.len()), is_matched: false };
        for (pattern, above) in self.patterns.iter().zip(&above.matched) {
            let matched = *above || pattern.is_exception == verdict.is_matched && pattern.matches(path);
            if matched {
                verdict.is_matched = !pattern.is_exception;
            }
            verdict.matched.push(matched);
        }
        verdict
    }

    /// Tells whether a path is meant, whatever lies above it.
    pub fn is_match(&self, path: &str) -> bool {
        let mut verdict = self.root();
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for end in ends {
            verdict = self.verdict(&path[..end], &verdict);
        }
        verdict.is_matched
    }

    /// Tells whether an exception may have something to say of what is in the folder `path`.
    pub fn may_except_below(&self, path: &str) -> bool {
        self.has_exceptions
            && self.patterns.iter().any(|pattern| pattern.is_exception && pattern.may_match_below(path))
    }

    /// Tells whether something in the folder `path` may be meant.
    pub fn may_match_below(&self, path: &str) -> bool {
        self.patterns.iter().any(|pattern| !pattern.is_exception && pattern.may_match_below(path))
    }
}

/// Returns a path without what says nothing in it.
fn cleaned(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (is_absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, PatternError> {
        let wrong = || PatternError(text.to_owned());
        let trimmed = text.trim();
        let (pattern, is_exception) =
            trimmed.strip_prefix('!').map_or((trimmed, false), |rest| (rest.trim(), true));
        if pattern.is_empty() {
            return Err(wrong());
        }
        let pattern = cleaned(pattern);
        let tokens = tokens(&pattern).ok_or_else(wrong)?;
        let is_literal = |rest: &str| !rest.contains(['*', '?', '[', ']', '\\']);
        let end = pattern.strip_prefix("**").filter(|rest| !rest.is_empty() && is_literal(rest));
        let parts = pattern.split('/').map(self::tokens).collect::<Option<Vec<_>>>();
        // A slash in brackets or after a backslash: nothing is known of the parts.
        let parts = parts.unwrap_or_else(|| vec![vec![Token::Rest]]);
        Ok(Self { tokens, end: end.map(str::to_owned), is_exception, parts })
    }

    fn matches(&self, path: &str) -> bool {
        match &self.end {
            Some(end) => path.ends_with(end.as_str()) || end.strip_prefix('/') == Some(path),
            None => matches(&self.tokens, path),
        }
    }

    /// Tells whether something below the folder `path` may be matched.
    fn may_match_below(&self, path: &str) -> bool {
        if self.end.is_some() || path.is_empty() {
            return true;
        }
        let crosses = |part: &[Token]| part.iter().any(|token| matches!(token, Token::Parts | Token::Rest));
        for (index, part) in path.split('/').enumerate() {
            match self.parts.get(index) {
                Some(tokens) if crosses(tokens) => return true,
                Some(tokens) if matches(tokens, part) => {}
                Some(_) => return false,
                // It matches something above, and so all that is below.
                None => return true,
            }
        }
        true
    }
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(next) = rest.next() {
        let token = match next {
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                if rest.peek() == Some(&'/') {
                    rest.next();
                }
                if rest.peek().is_none() {
                    Token::Rest
                } else {
                    tokens.push(Token::Parts);
                    Token::UpToSlash
                }
            }
            '*' => Token::Within,
            '?' => Token::One,
            '[' => {
                let except = rest.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                loop {
                    let first = match rest.next()? {
                        '\\' => rest.next()?,
                        ']' if !ranges.is_empty() => break,
                        ']' | '-' => return None,
                        other => other,
                    };
                    let last = if rest.next_if_eq(&'-').is_some() {
                        match rest.next()? {
                            '\\' => rest.next()?,
                            ']' => return None,
                            other => other,
                        }
                    } else {
                        first
                    };
                    ranges.push((first, last));
                }
                Token::Class { ranges, except }
            }
            '\\' => Token::Same(rest.next()?),
            same => Token::Same(same),
        };
        tokens.push(token);
    }
    Some(tokens)
}

/// Tells whether a whole text is like the tokens.
fn matches(tokens: &[Token], text: &str) -> bool {
    // Which tokens may come next, after as much of the text as has been read.
    let mut next = vec![false; tokens.len() + 1];
    next[0] = true;
    pass(tokens, &mut next);
    for character in text.chars() {
        let mut then = vec![false; tokens.len() + 1];
        for (index, token) in tokens.iter().enumerate().filter(|(index, _)| next[*index]) {
            match token {
                Token::Same(same) => then[index + 1] |= *same == character,
                Token::One => then[index + 1] |= character != '/',
                Token::Class { ranges, except } => {
                    let is_in = ranges.iter().any(|(first, last)| (first..=last).contains(&&character));
                    then[index + 1] |= is_in != *except;
                }
                Token::Within => then[index] |= character != '/',
                Token::Parts => {}
                Token::UpToSlash => {
                    then[index] = true;
                    then[index + 1] |= character == '/';
                }
                Token::Rest => then[index] = true,
            }
        }
        if !then.contains(&true) {
            return false;
        }
        pass(tokens, &mut then);
        next = then;
    }
    next[tokens.len()]
}

/// Goes on past tokens that need no character.
fn pass(tokens: &[Token], next: &mut [bool]) {
    for (index, token) in tokens.iter().enumerate() {
        if !next[index] {
            continue;
        }
        match token {
            Token::Within | Token::Rest => next[index + 1] = true,
            Token::Parts => next[index + 1..=index + 2].fill(true),
            Token::Same(_) | Token::One | Token::Class { .. } | Token::UpToSlash => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(pattern: &str, path: &str) -> bool {
        Patterns::new([pattern]).unwrap_or_else(|error| panic!("{error}")).is_match(path)
    }

    #[test]
    fn patterns_match_as_go_does() {
        let yes = [
            ("**", "file"),
            ("**", "dir/file"),
            ("**/", "dir/file"),
            ("**/**", "dir/file"),
            ("dir/**", "dir/file"),
            ("dir/**", "dir/dir2/file"),
            ("**/dir2/*", "dir/dir2/file"),
            ("**/dir2/**", "dir/dir2/dir2/file"),
            ("**file", "dir/file"),
            ("**/file", "file"),
            ("**file", "a/myfile"),
            ("**/file*", "dir/dir/file.txt"),
            ("**/**/*.txt", "dir/dir/file.txt"),
            ("a**/*.txt", "a/dir/file.txt"),
            ("a/*.txt", "a/file.txt"),
            ("a[b-d]e", "ace"),
            ("abc.def", "abc.def"),
            ("a.|)$(}+{bc", "a.|)$(}+{bc"),
            (
                "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
                "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            ),
            (".*", ".foo"),
            ("**/foo/bar", "foo/bar"),
            ("abc/**", "abc/def/ghi"),
            ("**/.foo", "bar/.foo"),
            ("*c", "abc"),
            ("a*", "ab/c"),
            ("a*/b", "abc/b"),
            ("a*b?c*x", "abxbbxdbxebxczzx"),
            ("ab[^e-g]", "abc"),
            ("a\\*b", "a*b"),
            ("[\\]a]", "]"),
            ("[\\-]", "-"),
            ("[x\\-]", "-"),
            ("*x", "xxx"),
            ("docs", "docs/a/b"),
            ("./docs/", "docs"),
            ("a/../docs", "docs"),
            ("[\\^a]", "^"),
            ("a?b", "aäb"),
        ];
        for (pattern, path) in yes {
            assert!(matched(pattern, path), "{pattern} {path}");
        }
        let no = [
            ("**/file", "dir/file/"),
            ("dir/**", "dir"),
            ("dir/**", "dir2/file"),
            ("**/dir2/*", "dir2"),
            ("a/*.txt", "a/a/file.txt"),
            ("a/file.txt", "file.txt"),
            ("abc.def", "abcZdef"),
            ("abc?def", "abc/def"),
            ("**/foo/bar", "foo/barbaz"),
            (".*", "foo.txt"),
            ("*", "a/b".get(9..).unwrap_or("")),
            ("ab[^b-d]", "abc"),
            ("a\\*b", "ab"),
            ("a?b", "a/b"),
            ("node_modules", "a/node_modules"),
            ("a*b?c*x", "abxbbxdbxebxczzy"),
        ];
        for (pattern, path) in no.into_iter().filter(|(_, path)| !path.is_empty() && !path.ends_with('/')) {
            assert!(!matched(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_an_error() {
        for pattern in ["[", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[^", "[^bc", "a[", "!", "\\"] {
            assert!(Patterns::new([pattern]).is_err(), "{pattern}");
        }
        assert!(Patterns::of_file("a\n!\n").is_err());
    }

    #[test]
    fn the_last_pattern_that_matches_counts() {
        let patterns = Patterns::of_file(
            "\u{feff}# comment\n  # none\n\n*.md\r\n !README.md\ndocs/\n!docs/keep\n/build\ndocs/keep/but\n",
        );
        let patterns = patterns.unwrap();
        let paths = [
            "a.md",
            "README.md",
            "docs",
            "docs/a",
            "docs/keep",
            "docs/keep/x",
            "docs/keep/but",
            "build/x",
            "# none",
            "b",
        ];
        let matched: Vec<&str> = paths.into_iter().filter(|path| patterns.is_match(path)).collect();
        assert_eq!(matched, ["a.md", "docs", "docs/a", "docs/keep/but", "build/x", "# none"]);
    }

    #[test]
    fn an_exception_that_was_not_asked_for_a_folder_says_nothing_of_what_is_in_it() {
        let patterns = Patterns::of_file("**/deep\n!dir\n").unwrap();
        assert!(patterns.is_match("dir/deep") && !patterns.is_match("dir/sub"));
        let patterns = Patterns::of_file("dir\n**/deep\n!dir\n").unwrap();
        assert!(!patterns.is_match("dir/deep") && !patterns.is_match("dir/sub"));
    }

    #[test]
    fn it_is_known_below_which_folders_exceptions_may_be() {
        let patterns = Patterns::new(["*", "!a/b/*.c", "!x/**"]).unwrap();
        let may = |path| patterns.may_except_below(path);
        assert_eq!(
            (may("a"), may("a/b"), may("a/c"), may("x/y"), may("z")),
            (true, true, false, true, false)
        );
        let everywhere = Patterns::new(["node_modules", "!**/keep"]).unwrap();
        assert!(everywhere.may_except_below("node_modules/a"));
        assert!(!Patterns::new(["a"]).unwrap().may_except_below("a"));
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_others() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!matched(&pattern, &"a".repeat(2_000)));
    }
}
