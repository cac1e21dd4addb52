//! A server that answers as a test wants: wrongly, slowly, never to the end.
//!
//! It speaks HTTP without TLS on a port of this machine that the kernel chooses, one request a connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A request that has come.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path with its query.
    pub(crate) path: String,
    /// By names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Returns the same request for another path.
    pub(crate) fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }
}

/// What the server says.
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    /// After what is sent the connection stays open, and nothing more comes.
    stalls: bool,
}

enum Body {
    Whole(Vec<u8>),
    /// All of it is promised, and so much is sent.
    Cut(Vec<u8>, usize),
    /// It never ends.
    Endless,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(body.into()), stalls: false }
    }

    pub(crate) fn endless(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Endless, stalls: false }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Says nothing more after what is sent, until the client goes.
    pub(crate) fn stalled(self) -> Self {
        Self { stalls: true, ..self }
    }

    /// Breaks off after `sent` bytes of the body.
    pub(crate) fn cut(self, sent: usize) -> Self {
        match self.body {
            Body::Whole(body) => Self { body: Body::Cut(body, sent), ..self },
            Body::Cut(..) | Body::Endless => self,
        }
    }
}

/// A server that lives as long as this.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Begins to answer.
    pub(crate) fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (heard, ended, answer) = (Arc::clone(&requests), Arc::clone(&over), Arc::new(answer));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let (heard, answer) = (Arc::clone(&heard), Arc::clone(&answer));
                // The client may go at any moment.
                thread::spawn(move || drop(serve(stream, &heard, &*answer)));
            }
        });
        Self { address, requests, over, thread: Some(thread) }
    }

    /// Returns its address as references have it.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns what it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns how often it was asked by `method` for something whose path has `part` in it.
    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.requests()
            .iter()
            .filter(|request| request.method == method && request.path.contains(part))
            .count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Whoever waits for a connection gets one more.
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(
    stream: TcpStream,
    heard: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request) -> Reply,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    // The first byte of TLS: say what a plain server says to that.
    if reader.fill_buf()?.first() == Some(&0x16) {
        (&stream).write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n")?;
        return stream.shutdown(Shutdown::Both);
    }
    let Some(request) = read(&mut reader)? else { return Ok(()) };
    heard.lock().unwrap().push(request.clone());
    let reply = answer(&request);
    write(&stream, &request, reply)?;
    stream.shutdown(Shutdown::Both)
}

fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut request =
        Request { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

fn write(mut stream: &TcpStream, request: &Request, reply: Reply) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let (body, sent) = match reply.body {
        Body::Whole(body) => (body.clone(), body.len()),
        Body::Cut(body, sent) => (body, sent),
        Body::Endless => {
            stream.write_all(format!("{head}\r\n").as_bytes())?;
            loop {
                stream.write_all(&[b'x'; 4096])?;
            }
        }
    };
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&body[..sent])?;
    }
    if reply.stalls {
        stream.read_exact(&mut [0])?;
    }
    Ok(())
}
