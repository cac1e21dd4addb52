//! The known word that was probably meant.

/// Returns the word of `known` that differs from `text` by the fewest letters, if they are few.
pub(crate) fn closest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > 64 {
        return None;
    }
    let lower = text.to_lowercase();
    let near = known.into_iter().map(|word| (distance(&lower, &word.to_lowercase()), word));
    near.filter(|(distance, word)| *distance <= 2 && *distance < word.len()).min().map(|(_, word)| word)
}

/// Returns how many letters must be added, removed or changed to make `b` of `a`; two that change places count as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_seen_and_another_word_is_not() {
        let known = ["RUN", "COPY", "ENTRYPOINT"];
        let closest = |text| closest(text, known);
        assert_eq!(closest("RNU"), Some("RUN"));
        assert_eq!(closest("entrpoint"), Some("ENTRYPOINT"));
        assert_eq!(closest("EXPOSE"), None);
        assert_eq!(closest("x"), None);
        assert_eq!(closest(&"R".repeat(100_000)), None);
    }
}
