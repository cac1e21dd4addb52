//! Differences that are meant: where Docker Compose 2.40 does what nobody can want.
//!
//! The documentation of the crate says the same in words.

/// Returns the reason for a difference that is meant. `what` is what differs.
pub(crate) fn reason(what: &str, flags: &[&str]) -> Option<&'static str> {
    let line = format!("{} {}", flags.join(" "), what.trim_start().lines().next().unwrap_or_default());
    let all = |words: &[&str]| words.iter().all(|word| line.contains(word));
    let rows: &[(&[&str], &str)] = &[
        (&["accepted, not refused: panic:"], "it breaks down"),
        (&["accepted, not refused: json: unsupported value"], "infinity and NaN in extensions are shown"),
        (
            &["accepted, not refused: json: error calling MarshalJSON", "SSHKey"],
            "it cannot show its own value",
        ),
        (&["#extensions", "unconvertible"], "names may begin with `x-`"),
        (&["driver_opts", "unconvertible type 'float64'"], "fractions are texts in options"),
        (&["mem_limit", "theirs \"(nothing)\""], "it forgets sizes with a fraction"),
        (&["mem_reservation", "theirs \"(nothing)\""], "it forgets sizes with a fraction"),
        (&["memswap_limit", "theirs \"(nothing)\""], "it forgets sizes with a fraction"),
        (&["mem_swappiness", "theirs \"(nothing)\""], "it forgets sizes with a fraction"),
        (&["shm_size", "theirs \"(nothing)\""], "it forgets sizes with a fraction"),
        (&[".Rate", "theirs \"0\""], "it forgets sizes with a fraction"),
        (&[".ulimits.", "ours 0, theirs {}"], "it shows a limit of zero as nothing"),
        (&["extra_hosts", "theirs []"], "a host without addresses is nothing"),
        (&["provider.options", "theirs \"(nothing)\""], "an option without values is shown"),
        (&["refused, not accepted", "external", "unknown attribute"], "it does not look into `external`"),
        (&["refused, not accepted", ".gpus[", "unknown attribute"], "it does not look into `gpus`"),
        (&["refused, not accepted", "`path` is missing"], "an include without a path is a mistake"),
        (&["build.ulimits", "invalid type string"], "numbers in texts are taken"),
        (&["blkio_config", "expected type 'uint16'"], "numbers in texts are taken"),
        (&["tmpfs.mode", "unconvertible type 'string'"], "numbers in texts are taken"),
        (&["storage_opt", "unconvertible type 'float64'"], "fractions are texts in options"),
        (&["volume.labels must be a mapping"], "labels of a mount may be a list"),
        (&["duplicate mount", "ports"], "ports are compared by what they say"),
        (
            &["error while interpolating", "failed to cast"],
            "of a file that is extended, only that service is looked at",
        ),
        (&["name and external.name conflict"], "of a file that is extended, only that service is looked at"),
        (&["dns_search: ours [", "theirs \""], "without interpolation, texts are shown as lists"),
        (&["tmpfs: ours [", "theirs \""], "without interpolation, texts are shown as lists"),
        (&["--no-env-resolution", "env_file"], "env files stay unread if that is asked for"),
        (&["%!s(<nil>)"], "it writes a pointer to nothing"),
        (&["cannot override", "labels"], "an empty list of labels may follow a mapping"),
        (&["theirs \"", "00:00Z\""], "dates are texts"),
        (&["invalid jsonType time.Time"], "dates are texts"),
        (&["non-string key", "time.Date"], "dates are texts"),
        (&["ours \"aGVsbG8=\""], "`!!binary` is left as it is written"),
        (&["did not find expected alphabetic or numeric character"], "anchors may have any name"),
        (&["found a tab character where an indentation"], "a line of tabs in a block is blank"),
    ];
    rows.iter().find(|(words, _)| all(words)).map(|(_, reason)| *reason)
}
