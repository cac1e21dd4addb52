//! One container: namespaces, cgroup, rootfs, init, exec, logs, exit; and the keeper, the parent of all.
#![forbid(unsafe_code)]
