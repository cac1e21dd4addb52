//! Made-up values: what people write at a place, and what they should not.

use crate::numbers::Numbers;

/// Scalars that readers of YAML disagree about, as they are written.
pub(crate) const ODD: [&str; 76] = [
    "0o17",
    "0O17",
    "017",
    "0b11",
    "0x1F",
    "0X1f",
    "1_000",
    "_1",
    "1__0",
    "0x_1",
    ".5",
    "5.",
    "+.5",
    "-.5",
    "1e3",
    "1E3",
    "1e+3",
    "1.5e-3",
    "+1",
    "-1",
    "0",
    "-0",
    "00",
    "08",
    "09.5",
    "0.10",
    "yes",
    "no",
    "Yes",
    "on",
    "off",
    "y",
    "n",
    "true",
    "True",
    "TRUE",
    "false",
    "~",
    "null",
    "Null",
    "NULL",
    "''",
    "\"\"",
    ".inf",
    "-.Inf",
    ".nan",
    "2001-12-14",
    "2001-12-14t21:59:43.10-05:00",
    "12:30",
    "190:20:30",
    "190:20:30.15",
    "!!str 5",
    "!!str true",
    "!!str",
    "!!int '5'",
    "!!int 5",
    "!!float 5",
    "!!bool 'true'",
    "!!null ''",
    "!!binary aGVsbG8=",
    "!custom 5",
    "! 5",
    "'5'",
    "\"5\"",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    "=",
    "[]",
    "{}",
    "\"\\x41\\u00e9\\n\"",
    "'it''s'",
    "a b",
    "0x",
];

/// Returns what could stand under `key` of `parent`, in the words of the file, not yet quoted.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(crate) fn text(key: &str, parent: &str, n: &mut Numbers) -> String {
    let pick = |n: &mut Numbers, list: &[&str]| n.pick(list).to_owned();
    let duration: &[&str] = &[
        "10s", "1m30s", "1.5h", "500ms", "1d", "2w", "0s", "1h1m1s", "100us", "1h 5m", "-5s", "1m0.5s", "0",
        "10", "1y",
    ];
    let bytes: &[&str] = &[
        "64m", "1g", "1.5gb", "10kib", "10 MB", "512", "0", "1024b", "2T", "-1", "1.5", "1k", "x", "1.1k",
        "10 m", "1e3",
    ];
    let integer: &[&str] = &["0", "1", "5", "100", "-1", "1000"];
    match (key, parent) {
        (
            "interval" | "timeout" | "start_period" | "start_interval" | "stop_grace_period" | "delay"
            | "monitor" | "window",
            _,
        ) => pick(n, duration),
        (
            "mem_limit" | "mem_reservation" | "memswap_limit" | "shm_size" | "memory" | "rate" | "size"
            | "mem_swappiness",
            _,
        ) => pick(n, bytes),
        ("cpus", _) => pick(n, &["0.5", "1", "1.5", "2.", ".25", "0", "0.1234567", "100", "1e-1"]),
        ("ports", _) => pick(
            n,
            &[
                "80",
                "8080:80",
                "80/udp",
                "127.0.0.1:81:80",
                "127.0.0.1::80",
                "[::1]:82:80",
                "8000-8003:80",
                "8000-8002:90-92",
                "90-92",
                "0.0.0.0:80:80",
                "80:80/tcp",
                "8080:80/TCP",
                "::1:80:80",
                "1-2:3",
                "80:",
                ":80",
                "a:b",
                "66000:1",
                "1:2:3:4",
                "53:53/sctp",
                "127.0.0.1:80-82:80-82/udp",
                "080:80",
                "10-5:1",
                "2-3:1-3",
                "80:80/icmp",
                "192.168.0.1:9:9",
            ],
        ),
        ("volumes", _) => pick(
            n,
            &[
                "/data",
                "data:/data",
                "./src:/src",
                "./src:/src:ro",
                "~/x:/y",
                "data:/d:nocopy",
                "/a:/b:rw,z",
                "../up:/up:cached",
                "data:/data/:ro",
                "data:/d2/../d3",
                "/var/run/docker.sock:/var/run/docker.sock",
                "data:/d:ro,Z,rshared",
                "./a b:/c d",
                "data",
                "relative/dir:/x",
                "a::b",
                "/x:",
                ":/y",
                "data:d4",
                "/a:/b:c:d",
                ".:/code",
                "cache:/cache:rw",
                "..:/up2",
                "/data:ro",
            ],
        ),
        ("devices", "services") => pick(
            n,
            &[
                "/dev/null",
                "/dev/a:/dev/b",
                "/dev/a:/dev/c:r",
                "/dev/a:/dev/d:rwm",
                "vendor.com/class=x",
                "a:b:c:d",
                "/dev/a::r",
            ],
        ),
        ("networks", _) => pick(n, &["front", "back", "default"]),
        ("secrets" | "configs", _) | ("source", "secrets" | "configs") => pick(n, &["one", "two"]),
        ("source", "volumes") => pick(n, &["data", "cache", "./src", "/abs", "~/h", "relative/x", "..", ""]),
        ("target" | "published", "ports") => pick(n, &["80", "8080", "80-82", "0", "70000"]),
        ("target", _) => pick(n, &["/t", "/t/u/", "rel", "/a/../b", "/run/secrets/one", "./x", "/data"]),
        ("depends_on" | "links" | "volumes_from" | "external_links", _) => {
            pick(n, &["alpha", "beta:alias", "beta", "alpha:ro", "container:x"])
        }
        ("network_mode" | "ipc" | "pid", _) => {
            pick(n, &["none", "host", "bridge", "service:alpha", "container:x", "shareable", "private", ""])
        }
        ("uts" | "userns_mode", _) => pick(n, &["host", "private", ""]),
        ("cgroup", _) => pick(n, &["host", "private"]),
        ("command" | "entrypoint", _) => pick(
            n,
            &[
                "run it",
                "sh -c 'a b'",
                "echo \"$SET\"",
                "echo a && b",
                "a | b",
                "a\\ b c",
                "x 'unclosed",
                "",
                "echo $$HOME",
                "a;b",
                "a > b",
                "a 2>&1",
                "(a)",
                "a \"b \\\"c\\\" d\" e",
                "python -m http.server --bind 0.0.0.0",
                "a#b # c",
                "echo `x y`",
                "echo $$(a b)",
                "a  b\tc",
                "\\n",
                "a \"\" ''",
            ],
        ),
        ("test", _) => pick(n, &["curl -f localhost", "CMD", "CMD-SHELL", "NONE", "true"]),
        (
            "environment"
            | "args"
            | "labels"
            | "annotations"
            | "sysctls"
            | "additional_contexts"
            | "options"
            | "extra_hosts"
            | "env",
            _,
        ) => pick(
            n,
            &[
                "A=1",
                "B=two words",
                "C",
                "D=",
                "E=$SET",
                "F=${NOPE:-x}",
                "G=a=b",
                "SET",
                "net.core.somaxconn=1024",
                "a.b/c=d",
                "host=1.2.3.4",
                "H=yes",
                "host:1.2.3.4",
                "v6=::1",
                "v6:[::1]",
                "=x",
                " I=1",
                "J =1",
                "host=host-gateway",
                "ctx=./d",
                "svc=service:beta",
            ],
        ),
        ("env_file" | "label_file", _) | ("path", "env_file") => {
            pick(n, &["a.env", "b.env", "./a.env", "gone.env"])
        }
        ("format", "env_file") => pick(n, &["raw", "", "odd"]),
        ("dns", _) => pick(n, &["1.1.1.1", "8.8.8.8", "::1", "x"]),
        ("expose", _) => pick(n, &["80", "90-92", "80/udp", "x", "80/tcp", "70000"]),
        ("tmpfs", _) => pick(n, &["/run", "/tmp:size=64m,mode=1777", "/run:rw", "/t", "x"]),
        ("restart", _) => {
            pick(n, &["no", "always", "on-failure", "on-failure:3", "unless-stopped", "sometimes", ""])
        }
        ("condition", "depends_on") => pick(n, &["service_started", "service_healthy"]),
        ("condition", _) => pick(n, &["none", "on-failure", "any"]),
        ("pull_policy", _) => pick(
            n,
            &[
                "always",
                "never",
                "if_not_present",
                "missing",
                "build",
                "daily",
                "weekly",
                "every_12h",
                "every_1d2h",
                "refresh",
            ],
        ),
        ("image", _) => pick(
            n,
            &[
                "redis",
                "redis:7",
                "reg.io:5000/a/b:c",
                "x@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                "r:$TAG",
                "${NOPE-img}",
                "a:${TAG:?no}",
            ],
        ),
        ("mode", "secrets" | "configs") => pick(n, &["0444", "0o440", "440", "999", "0x1", "0"]),
        ("mode", _) => pick(n, &["0755", "755", "ingress", "host", "replicated", "global"]),
        ("uid" | "gid", _) => pick(n, &["0", "1000", "abc"]),
        ("context" | "project_directory", _) => pick(
            n,
            &[
                ".",
                "./dir",
                "../x",
                "https://x.org/y.git#main",
                "/abs",
                "dir",
                "git@x.org:y",
                "github.com/x/y",
                "${NOPE:-.}",
            ],
        ),
        ("dockerfile" | "file", _) => pick(n, &["Dockerfile", "./x", "/abs/x", "../y", "a.env"]),
        ("subnet" | "ip_range", _) => pick(n, &["10.0.0.0/8", "172.28.0.0/16", "fd00::/64", "x"]),
        ("gateway" | "ipv4_address" | "host_ip" | "link_local_ips", _) => {
            pick(n, &["10.0.0.1", "127.0.0.1", "172.28.0.5", "x", "0.0.0.0", "::1"])
        }
        ("ipv6_address", _) => pick(n, &["fd00::5", "::1"]),
        ("mac_address", _) => pick(n, &["02:42:ac:11:65:43", "x"]),
        ("platform" | "platforms", _) => pick(n, &["linux/amd64", "linux/arm64/v8", "linux", "x/y"]),
        ("cap_add" | "cap_drop", _) => pick(n, &["ALL", "NET_ADMIN", "SYS_PTRACE"]),
        ("security_opt", _) => {
            pick(n, &["no-new-privileges:true", "seccomp=unconfined", "label=disable", "no-new-privileges"])
        }
        ("ssh", _) => pick(n, &["default", "a=/x", "b=./k", "c"]),
        ("profiles", _) => pick(n, &["dev", "test", "dev"]),
        ("count", _) => pick(n, &["all", "1", "-1", "ALL", "x"]),
        ("device_ids" | "capabilities" | "driver", _) => {
            pick(n, &["gpu", "0", "nvidia", "overlay", "local", "bridge", "json-file"])
        }
        ("provenance" | "sbom", _) => pick(n, &["true", "false", "mode=max", "mode=min,x=y"]),
        ("type", "volumes") => pick(n, &["bind", "volume", "tmpfs", "image", "cluster", "npipe"]),
        ("type", _) => pick(n, &["model", "x"]),
        ("protocol", _) => pick(n, &["tcp", "udp", "TCP", "x"]),
        ("path", _) => pick(n, &["./w", "/dev/sda", ".", ""]),
        ("container_name" | "hostname" | "domainname" | "name", _) => {
            pick(n, &["box", "Box-1", "a.b", "x_y", "b$$x", "x"])
        }
        ("extends" | "service", _) => pick(n, &["gamma", "alpha"]),
        (
            "user" | "working_dir" | "stop_signal" | "runtime" | "isolation" | "cpuset" | "cgroup_parent",
            _,
        ) => pick(n, &["root", "1000:1000", "/w", "SIGTERM", "0-2", "x", ""]),
        ("external", _) => pick(n, &["true", "false"]),
        ("group_add", _) => pick(n, &["wheel", "5", "x"]),
        ("external_links_", _) => pick(n, integer),
        _ => pick(
            n,
            &[
                "x",
                "some text",
                "5",
                "$SET",
                "${EMPTY:-d}",
                "${NOPE}",
                "",
                "true",
                "a:b",
                "1.0",
                "é",
                "a$$b",
                "${FIVE}",
                "-",
                "x # y",
            ],
        ),
    }
}

/// Returns a number as it could stand under `key`.
pub(crate) fn number(key: &str, n: &mut Numbers) -> String {
    let list: &[&str] = match key {
        "cpus" => &["0.5", "1", "1.50", "2.0", ".5", "0", "0.1234567", "3e0", "1_0"],
        "mode" => &["0444", "0o644", "420", "0x1a4", "0"],
        "ports" | "target" | "published" => &["80", "8080", "0", "443", "65535", "70000", "-1"],
        "max_failure_ratio" => &["0.5", "0", "1", ".25", "0.3333333"],
        "oom_score_adj" => &["0", "-1000", "500", "1001"],
        "mem_swappiness" | "cpu_percent" => &["0", "50", "100", "101", "60.5"],
        _ => &[
            "0",
            "1",
            "2",
            "5",
            "100",
            "-1",
            "1.5",
            "1e2",
            "010",
            "0x10",
            "1_000",
            "2.0",
            "1234567890123",
            "-0",
        ],
    };
    n.pick(list).to_owned()
}

/// Writes `text` in one of the styles in which YAML allows it.
pub(crate) fn quoted(text: &str, n: &mut Numbers) -> String {
    let plain = !text.is_empty()
        && text.trim() == text
        && !text.starts_with(|c: char| "-?:,[]{}#&*!|>'\"%@`".contains(c))
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains(['\t', ',', '[', ']', '{', '}'])
        && !text.ends_with(':');
    match n.below(4) {
        0 | 1 if plain => text.to_owned(),
        2 => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\t', "\\t")),
        _ => format!("'{}'", text.replace('\'', "''")),
    }
}
