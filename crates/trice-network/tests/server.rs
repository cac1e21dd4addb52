//! A server whose answer says who it is and who asked.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use trice_model::port::Protocol;

use crate::place::Place;

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
            Protocol::Sctp => panic!("no test speaks SCTP"),
        }
    }

    /// Answers at a socket that listens already.
    pub(crate) fn tcp(listener: TcpListener, name: &str) -> Self {
        listener.set_nonblocking(false).unwrap();
        let (accepting, name) = (listener.try_clone().unwrap(), name.to_owned());
        let serve = move || {
            while let Ok((mut stream, peer)) = accepting.accept() {
                stream.write_all(format!("{name} {}", peer.ip().to_canonical()).as_bytes()).ok();
            }
        };
        Self { stop: Arc::default(), listener: Some(listener), thread: Some(thread::spawn(serve)) }
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
