//! One question to one resolver: in a datagram, and on a connection where the answer does not fit into one.
//!
//! What could be forged is checked three times: the socket is connected, so the kernel lets only the
//! resolver's address and port through; it is new, with a random port; and id and question must be those that
//! were asked. A datagram that fails is not an answer: the wait goes on, or a forger could end it.
//!
//! Source: RFC 5452, section 9.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::packet;
use crate::reply::Transport;
use crate::sockets::{InstanceSockets, Origin};

/// Why a resolver gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// No socket could be made.
    #[error("make a socket for resolver {server}")]
    Open { server: SocketAddr, source: io::Error },
    /// It cannot be reached, or broke off.
    #[error("ask resolver {server}")]
    Ask { server: SocketAddr, source: io::Error },
    /// What it sent on the connection is not an answer to the question.
    #[error("resolver {server} answers another question")]
    Unrelated { server: SocketAddr },
}

/// A question on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// Its bytes.
    pub(crate) query: Vec<u8>,
    /// The longest datagram that may come back.
    pub(crate) room: u16,
    /// How it came in.
    pub(crate) client: Transport,
}

/// Asks `server` and returns its answer, with the id of the query. A client on a datagram gets what fits into
/// one; it is cut, and says so, if that is not all.
pub(crate) async fn exchange(
    origin: &Origin,
    sockets: &dyn InstanceSockets,
    server: SocketAddr,
    asked: &Outgoing,
) -> Result<Vec<u8>, ExchangeError> {
    let answer = by_udp(origin, sockets, server, asked).await?;
    match asked.client {
        Transport::Tcp if packet::is_truncated(&answer) => {
            by_tcp(origin, sockets, server, &asked.query).await
        }
        Transport::Tcp | Transport::Udp => Ok(answer),
    }
}

async fn by_udp(
    origin: &Origin,
    sockets: &dyn InstanceSockets,
    server: SocketAddr,
    asked: &Outgoing,
) -> Result<Vec<u8>, ExchangeError> {
    let socket = origin.udp(sockets, server.ip()).and_then(adopt);
    let socket = socket.map_err(|source| ExchangeError::Open { server, source })?;
    datagrams(&socket, server, asked).await.map_err(|source| ExchangeError::Ask { server, source })
}

fn adopt(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

async fn datagrams(socket: &UdpSocket, server: SocketAddr, asked: &Outgoing) -> io::Result<Vec<u8>> {
    socket.connect(server).await?;
    socket.send(&asked.query).await?;
    let mut buffer = vec![0; usize::from(asked.room)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if packet::answers(&buffer[..length], &asked.query) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn by_tcp(
    origin: &Origin,
    sockets: &dyn InstanceSockets,
    server: SocketAddr,
    query: &[u8],
) -> Result<Vec<u8>, ExchangeError> {
    let socket = origin.tcp(sockets, server.ip()).map_err(|source| ExchangeError::Open { server, source })?;
    let ask = async {
        let mut stream = socket.connect(server).await?;
        write_message(&mut stream, query).await?;
        read_message(&mut stream).await
    };
    let answer = ask.await.map_err(|source| ExchangeError::Ask { server, source })?;
    if packet::answers(&answer, query) { Ok(answer) } else { Err(ExchangeError::Unrelated { server }) }
}

/// Writes a message as it stands on a connection: its length in two bytes, then itself, in one segment.
///
/// Source: RFC 7766, section 8.
pub(crate) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let framed = [&length.to_be_bytes(), message].concat();
    stream.write_all(&framed).await
}

/// Reads a message as it stands on a connection.
pub(crate) async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
