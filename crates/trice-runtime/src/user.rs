//! Who a process is: the text of `user:` looked up in the container's own files.
//!
//! Nothing of the container runs for it and no name service is asked: two files are read, as text.
//!
//! Sources: passwd(5), group(5); OCI Runtime Specification, `config.md`, "User".

use std::collections::BTreeSet;

/// The numbers of a process's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's number.
    pub uid: u32,
    /// The main group's number.
    pub gid: u32,
    /// More groups, in ascending order.
    pub groups: Vec<u32>,
    /// The user's folder; `/` where nobody says.
    pub home: String,
}

/// Why `user:` or `group_add:` means nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The name is not in `/etc/passwd`.
    #[error("user `{0}` is not in the container's /etc/passwd")]
    UnknownUser(String),
    /// The name is not in `/etc/group`.
    #[error("group `{0}` is not in the container's /etc/group")]
    UnknownGroup(String),
    /// The number is beyond what the kernel takes.
    #[error("`{0}` is not a user or group number: they go from 0 to 4294967294")]
    BadNumber(String),
}

/// A line of `/etc/passwd`.
struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// A line of `/etc/group`.
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Looks up `user` (`name`, `uid`, either with `:group`; empty is root) and `more` groups.
///
/// With a group given, the user is in that one and `more` only; without, in those that the files say.
pub fn look_up(user: &str, more: &[String], passwd: &str, group: &str) -> Result<Identity, UserError> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let lines: Vec<Passwd<'_>> = passwd.lines().filter_map(passwd_line).collect();
    let groups: Vec<Group<'_>> = group.lines().filter_map(group_line).collect();
    let number = number(user)?;
    let known = match number {
        Some(uid) => lines.iter().find(|line| line.uid == uid),
        None => lines.iter().find(|line| line.name == user),
    };
    let uid = number.or(known.map(|line| line.uid)).ok_or_else(|| UserError::UnknownUser(user.to_owned()))?;
    let gid = match wanted_group {
        Some(name) => group_number(name, &groups)?,
        None => known.map_or(0, |line| line.gid),
    };
    let mut all = BTreeSet::new();
    if wanted_group.is_none()
        && let Some(line) = known
    {
        let is_member = |group: &&Group<'_>| group.members.split(',').any(|member| member == line.name);
        all.extend(groups.iter().filter(is_member).map(|group| group.gid));
    }
    for name in more {
        all.insert(group_number(name, &groups)?);
    }
    all.insert(gid);
    let home = known.map(|line| line.home).filter(|home| !home.is_empty()).unwrap_or("/");
    Ok(Identity { uid, gid, groups: all.into_iter().collect(), home: home.to_owned() })
}

/// Reads a text of digits as a number; `None` if it is a name.
///
/// `-1`, ` 1` and `1x` are names that nobody has, and never a number: a text that is half a number must not become
/// root.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(number) if number < u32::MAX => Ok(Some(number)),
        _ => Err(UserError::BadNumber(text.to_owned())),
    }
}

fn group_number(text: &str, groups: &[Group<'_>]) -> Result<u32, UserError> {
    match number(text)? {
        Some(gid) => Ok(gid),
        None => groups
            .iter()
            .find(|group| group.name == text)
            .map(|group| group.gid)
            .ok_or_else(|| UserError::UnknownGroup(text.to_owned())),
    }
}

fn passwd_line(line: &str) -> Option<Passwd<'_>> {
    let mut fields = line.split(':');
    let (name, _password) = (fields.next()?, fields.next()?);
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let (_gecos, home) = (fields.next()?, fields.next()?);
    Some(Passwd { name, uid, gid, home })
}

fn group_line(line: &str) -> Option<Group<'_>> {
    let mut fields = line.split(':');
    let (name, _password) = (fields.next()?, fields.next()?);
    Some(Group { name, gid: fields.next()?.parse().ok()?, members: fields.next().unwrap_or("") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:100:App:/home/app:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:\nvideo:x:44:app,other\naudio:x:29:other\n";

    fn found(user: &str, more: &[&str]) -> Result<(u32, u32, Vec<u32>, String), UserError> {
        let more: Vec<String> = more.iter().map(|&group| group.to_owned()).collect();
        let identity = look_up(user, &more, PASSWD, GROUP)?;
        Ok((identity.uid, identity.gid, identity.groups, identity.home))
    }

    #[test]
    fn names_and_numbers_are_looked_up_and_bring_their_groups() {
        let home = "/home/app".to_owned();
        assert_eq!(found("", &[]), Ok((0, 0, vec![0], "/root".to_owned())));
        assert_eq!(found("app", &[]), Ok((1000, 100, vec![44, 100], home.clone())));
        assert_eq!(found("1000", &[]), Ok((1000, 100, vec![44, 100], home.clone())));
        assert_eq!(found("app:audio", &[]), Ok((1000, 29, vec![29], home.clone())));
        assert_eq!(found("1000:7", &["video", "9"]), Ok((1000, 7, vec![7, 9, 44], home)));
        assert_eq!(found("4242", &[]), Ok((4242, 0, vec![0], "/".to_owned())));
    }

    #[test]
    fn what_is_neither_a_known_name_nor_a_number_is_refused_and_never_becomes_root() {
        for bad in ["-1", " 1", "1x", "nobody", "4294967295", "99999999999", "1000:wheel", "0x0", "+1"] {
            assert!(found(bad, &[]).is_err(), "{bad}");
        }
        assert!(found("app", &["nogroup"]).is_err());
    }
}
