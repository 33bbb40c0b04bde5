//! HTTP/1.1 and HTTP/2 over pooled connections.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::PROXY_AUTHORIZATION;
use http::{Request, Response, Uri};
use http_body_util::{BodyDataStream, Full};
use hyper_util::client::legacy::{self, Client};
use hyper_util::client::proxy::matcher::Matcher;

use super::dial::{Connector, Dial};
use super::tls::secured;
use crate::rt::net::{Executor, Timer};
use crate::transport::{Body, BoxFuture, Fresh, Through, Transport, TransportError};

/// HTTP/1.1 and HTTP/2 over TCP and TLS, with pooled connections.
///
/// Proxies are those that the environment names (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`), but never for
/// this machine itself. `https` needs the crate's feature `tls-ring`, or `tls` and a provider of cryptography that the
/// program has installed; certificates are checked as the operating system would. Nothing is set up before the first
/// request needs it: plain `http` never loads a certificate, and a machine without any can still use it.
pub struct Http {
    connect_timeout: Duration,
    proxies: Arc<Matcher>,
    plain: OnceLock<Stack>,
    secure: OnceLock<Result<Stack, String>>,
}

/// How long an idle connection is kept.
const IDLE_KEPT: Duration = Duration::from_secs(90);

/// A pool of connections, and the way to more.
#[derive(Clone)]
struct Stack {
    client: Client<Connector, Full<Bytes>>,
    /// Makes a connection for each request.
    fresh: Client<Connector, Full<Bytes>>,
    connector: Connector,
}

impl Http {
    /// HTTP that spends at most `connect_timeout` on making a connection.
    #[must_use]
    pub fn new(connect_timeout: Duration) -> Self {
        // Never from the system's settings: whether those are read depends on other crates' features.
        Self::through(connect_timeout, Matcher::from_env())
    }

    fn through(connect_timeout: Duration, proxies: Matcher) -> Self {
        Self {
            connect_timeout,
            proxies: Arc::new(proxies),
            plain: OnceLock::new(),
            secure: OnceLock::new(),
        }
    }

    /// A client for bodies of any kind that makes a connection for each request, so that none suffers from what became
    /// of another; for `abide-attack`, no part of the interface.
    #[doc(hidden)]
    pub fn unpooled<B>(&self, url: &Uri) -> Result<Client<Connector, B>, TransportError>
    where
        B: hyper::body::Body<Data: Send> + Send,
    {
        Ok(client(self.stack(url)?.connector.clone(), 0))
    }

    fn stack(&self, url: &Uri) -> Result<&Stack, TransportError> {
        let dial = || Dial::new(self.connect_timeout, Arc::clone(&self.proxies));
        let connector = |secure| Connector {
            dial: dial(),
            secure,
            limit: self.connect_timeout,
        };
        match (url.scheme_str(), url.host()) {
            (Some("http"), Some(_)) => Ok(self.plain.get_or_init(|| Stack::new(connector(None)))),
            (Some("https"), Some(_)) => {
                let secure = self.secure.get_or_init(|| {
                    let secured = secured(dial());
                    let secured = secured.map_err(|error| error.to_string())?;
                    Ok(Stack::new(connector(Some(secured))))
                });
                secure
                    .as_ref()
                    .map_err(|why| TransportError::unsendable(why.clone()))
            }
            _ => Err(TransportError::unsendable("only http and https are spoken")),
        }
    }
}

impl Stack {
    fn new(connector: Connector) -> Self {
        Self {
            client: client(connector.clone(), usize::MAX),
            fresh: client(connector.clone(), 0),
            connector,
        }
    }
}

/// A client over that connector, which keeps that many connections to a server for later.
fn client<B>(connector: Connector, kept: usize) -> Client<Connector, B>
where
    B: hyper::body::Body<Data: Send> + Send,
{
    Client::builder(Executor::new())
        .pool_idle_timeout(IDLE_KEPT)
        .pool_max_idle_per_host(kept)
        .pool_timer(Timer::new())
        .build(connector)
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

impl Transport for Http {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        Box::pin(async move {
            let stack = self.stack(request.uri())?;
            let dial = &stack.connector.dial;
            let proxy = dial.proxy(request.uri());
            let proxy = proxy.map(|proxy| Through(name(proxy.uri()).into()));
            let mut request = request.map(Full::new);
            if let Some(key) = dial.proxy_key(request.uri()) {
                request.headers_mut().insert(PROXY_AUTHORIZATION, key);
            }
            let client = match request.extensions().get::<Fresh>() {
                Some(Fresh) => &stack.fresh,
                None => &stack.client,
            };
            let mut answer = client.request(request).await.map_err(|error| {
                let error = translate(error);
                match &proxy {
                    Some(proxy) => error.through(&proxy.0),
                    None => error,
                }
            })?;
            if let Some(proxy) = proxy {
                answer.extensions_mut().insert(proxy);
            }
            Ok(answer.map(|body| {
                let parts = BodyDataStream::new(body);
                Body::stream(parts.map(|part| part.map_err(TransportError::broken)))
            }))
        })
    }
}

/// The name of a proxy, without its password.
fn name(proxy: &Uri) -> String {
    let host = proxy.host().unwrap_or_default();
    match proxy.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn translate(error: legacy::Error) -> TransportError {
    if error.is_connect() {
        TransportError::connect(error)
    } else {
        TransportError::broken(error)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn get(url: &str) -> Request<Bytes> {
        Request::get(url).body(Bytes::new()).unwrap()
    }

    #[test]
    fn both_stacks_can_be_built_without_a_global_provider() {
        let http = Http::new(Duration::from_secs(1));
        http.stack(&Uri::from_static("http://a.example/")).unwrap();
        let secure = http.stack(&Uri::from_static("https://a.example/"));
        assert_eq!(secure.is_ok(), cfg!(feature = "tls-ring"));
        let ftp = http.stack(&Uri::from_static("ftp://a.example/"));
        assert!(ftp.is_err_and(|error| error.is_final()));
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_a_connect_error() {
        // A port that was just given back.
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let http = Http::new(Duration::from_secs(1));
        let error = http.send(get(&format!("http://127.0.0.1:{port}/"))).await;
        let error = error.unwrap_err();
        assert!(error.is_connect(), "{error}");
    }

    /// A proxy that answers one request, and what that request was.
    async fn proxy() -> (String, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4_096];
            let read = socket.read(&mut head).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
            socket.write_all(answer).await.unwrap();
            String::from_utf8_lossy(&head[..read]).to_ascii_lowercase()
        });
        (address, task)
    }

    fn behind(proxy: &str) -> Http {
        let proxies = Matcher::builder().all(format!("http://me:secret@{proxy}"));
        Http::through(Duration::from_secs(1), proxies.build())
    }

    #[tokio::test]
    async fn a_proxy_is_told_the_whole_url_and_shown_its_password() {
        let (address, seen) = proxy().await;
        let answer = behind(&address).send(get("http://a.example/jobs?x")).await;
        let body = answer.unwrap().into_body().collect(9).await.unwrap();
        assert_eq!(body, "hi");
        let seen = seen.await.unwrap();
        assert!(
            seen.starts_with("get http://a.example/jobs?x http/1.1\r\n"),
            "{seen}"
        );
        assert!(seen.contains("proxy-authorization: basic "), "{seen}");
    }

    #[tokio::test]
    async fn this_machine_is_never_looked_for_behind_a_proxy() {
        let (server, seen) = proxy().await;
        let http = behind("proxy.invalid:1");
        http.send(get(&format!("http://{server}/jobs")))
            .await
            .unwrap();
        let seen = seen.await.unwrap();
        assert!(seen.starts_with("get /jobs http/1.1\r\n"), "{seen}");
        assert!(!seen.contains("proxy-authorization"), "{seen}");
    }

    #[tokio::test]
    async fn an_error_names_the_proxy_and_not_its_password() {
        let (address, listening) = proxy().await;
        listening.abort();
        let _ = listening.await;
        for url in ["http://a.example/", "https://a.example/"] {
            let error = behind(&address).send(get(url)).await.unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains(&format!("through the proxy {address}")),
                "{text}"
            );
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
