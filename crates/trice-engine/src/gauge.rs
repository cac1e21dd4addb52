//! How far the parts of an image are, added up for those who wait: now and then, not at each of thousands of steps.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use trice_api::event::Amount;
use trice_image::digest::Digest;
use trice_image::progress::{Progress, PushProgress};

/// The least time between two words.
const PAUSE: Duration = Duration::from_millis(100);

/// Adds up.
pub(crate) struct Gauge<T> {
    parts: BTreeMap<Digest, Amount>,
    told: Option<(Instant, Amount)>,
    tell: T,
}

impl<T: FnMut(Amount)> Gauge<T> {
    /// Begins with nothing; `tell` hears of it.
    pub(crate) fn new(tell: T) -> Self {
        Self { parts: BTreeMap::new(), told: None, tell }
    }

    /// Takes in a step of fetching.
    pub(crate) fn fetched(&mut self, progress: Progress) {
        match progress {
            // What is here already is not on its way.
            Progress::Present { .. } => {}
            Progress::Reading { layer, bytes, of } => self.set(layer, Amount { bytes, of }),
            Progress::Unpacked { layer } => self.fill(&layer),
        }
    }

    /// Takes in a step of sending.
    pub(crate) fn sent(&mut self, progress: PushProgress) {
        match progress {
            PushProgress::Present { .. } | PushProgress::Mounted { .. } => {}
            PushProgress::Sending { blob, bytes, of } => self.set(blob, Amount { bytes, of }),
            PushProgress::Sent { blob } => self.fill(&blob),
        }
    }

    fn fill(&mut self, part: &Digest) {
        if let Some(amount) = self.parts.get(part).copied() {
            self.set(part.clone(), Amount { bytes: amount.of, ..amount });
        }
    }

    fn set(&mut self, part: Digest, amount: Amount) {
        self.parts.insert(part, amount);
        let add = |all: Amount, part: &Amount| Amount { bytes: all.bytes + part.bytes, of: all.of + part.of };
        let all = self.parts.values().fold(Amount { bytes: 0, of: 0 }, add);
        let is_time = self.told.is_none_or(|(when, _)| when.elapsed() >= PAUSE) || all.bytes == all.of;
        if is_time && self.told.is_none_or(|(_, told)| told != all) {
            self.told = Some((Instant::now(), all));
            (self.tell)(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_added_up_and_told_first_last_and_seldom_between() {
        let mut told = Vec::new();
        let mut gauge = Gauge::new(|amount: Amount| told.push((amount.bytes, amount.of)));
        let [one, two] = ["one", "two"].map(|name| Digest::of(name.as_bytes()));
        for bytes in 1..=9 {
            gauge.fetched(Progress::Reading { layer: one.clone(), bytes, of: 10 });
            gauge.fetched(Progress::Reading { layer: two.clone(), bytes, of: 20 });
        }
        gauge.fetched(Progress::Present { layer: Digest::of(b"three") });
        gauge.fetched(Progress::Unpacked { layer: one });
        gauge.fetched(Progress::Unpacked { layer: two });
        assert_eq!((told.first(), told.last()), (Some(&(1, 10)), Some(&(30, 30))));
        assert!(told.len() < 9, "{told:?}");
    }
}
