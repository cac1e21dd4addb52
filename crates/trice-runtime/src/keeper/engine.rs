//! The keeper's view of its engine: born, listened to, told, buried, and born again.
//!
//! ```text
//!            its link closes            it dies                 the wait is over
//! Living ─────────────────────► Living ─────────► due at some time ──────────────► Living
//! ```
//!
//! What an engine does not read waits in a queue: one that is slow, or has been stopped, does not hold up the keeper.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use trice_sys::exec::exit_now;
use trice_sys::fork::Forked;

use super::children::Children;
use super::start::EngineProgram;
use super::{ENGINE, LINK, MESSAGE, patience};
use crate::handshake::{self, Packet};

/// The engine that there is, or the next one.
#[derive(Debug)]
pub(super) struct Engines {
    program: EngineProgram,
    state: State,
    /// How long the last one was waited for.
    waited: Duration,
}

#[derive(Debug)]
enum State {
    Living(Engine),
    Due(Instant),
}

/// A living engine.
#[derive(Debug)]
pub(super) struct Engine {
    /// `None` once it has closed its end: it is about to die, and must be waited for, since there is never a second.
    link: Option<OwnedFd>,
    pidfd: OwnedFd,
    born: Instant,
    unsaid: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
}

impl Engines {
    /// Takes the engine that started this keeper, as its link and pidfd, or has one started.
    pub(super) fn new(
        program: EngineProgram,
        engine: Option<(OwnedFd, OwnedFd)>,
        epoll: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let state = match engine {
            Some((link, pidfd)) => State::Living(Engine::new(link, pidfd, epoll)?),
            None => State::Due(Instant::now()),
        };
        Ok(Self { program, state, waited: Duration::ZERO })
    }

    /// The engine, if one lives.
    pub(super) fn living(&mut self) -> Option<&mut Engine> {
        match &mut self.state {
            State::Living(engine) => Some(engine),
            State::Due(_) => None,
        }
    }

    /// Starts an engine if one is due; returns the time until then if none lives.
    pub(super) fn have_one(&mut self, children: &Children, epoll: BorrowedFd<'_>) -> Option<Duration> {
        let State::Due(due) = self.state else { return None };
        let left = due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Some(left);
        }
        match self.start(children, epoll) {
            Ok(engine) => {
                self.state = State::Living(engine);
                None
            }
            // No memory, or too many processes: it may be better soon.
            Err(_) => {
                self.wait_since(Instant::now());
                Some(self.waited)
            }
        }
    }

    fn start(&self, children: &Children, epoll: BorrowedFd<'_>) -> io::Result<Engine> {
        let (ours, theirs) = handshake::pair()?;
        match children.fork_plain()? {
            Forked::Parent { pidfd, .. } => Engine::new(ours, pidfd, epoll),
            Forked::Child => exit_now(self.program.exec(&theirs)),
        }
    }

    /// Lets go of an engine that has died and decides when the next one is due.
    pub(super) fn bury(&mut self, epoll: BorrowedFd<'_>) {
        let State::Living(engine) = &self.state else { return };
        // One that started this keeper is no child of it, and is reaped elsewhere.
        let _ = waitid(WaitId::PidFd(engine.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        let _ = epoll::delete(epoll, &engine.pidfd);
        if let Some(link) = &engine.link {
            let _ = epoll::delete(epoll, link);
        }
        self.wait_since(engine.born);
    }

    fn wait_since(&mut self, born: Instant) {
        self.waited = patience(born, self.waited);
        self.state = State::Due(Instant::now() + self.waited);
    }
}

impl Engine {
    fn new(link: OwnedFd, pidfd: OwnedFd, epoll: BorrowedFd<'_>) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&link, true)?;
        epoll::add(epoll, &link, EventData::new_u64(LINK), EventFlags::IN)?;
        epoll::add(epoll, &pidfd, EventData::new_u64(ENGINE), EventFlags::IN)?;
        Ok(Self { link: Some(link), pidfd, born: Instant::now(), unsaid: VecDeque::new() })
    }

    /// Returns the next packet, `None` if there is none.
    pub(super) fn receive(&mut self, epoll: BorrowedFd<'_>) -> Option<Packet> {
        match handshake::receive(self.link.as_ref()?.as_fd(), MESSAGE) {
            Ok(Some(packet)) => Some(packet),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // It has closed its end, or died with something unread.
            Ok(None) | Err(_) => {
                self.hang_up(epoll);
                None
            }
        }
    }

    /// Tells it something, now or as soon as it reads.
    pub(super) fn say(&mut self, bytes: Vec<u8>, descriptors: &[BorrowedFd<'_>], epoll: BorrowedFd<'_>) {
        let Some(link) = &self.link else { return };
        if self.unsaid.is_empty() {
            match handshake::send(link.as_fd(), &bytes, descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // One that does not listen any more is about to be replaced, and its successor asks for all.
                Ok(()) | Err(_) => return,
            }
        }
        // Without room for copies it would miss them, and take the message for a broken one: so be it.
        let copies = descriptors.iter().flat_map(BorrowedFd::try_clone_to_owned).collect();
        self.unsaid.push_back((bytes, copies));
        let _ = epoll::modify(epoll, link, EventData::new_u64(LINK), EventFlags::IN | EventFlags::OUT);
    }

    /// Tells it what it was not ready for.
    pub(super) fn say_more(&mut self, epoll: BorrowedFd<'_>) {
        let Some(link) = &self.link else { return };
        while let Some((bytes, descriptors)) = self.unsaid.front() {
            let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
            match handshake::send(link.as_fd(), bytes, &descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(()) | Err(_) => drop(self.unsaid.pop_front()),
            }
        }
        let _ = epoll::modify(epoll, link, EventData::new_u64(LINK), EventFlags::IN);
    }

    fn hang_up(&mut self, epoll: BorrowedFd<'_>) {
        if let Some(link) = self.link.take() {
            let _ = epoll::delete(epoll, &link);
        }
        self.unsaid.clear();
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::epoll::CreateFlags;
    use rustix::process::{PidfdFlags, getpid, pidfd_open};

    use super::*;

    #[test]
    fn what_an_engine_does_not_read_waits_in_order_and_holds_nobody_up() {
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let (ours, theirs) = handshake::pair().unwrap();
        let itself = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let mut engine = Engine::new(ours, itself.try_clone().unwrap(), epoll.as_fd()).unwrap();
        let messages: Vec<Vec<u8>> = (0..600).map(|number| format!("{number}").into_bytes()).collect();
        for message in &messages {
            engine.say(message.clone(), &[itself.as_fd()], epoll.as_fd());
        }
        assert!(!engine.unsaid.is_empty(), "the socket took everything: the test shows nothing");
        for message in &messages {
            let packet = handshake::receive(theirs.as_fd(), MESSAGE).unwrap().unwrap();
            assert_eq!((&packet.bytes, packet.descriptors.len()), (message, 1));
            engine.say_more(epoll.as_fd());
        }
        assert!(engine.unsaid.is_empty());
    }

    #[test]
    fn an_engine_that_died_with_something_unread_has_hung_up() {
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let (ours, theirs) = handshake::pair().unwrap();
        let itself = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let mut engine = Engine::new(ours, itself, epoll.as_fd()).unwrap();
        engine.say(b"unread".to_vec(), &[], epoll.as_fd());
        assert!(engine.receive(epoll.as_fd()).is_none() && engine.link.is_some());
        drop(theirs);
        assert!(engine.receive(epoll.as_fd()).is_none() && engine.link.is_none());
    }
}
