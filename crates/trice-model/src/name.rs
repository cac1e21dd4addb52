//! Names: checked once, where a file, a flag or a record brings them in.
//!
//! Sources: Compose Specification, `04-version-and-name.md` and `schema/compose-spec.json`; Linux `dev_valid_name`.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use crate::text::written_as_text;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {rule}")]
pub struct NameError {
    /// The offending text.
    pub text: String,
    /// The kind of name, as it is called in messages.
    pub kind: &'static str,
    /// What such a name may hold.
    pub rule: &'static str,
}

/// Makes a type of names: a string that passed `$check`.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Returns the name as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $check;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { text: text.to_owned(), kind: $kind, rule: $rule })
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        written_as_text!($type, concat!("A ", $kind, ": ", $rule, "."));
    };
}

name!(
    /// A project's name, which begins the names of all it owns.
    ProjectName,
    "project name",
    "it consists of a-z, 0-9, `-` and `_`, and begins with a letter or digit",
    |text| {
        text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
    }
);

impl ProjectName {
    /// Makes a project name of a folder's name or a file's `name`, as Compose does: lower case, foreign characters
    /// and leading `-` and `_` dropped. `None` if nothing is left.
    pub fn cleaned(text: &str) -> Option<Self> {
        let lower = text.to_lowercase();
        let kept: String =
            lower.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').collect();
        kept.trim_start_matches(['-', '_']).parse().ok()
    }
}

name!(
    /// The key of a service, network, volume, config or secret in a Compose file.
    Key,
    "key",
    "it consists of a-z, A-Z, 0-9, `.`, `_` and `-`",
    |text| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
);

/// A service is named by its key.
pub type ServiceName = Key;

name!(
    /// The name of a container, network or volume on this machine.
    ObjectName,
    "name",
    "it consists of a-z, A-Z, 0-9, `.`, `_` and `-`, and begins with a letter or digit",
    |text| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    }
);

/// A container's name, such as `shop-web-1`.
pub type ContainerName = ObjectName;
/// A network's name, such as `shop_front`.
pub type NetworkName = ObjectName;
/// A volume's name, such as `shop_data`.
pub type VolumeName = ObjectName;

name!(
    /// The name of a network interface.
    LinkName,
    "interface name",
    "it has 1 to 15 bytes, without `/`, `:` and blanks",
    |text| {
        (1..=15).contains(&text.len())
            && text != "."
            && text != ".."
            && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c == '\0')
    }
);

name!(
    /// A host name, or one of its labels joined by dots.
    HostName,
    "host name",
    "it has 1 to 253 bytes: labels of a-z, A-Z, 0-9, `-` and `_`, joined by dots",
    |text| {
        (1..=253).contains(&text.len())
            && text.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            })
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_name_from_a_folder_is_cleaned_and_one_from_a_flag_is_not() {
        assert_eq!(ProjectName::cleaned("My Proj!").map(|n| n.to_string()).as_deref(), Some("myproj"));
        assert_eq!(ProjectName::cleaned("--_x").map(|n| n.to_string()).as_deref(), Some("x"));
        assert_eq!(ProjectName::cleaned("!!"), None);
        assert!("My Proj".parse::<ProjectName>().is_err());
        assert!("-x".parse::<ProjectName>().is_err());
    }

    #[test]
    fn interface_names_fit_into_the_kernels_field() {
        assert!("eth0".parse::<LinkName>().is_ok());
        for bad in ["", ".", "a/b", "a b", "sixteen-letters0"] {
            assert!(bad.parse::<LinkName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_that_is_wrong_is_refused_by_json_too() {
        assert!(serde_json::from_str::<Key>("\"a/b\"").is_err());
        assert!(serde_json::from_str::<Key>("\"a.b-c_D\"").is_ok());
    }
}
