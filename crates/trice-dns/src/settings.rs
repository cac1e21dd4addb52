//! The limits that keep one client from using up what all of them need, and the patience with resolvers.

use std::time::Duration;

/// Limits and times of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Questions that wait for a resolver, of all instances; each one holds a socket for each resolver asked.
    pub in_flight: usize,
    /// Questions of one instance that wait for a resolver, so that it leaves room for the others.
    pub in_flight_per_instance: usize,
    /// Open TCP connections of one instance.
    pub connections_per_instance: usize,
    /// The time that a TCP connection may take for one whole question, and for taking one answer.
    pub idle: Duration,
    /// The time after which the next resolver is asked too.
    pub next_server_after: Duration,
    /// The time after which a resolver is given up.
    pub server_timeout: Duration,
    /// How many resolvers are asked about one question, the first ones of the list.
    pub servers: usize,
    /// The port that resolvers listen on.
    pub port: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight: 1024,
            in_flight_per_instance: 512,
            connections_per_instance: 32,
            idle: Duration::from_secs(10),
            next_server_after: Duration::from_secs(1),
            server_timeout: Duration::from_secs(4),
            servers: 3,
            port: 53,
        }
    }
}
