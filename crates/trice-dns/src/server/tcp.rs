//! The connections of one instance.
//!
//! A connection answers one question after the other. Each one, and the taking of each answer, has a time
//! limit, so a silent or slow client loses its connection; one that comes when there are too many is closed
//! at once.
//!
//! Source: RFC 7766.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::udp::PAUSE;
use super::{Client, Step};
use crate::exchange::{read_message, write_message};
use crate::reply::Transport;

/// Accepts connections for ever.
pub(super) async fn answer_connections(client: Arc<Client>, listener: TcpListener) {
    let mut open = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) if open.len() < client.shared.settings.connections_per_instance => {
                open.spawn(answer_connection(Arc::clone(&client), stream));
            }
            Ok((_, peer)) => debug!(instance = %client.instance, %peer, "too many connections"),
            Err(error) => {
                debug!(instance = %client.instance, %error, "cannot accept connections");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers until the client closes the connection, is too slow, or sends what is no question.
async fn answer_connection(client: Arc<Client>, mut stream: TcpStream) {
    let idle = client.shared.settings.idle;
    while let Ok(packet) = within(idle, read_message(&mut stream)).await {
        let answer = match client.step(&packet, Transport::Tcp) {
            Step::Drop => None,
            Step::Reply(answer) => Some(answer),
            Step::Forward(pending) => client.finish(pending).await,
        };
        let Some(answer) = answer else { return };
        if within(idle, write_message(&mut stream, &answer)).await.is_err() {
            return;
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
