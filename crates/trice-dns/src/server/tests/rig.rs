//! A server for one instance on loopback, a client for it, and resolvers of several characters.

use super::*;

/// How a resolver behaves. The good ones answer with 192.0.2.N where their own address is 127.0.0.N.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolver {
    /// It answers.
    Good,
    /// It never answers.
    Silent,
    /// It answers with this code.
    Says(ResponseCode),
    /// Before its true answer come forged ones: of a wrong id, a wrong question, and from another port.
    Surrounded,
    /// It cuts its answers to datagrams, and answers on connections with a wrong id.
    LiesOnTcp,
    /// It cuts its answers to datagrams, and answers in full on connections.
    Long,
}

/// Sockets from the test's own namespace, and for whom they were made.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorded(Arc<Mutex<Vec<InstanceName>>>);

impl Recorded {
    pub(super) fn calls(&self) -> Vec<InstanceName> {
        self.0.lock().expect("no test panics while it holds the lock").clone()
    }

    fn record(&self, instance: &InstanceName) {
        self.0.lock().expect("no test panics while it holds the lock").push(instance.clone());
    }
}

impl InstanceSockets for Recorded {
    fn udp(&self, instance: &InstanceName, server: IpAddr) -> io::Result<net::UdpSocket> {
        self.record(instance);
        udp_here(server)
    }

    fn tcp(&self, instance: &InstanceName, server: IpAddr) -> io::Result<TcpSocket> {
        self.record(instance);
        tcp_here(server)
    }
}

/// A server, and the instance `shop-api-1` that it answers.
pub(super) struct Rig {
    pub(super) server: Server,
    pub(super) serving: Serving,
    pub(super) sockets: Recorded,
    pub(super) instance: InstanceName,
    pub(super) udp: SocketAddr,
    tcp: SocketAddr,
}

impl Rig {
    pub(super) fn new(upstreams: Vec<IpAddr>, settings: Settings) -> Self {
        let sockets = Recorded::default();
        let server = Server::with_settings(upstreams, sockets.clone(), settings);
        server.replace(&shop());
        let instance: InstanceName = "shop-api-1".parse().expect("a name");
        let udp_socket = net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let listener = net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let udp = udp_socket.local_addr().expect("it is bound");
        let tcp = listener.local_addr().expect("it is bound");
        let serving =
            server.serve(instance.clone(), udp_socket, listener).expect("the sockets are usual ones");
        Self { server, serving, sockets, instance, udp, tcp }
    }

    pub(super) async fn client(&self) -> UdpSocket {
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        client.connect(self.udp).await.expect("loopback is reachable");
        client
    }

    pub(super) async fn receive(&self, client: &UdpSocket) -> Message {
        let mut buffer = vec![0; 65_535];
        let length = soon(client.recv(&mut buffer)).await.expect("an answer");
        Message::from_vec(&buffer[..length]).expect("a message")
    }

    pub(super) async fn ask(&self, name: &str, kind: RecordType) -> Message {
        let client = self.client().await;
        client.send(&query(7, name, kind)).await.expect("a datagram is sent");
        let answer = self.receive(&client).await;
        assert_eq!(answer.metadata.id, 7, "the client's own id");
        answer
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.tcp).await.expect("loopback is reachable")
    }

    pub(super) async fn ask_on(&self, stream: &mut TcpStream, name: &str, kind: RecordType) -> Message {
        write_message(stream, &query(7, name, kind)).await.expect("the connection is open");
        let answer = soon(read_message(stream)).await.expect("an answer");
        let answer = Message::from_vec(&answer).expect("a message");
        assert_eq!(answer.metadata.id, 7, "the client's own id");
        answer
    }

    pub(super) async fn ask_by_tcp(&self, name: &str, kind: RecordType) -> Message {
        self.ask_on(&mut self.connect().await, name, kind).await
    }
}

/// Waits for what comes within milliseconds unless something is broken.
pub(super) async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work).await.expect("it comes in time")
}

pub(super) fn endpoint(name: &str, ipv4: Ipv4Addr) -> NamedEndpoint {
    NamedEndpoint { names: vec![name.to_owned()], ipv4: Some(ipv4), ipv6: None }
}

/// A network with two `web`, on which `shop-api-1` is, with a way out.
pub(super) fn shop() -> NameTable {
    let mut names = NameTable::default();
    let ends = [1, 2].map(|host| endpoint("web", Ipv4Addr::new(10, 0, 0, host)));
    names.networks.insert("shop_front".parse().expect("a name"), ends.into());
    let view = names.views.entry("shop-api-1".parse().expect("a name")).or_default();
    view.networks.push("shop_front".parse().expect("a name"));
    view.external = true;
    names
}

pub(super) fn query(id: u16, name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    let name = hickory_proto::rr::Name::from_ascii(name).expect("a name");
    message.add_query(hickory_proto::op::Query::query(name, kind));
    message.to_vec().expect("it can be encoded")
}

/// Returns the addresses of an answer, sorted.
pub(super) fn addresses(answer: &Message) -> Vec<String> {
    let mut addresses: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    addresses.sort();
    addresses
}

pub(super) fn code(answer: &Message) -> ResponseCode {
    answer.metadata.response_code
}

/// Starts resolvers at 127.0.0.2, 127.0.0.3 and so on, on one port; they end with the test's runtime. The
/// patience of the settings is longer than any test, so that a test that relies on it must shorten it.
pub(super) async fn resolvers(characters: Vec<Resolver>) -> (Vec<IpAddr>, Settings) {
    let (port, sockets) = loop {
        if let Some(bound) = bind_all(characters.len()).await {
            break bound;
        }
    };
    let mut servers = Vec::new();
    for (character, (udp, tcp)) in characters.into_iter().zip(sockets) {
        let address = udp.local_addr().expect("it is bound").ip();
        servers.push(address);
        tokio::spawn(be_resolver(character, address, udp));
        tokio::spawn(be_resolver_by_tcp(character, address, tcp));
    }
    let long = Duration::from_secs(3600);
    let settings = Settings { port, next_server_after: long, server_timeout: long, ..Settings::default() };
    (servers, settings)
}

/// Binds `count` addresses to one port; `None` if somebody has it on one of them.
async fn bind_all(count: usize) -> Option<(u16, Vec<(UdpSocket, tokio::net::TcpListener)>)> {
    let (mut port, mut sockets) = (0, Vec::new());
    for host in 2..2 + count as u8 {
        let udp = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), port)).await.ok()?;
        let address = udp.local_addr().ok()?;
        port = address.port();
        sockets.push((udp, tokio::net::TcpListener::bind(address).await.ok()?));
    }
    Some((port, sockets))
}

async fn be_resolver(character: Resolver, own: IpAddr, socket: UdpSocket) {
    let stranger = UdpSocket::bind((own, 0)).await.expect("a free port");
    let mut buffer = [0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await.expect("a question");
        let query = Message::from_vec(&buffer[..length]).expect("a message");
        let answer = match character {
            Resolver::Silent => continue,
            Resolver::Good => truth(&query, own, 1),
            Resolver::Says(code) => {
                let mut answer = truth(&query, own, 0);
                answer.metadata.response_code = code;
                answer
            }
            Resolver::Surrounded => {
                for lie in lies(&query) {
                    socket.send_to(&lie, peer).await.expect("a datagram is sent");
                }
                let forged =
                    truth(&query, Ipv4Addr::new(6, 6, 6, 6).into(), 1).to_vec().expect("it can be encoded");
                stranger.send_to(&forged, peer).await.expect("a datagram is sent");
                truth(&query, own, 1)
            }
            Resolver::LiesOnTcp | Resolver::Long => truth(&query, own, 0).truncate(),
        };
        let answer = answer.to_vec().expect("it can be encoded");
        socket.send_to(&answer, peer).await.expect("a datagram is sent");
    }
}

async fn be_resolver_by_tcp(character: Resolver, own: IpAddr, listener: tokio::net::TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let query = read_message(&mut stream).await.expect("a question");
        let query = Message::from_vec(&query).expect("a message");
        let mut answer = truth(&query, own, 200);
        if character == Resolver::LiesOnTcp {
            answer.metadata.id ^= 1;
        }
        let answer = answer.to_vec().expect("it can be encoded");
        write_message(&mut stream, &answer).await.expect("the connection is open");
    }
}

/// Returns an answer with `count` addresses.
fn truth(query: &Message, own: IpAddr, count: usize) -> Message {
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    answer.add_queries(query.queries.iter().cloned());
    let IpAddr::V4(own) = own else { panic!("resolvers have IPv4 addresses") };
    let data = Ipv4Addr::new(192, 0, 2, own.octets()[3]);
    for _ in 0..count {
        let name = query.queries[0].name().clone();
        answer.add_answer(hickory_proto::rr::Record::from_rdata(name, 60, IpAddr::from(data).into()));
    }
    answer
}

/// Returns answers with the forger's address and something wrong, and some that are no messages at all.
fn lies(query: &Message) -> Vec<Vec<u8>> {
    let forger = IpAddr::from([6, 6, 6, 6]);
    let mut wrong_id = truth(query, forger, 1);
    wrong_id.metadata.id ^= 1;
    let mut wrong_name = truth(query, forger, 1);
    wrong_name.queries[0].set_name(hickory_proto::rr::Name::from_ascii("www.evil.").expect("a name"));
    let mut wrong_type = truth(query, forger, 1);
    wrong_type.queries[0].set_query_type(RecordType::AAAA);
    let mut no_answer = truth(query, forger, 1);
    no_answer.metadata.message_type = MessageType::Query;
    let messages = [wrong_id, wrong_name, wrong_type, no_answer];
    let whole = messages.iter().map(|message| message.to_vec().expect("it can be encoded"));
    whole.chain([Vec::new(), vec![0xff; 3], vec![0xff; 300]]).collect()
}
