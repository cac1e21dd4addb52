//! The host's `resolv.conf` in, the container's out. Pure: who reads and writes the files is the caller's
//! business.
//!
//! Source: resolv.conf(5).

use std::net::IpAddr;

use trice_model::container::ResolverSpec;

/// The address at which a container's names are answered.
pub const ADDRESS: &str = "127.0.0.11";

/// What a `resolv.conf` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvConf {
    /// Resolvers, in their order.
    pub servers: Vec<IpAddr>,
    /// Domains that are tried behind a short name.
    pub search: Vec<String>,
    /// Options, such as `ndots:2`.
    pub options: Vec<String>,
}

/// Reads a `resolv.conf`. As the C library does, it passes over what it does not know.
///
/// The last of several `search` and `domain` lines counts. A resolver whose address has a zone
/// (`fe80::1%eth0`) is left out: an [`IpAddr`] cannot say where it is.
pub fn parse(text: &str) -> ResolvConf {
    let mut conf = ResolvConf::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                conf.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()))
            }
            Some("search") => conf.search = words.map(str::to_owned).collect(),
            Some("domain") => conf.search = words.take(1).map(str::to_owned).collect(),
            Some("options") => conf.options.extend(words.map(str::to_owned)),
            Some(_) | None => {}
        }
    }
    conf
}

/// Writes the `resolv.conf` of a container whose names are answered by this crate.
///
/// Search domains are those of `spec`, or else the host's; `.` alone means none at all. Options are the
/// host's, each replaced by that of `spec` with the same key. `ndots` is 0 unless one of them says otherwise,
/// so that a name is tried as it is before any domain is put behind it.
pub fn for_container(host: &ResolvConf, spec: &ResolverSpec) -> String {
    let mut text = format!("nameserver {ADDRESS}\n");
    let search: Vec<&str> = spec
        .search
        .as_ref()
        .unwrap_or(&host.search)
        .iter()
        .map(String::as_str)
        .filter(|domain| *domain != ".")
        .collect();
    if !search.is_empty() {
        text += &format!("search {}\n", search.join(" "));
    }
    text += &format!("options {}\n", options(&host.options, &spec.options).join(" "));
    text
}

fn options<'a>(host: &'a [String], own: &'a [String]) -> Vec<&'a str> {
    let given = |name: &str| own.iter().any(|option| key(option) == name);
    let kept = host.iter().filter(|option| !given(key(option)));
    let mut options: Vec<&str> = kept.chain(own).map(String::as_str).collect();
    if !options.iter().any(|option| key(option) == "ndots") {
        options.push("ndots:0");
    }
    options
}

/// Returns what comes before an option's value.
fn key(option: &str) -> &str {
    option.split_once(':').map_or(option, |(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_file_is_read_as_the_c_library_reads_it() {
        let conf = parse(
            "# nameserver 9.9.9.9\n; options debug\n\nnameserver 10.0.0.1 \n\tnameserver\tfd00::1 # ours\n\
             nameserver fe80::1%eth0\nnameserver nonsense\nnameserver\nsortlist 10.0.0.0\n\
             domain old.example\nsearch a.example b.example\noptions edns0\noptions ndots:2 trust-ad\n",
        );
        assert_eq!(
            conf.servers,
            ["10.0.0.1".parse::<IpAddr>(), "fd00::1".parse()].map(|ip| ip.expect("an address"))
        );
        assert_eq!(conf.search, strings("a.example b.example"));
        assert_eq!(conf.options, strings("edns0 ndots:2 trust-ad"));
        assert_eq!(parse("search a.example\ndomain b.example c.example").search, strings("b.example"));
    }

    #[test]
    fn a_container_gets_the_hosts_domains_and_options_unless_it_has_its_own() {
        let host = parse("nameserver 10.0.0.1\nsearch a.example\noptions edns0 timeout:3");
        let spec = |search: Option<&str>, options: &str| ResolverSpec {
            servers: Vec::new(),
            search: search.map(strings),
            options: strings(options),
        };
        let cases = [
            (spec(None, ""), "search a.example\noptions edns0 timeout:3 ndots:0\n"),
            (spec(Some("b c"), "timeout:1"), "search b c\noptions edns0 timeout:1 ndots:0\n"),
            (spec(Some("."), "ndots:2 use-vc"), "options edns0 timeout:3 ndots:2 use-vc\n"),
            (spec(Some(""), "edns0"), "options timeout:3 edns0 ndots:0\n"),
        ];
        for (spec, rest) in cases {
            assert_eq!(for_container(&host, &spec), format!("nameserver 127.0.0.11\n{rest}"), "{spec:?}");
        }
        let ndots = parse("options ndots:5");
        assert_eq!(
            for_container(&ndots, &ResolverSpec::default()),
            "nameserver 127.0.0.11\noptions ndots:5\n"
        );
    }
}
