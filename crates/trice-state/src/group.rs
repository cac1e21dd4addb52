//! Carries out together what callers bring at the same time.
//!
//! A transaction costs a wait for the disk, whatever is in it. So the first caller leads: it takes what all
//! have brought so far and carries that out, while others queue up for the next round.
//!
//! ```text
//! caller A   queue ── lead: take [A] ── carry out ── done
//! caller B      queue ───── wait ─────────────────── lead: take [B, C] ── carry out ── done
//! caller C          queue ─ wait ─────────────────────────── wait ──────────────────── done
//! ```

use std::collections::HashMap;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Where callers meet who bring a `T` each and take an `E` home if it goes wrong.
pub(crate) struct Group<T, E> {
    queue: Mutex<Queue<T, E>>,
    round_over: Condvar,
}

struct Queue<T, E> {
    /// Somebody carries out a round now.
    led: bool,
    /// The number of the next item.
    next: u64,
    waiting: Vec<(u64, T)>,
    /// What became of items whose callers have not yet seen it.
    outcomes: HashMap<u64, Result<(), E>>,
}

impl<T, E: Clone> Group<T, E> {
    /// Begins with nobody there.
    pub(crate) fn new() -> Self {
        let queue = Queue { led: false, next: 0, waiting: Vec::new(), outcomes: HashMap::new() };
        Self { queue: Mutex::new(queue), round_over: Condvar::new() }
    }

    /// Has `item` carried out in a round, by `carry_out` if this caller leads it. The items of a round are in
    /// the order in which they came, and share its outcome.
    pub(crate) fn run(&self, item: T, carry_out: impl Fn(Vec<T>) -> Result<(), E>) -> Result<(), E> {
        let mut queue = self.lock();
        let mine = queue.next;
        queue.next += 1;
        queue.waiting.push((mine, item));
        loop {
            if let Some(outcome) = queue.outcomes.remove(&mine) {
                return outcome;
            }
            queue = if queue.led {
                self.round_over.wait(queue).expect("no caller panics while it holds the lock")
            } else {
                self.lead(queue, &carry_out)
            };
        }
    }

    fn lead<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue<T, E>>,
        carry_out: impl Fn(Vec<T>) -> Result<(), E>,
    ) -> MutexGuard<'a, Queue<T, E>> {
        queue.led = true;
        let (numbers, items): (Vec<u64>, Vec<T>) = mem::take(&mut queue.waiting).into_iter().unzip();
        drop(queue); // others may queue up meanwhile
        let outcome = carry_out(items);
        let mut queue = self.lock();
        queue.led = false;
        queue.outcomes.extend(numbers.into_iter().map(|number| (number, outcome.clone())));
        self.round_over.notify_all();
        queue
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T, E>> {
        self.queue.lock().expect("no caller panics while it holds the lock")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Starts a first round, lets `items` come while it lasts, and returns all rounds.
    fn rounds_of(items: &[u32], outcome: Result<(), &'static str>) -> Vec<(Vec<u32>, usize)> {
        let group = Group::new();
        let rounds = Mutex::new(Vec::new());
        let (begun, first_has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let may_go_on = Mutex::new(may_go_on);
        let carry_out = |round: Vec<u32>| {
            if round == [0] {
                begun.send(()).unwrap();
                may_go_on.lock().unwrap().recv().unwrap();
            }
            rounds.lock().unwrap().push(round);
            outcome
        };
        let failures = thread::scope(|scope| {
            let first = scope.spawn(|| group.run(0, carry_out));
            first_has_begun.recv().unwrap();
            let others: Vec<_> =
                items.iter().map(|item| scope.spawn(|| group.run(*item, carry_out))).collect();
            while group.lock().waiting.len() < items.len() {
                thread::yield_now();
            }
            go_on.send(()).unwrap();
            let threads = others.into_iter().chain([first]);
            threads.map(|thread| thread.join().unwrap()).filter(Result::is_err).count()
        });
        let rounds = rounds.into_inner().unwrap();
        rounds
            .into_iter()
            .map(|mut round| {
                round.sort();
                (round, failures)
            })
            .collect()
    }

    #[test]
    fn callers_who_come_during_a_round_share_the_next_one() {
        assert_eq!(rounds_of(&[1, 2, 3], Ok(())), [(vec![0], 0), (vec![1, 2, 3], 0)]);
    }

    #[test]
    fn a_round_that_fails_fails_for_everybody_in_it() {
        assert_eq!(rounds_of(&[1, 2], Err("no space left")), [(vec![0], 3), (vec![1, 2], 3)]);
    }
}
