//! How an operation does, on its way to whoever looks: one stream of events, four ways to show it.
//!
//! ```text
//! engine ──StepEvent──► Progress ──► live    one line an object, redrawn in place, with times
//!                                ├─► plain   one line a change
//!                                ├─► json    one object a change
//!                                └─► quiet
//! ```

mod json;
mod live;
mod plain;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::{Duration, Instant};

use trice_api::event::{ObjectKind, StepEvent, StepState};
use trice_model::name::ContainerName;

use crate::console::{Console, ProgressMode};
use live::Live;

/// The time between two pictures of a live view.
pub(crate) const FRAME: Duration = Duration::from_millis(100);

/// The word for a container that has been started.
const STARTED: &str = "Started";

/// The progress of one operation.
pub(crate) struct Progress {
    sink: Sink,
    out: Box<dyn Write>,
    began: Instant,
    told: BTreeSet<String>,
    changes: usize,
    /// What was last said of each object, with its detail.
    said: BTreeMap<String, (String, Option<String>)>,
    started: BTreeSet<String>,
    hides_images: bool,
}

/// Who looks.
enum Sink {
    Live(Live),
    Plain,
    Json,
    Quiet,
}

impl Progress {
    /// Begins to show what `command` does, as `console` can.
    pub(crate) fn begin(command: &'static str, console: &Console) -> Self {
        let sink = match console.progress {
            ProgressMode::Tty => Sink::Live(Live::new(command, console.error_colours)),
            ProgressMode::Auto | ProgressMode::Plain => Sink::Plain,
            ProgressMode::Json => Sink::Json,
            ProgressMode::Quiet => Sink::Quiet,
        };
        Self::new(sink, console.progress_writer())
    }

    /// A progress that nobody looks at.
    pub(crate) fn quiet() -> Self {
        Self::new(Sink::Quiet, Box::new(std::io::sink()))
    }

    fn new(sink: Sink, out: Box<dyn Write>) -> Self {
        let (told, said, started) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        Self { sink, out, began: Instant::now(), told, changes: 0, said, started, hides_images: false }
    }

    /// Says nothing of images on their way.
    pub(crate) fn hide_images(mut self, hides: bool) -> Self {
        self.hides_images = hides;
        self
    }

    /// Takes in a step.
    pub(crate) fn step(&mut self, step: &StepEvent) {
        self.changes += 1;
        if step.state == StepState::Done && step.done == STARTED {
            self.started.insert(step.name.clone());
        }
        if self.hides_images && step.object == ObjectKind::Image && step.state != StepState::Failed {
            return;
        }
        // Two that wait for the same container are one line for people.
        let id = format!("{} {}", kind(step.object), step.name);
        let saying = (word(step).to_owned(), step.detail.clone());
        let is_old = self.said.insert(id, saying.clone()) == Some(saying);
        if is_old && step.amount.is_none() {
            return;
        }
        let elapsed = self.began.elapsed();
        match &mut self.sink {
            Sink::Live(live) => live.step(step, elapsed),
            // How far it is, is for those who see it change.
            Sink::Plain if is_old => {}
            Sink::Plain => self.write(&plain::step(step)),
            Sink::Json => self.write(&json::step(step)),
            Sink::Quiet => {}
        }
    }

    /// Says something that the user should know, once.
    pub(crate) fn note(&mut self, note: &str) {
        if !self.told.insert(note.to_owned()) {
            return;
        }
        match &mut self.sink {
            Sink::Live(_) => self.aside(|out| writeln!(out, "{note}")),
            Sink::Plain => self.write(&format!("{note}\n")),
            Sink::Json => self.write(&json::note(note)),
            Sink::Quiet => {}
        }
    }

    /// Draws the live view as it is now.
    pub(crate) fn draw(&mut self) {
        let elapsed = self.began.elapsed();
        if let Sink::Live(live) = &mut self.sink {
            let picture = live.picture(elapsed, &window());
            self.write(&picture);
        }
    }

    /// Lets something else be written between: the live view makes room, and comes back with the next
    /// picture.
    pub(crate) fn aside(&mut self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) {
        self.make_room();
        // What goes wrong with talk goes wrong with all of it, and stops nothing.
        let _ = write(&mut self.out);
    }

    /// Takes the live view away until the next picture.
    pub(crate) fn make_room(&mut self) {
        if let Sink::Live(live) = &mut self.sink {
            let blank = live.erase();
            self.write(&blank);
        }
    }

    /// Whether anything happened so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// Whether a container has been started.
    pub(crate) fn has_started(&self, container: &ContainerName) -> bool {
        self.started.contains(container.as_str())
    }

    /// Shows how it all ended.
    pub(crate) fn end(&mut self, succeeded: bool) {
        self.draw_last(Some(succeeded));
    }

    /// Goes on to show what `command` does, in a view of its own.
    pub(crate) fn begin_again(&mut self, command: &'static str) {
        self.settle();
        self.began = Instant::now();
        if let Sink::Live(live) = &mut self.sink {
            live.begin_again(command);
        }
    }

    /// Leaves the view as it is: something else goes on.
    pub(crate) fn settle(&mut self) {
        self.draw_last(None);
    }

    fn draw_last(&mut self, succeeded: Option<bool>) {
        let elapsed = self.began.elapsed();
        if let Sink::Live(live) = &mut self.sink {
            let picture = live.last_picture(elapsed, &window(), succeeded);
            self.write(&picture);
        }
    }

    fn write(&mut self, text: &str) {
        if !text.is_empty() {
            // What goes wrong with talk stops nothing.
            let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        }
    }
}

/// The size of the terminal.
#[derive(Debug, Clone, Copy)]
struct Window {
    columns: usize,
    rows: usize,
}

/// Looks how large the terminal is now.
fn window() -> Window {
    let size = [rustix::stdio::stderr(), rustix::stdio::stdout()]
        .into_iter()
        .find_map(|stream| rustix::termios::tcgetwinsize(stream).ok())
        .filter(|size| size.ws_col > 0 && size.ws_row > 0);
    match size {
        Some(size) => Window { columns: size.ws_col.into(), rows: size.ws_row.into() },
        None => Window { columns: 80, rows: 24 },
    }
}

/// Returns what people call a kind of object.
fn kind(object: ObjectKind) -> &'static str {
    match object {
        ObjectKind::Image => "Image",
        ObjectKind::Network => "Network",
        ObjectKind::Volume => "Volume",
        ObjectKind::Container => "Container",
    }
}

/// Returns the word for where a step is.
fn word(step: &StepEvent) -> &str {
    match step.state {
        StepState::Working => &step.doing,
        StepState::Done => &step.done,
        StepState::Failed => "Failed",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Makes a step of a container.
    pub(crate) fn step(name: &str, doing: &str, done: &str, state: StepState) -> StepEvent {
        StepEvent {
            object: ObjectKind::Container,
            name: name.to_owned(),
            doing: doing.to_owned(),
            done: done.to_owned(),
            state,
            detail: None,
            amount: None,
        }
    }

    /// Returns what a sink writes about an operation.
    fn written(sink: Sink, hides_images: bool) -> String {
        let shared = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        struct Shared(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);
        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.borrow_mut().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut progress = Progress::new(sink, Box::new(Shared(shared.clone()))).hide_images(hides_images);
        let image =
            StepEvent { object: ObjectKind::Image, ..step("redis:7", "Loading", "Loaded", StepState::Done) };
        for bytes in [25, 50] {
            let amount = Some(trice_api::event::Amount { bytes, of: 100 });
            progress.step(&StepEvent { state: StepState::Working, amount, ..image.clone() });
        }
        progress.step(&image);
        progress.step(&step("shop-web-1", "Starting", "Started", StepState::Working));
        progress.step(&step("shop-web-1", "Starting", "Started", StepState::Working));
        progress.note("volume data is new");
        progress.note("volume data is new");
        progress.step(&step("shop-web-1", "Starting", "Started", StepState::Done));
        progress.step(&step("shop-api-1", "Starting", "Started", StepState::Failed));
        progress.end(false);
        String::from_utf8(shared.take()).unwrap()
    }

    #[test]
    fn plain_progress_is_one_line_a_change_and_a_note_is_told_once() {
        insta::assert_snapshot!(written(Sink::Plain, false), @r"
         Image redis:7  Loading
         Image redis:7  Loaded
         Container shop-web-1  Starting
        volume data is new
         Container shop-web-1  Started
         Container shop-api-1  Failed
        ");
    }

    #[test]
    fn progress_for_programs_is_one_object_a_change() {
        let images = written(Sink::Json, false);
        insta::assert_snapshot!(images.lines().take(2).collect::<Vec<_>>().join("\n"), @r#"
        {"id":"Image redis:7","object":"image","name":"redis:7","status":"Working","text":"Loading","current":25,"total":100,"percent":25}
        {"id":"Image redis:7","object":"image","name":"redis:7","status":"Working","text":"Loading","current":50,"total":100,"percent":50}
        "#);
        insta::assert_snapshot!(written(Sink::Json, true), @r#"
        {"id":"Container shop-web-1","object":"container","name":"shop-web-1","status":"Working","text":"Starting"}
        {"level":"note","text":"volume data is new"}
        {"id":"Container shop-web-1","object":"container","name":"shop-web-1","status":"Done","text":"Started"}
        {"id":"Container shop-api-1","object":"container","name":"shop-api-1","status":"Error","text":"Failed"}
        "#);
    }

    #[test]
    fn quiet_progress_says_nothing() {
        assert_eq!(written(Sink::Quiet, false), "");
    }
}
