//! A server whose answer says who it is and who asked.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{Shutdown, bind, listen, shutdown};
use trice_model::port::Protocol;

use crate::place::{Place, sctp_socket};

/// A server that answers with its name and the address of whoever asks: `web 192.0.2.2`.
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    listener: Option<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts one.
    pub(crate) fn start(place: &Place, protocol: Protocol, address: &str, name: &str) -> Self {
        match protocol {
            Protocol::Tcp => Self::tcp(place.run(|| TcpListener::bind(address)).unwrap(), name),
            Protocol::Udp => Self::udp(place.run(|| UdpSocket::bind(address)).unwrap(), name),
            Protocol::Sctp => Self::sctp(place.run(|| sctp_listener(address.parse().unwrap())), name),
        }
    }

    /// Answers at a socket that listens already.
    pub(crate) fn tcp(listener: TcpListener, name: &str) -> Self {
        listener.set_nonblocking(false).unwrap();
        let (accepting, name) = (listener.try_clone().unwrap(), name.to_owned());
        let serve = move || {
            while let Ok((stream, peer)) = accepting.accept() {
                answer(stream, &name, peer);
            }
        };
        Self { stop: Arc::default(), listener: Some(listener), thread: Some(thread::spawn(serve)) }
    }

    /// Answers at a socket that listens already. That it is shut down is told to nobody who waits at one of SCTP.
    fn sctp(listener: TcpListener, name: &str) -> Self {
        set_socket_timeout(&listener, Timeout::Recv, Some(Duration::from_millis(20))).unwrap();
        let (stop, name) = (Arc::new(AtomicBool::new(false)), name.to_owned());
        let stopped = Arc::clone(&stop);
        let serve = move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((stream, peer)) = listener.accept() {
                    answer(stream, &name, peer);
                }
            }
        };
        Self { stop, listener: None, thread: Some(thread::spawn(serve)) }
    }

    /// Answers at a socket that is bound already.
    pub(crate) fn udp(socket: UdpSocket, name: &str) -> Self {
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (stop, name) = (Arc::new(AtomicBool::new(false)), name.to_owned());
        let stopped = Arc::clone(&stop);
        let serve = move || {
            let mut buffer = [0; 200];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                    socket.send_to(format!("{name} {}", peer.ip().to_canonical()).as_bytes(), peer).ok();
                }
            }
        };
        Self { stop, listener: None, thread: Some(thread::spawn(serve)) }
    }
}

fn answer(mut stream: TcpStream, name: &str, peer: SocketAddr) {
    stream.write_all(format!("{name} {}", peer.ip().to_canonical()).as_bytes()).ok();
}

fn sctp_listener(address: SocketAddr) -> TcpListener {
    let socket = sctp_socket(address).unwrap();
    bind(&socket, &address).unwrap();
    listen(&socket, 8).unwrap();
    TcpListener::from(socket)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(listener) = &self.listener {
            shutdown(listener, Shutdown::Both).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
