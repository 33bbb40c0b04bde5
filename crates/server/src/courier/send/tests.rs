use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::guard::{Allow, ScriptedResolver};

/// How a receiver behaves: what it does with each connection.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Ok,
    /// Answers one request per connection and says so.
    Close,
    /// Answers the first request of a connection and drops the connection at the second.
    DropSecond,
    Hang,
    DripHead,
    DripBody,
    EndlessBody,
    EndlessHead,
    Garbage,
    DropAtOnce,
    Redirect,
    Busy,
}

/// A receiver on loopback that writes down the requests it got.
struct Receiver {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    async fn start(manner: Manner) -> Self {
        Self::start_at("127.0.0.1:0", manner).await
    }

    async fn start_at(address: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tx, requests) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(behave(socket, manner, tx.clone()));
            }
        });
        Self {
            address,
            requests,
            connections,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.address)
    }
}

async fn behave<S>(mut socket: S, manner: Manner, requests: mpsc::UnboundedSender<String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut seen = 0;
    while let Some(request) = read_request(&mut socket).await {
        let _ = requests.send(request);
        seen += 1;
        let answer: &str = match manner {
            Manner::Ok => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            Manner::Close => {
                "HTTP/1.1 204 No Content\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            }
            Manner::DropSecond if seen == 1 => "HTTP/1.1 204 No Content\r\n\r\n",
            Manner::DropSecond | Manner::DropAtOnce => return,
            Manner::Hang => return std::future::pending().await,
            Manner::DripHead => {
                return drip(&mut socket, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n").await;
            }
            Manner::DripBody => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
                socket.write_all(head.as_bytes()).await.unwrap();
                return drip(&mut socket, "drop by drop ").await;
            }
            Manner::EndlessBody => {
                let head = "HTTP/1.1 200 OK\r\n\r\n";
                socket.write_all(head.as_bytes()).await.unwrap();
                while socket.write_all(&[b'x'; 4_096]).await.is_ok() {}
                return;
            }
            Manner::EndlessHead => {
                socket.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
                while socket.write_all(b"x-more: and more\r\n").await.is_ok() {}
                return;
            }
            Manner::Garbage => "SSH-2.0-OpenSSH_9.9\r\n",
            Manner::Redirect => {
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/inner\r\ncontent-length: 0\r\n\r\n"
            }
            Manner::Busy => {
                "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy"
            }
        };
        if socket.write_all(answer.as_bytes()).await.is_err() || matches!(manner, Manner::Close) {
            return;
        }
    }
}

/// One byte at a time, slower than anybody should wait.
async fn drip<S: AsyncWrite + Unpin>(socket: &mut S, text: &str) {
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    for byte in text.bytes().cycle() {
        pause.tick().await;
        if socket.write_all(&[byte]).await.is_err() {
            return;
        }
    }
}

async fn read_request<S: AsyncRead + Unpin>(socket: &mut S) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut more = [0; 1_024];
        match socket.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&more[..count]),
        }
    }
}

fn carrier() -> HttpCarrier {
    HttpCarrier::new(Arc::new(Guard::new(Allow::loopback())))
}

fn post_to(url: &str) -> Post {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", header::HeaderValue::from_static("msg_1"));
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    Post {
        url: url.to_owned(),
        headers,
        has_titles: false,
        body: Bytes::from_static(b"{\"type\":\"job.completed\"}"),
    }
}

const SHORT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn a_delivery_arrives_as_it_was_posted() {
    let mut receiver = Receiver::start(Manner::Ok).await;
    let answer = carrier().post(post_to(&receiver.url())).await.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (200, b"ok".as_slice())
    );
    assert!(!answer.truncated);
    let request = receiver.requests.recv().await.unwrap();
    assert!(request.starts_with("POST /hook?a=b HTTP/1.1\r\n"));
    for part in [
        format!("host: {}\r\n", receiver.address),
        "webhook-id: msg_1\r\n".to_owned(),
        "content-type: application/json\r\n".to_owned(),
        concat!("user-agent: abide/", env!("CARGO_PKG_VERSION"), "\r\n").to_owned(),
        "\r\n\r\n{\"type\":\"job.completed\"}".to_owned(),
    ] {
        assert!(request.contains(&part), "{part:?} in {request}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_and_replaced_when_the_receiver_lets_go_of_it() {
    let receiver = Receiver::start(Manner::Ok).await;
    let carrier = carrier();
    for _ in 0..5 {
        carrier.post(post_to(&receiver.url())).await.unwrap();
    }
    assert_eq!(receiver.connections.load(Ordering::Relaxed), 1);

    let receiver = Receiver::start(Manner::DropSecond).await;
    for _ in 0..4 {
        let answer = carrier.post(post_to(&receiver.url())).await.unwrap();
        assert_eq!(answer.status, 204);
    }

    // Many kept connections, all of them as stale.
    let receiver = Receiver::start(Manner::DropSecond).await;
    let post = || carrier.post(post_to(&receiver.url()));
    let at_once = futures_util::future::join_all((0..5).map(|_| post())).await;
    assert!(at_once.iter().all(Result::is_ok), "{at_once:?}");
    for _ in 0..5 {
        assert_eq!(post().await.unwrap().status, 204);
    }
}

#[tokio::test]
async fn a_connection_that_stays_busy_is_replaced_once_it_is_old() {
    let receiver = Receiver::start(Manner::Ok).await;
    let carrier = carrier();
    let mut connections = Vec::new();
    for _ in 0..6 {
        carrier.post(post_to(&receiver.url())).await.unwrap();
        connections.push(receiver.connections.load(Ordering::Relaxed));
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(20)).await;
        tokio::time::resume();
    }
    // At 0, 20 and 40 s; then it is too old to be kept for 30 s more.
    assert_eq!(connections, [1, 1, 1, 2, 2, 2]);
}

#[test]
fn what_the_server_lacks_is_told_from_what_a_receiver_does() {
    use std::io;

    use rustix::io::Errno;

    let io = |source| ConnectError::Io {
        address: "192.0.2.1:443".parse().unwrap(),
        source,
    };
    let own = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
    ];
    for errno in own {
        assert!(io(errno.into()).is_own(), "{errno}");
        let unresolved = DialError::Resolve {
            host: "receiver.example".to_owned(),
            source: errno.into(),
        };
        assert!(ConnectError::from(unresolved).is_own(), "{errno}");
    }
    for errno in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::HOSTUNREACH] {
        assert!(!io(errno.into()).is_own(), "{errno}");
    }
    assert!(!io(io::ErrorKind::TimedOut.into()).is_own());
    assert!(!ConnectError::NoHost.is_own());
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_given_up_on_at_the_deadline() {
    for manner in [Manner::Hang, Manner::DripHead] {
        let receiver = Receiver::start(manner).await;
        let result = carrier()
            .deadline(SHORT)
            .post(post_to(&receiver.url()))
            .await;
        assert_eq!(result, Err(SendError::Timeout(SHORT)), "{manner:?}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_and_the_status_counts() {
    let receiver = Receiver::start(Manner::EndlessBody).await;
    let answer = carrier().post(post_to(&receiver.url())).await.unwrap();
    assert_eq!((answer.status, answer.truncated), (200, true));
    assert_eq!(answer.body.len(), ANSWER_BYTES_MAX);

    let receiver = Receiver::start(Manner::DripBody).await;
    let answer = carrier().post(post_to(&receiver.url())).await.unwrap();
    assert_eq!((answer.status, answer.truncated), (200, true));
    assert!(answer.body.starts_with(b"drop by drop"));
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    for manner in [Manner::Garbage, Manner::EndlessHead, Manner::DropAtOnce] {
        let receiver = Receiver::start(manner).await;
        let result = carrier().post(post_to(&receiver.url())).await;
        assert!(
            matches!(result, Err(SendError::Protocol(_))),
            "{manner:?}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let receiver = Receiver::start(Manner::Redirect).await;
    let answer = carrier().post(post_to(&receiver.url())).await.unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(receiver.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn who_is_not_there_is_told_from_who_may_not_be_called() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let nobody = carrier().post(post_to(&format!("http://{address}/"))).await;
    assert!(matches!(nobody, Err(SendError::Connect(_))), "{nobody:?}");

    let resolver = Arc::new(ScriptedResolver::default());
    let guard = Arc::new(Guard::with_resolver(Allow::none(), resolver));
    let carrier = HttpCarrier::new(guard);
    let unknown = carrier.post(post_to("http://unknown.example/")).await;
    assert!(matches!(unknown, Err(SendError::Resolve(_))), "{unknown:?}");
    for url in [
        "http://127.0.0.1:1/",
        "http://2130706433:1/",
        "http://[::1]:1/",
        "https://10.0.0.1/",
    ] {
        let refused = carrier.post(post_to(url)).await;
        assert!(
            matches!(refused, Err(SendError::Refused(_))),
            "{url}: {refused:?}"
        );
    }
}

/// `127.0.0.2` stands for a public address: it may be called, `127.0.0.1` may not.
#[tokio::test]
async fn a_name_that_is_bound_to_another_address_is_refused_at_the_next_dial() {
    let public: IpAddr = "127.0.0.2".parse().unwrap();
    let inner: IpAddr = "127.0.0.1".parse().unwrap();
    let receiver = Receiver::start_at("127.0.0.2:0", Manner::Close).await;
    let port = receiver.address.port();
    let secret = Receiver::start_at(&format!("127.0.0.1:{port}"), Manner::Ok).await;
    let resolver = ScriptedResolver::default().host("receiver.example", &[&[public], &[inner]]);
    let allow = Allow::none().network("127.0.0.2/32".parse().unwrap());
    let carrier = HttpCarrier::new(Arc::new(Guard::with_resolver(allow, Arc::new(resolver))));
    let url = format!("http://receiver.example:{port}/");

    assert_eq!(carrier.post(post_to(&url)).await.unwrap().status, 204);
    let rebound = carrier.post(post_to(&url)).await;
    assert!(matches!(rebound, Err(SendError::Refused(_))), "{rebound:?}");
    assert_eq!(secret.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn certificates_are_checked() {
    let good = rcgen::generate_simple_self_signed(["receiver.example".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(good.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![good.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (requests, _kept) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, requests) = (acceptor.clone(), requests.clone());
            tokio::spawn(async move {
                if let Ok(socket) = acceptor.accept(socket).await {
                    behave(socket, Manner::Ok, requests).await;
                }
            });
        }
    });
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    let resolver = ScriptedResolver::default()
        .host("receiver.example", &[&[loopback]])
        .host("other.example", &[&[loopback]]);
    let guard = Arc::new(Guard::with_resolver(Allow::loopback(), Arc::new(resolver)));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(good.cert.der().clone()).unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let url = |host: &str| format!("https://{host}:{port}/");

    let trusting = HttpCarrier::with_tls(guard.clone(), trusting);
    let answer = trusting.post(post_to(&url("receiver.example"))).await;
    assert_eq!(answer.unwrap().status, 200);
    let wrong_name = trusting.post(post_to(&url("other.example"))).await;
    assert!(
        matches!(wrong_name, Err(SendError::Tls(_))),
        "{wrong_name:?}"
    );
    let system = HttpCarrier::new(guard);
    let unknown = system.post(post_to(&url("receiver.example"))).await;
    assert!(matches!(unknown, Err(SendError::Tls(_))), "{unknown:?}");
}

#[tokio::test]
async fn a_busy_receiver_says_when_to_come_back() {
    let receiver = Receiver::start(Manner::Busy).await;
    let answer = carrier().post(post_to(&receiver.url())).await.unwrap();
    assert_eq!(answer.status, 429);
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));

    let date = "Sun, 22 Nov 2026 00:00:00 GMT";
    let table: &[(u16, &str, Option<&str>, Option<u64>)] = &[
        (503, "120", None, Some(120)),
        (429, "0", None, Some(0)),
        (503, "Sun, 22 Nov 2026 00:02:00 GMT", Some(date), Some(120)),
        (503, "Sat, 21 Nov 2026 00:02:00 GMT", Some(date), Some(0)),
        (503, "Sun, 22 Nov 2026 00:02:00 GMT", None, None),
        (503, "soon", Some(date), None),
        (503, "-3", None, None),
        (500, "120", None, None),
        (301, "120", None, None),
    ];
    for (status, text, date, expected) in table {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, text.parse().unwrap());
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().unwrap());
        }
        let status = StatusCode::from_u16(*status).unwrap();
        let found = retry_after(status, &headers);
        assert_eq!(found, expected.map(Duration::from_secs), "{status} {text}");
    }
}
