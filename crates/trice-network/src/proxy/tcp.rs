//! Connections.

use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::SocketType;
use rustix::net::sockopt::set_socket_linger;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::held::Held;
use super::{Aim, as_caller};

/// The pause after an error of the socket itself: it may come again at once, and must not take a whole processor.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a container may take to accept.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much is read at once, each way.
const CHUNK: usize = 32 << 10;

/// Takes connections until the listener is closed.
pub(super) async fn pass_on(listener: Held<TcpListener>, aim: Aim) {
    let aim = Arc::new(aim);
    let mut open = JoinSet::new();
    loop {
        let accepted = listener.wait(|listener, context| listener.poll_accept(context)).await;
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((stream, caller)) => {
                open.spawn(pass_on_one(stream, caller, Arc::clone(&aim)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return,
            Err(error) => {
                debug!(%error, "cannot accept connections");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn pass_on_one(mut caller: TcpStream, address: SocketAddr, aim: Arc<Aim>) {
    let Some(backend) = aim.next() else { return refuse(&caller) };
    let shown = aim.shows(address, backend).then_some(address);
    let connected = timeout(PATIENCE, connect(backend, shown)).await.map_err(io::Error::from);
    let mut container = match connected.flatten() {
        Ok(container) => container,
        Err(error) => {
            debug!(%backend, %error, "no connection to a container");
            return refuse(&caller);
        }
    };
    // Neither side's delays are to be added to the other's.
    let _ = (caller.set_nodelay(true), container.set_nodelay(true));
    // What breaks off on one side breaks off on the other when both are closed.
    let _ = copy_bidirectional_with_sizes(&mut caller, &mut container, CHUNK, CHUNK).await;
}

async fn connect(backend: SocketAddr, caller: Option<SocketAddr>) -> io::Result<TcpStream> {
    let Some(caller) = caller else { return TcpStream::connect(backend).await };
    let socket = as_caller(caller, SocketType::STREAM)?;
    TcpSocket::from_std_stream(StdTcpStream::from(socket)).connect(backend).await
}

/// Has the caller see a reset, as it would of a port that nobody listens on.
fn refuse(caller: &TcpStream) {
    let _ = set_socket_linger(caller, Some(Duration::ZERO));
}
