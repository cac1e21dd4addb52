//! Datagrams: those of one caller go to one container, by a socket of their own, until nobody has spoken for a while.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::SocketType;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::held::Held;
use super::{Aim, as_caller};

/// How long a caller is remembered who says nothing and is told nothing.
const IDLE: Duration = Duration::from_secs(90);
/// How many callers are remembered; those who come when there are too many are not heard.
const CALLERS: usize = 4096;
/// The longest datagram.
const LONGEST: usize = 65_535;
/// The pause after an error of the socket itself.
const PAUSE: Duration = Duration::from_millis(100);

/// A caller and the container that hears it.
struct Flow {
    socket: Arc<UdpSocket>,
    backend: SocketAddr,
    answers: AbortHandle,
}

/// Takes datagrams until the socket is closed.
pub(super) async fn pass_on(socket: Held<UdpSocket>, aim: Aim) {
    let mut flows: HashMap<SocketAddr, Flow> = HashMap::new();
    let mut answering = JoinSet::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        let received = socket.wait(|socket, context| {
            let mut filled = ReadBuf::new(&mut buffer);
            socket.poll_recv_from(context, &mut filled).map_ok(|caller| (filled.filled().len(), caller))
        });
        let (length, caller) = match received.await {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return,
            Err(error) => {
                debug!(%error, "cannot receive datagrams");
                sleep(PAUSE).await;
                continue;
            }
        };
        while answering.try_join_next().is_some() {}
        // A container that no longer answers for the port is asked no more.
        let is_current = |flow: &Flow| {
            !flow.answers.is_finished() && aim.targets.borrow().backends.contains(&flow.backend)
        };
        if flows.get(&caller).is_some_and(|flow| !is_current(flow)) || flows.len() >= CALLERS {
            flows.retain(|_, flow| {
                let keeps = is_current(flow);
                if !keeps {
                    flow.answers.abort();
                }
                keeps
            });
        }
        if !flows.contains_key(&caller) && flows.len() < CALLERS {
            match begin(&aim, caller).await {
                Ok(Some((backend, there))) => {
                    let there = Arc::new(there);
                    let answers = answering.spawn(answer(Arc::clone(&there), socket.clone(), caller));
                    flows.insert(caller, Flow { socket: there, backend, answers });
                }
                Ok(None) => {}
                Err(error) => debug!(%caller, %error, "no socket for a caller"),
            }
        }
        if let Some(flow) = flows.get(&caller) {
            // One that cannot be sent is lost like any datagram.
            let _ = flow.socket.send(&buffer[..length]).await;
        }
    }
}

/// Makes the socket by which a container hears `caller`.
async fn begin(aim: &Aim, caller: SocketAddr) -> io::Result<Option<(SocketAddr, UdpSocket)>> {
    let Some(backend) = aim.next() else { return Ok(None) };
    let socket = if aim.shows(caller, backend) {
        UdpSocket::from_std(StdUdpSocket::from(as_caller(caller, SocketType::DGRAM)?))?
    } else if backend.is_ipv4() {
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?
    } else {
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?
    };
    socket.connect(backend).await?;
    Ok(Some((backend, socket)))
}

/// Passes on what the container says, until it has said nothing for a while.
async fn answer(container: Arc<UdpSocket>, socket: Held<UdpSocket>, caller: SocketAddr) {
    let mut buffer = vec![0; LONGEST];
    loop {
        match timeout(IDLE, container.recv(&mut buffer)).await {
            // One that finds no room is lost like any datagram.
            Ok(Ok(length)) => drop(socket.with(|socket| socket.try_send_to(&buffer[..length], caller))),
            // Nobody listens there at the moment.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
