//! What a registry wants to see, as `WWW-Authenticate` says it.
//!
//! Source: RFC 9110, section 11.6.1; distribution `docs/spec/auth/token.md`.

/// A way to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A name and a password.
    Basic,
    /// A token of a token server.
    Bearer {
        /// The token server.
        realm: String,
        /// What the registry is called there.
        service: Option<String>,
        /// What the token must allow.
        scope: Option<String>,
    },
}

/// Reads all challenges of a header that are known. The others are not for us.
pub(crate) fn challenges(header: &str) -> Vec<Challenge> {
    let mut rest = Text(header);
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    loop {
        rest.leave(|c| c == ',' || c.is_whitespace());
        let name = rest.word();
        if name.is_empty() {
            break;
        }
        rest.leave(char::is_whitespace);
        match (rest.0.strip_prefix('='), found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                rest = Text(value);
                rest.leave(char::is_whitespace);
                parameters.push((name.to_ascii_lowercase(), rest.value()));
            }
            // A parameter of nothing: what follows cannot be understood.
            (Some(_), None) => break,
            (None, _) => found.push((name.to_ascii_lowercase(), Vec::new())),
        }
    }
    found.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, parameters)).collect()
}

fn challenge(scheme: &str, parameters: Vec<(String, String)>) -> Option<Challenge> {
    let of = |name: &str| parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            Some(Challenge::Bearer { realm: of("realm")?, service: of("service"), scope: of("scope") })
        }
        _ => None,
    }
}

/// What is left of a header.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn leave(&mut self, what: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(what);
    }

    fn word(&mut self) -> &'a str {
        let is_end = |c: char| c == ',' || c == '=' || c == '"' || c.is_whitespace();
        let (word, rest) = self.0.split_at(self.0.find(is_end).unwrap_or(self.0.len()));
        self.0 = rest;
        word
    }

    /// Reads a word, or a text in quotes.
    fn value(&mut self) -> String {
        let Some(quoted) = self.0.strip_prefix('"') else { return self.word().to_owned() };
        let (mut value, mut escaped) = (String::new(), false);
        for (at, c) in quoted.char_indices() {
            match c {
                '\\' if !escaped => escaped = true,
                '"' if !escaped => {
                    self.0 = &quoted[at + 1..];
                    return value;
                }
                _ => {
                    value.push(c);
                    escaped = false;
                }
            }
        }
        self.0 = "";
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: own(service), scope: own(scope) }
    }

    #[test]
    fn challenges_are_read_with_commas_in_quotes_and_several_in_one_header() {
        let header = r#"Bearer realm="https://a/t?x=1,2",service="a b",scope="repository:x:pull,push""#;
        let wanted = bearer("https://a/t?x=1,2", Some("a b"), Some("repository:x:pull,push"));
        assert_eq!(challenges(header), [wanted]);
        let header = r#"Negotiate, BASIC realm = "say \"hi\"", bearer realm=plain"#;
        assert_eq!(challenges(header), [Challenge::Basic, bearer("plain", None, None)]);
    }

    #[test]
    fn what_is_no_challenge_is_left_out_and_never_a_panic() {
        for bad in [
            "",
            ",,,",
            "=",
            "realm=x",
            "Bearer",
            "Bearer service=x",
            "Bearer realm=\"x",
            "\"",
            "é=ü",
            "a=\"\\",
        ] {
            assert!(challenges(bad).iter().all(|one| *one == bearer("x", None, None)), "{bad}");
        }
    }
}
