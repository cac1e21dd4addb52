//! The datagrams of one instance.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::debug;

use super::{Client, Step};
use crate::reply::{DATAGRAM, Transport};

/// The pause after an error of the socket itself: it may come again at once, and must not take a whole
/// processor.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Answers datagrams for ever.
pub(super) async fn answer_datagrams(client: Arc<Client>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut waiting = JoinSet::new();
    let mut buffer = vec![0; usize::from(DATAGRAM)];
    loop {
        // Those that have ended are taken out, so that the set holds what is in flight and no more.
        while waiting.try_join_next().is_some() {}
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                debug!(instance = %client.instance, %error, "cannot receive questions");
                sleep(PAUSE).await;
                continue;
            }
        };
        match client.step(&buffer[..length], Transport::Udp) {
            Step::Drop => {}
            Step::Reply(answer) => send(&socket, &answer, peer).await,
            Step::Forward(pending) => {
                let (client, socket) = (Arc::clone(&client), Arc::clone(&socket));
                waiting.spawn(async move {
                    if let Some(answer) = client.finish(pending).await {
                        send(&socket, &answer, peer).await;
                    }
                });
            }
        }
    }
}

/// Sends an answer. One that cannot be sent is lost like any datagram; the client asks again.
async fn send(socket: &UdpSocket, answer: &[u8], peer: SocketAddr) {
    if let Err(error) = socket.send_to(answer, peer).await {
        debug!(%peer, %error, "cannot send an answer");
    }
}
