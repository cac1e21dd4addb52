//! What engine and keeper say to each other: one JSON message a packet, descriptors beside it.
//!
//! ```text
//! engine                                              keeper
//!   │  Inventory ──────────────────────────────────────►│
//!   │◄─────── Process…, Held…, InventoryEnd ────────────│   what a new engine takes back
//!   │  Spawn [plan, handshake, …] ─────────────────────►│   clone3
//!   │◄──────────────────────────────── Spawned [pidfd] ─│
//!   │◄───────────────────────────────────────── Exited ─│   reaped; kept until Forget
//!   │  Forget ─────────────────────────────────────────►│   the exit is in the store
//!   │  Hold [descriptors], Release ────────────────────►│   so that they outlive the engine
//!   │◄─────────────────────────────────────── Released ─│   where that was asked for
//!   │  Leave ──────────────────────────────────────────►│   nothing is left to keep
//! ```

use serde::{Deserialize, Serialize};

/// What the engine asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Make a child. Beside it, in this order: the plan, the child's end of the handshake, the v2 cgroup if `cgroup`,
    /// the init of the container if `inside`, then the plan's slots.
    Spawn {
        /// Under which name its exit is told. No child of that name may be alive; one that has ended is forgotten.
        key: String,
        /// The child joins a v2 cgroup at its birth.
        cgroup: bool,
        /// The child is born in the pid namespace of a running container; otherwise it gets mount, pid, UTS and IPC
        /// namespaces of its own.
        inside: bool,
    },
    /// Keep the descriptors beside this message under `key`, in place of those that were there.
    Hold {
        /// Their name.
        key: String,
    },
    /// Let go of what is held under `key`.
    Release {
        /// Its name.
        key: String,
        /// Say so once nobody has it any more, no child that was just born either.
        tell: bool,
    },
    /// The exit told under `key` has been recorded. Nothing happens while that child is alive.
    Forget {
        /// The process's name.
        key: String,
    },
    /// Tell everything that is kept.
    Inventory,
    /// End.
    Leave,
}

/// What the keeper tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// The child is there; its pidfd comes along.
    Spawned {
        /// Its name.
        key: String,
        /// Its number in the host's pid namespace.
        pid: i32,
    },
    /// The kernel refused to make the child.
    NotSpawned {
        /// Its name.
        key: String,
        /// The kernel's error number.
        errno: i32,
    },
    /// A child has ended.
    Exited {
        /// Its name.
        key: String,
        /// As the kernel's wait status has it.
        status: i32,
    },
    /// A child that runs, its pidfd along with it, or has ended and was not forgotten yet.
    Process {
        /// Its name.
        key: String,
        /// Its number in the host's pid namespace.
        pid: i32,
        /// Its wait status if it has ended.
        status: Option<i32>,
    },
    /// Descriptors that are held, along with it.
    Held {
        /// Their name.
        key: String,
    },
    /// What was held is let go of.
    Released {
        /// Its name.
        key: String,
    },
    /// All has been told.
    InventoryEnd,
}
