//! Addresses of git repositories, with what is meant of them.
//!
//! ```text
//! https://host/way.git                     git://host/way          git@host:way          github.com/owner/name
//! https://host/way.git#REF:FOLDER          the folder of that branch, tag or commit
//! https://host/way.git?ref=REF&subdir=FOLDER&checksum=COMMIT&submodules=false&keep-git-dir=true
//! ```
//!
//! Source: Docker's documentation, "Build context", "Git repositories" and "URL queries".

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is meant of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The address as git takes it.
    pub remote: String,
    /// A branch, a tag, a name below `refs/`, or a whole commit; the repository says which if nothing does.
    pub reference: Option<String>,
    /// The folder in it.
    pub folder: String,
    /// How the commit that is meant begins.
    pub checksum: Option<String>,
    /// The repositories in it are had too.
    pub submodules: bool,
    /// The repository's own folder comes along.
    pub keep_git_dir: bool,
}

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// The name or the address could be taken for an option of git.
    #[error("`{0}` is no name that git knows")]
    Name(String),
    /// A key of the query is not known.
    #[error(
        "`{0}` says nothing about a repository: `ref`, `branch`, `tag`, `subdir`, `checksum`, `submodules` and `keep-git-dir` do"
    )]
    Key(String),
    /// A value of the query is not one.
    #[error("`{key}={value}`: it is `true` or `false`")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// Both a fragment and a query say which.
    #[error("`#{0}` and the query both say what is meant: leave one out")]
    Both(String),
}

/// Tells whether a text is the address of a repository, and not that of a file. One that begins with `github.com/` could
/// be either.
pub fn is_repository(text: &str) -> bool {
    let address = text.split(['#', '?']).next().unwrap_or(text);
    let is_web = text.starts_with("http://") || text.starts_with("https://");
    ["git://", "ssh://", "git@"].iter().any(|start| text.starts_with(start))
        || is_web && address.ends_with(".git")
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        let (address, fragment) = text.split_once('#').map_or((text, None), |(a, f)| (a, Some(f)));
        let (address, query) = address.split_once('?').map_or((address, ""), |(a, q)| (a, q));
        let remote = match address.starts_with("github.com/") {
            true => format!("https://{address}"),
            false => address.to_owned(),
        };
        let mut repository = Self {
            remote: plain(&remote)?,
            reference: None,
            folder: String::new(),
            checksum: None,
            submodules: true,
            keep_git_dir: false,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            repository.set(key, value)?;
        }
        if let Some(fragment) = fragment {
            if !query.is_empty() {
                return Err(RepositoryError::Both(fragment.to_owned()));
            }
            let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
            repository.reference = named(reference)?;
            repository.folder = folder.to_owned();
        }
        Ok(repository)
    }
}

impl Repository {
    fn set(&mut self, key: &str, value: &str) -> Result<(), RepositoryError> {
        let switch = || match value {
            "" | "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err(RepositoryError::Value { key: key.to_owned(), value: value.to_owned() }),
        };
        match key {
            "ref" => self.reference = named(value)?,
            "branch" => self.reference = named(&format!("refs/heads/{value}"))?,
            "tag" => self.reference = named(&format!("refs/tags/{value}"))?,
            "subdir" => value.clone_into(&mut self.folder),
            "checksum" | "commit" => self.checksum = named(value)?,
            "submodules" => self.submodules = switch()?,
            "keep-git-dir" => self.keep_git_dir = switch()?,
            _ => return Err(RepositoryError::Key(key.to_owned())),
        }
        Ok(())
    }

    /// Returns the address as people may see it: without a password.
    pub fn shown(&self) -> String {
        let is_user = |(user, _): &(&str, &str)| !user.contains('/');
        let hidden = self.remote.split_once("://").and_then(|(scheme, rest)| {
            let (user, rest) = rest.split_once('@').filter(is_user)?;
            let (name, _password) = user.split_once(':')?;
            Some(format!("{scheme}://{name}@{rest}"))
        });
        hidden.unwrap_or_else(|| self.remote.clone())
    }

    /// Returns the commit, if the reference is one.
    pub fn commit(&self) -> Option<&str> {
        let is_whole =
            |text: &&str| matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.reference.as_deref().filter(is_whole)
    }

    /// Returns the names that the reference can stand for, the likeliest first: where a branch and a tag have the same
    /// name, it is the branch.
    pub fn candidates(&self) -> Vec<String> {
        match self.reference.as_deref() {
            None => vec!["HEAD".to_owned()],
            Some(whole) if whole.starts_with("refs/") => vec![whole.to_owned()],
            Some(name) => ["refs/heads/", "refs/tags/", "refs/"].map(|way| format!("{way}{name}")).to_vec(),
        }
    }
}

/// Returns a name unless it is empty.
fn named(text: &str) -> Result<Option<String>, RepositoryError> {
    Ok(Some(plain(text)?).filter(|text| !text.is_empty()))
}

/// Refuses what a program would take for an option, and what no name or address has.
fn plain(text: &str) -> Result<String, RepositoryError> {
    let is_odd = text.starts_with('-') || text.chars().any(|c| c.is_control() || c.is_whitespace());
    if is_odd { Err(RepositoryError::Name(text.to_owned())) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_files_by_their_addresses() {
        for text in [
            "https://h/r.git",
            "http://h/r.git#x:y",
            "https://h/r.git?ref=x",
            "git://h/r",
            "ssh://git@h/r",
            "git@h:r",
        ] {
            assert!(is_repository(text), "{text}");
        }
        for text in [
            "https://h/r.tar",
            "https://h/x?y=r.git",
            "https://h/x#r.git",
            "r.git",
            "../r.git",
            "github.com/o/r",
        ] {
            assert!(!is_repository(text), "{text}");
        }
    }

    fn read(text: &str) -> Repository {
        text.parse().unwrap()
    }

    #[test]
    fn fragments_and_queries_say_what_is_meant() {
        let plain = read("github.com/o/r");
        assert_eq!(
            (plain.remote.as_str(), plain.candidates()),
            ("https://github.com/o/r", vec!["HEAD".to_owned()])
        );
        assert!(plain.submodules && !plain.keep_git_dir && plain.commit().is_none());
        let both = read("git@h:o/r.git#v1:a/b");
        assert_eq!((both.remote.as_str(), both.folder.as_str()), ("git@h:o/r.git", "a/b"));
        assert_eq!(both.candidates(), ["refs/heads/v1", "refs/tags/v1", "refs/v1"]);
        assert_eq!(read("https://h/r.git#:a").reference, None);
        let query = read("https://h/r.git?tag=v1&subdir=a&checksum=0123ab&submodules=0&keep-git-dir");
        assert_eq!(query.candidates(), ["refs/tags/v1"]);
        assert_eq!((query.folder.as_str(), query.checksum.as_deref()), ("a", Some("0123ab")));
        assert!(!query.submodules && query.keep_git_dir);
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(read(&format!("git://h/r#{commit}")).commit(), Some(commit));
        assert_eq!(read("git://h/r#0123456").commit(), None);
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(read("https://me:secret@h/r.git#x").shown(), "https://me@h/r.git");
        for plain in ["https://me@h/r.git", "https://h/a:b@c.git", "git@h:r"] {
            assert_eq!(read(plain).shown(), plain);
        }
    }

    #[test]
    fn what_git_could_take_for_something_else_is_refused() {
        let error = |text: &str| text.parse::<Repository>().unwrap_err();
        assert_eq!(error("git://h/r#--upload-pack=x"), RepositoryError::Name("--upload-pack=x".to_owned()));
        assert!(matches!(error("https://h/r.git?branch=a b"), RepositoryError::Name(_)));
        assert!(matches!(error("https://h/r.git?depth=1"), RepositoryError::Key(_)));
        assert!(matches!(error("https://h/r.git?submodules=some"), RepositoryError::Value { .. }));
        assert!(matches!(error("https://h/r.git?ref=a#b"), RepositoryError::Both(_)));
    }
}
