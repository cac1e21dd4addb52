//! The known word that the writer of an unknown one probably meant.

/// Returns the one of `words` that is nearest to `word`, in letters of either case, if one is near.
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = &word.to_lowercase();
    let long = word.chars().count() >= 5;
    // A word that is a part of another, such as `healthy` of `service_healthy`, is near to it.
    let far = |known: &str| {
        let known = &known.to_lowercase();
        match long && known.contains(word) || abbreviates(word, known) {
            true => 1,
            false => distance(word, known),
        }
    };
    let near =
        words.into_iter().map(|known| (far(known), distance(word, &known.to_lowercase()), known)).min();
    near.filter(|(far, ..)| *far <= 1 + usize::from(long)).map(|(.., known)| known)
}

/// Tells whether `word` leaves out letters of `known` but the first, as `src` does of `source`.
fn abbreviates(word: &str, known: &str) -> bool {
    let mut rest = known.chars();
    let first = word.chars().next() == known.chars().next();
    first && word.chars().count() >= 3 && word.chars().all(|c| rest.any(|other| other == c))
}

/// Returns how many letters must be inserted, deleted, changed, or swapped with their neighbour to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for row in 1..=a.len() {
        let mut current = vec![row];
        for column in 1..=b.len() {
            let changed = above[column - 1] + usize::from(a[row - 1] != b[column - 1]);
            let mut best = changed.min(above[column] + 1).min(current[column - 1] + 1);
            let swapped = row > 1 && column > 1 && a[row - 1] == b[column - 2] && a[row - 2] == b[column - 1];
            if swapped {
                best = best.min(before[column - 2] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_meant_if_it_is_near() {
        let words = ["image", "ports", "tty", "environment", "RUN", "ENTRYPOINT"];
        for (word, hint) in [
            ("imgae", Some("image")),
            ("port", Some("ports")),
            ("enviroment", Some("environment")),
            ("ty", Some("tty")),
            ("environ", Some("environment")),
            ("env", Some("environment")),
            ("prts", Some("ports")),
            ("RNU", Some("RUN")),
            ("entrpoint", Some("ENTRYPOINT")),
            ("banana", None),
            ("x", None),
            (&"R".repeat(100_000), None),
        ] {
            assert_eq!(nearest(word, words), hint, "{word}");
        }
    }

    #[test]
    fn of_two_words_that_have_it_the_shorter_is_nearer() {
        assert_eq!(nearest("network", ["network_mode", "networks"]), Some("networks"));
    }

    #[test]
    fn letters_inserted_deleted_changed_and_swapped_count_one_each() {
        for (a, b, far) in
            [("abc", "abc", 0), ("abc", "abd", 1), ("abc", "acb", 1), ("abc", "", 3), ("", "x", 1)]
        {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
    }
}
