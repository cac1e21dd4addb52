//! The records of a PAX header: what does not fit into a tar header, as length, keyword and value.
//!
//! ```text
//! 27 SCHILY.xattr.user.a=1\n2\n       27 bytes with length and line feed; a value may hold any byte
//! ```
//!
//! The `tar` crate splits at line feeds. It so loses a capability or a name that has one in it, and with it
//! the size that follows, from which on it reads the archive in another way than everybody else.
//!
//! Source: POSIX.1-2017, `pax`, "pax Extended Header".

/// What the records of one header say. A keyword without a value is as if it were not there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link_path: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    /// Seconds and nanoseconds.
    pub(crate) mtime: Option<(i64, u32)>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why a header cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaxError {
    /// It does not consist of records.
    #[error("its extended header is malformed")]
    Malformed,
    /// A value is not what its keyword wants.
    #[error("its extended header has a `{keyword}` that is none")]
    Value {
        /// The keyword.
        keyword: &'static str,
    },
    /// The content has holes.
    #[error("it is a sparse file, which a layer must not have: write it without `--sparse`")]
    Sparse,
}

impl Pax {
    /// Reads all records of `header`. The last of a keyword is the one that holds.
    pub(crate) fn parse(mut header: &[u8]) -> Result<Self, PaxError> {
        let mut pax = Self::default();
        while !header.is_empty() {
            let (keyword, value, rest) = record(header).ok_or(PaxError::Malformed)?;
            pax.set(keyword, value)?;
            header = rest;
        }
        Ok(pax)
    }

    fn set(&mut self, keyword: &[u8], value: &[u8]) -> Result<(), PaxError> {
        match keyword {
            b"path" => self.path = text(value, "path")?,
            b"linkpath" => self.link_path = text(value, "linkpath")?,
            b"size" => self.size = number(value, "size")?,
            b"uid" => self.uid = number(value, "uid")?,
            b"gid" => self.gid = number(value, "gid")?,
            b"mtime" => self.mtime = time(value)?,
            _ if keyword.starts_with(b"GNU.sparse.") => return Err(PaxError::Sparse),
            _ => {
                if let Some(name) = keyword.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.retain(|(known, _)| known != name);
                    self.xattrs.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// Writes a record.
pub(crate) fn write_record(keyword: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = [b" ", keyword, b"=", value, b"\n"].concat();
    let digits = |length: usize| length.to_string().len();
    // The length counts its own digits.
    let mut length = rest.len() + digits(rest.len());
    length = rest.len() + digits(length);
    [length.to_string().as_bytes(), &rest].concat()
}

/// Writes seconds and nanoseconds, as few digits as it takes.
pub(crate) fn write_time((seconds, nanos): (i64, u32)) -> Vec<u8> {
    let (sign, seconds, nanos) = match (seconds, nanos) {
        (..0, 0) => ("-", seconds.unsigned_abs(), 0),
        (..0, _) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
        (0.., _) => ("", seconds.unsigned_abs(), nanos),
    };
    let fraction = format!("{nanos:09}");
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{seconds}{dot}{fraction}").into_bytes()
}

/// Splits the first record off: its keyword, its value, and what follows it.
fn record(header: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = header.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = digits(&header[..blank])?;
    let record = header.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    Some((&record[..equals], &record[equals + 1..], &header[length..]))
}

/// Reads a decimal number without a sign.
fn digits<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok()
}

fn text(value: &[u8], keyword: &'static str) -> Result<Option<Vec<u8>>, PaxError> {
    if value.contains(&0) {
        return Err(PaxError::Value { keyword });
    }
    Ok((!value.is_empty()).then(|| value.to_owned()))
}

fn number(value: &[u8], keyword: &'static str) -> Result<Option<u64>, PaxError> {
    if value.is_empty() {
        return Ok(None);
    }
    digits(value).map(Some).ok_or(PaxError::Value { keyword })
}

/// Reads seconds with a fraction, which are negative before 1970.
fn time(value: &[u8]) -> Result<Option<(i64, u32)>, PaxError> {
    let fail = || PaxError::Value { keyword: "mtime" };
    if value.is_empty() {
        return Ok(None);
    }
    let (negative, value) = value.strip_prefix(b"-").map_or((false, value), |value| (true, value));
    let dot = value.iter().position(|byte| *byte == b'.').unwrap_or(value.len());
    let seconds: i64 = digits(&value[..dot]).ok_or_else(fail)?;
    let mut fraction = value.get(dot + 1..).unwrap_or_default().to_owned();
    fraction.resize(9, b'0'); // what is finer than a nanosecond is cut off
    let nanos: u32 = digits(&fraction).ok_or_else(fail)?;
    Ok(Some(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(records: &[&[u8]]) -> Result<Pax, PaxError> {
        Pax::parse(&records.concat())
    }

    #[test]
    fn a_value_may_hold_a_line_feed_and_the_records_after_it_count() {
        let pax = parse(&[b"27 SCHILY.xattr.user.a=1\n2\n", b"14 path=a\nb/c\n", b"12 size=345\n"]).unwrap();
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), b"1\n2".to_vec())]);
        assert_eq!((pax.path.as_deref(), pax.size), (Some(&b"a\nb/c"[..]), Some(345)));
    }

    #[test]
    fn the_last_of_a_keyword_holds_and_an_empty_one_is_none() {
        let pax =
            parse(&[b"9 uid=10\n", b"9 uid=11\n", b"9 gid=10\n", b"7 gid=\n", b"9 path=a\n", b"9 path=b\n"])
                .unwrap();
        assert_eq!((pax.uid, pax.gid, pax.path.as_deref()), (Some(11), None, Some(&b"b"[..])));
    }

    #[test]
    fn times_are_read_on_both_sides_of_1970() {
        let time = |text: &[u8]| time(text);
        assert_eq!(time(b"12.5"), Ok(Some((12, 500_000_000))));
        assert_eq!(time(b"-1.25"), Ok(Some((-2, 750_000_000))));
        assert_eq!(time(b"-3"), Ok(Some((-3, 0))));
        assert_eq!(time(b"1.1234567891"), Ok(Some((1, 123_456_789))));
        for bad in [&b"x"[..], b"1.x", b"--1", b"."] {
            assert!(time(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for length in [0, 1, 80, 89, 90, 91, 988, 9985, 70_000] {
            let value = vec![b'x'; length];
            let written = write_record(b"path", &value);
            assert_eq!(record(&written), Some((&b"path"[..], &value[..], &b""[..])), "{length}");
        }
        for one in [(0, 0), (12, 500_000_000), (-2, 750_000_000), (-3, 0), (-1, 1), (1 << 40, 999_999_999)] {
            assert_eq!(time(&write_time(one)), Ok(Some(one)), "{one:?}");
        }
    }

    #[test]
    fn what_is_not_a_record_is_an_error_and_not_a_guess() {
        let cases: [&[u8]; 9] = [
            b"x",
            b"3 a",
            b"99 path=a\n",
            b"9 path=ab",
            b"6 =ab\n",
            b"0 a=b\n",
            b"-5 a=b\n",
            b"8 path=a\nrest",
            b"5 a\n",
        ];
        for bad in cases {
            assert_eq!(parse(&[bad]), Err(PaxError::Malformed), "{bad:?}");
        }
        assert_eq!(parse(&[b"12 size=1e9\n"]), Err(PaxError::Value { keyword: "size" }));
        assert_eq!(parse(&[b"12 path=a\0b\n"]), Err(PaxError::Value { keyword: "path" }));
        assert_eq!(parse(&[b"22 GNU.sparse.major=1\n"]), Err(PaxError::Sparse));
    }
}
