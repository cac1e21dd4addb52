//! Where the hierarchies of this machine are mounted, and where in them this process is.
//!
//! Source: cgroups(7), `/proc/[pid]/cgroup` and `/proc/[pid]/mountinfo`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::CONTROLLERS;

/// A v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1Hierarchy {
    /// The folder of our groups' parent.
    pub path: PathBuf,
    /// Its controllers.
    pub controllers: Vec<String>,
}

impl V1Hierarchy {
    /// Returns the folder `name` of this one.
    pub(crate) fn below(self, name: &str) -> Self {
        Self { path: self.path.join(name), controllers: self.controllers }
    }
}

/// The hierarchies in which groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    /// The v2 folder for our groups, and whether it has the controllers that limits need.
    pub v2: Option<(PathBuf, bool)>,
    /// The v1 folders for our groups, of the hierarchies that have one of [`CONTROLLERS`].
    pub v1: Vec<V1Hierarchy>,
}

impl Hierarchies {
    /// Reads them from the kernel.
    pub fn of_this_process() -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let mut found = Self::read(&mounts, &groups);
        if let Some((path, controlled)) = &mut found.v2 {
            let available = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
            *controlled = ["cpu", "memory", "pids"]
                .iter()
                .all(|name| available.split(' ').any(|has| has.trim() == *name));
        }
        Ok(found)
    }

    /// Reads them from the kernel's texts.
    ///
    /// On v1 our groups lie below the one that this process is in, so that whoever limits it limits them too. On v2
    /// they lie at the top, since a group with processes of its own cannot hand its controllers on.
    fn read(mounts: &str, groups: &str) -> Self {
        let mut found = Self { v2: None, v1: Vec::new() };
        for mount in mounts.lines().filter_map(mount_line) {
            match mount.kind {
                "cgroup2" => found.v2 = found.v2.or(Some((mount.point.to_owned(), false))),
                "cgroup" => {
                    let controllers: Vec<String> = mount
                        .options
                        .split(',')
                        .filter(|name| CONTROLLERS.contains(name))
                        .map(str::to_owned)
                        .collect();
                    let Some(first) = controllers.first() else { continue };
                    let own = own_group(groups, first).unwrap_or("/");
                    let inside = Path::new(own).strip_prefix(mount.root).unwrap_or(Path::new(""));
                    found.v1.push(V1Hierarchy { path: mount.point.join(inside), controllers });
                }
                _ => {}
            }
        }
        found
    }
}

/// A line of `mountinfo`, as far as it matters here.
struct Mount<'a> {
    root: &'a str,
    point: &'a Path,
    kind: &'a str,
    options: &'a str,
}

fn mount_line(line: &str) -> Option<Mount<'_>> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, _source, options) = (after.next()?, after.next()?, after.next()?);
    Some(Mount { root, point: Path::new(point), kind, options })
}

/// Returns the group of `controller` in the text of `/proc/self/cgroup`.
fn own_group<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_number, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        names.split(',').any(|name| name == controller).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
24 20 0:20 / /sys/fs/cgroup ro - tmpfs tmpfs rw
25 24 0:21 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
26 24 0:22 /jail /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
27 24 0:23 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
28 24 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
    const GROUPS: &str = "3:memory:/jail/mine\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/session\n";

    #[test]
    fn groups_lie_below_our_own_on_v1_and_at_the_top_on_v2() {
        let found = Hierarchies::read(HYBRID, GROUPS);
        assert_eq!(found.v2, Some((PathBuf::from("/sys/fs/cgroup/unified"), false)));
        let v1: Vec<_> =
            found.v1.iter().map(|h| (h.path.to_str().unwrap(), h.controllers.join(","))).collect();
        let expected = [
            ("/sys/fs/cgroup/cpu,cpuacct/", "cpu,cpuacct".to_owned()),
            ("/sys/fs/cgroup/memory/mine", "memory".to_owned()),
        ];
        assert_eq!(v1, expected);
    }
}
