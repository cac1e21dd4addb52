//! Hearing of what others change in the network: routes and packet filters.
//!
//! Source: netlink(7), "Multicast groups"; Linux `include/uapi/linux/netfilter/nf_tables.h`, `NFT_MSG_NEWGEN`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, recv};

use crate::attribute::find;
use crate::netlink::messages;

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Addresses or routes.
    Routes,
    /// Packet filters, by another process than this one.
    Filters,
}

/// Hears of changes in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Watch {
    routes: OwnedFd,
    filters: OwnedFd,
}

impl Watch {
    /// Begins to listen.
    ///
    /// # Errors
    /// Those of socket(2) and setsockopt(2).
    pub fn open() -> io::Result<Self> {
        const RTNLGRP_IPV4_IFADDR: u32 = 5;
        const RTNLGRP_IPV4_ROUTE: u32 = 7;
        const RTNLGRP_IPV6_IFADDR: u32 = 9;
        const RTNLGRP_IPV6_ROUTE: u32 = 11;
        const NFNLGRP_NFTABLES: u32 = 7;
        let routes = [RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE];
        Ok(Self {
            routes: listen(NETLINK_ROUTE, &routes)?,
            filters: listen(NETLINK_NETFILTER, &[NFNLGRP_NFTABLES])?,
        })
    }

    /// Waits for the next change, for at most `patience`; `None` is for ever.
    ///
    /// # Errors
    /// Those of poll(2) and recv(2); `TimedOut`.
    pub fn next(&mut self, patience: Option<Duration>) -> io::Result<Change> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut sockets =
                [PollFd::new(&self.routes, PollFlags::IN), PollFd::new(&self.filters, PollFlags::IN)];
            let limit = left.and_then(|left| Timespec::try_from(left).ok());
            retry_on_intr(|| poll(&mut sockets, limit.as_ref()))?;
            let [has_routes, has_filters] = sockets.each_ref().map(|socket| !socket.revents().is_empty());
            if has_routes && receive(&self.routes, &mut buffer)?.is_some() {
                return Ok(Change::Routes);
            }
            if has_filters
                && let Some(length) = receive(&self.filters, &mut buffer)?
                && (length == 0 || is_anothers(&buffer[..length]))
            {
                return Ok(Change::Filters);
            }
        }
    }
}

/// Receives messages; 0 are more than there was room for: something has changed, whatever it was.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match recv(socket, buffer, RecvFlags::DONTWAIT) {
        Ok((length, _)) => Ok(Some(length)),
        Err(Errno::NOBUFS) => Ok(Some(0)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn listen(protocol: isize, groups: &[u32]) -> io::Result<OwnedFd> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    for group in groups {
        socket.add_membership(*group)?;
    }
    socket.as_fd().try_clone_to_owned()
}

/// Tells whether messages end a transaction of another process: the kernel says last whose it was.
fn is_anothers(bytes: &[u8]) -> bool {
    const NFT_MSG_NEWGEN: u16 = 10 << 8 | 15;
    const NFTA_GEN_PROC_PID: u16 = 2;
    const HEADER: usize = 4;
    messages(bytes).filter(|(kind, _)| *kind == NFT_MSG_NEWGEN).any(|(_, body)| {
        let pid = body.get(HEADER..).and_then(|rest| find(rest, NFTA_GEN_PROC_PID));
        let pid = pid.and_then(|pid| pid.first_chunk()).map(|pid| u32::from_be_bytes(*pid));
        // It is the number of a thread. One of ours that has ended is taken for another's, and looked after in vain.
        !pid.is_some_and(|pid| std::fs::exists(format!("/proc/self/task/{pid}")).unwrap_or(false))
    })
}
