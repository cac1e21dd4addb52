//! The texts of a container's files in `/etc`.
//!
//! Sources: hosts(5), hostname(5), resolv.conf(5).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use trice_dns::resolv_conf::{ResolvConf, for_container};
use trice_model::container::{ContainerSpec, NetworkNamespace};
use trice_runtime::lower::MadeFile;

/// Returns all texts. `addresses` are the container's own, `host` is what the host's `/etc/resolv.conf` says, and
/// `host_text` the file itself, which a container in the host's network shares.
pub(crate) fn texts(
    spec: &ContainerSpec,
    addresses: &[IpAddr],
    host: &ResolvConf,
    host_text: &str,
) -> BTreeMap<MadeFile, String> {
    let resolv_conf = match spec.network {
        NetworkNamespace::Instance(_) => for_container(host, &spec.resolver),
        NetworkNamespace::Host => host_text.to_owned(),
    };
    BTreeMap::from([
        (MadeFile::Hostname, format!("{}\n", spec.hostname)),
        (MadeFile::Hosts, hosts(spec, addresses)),
        (MadeFile::ResolvConf, resolv_conf),
    ])
}

fn hosts(spec: &ContainerSpec, addresses: &[IpAddr]) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    let mut line = |address: &dyn std::fmt::Display, name: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{address}\t{name}");
    };
    for (address, name) in &spec.hosts {
        line(address, name);
    }
    text.extend(own_lines(spec, addresses));
    text
}

/// Returns the lines of a container's own addresses.
fn own_lines<'a>(spec: &ContainerSpec, addresses: &'a [IpAddr]) -> impl Iterator<Item = String> + use<'a> {
    let names = match &spec.domainname {
        Some(domain) => format!("{}.{domain} {}", spec.hostname, spec.hostname),
        None => spec.hostname.to_string(),
    };
    addresses.iter().map(move |address| format!("{address}\t{names}\n"))
}

/// Returns `/etc/hosts` with a container's own addresses as they are now. What programs in the container have written
/// there stays.
pub(crate) fn rehosted(text: &[u8], spec: &ContainerSpec, before: &[IpAddr], now: &[IpAddr]) -> Vec<u8> {
    let gone: Vec<String> = own_lines(spec, before).collect();
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let mut text =
        lines.filter(|line| !gone.iter().any(|gone| gone.as_bytes() == *line)).collect::<Vec<_>>().concat();
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text.extend(own_lines(spec, now).flat_map(String::into_bytes));
    text
}
