//! What the writer of an unknown word may have meant.

use crate::schema::root::ROOT;
use crate::schema::service::SERVICE;
use crate::schema::shape::Object;
use crate::tree::node::Node;

/// Returns a hint for the attribute `name` with this value, which `object` does not have.
pub(crate) fn for_unknown(name: &str, value: &Node, object: &Object) -> Option<String> {
    let is_root = std::ptr::eq(object, &raw const ROOT);
    let near = nearest(name, object.attributes.iter().map(|attribute| attribute.name));
    if is_root && SERVICE.find(name).is_some() {
        return Some(format!("`{name}` belongs to a service: indent it below the service's name"));
    }
    if is_root && ["image", "build"].iter().any(|key| value.get(key).is_some()) {
        return Some(format!("is `{name}` a service? indent it below a line `services:`"));
    }
    let elsewhere = ROOT.find(name).is_some() && !is_root;
    near.or_else(|| elsewhere.then(|| format!("`{name}` belongs to the top level: is it indented too far?")))
        .or_else(|| object.extensible.then(|| "an extension of your own begins with `x-`".to_owned()))
}

/// Returns the hint that the nearest of `words` may be meant, if one is near.
pub(crate) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    let long = word.chars().count() >= 5;
    // A word that is a part of another, such as `healthy` of `service_healthy`, is near to it.
    let far = |known: &str| match long && known.contains(word) || abbreviates(word, known) {
        true => 1,
        false => distance(word, known),
    };
    let near = words.map(|known| (far(known), known)).min();
    near.filter(|(far, _)| *far <= 1 + usize::from(long)).map(|(_, known)| format!("did you mean `{known}`?"))
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
        let words = ["image", "ports", "tty", "environment"];
        for (word, hint) in [
            ("imgae", Some("did you mean `image`?")),
            ("port", Some("did you mean `ports`?")),
            ("enviroment", Some("did you mean `environment`?")),
            ("ty", Some("did you mean `tty`?")),
            ("environ", Some("did you mean `environment`?")),
            ("env", Some("did you mean `environment`?")),
            ("prts", Some("did you mean `ports`?")),
            ("banana", None),
        ] {
            assert_eq!(nearest(word, words.into_iter()).as_deref(), hint, "{word}");
        }
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
