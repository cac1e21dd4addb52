//! One line an object, redrawn in place.
//!
//! ```text
//! up: 3 of 5  1.2s
//!  ✔ Network shop_front    Created          0.0s
//!  ✔ Container shop-db-1   Healthy          1.1s
//!  ⠹ Container shop-web-1  Starting         0.1s
//! ```
//!
//! A picture is drawn over the former one: the cursor goes up to its first line, each line is written and
//! cleared to its end, and what is left below is cleared too. It never has more lines than the terminal,
//! since what has scrolled out at the top cannot be drawn over.

use std::time::Duration;

use trice_api::event::{StepEvent, StepState};

use super::{Window, kind, word};
use crate::words;

/// One for each picture.
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// The live view of an operation.
pub(super) struct Live {
    command: &'static str,
    colours: bool,
    objects: Vec<Object>,
    /// How many lines the last picture has.
    drawn: usize,
    pictures: usize,
}

/// An object, and the step that it is in.
struct Object {
    step: StepEvent,
    /// When that began.
    since: Duration,
    /// When it ended.
    until: Option<Duration>,
}

impl Object {
    /// Says how far it is, and how fast: `12.3MB of 45MB 8.1MB/s`.
    fn amount(&self, elapsed: Duration) -> Option<String> {
        let amount = self.step.amount.filter(|_| self.step.state == StepState::Working)?;
        let seconds = elapsed.saturating_sub(self.since).as_secs_f64();
        // What has just begun has no speed.
        let speed = (seconds > 0.2).then(|| words::size((amount.bytes as f64 / seconds) as u64));
        let speed = speed.map(|speed| format!(" {speed}/s")).unwrap_or_default();
        Some(format!("{} of {}{speed}", words::size(amount.bytes), words::size(amount.of)))
    }
}

impl Live {
    pub(super) fn new(command: &'static str, colours: bool) -> Self {
        Self { command, colours, objects: Vec::new(), drawn: 0, pictures: 0 }
    }

    /// Goes on with what another command does.
    pub(super) fn begin_again(&mut self, command: &'static str) {
        self.command = command;
    }

    /// Takes in a step, `elapsed` after the beginning.
    pub(super) fn step(&mut self, step: &StepEvent, elapsed: Duration) {
        let until = (step.state != StepState::Working).then_some(elapsed);
        let known = self
            .objects
            .iter_mut()
            .find(|object| object.step.object == step.object && object.step.name == step.name);
        match known {
            Some(object) => {
                // What is done again, such as a start after a creation, counts from its own beginning.
                if object.until.is_some() && until.is_none() {
                    object.since = elapsed;
                }
                object.step = step.clone();
                object.until = until;
            }
            None => self.objects.push(Object { step: step.clone(), since: elapsed, until }),
        }
    }

    /// Draws the view as it is `elapsed` after the beginning.
    pub(super) fn picture(&mut self, elapsed: Duration, window: &Window) -> String {
        if self.objects.is_empty() {
            return String::new();
        }
        self.pictures += 1;
        let mut lines = vec![self.header(elapsed)];
        // One line is left for the cursor.
        let room = window.rows.saturating_sub(2).max(1);
        lines.extend(self.lines(elapsed, room));
        self.draw(&lines, window)
    }

    /// Draws the view for the last time: how it ended, or, if it only gives way to something else, what is
    /// over. What comes later is another view.
    pub(super) fn last_picture(
        &mut self,
        elapsed: Duration,
        window: &Window,
        succeeded: Option<bool>,
    ) -> String {
        if succeeded.is_none() {
            self.objects.retain(|object| object.until.is_some());
        }
        let mut lines = self.lines(elapsed, self.objects.len().max(1));
        lines.extend(succeeded.map(|succeeded| {
            let outcome = if succeeded { "done" } else { "failed" };
            format!("{} {outcome} in {}", self.command, seconds(elapsed))
        }));
        let picture = if lines.is_empty() { self.erase() } else { self.draw(&lines, window) };
        self.objects.clear();
        self.drawn = 0;
        picture
    }

    /// Takes the picture away.
    pub(super) fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r\x1b[J"),
        }
    }

    fn header(&self, elapsed: Duration) -> String {
        let done = self.objects.iter().filter(|object| object.step.state == StepState::Done).count();
        format!("{}: {done} of {}  {}", self.command, self.objects.len(), seconds(elapsed))
    }

    /// Returns at most `room` lines. Where that is too few for all, what is on its way or has failed comes
    /// first.
    fn lines(&self, elapsed: Duration, room: usize) -> Vec<String> {
        let is_open = |object: &&Object| object.step.state != StepState::Done;
        let width =
            self.objects.iter().map(|object| title(&object.step).chars().count()).max().unwrap_or_default();
        if self.objects.len() <= room {
            return self.objects.iter().map(|object| self.line(object, elapsed, width)).collect();
        }
        let shown: Vec<String> = self
            .objects
            .iter()
            .filter(is_open)
            .chain(self.objects.iter().rev().filter(|object| !is_open(object)))
            .take(room.saturating_sub(1))
            .map(|object| self.line(object, elapsed, width))
            .collect();
        let more = format!(" … and {} more", self.objects.len() - shown.len());
        shown.into_iter().chain([more]).collect()
    }

    fn line(&self, object: &Object, elapsed: Duration, width: usize) -> String {
        let step = &object.step;
        let (mark, colour) = match step.state {
            StepState::Working => (SPINNER[self.pictures % SPINNER.len()], "\x1b[34m"),
            StepState::Done => ('✔', "\x1b[32m"),
            StepState::Failed => ('✘', "\x1b[31m"),
        };
        let time = seconds(object.until.unwrap_or(elapsed).saturating_sub(object.since));
        let mut words = word(step).to_owned();
        words.extend(step.detail.iter().map(|detail| format!(" {detail}")));
        words.extend(object.amount(elapsed).map(|amount| format!(" {amount}")));
        let (begin, end) = if self.colours { (colour, "\x1b[0m") } else { ("", "") };
        format!(" {begin}{mark}{end} {:<width$}  {begin}{words:<16}{end} {time:>6}", title(step))
    }

    fn draw(&mut self, lines: &[String], window: &Window) -> String {
        let mut picture = match self.drawn {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r"),
        };
        for line in lines {
            picture.push_str(&cut(line, window.columns));
            picture.push_str("\x1b[K\n");
        }
        picture.push_str("\x1b[J");
        self.drawn = lines.len();
        picture
    }
}

fn title(step: &StepEvent) -> String {
    format!("{} {}", kind(step.object), step.name)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

/// Cuts a line to what fits, colours not counted: one that wraps would be two to the cursor.
fn cut(line: &str, columns: usize) -> String {
    let mut shown = 0;
    let mut in_colour = false;
    let fits = |character: &char| {
        if *character == '\x1b' {
            in_colour = true;
        }
        if in_colour {
            in_colour = *character != 'm';
            return true;
        }
        shown += 1;
        shown <= columns
    };
    // Colours that come after the cut still end what began before it.
    line.chars().filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::tests::step;

    const WINDOW: Window = Window { columns: 60, rows: 24 };

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn visible(picture: &str) -> String {
        let codes = ["\x1b[K", "\x1b[J", "\r"];
        codes.iter().fold(picture.to_owned(), |text, code| text.replace(code, "")).replace('\x1b', "ESC")
    }

    fn operation() -> Live {
        let mut live = Live::new("up", false);
        live.step(&step("shop-db-1", "Creating", "Created", StepState::Done), at(20));
        live.step(&step("shop-db-1", "Starting", "Started", StepState::Working), at(30));
        live.step(&step("shop-db-1", "Starting", "Started", StepState::Done), at(230));
        live.step(&step("shop-web-1", "Starting", "Started", StepState::Working), at(300));
        live
    }

    #[test]
    fn each_object_has_one_line_with_the_time_of_its_step() {
        insta::assert_snapshot!(visible(&operation().picture(at(1_400), &WINDOW)), @r"
        up: 1 of 2  1.4s
         ✔ Container shop-db-1   Started            0.2s
         ⠙ Container shop-web-1  Starting           1.1s
        ");
    }

    #[test]
    fn a_picture_is_drawn_over_the_former_one_and_the_last_one_stays() {
        let mut live = operation();
        live.picture(at(1_400), &WINDOW);
        assert!(live.picture(at(1_500), &WINDOW).starts_with("\x1b[3A\r"));
        live.step(&step("shop-web-1", "Starting", "Started", StepState::Failed), at(1_600));
        insta::assert_snapshot!(visible(&live.last_picture(at(1_600), &WINDOW, Some(false))), @r"
        ESC[3A ✔ Container shop-db-1   Started            0.2s
         ✘ Container shop-web-1  Failed             1.3s
        up failed in 1.6s
        ");
        assert_eq!(live.erase(), "", "what stays is not erased");
    }

    #[test]
    fn a_view_that_gives_way_leaves_what_is_over() {
        let mut live = operation();
        live.picture(at(400), &WINDOW);
        let left = visible(&live.last_picture(at(500), &WINDOW, None));
        assert_eq!(left, "ESC[3A ✔ Container shop-db-1  Started            0.2s\n");
        assert_eq!(live.last_picture(at(600), &WINDOW, None), "");
    }

    #[test]
    fn what_comes_from_far_away_shows_how_far_and_how_fast() {
        let mut live = Live::new("pull", false);
        let pulling = step("x", "Pulling", "Pulled", StepState::Working);
        live.step(&pulling, at(0));
        let amount = Some(trice_api::event::Amount { bytes: 12_300_000, of: 45_000_000 });
        live.step(&StepEvent { amount, ..pulling }, at(100));
        let picture = visible(&live.picture(at(1500), &Window { columns: 80, rows: 24 }));
        assert!(picture.contains("Pulling 12.3MB of 45MB 8.2MB/s"), "{picture}");
        live.step(&step("x", "Pulling", "Pulled", StepState::Done), at(1600));
        assert!(!live.picture(at(1700), &WINDOW).contains("MB"));
    }

    #[test]
    fn a_picture_never_outgrows_the_terminal() {
        let mut live = Live::new("up", true);
        for number in 0..50 {
            let state = if number == 30 { StepState::Working } else { StepState::Done };
            live.step(&step(&format!("shop-web-{number}"), "Starting", "Started", state), at(number));
        }
        let picture = live.picture(at(900), &Window { columns: 20, rows: 6 });
        let colours = ["ESC[34m", "ESC[32m", "ESC[0m"];
        let plain = colours.iter().fold(visible(&picture), |text, colour| text.replace(colour, ""));
        insta::assert_snapshot!(plain, @r"
        up: 49 of 50  0.9s
         ⠙ Container shop-we
         ✔ Container shop-we
         ✔ Container shop-we
         … and 47 more
        ");
    }
}
