//! Which lines have been shown already, when a log is read once more because the engine died.
//!
//! A container's lines come in the order of their times, and several may bear the same one. So what has been
//! seen is told by a time and by how many lines bore it.

use std::collections::BTreeMap;

use trice_model::time::Timestamp;

/// The lines that have been shown.
#[derive(Debug, Default)]
pub(super) struct Seen {
    containers: BTreeMap<String, Place>,
}

/// How far a container's lines have been shown.
#[derive(Debug, Clone, Copy)]
struct Place {
    time: Timestamp,
    /// How many lines of that time have been shown.
    shown: usize,
    /// How many of them are still to be passed over.
    ahead: usize,
}

impl Seen {
    /// Takes in a line; `false` if it has been shown.
    pub(super) fn is_new(&mut self, container: &str, time: Timestamp) -> bool {
        let Some(place) = self.containers.get_mut(container) else {
            self.containers.insert(container.to_owned(), Place { time, shown: 1, ahead: 0 });
            return true;
        };
        if time > place.time {
            *place = Place { time, shown: 1, ahead: 0 };
            return true;
        }
        if time == place.time && place.ahead == 0 {
            place.shown += 1;
            return true;
        }
        if time == place.time {
            place.ahead -= 1;
        }
        false
    }

    /// The log is read from its beginning again.
    pub(super) fn begin_again(&mut self) {
        for place in self.containers.values_mut() {
            place.ahead = place.shown;
        }
    }

    /// Returns the earliest moment from which there may be lines that have not been shown, if any were shown.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.containers.values().map(|place| place.time).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads lines, and returns those that are new.
    fn new_of(seen: &mut Seen, lines: &[(&'static str, u64)]) -> Vec<(&'static str, u64)> {
        let mut new = lines.to_vec();
        new.retain(|(container, time)| seen.is_new(container, Timestamp(*time)));
        new
    }

    #[test]
    fn a_log_that_is_read_again_goes_on_where_it_was() {
        let mut seen = Seen::default();
        let first = [("a", 1), ("a", 2), ("a", 2), ("b", 9)];
        assert_eq!(new_of(&mut seen, &first), first);
        seen.begin_again();
        assert_eq!(seen.since(), Some(Timestamp(2)));
        let again = [("a", 1), ("a", 2), ("a", 2), ("a", 2), ("a", 5), ("b", 9), ("c", 1)];
        assert_eq!(new_of(&mut seen, &again), [("a", 2), ("a", 5), ("c", 1)]);
    }

    #[test]
    fn lines_of_one_time_are_all_shown() {
        let mut seen = Seen::default();
        assert_eq!(new_of(&mut seen, &[("a", 1), ("a", 1), ("a", 1)]).len(), 3);
    }
}
