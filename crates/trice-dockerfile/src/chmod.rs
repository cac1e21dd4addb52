//! What `--chmod` says: `755`, or changes such as `u=rwX,go=rX`.
//!
//! Source: POSIX, chmod(1); without `s` and `t` of users that are not said, nothing depends on the umask.

use serde::{Deserialize, Serialize};

/// New permissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chmod {
    /// Exactly these.
    Exactly(u32),
    /// Changes of those that are there, one after the other.
    Changes(Vec<Change>),
}

/// A change of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Whose permissions, as the bits that it may touch.
    who: u32,
    operator: Operator,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum What {
    /// These bits, for each of `rwx` in all three places; and those of `X`, for folders and programs only.
    Bits { always: u32, executable: bool },
    /// What the user, the group or the others have, as its shift.
    Copy(u32),
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHERS: u32 = 0o1007;

impl Chmod {
    /// Reads it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.chars().all(|c| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok()?;
            return (mode <= 0o7777).then_some(Self::Exactly(mode));
        }
        let clauses: Option<Vec<Vec<Change>>> = text.split(',').map(clause).collect();
        Some(Self::Changes(clauses?.concat()))
    }

    /// Returns the permissions that come of `mode`.
    pub fn applied(&self, mode: u32, is_folder: bool) -> u32 {
        match self {
            Self::Exactly(mode) => *mode,
            Self::Changes(changes) => {
                changes.iter().fold(mode & 0o7777, |mode, change| change.applied(mode, is_folder))
            }
        }
    }
}

impl Change {
    fn applied(self, mode: u32, is_folder: bool) -> u32 {
        let bits = match self.what {
            What::Bits { always, executable } => {
                let is_program = is_folder || mode & 0o111 != 0;
                always | if executable && is_program { 0o111 } else { 0 }
            }
            What::Copy(shift) => (mode >> shift & 0o7) * 0o111,
        };
        let bits = bits & self.who;
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            // The special bits of a folder stay where only its permissions are set.
            Operator::Set => {
                let cleared = if is_folder { self.who & 0o777 } else { self.who };
                mode & !cleared | bits
            }
        }
    }
}

fn clause(text: &str) -> Option<Vec<Change>> {
    let end = text.find(['+', '-', '='])?;
    let (whom, mut rest) = text.split_at(end);
    let mut who = 0;
    for letter in whom.chars() {
        who |= match letter {
            'u' => USER,
            'g' => GROUP,
            'o' => OTHERS,
            'a' => USER | GROUP | OTHERS,
            _ => return None,
        };
    }
    let who = if who == 0 { USER | GROUP | OTHERS } else { who };
    let mut changes = Vec::new();
    while let Some(operator) = rest.chars().next() {
        let operator = match operator {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            '=' => Operator::Set,
            _ => return None,
        };
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |end| end + 1);
        let what = match &rest[1..end] {
            "u" => What::Copy(6),
            "g" => What::Copy(3),
            "o" => What::Copy(0),
            letters => bits(letters)?,
        };
        changes.push(Change { who, operator, what });
        rest = &rest[end..];
    }
    Some(changes)
}

fn bits(letters: &str) -> Option<What> {
    let (mut always, mut executable) = (0, false);
    for letter in letters.chars() {
        match letter {
            'r' => always |= 0o444,
            'w' => always |= 0o222,
            'x' => always |= 0o111,
            's' => always |= 0o6000,
            't' => always |= 0o1000,
            'X' => executable = true,
            _ => return None,
        }
    }
    Some(What::Bits { always, executable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_said_whole_or_as_changes() {
        let cases = [
            ("755", 0o644, false, 0o755),
            ("4755", 0o644, false, 0o4755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("+x", 0o644, false, 0o755),
            ("go-rwx", 0o777, false, 0o700),
            ("g=u", 0o640, false, 0o660),
            ("u+s", 0o755, false, 0o4755),
            ("u+t,+t", 0o755, true, 0o1755),
            ("a=r+w-r", 0o777, false, 0o222),
            ("g-s", 0o2755, true, 0o755),
        ];
        for (text, mode, is_folder, applied) in cases {
            let chmod = Chmod::parse(text).unwrap_or_else(|| panic!("{text} is one"));
            assert_eq!(chmod.applied(mode, is_folder), applied, "{text} of {mode:o}");
        }
    }

    #[test]
    fn what_says_nothing_is_none() {
        for text in ["", "8", "10000", "rwx", "z+x", "u+q", "u", "99999999999", "-"] {
            assert!(Chmod::parse(text).is_none() || text == "-", "{text}");
        }
    }
}
