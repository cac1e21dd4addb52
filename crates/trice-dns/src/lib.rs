//! Answers service names on a project's networks; forwards the rest.
//!
//! ```text
//! packet ──► react ── a name of ours ──► reply ──────────────────────────► client
//!              │          table
//!              └── anything else ──► forward ──► exchange ──► resolver ──► client
//! ```
//!
//! - `table`: the pure heart: who asks what, and what it may know.
//! - `react`, `packet`, `reply`: pure too: bytes in, bytes out. `fuzz/` feeds them with what nobody would send.
//! - `server`: the sockets of each instance, its limits, and the table that all of them read.
//! - `resolv_conf`: the host's file in, the container's file out.
//!
//! Invariants:
//!
//! - An answer from the table comes from a network that the asking instance is on.
//! - Who asks is known from the socket, never from the source address.
//! - No packet makes this crate panic, and none is waited for without end.
//! - It knows no namespace, no file and no clock but tokio's: sockets in an instance's namespace come from
//!   its caller.
#![forbid(unsafe_code)]

pub mod packet;
pub mod react;
pub mod reply;
pub mod resolv_conf;
pub mod server;
pub mod settings;
pub mod sockets;
pub mod table;

mod exchange;
mod forward;
mod question;
