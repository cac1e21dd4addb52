//! Networks for containers: bridges, instances on them, ports of the host that lead to containers.
//!
//! ```text
//! firewall ── conntrack, divert                    who may talk to whom, which ports lead to containers
//! neighbours                                       packet filters of others, and our packets among them
//! instance ── veth, upper, readiness, resolver           a namespace with interfaces, and where it asks for names
//! bridge                                           a network
//! port, proxy                                      ports that are kept for us, and passed on where no rule can
//! abilities                                        what this kernel can do
//! host, watch                                      what the machine has already, and when that changes
//!    │
//! link, address, listening, sysctl, namespace      the kernel's objects, one each
//! nftables                                         tables of the packet filter, as values and as messages
//! netlink, attribute                               many messages in one send, and the answers
//! ```
//!
//! Invariants:
//!
//! - Plain functions that block: the kernel answers at once. None of them remembers anything. The proxy alone waits, for
//!   callers and containers, and so is async.
//! - Every function ends in its state, whatever part of it was there before, and works on the network namespace of the
//!   thread that calls it. No thread of the caller's ever changes its namespace.
//! - No program is started; whatever is to be done, is said to the kernel.
//! - Nothing here chooses a name or an address, and nothing knows of Compose.
#![forbid(unsafe_code)]

pub mod abilities;
mod address;
mod attribute;
pub mod bridge;
pub mod conntrack;
pub mod divert;
pub mod firewall;
pub mod host;
pub mod instance;
pub mod link;
mod listening;
pub mod namespace;
pub mod neighbours;
pub mod netlink;
pub mod nftables;
pub mod port;
pub mod proxy;
pub mod readiness;
pub mod resolver;
pub mod sysctl;
mod upper;
mod veth;
pub mod watch;
