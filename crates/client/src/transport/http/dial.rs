//! Making connections: to the server itself or through the proxy that the environment names.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tower_service::Service;

use super::tls;
use crate::error::Source;
use crate::rt::timeout;

/// A connection under way.
type Dialing<T> = Pin<Box<dyn Future<Output = Result<T, Source>> + Send>>;

/// Connects to the server of a URL, or to the proxy in front of it.
#[derive(Clone)]
pub(super) struct Dial {
    tcp: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Dial {
    pub(super) fn new(connect_timeout: Duration, proxies: Arc<Matcher>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        Self { tcp, proxies }
    }

    /// The proxy for that URL. This machine is never looked for behind one.
    pub(super) fn proxy(&self, url: &Uri) -> Option<Intercept> {
        if url.host().is_none_or(is_loopback) {
            return None;
        }
        self.proxies.intercept(url)
    }

    /// What a plain request for that URL must show the proxy. A tunnel shows it itself.
    pub(super) fn proxy_key(&self, url: &Uri) -> Option<HeaderValue> {
        if url.scheme_str() != Some("http") {
            return None;
        }
        self.proxy(url)?.basic_auth().cloned()
    }

    async fn dial(mut self, url: Uri) -> Result<Stream, Source> {
        let Some(proxy) = self.proxy(&url) else {
            return Ok(Stream::new(self.tcp.call(url).await?, false));
        };
        match proxy.uri().scheme_str() {
            Some("http") => through(self.tcp, &proxy, url).await,
            Some("https") => through(tls::secured(self.tcp)?, &proxy, url).await,
            _ => Err("only proxies that speak http or https are used".into()),
        }
    }
}

/// Connects to the proxy, and makes a tunnel through it for what the proxy must not read.
async fn through<C>(mut to_proxy: C, proxy: &Intercept, url: Uri) -> Result<Stream, Source>
where
    C: Service<Uri, Error: Into<Source>, Response: Io + 'static, Future: Send + 'static>,
{
    if url.scheme_str() == Some("http") {
        let connected = to_proxy.call(proxy.uri().clone()).await;
        return Ok(Stream::new(connected.map_err(Into::into)?, true));
    }
    let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
    if let Some(key) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(key.clone());
    }
    Ok(Stream::new(tunnel.call(url).await?, false))
}

impl Service<Uri> for Dial {
    type Response = Stream;
    type Error = Source;
    type Future = Dialing<Stream>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Source>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        Box::pin(self.clone().dial(url))
    }
}

/// Connects in time, by TLS where the URL wants it.
#[derive(Clone)]
pub struct Connector {
    pub(super) dial: Dial,
    pub(super) secure: Option<tls::Secured<Dial>>,
    pub(super) limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Source;
    type Future = Dialing<Stream>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Source>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let limit = self.limit;
        let connecting: Dialing<Stream> = match &mut self.secure {
            None => self.dial.call(url),
            Some(secure) => {
                let connecting = secure.call(url);
                Box::pin(async { Ok(Stream::new(connecting.await?, false)) })
            }
        };
        Box::pin(async move {
            let connected = timeout(limit, connecting).await;
            connected.unwrap_or_else(|_| {
                Err(format!("no connection within {:.3} s", limit.as_secs_f64()).into())
            })
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// What can be read, written, and asked what it is connected to.
trait Io: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Io for T {}

/// An open connection.
pub struct Stream {
    io: Box<dyn Io>,
    /// Whether requests go to a proxy, which must be told the whole URL.
    proxied: bool,
}

impl Stream {
    fn new(io: impl Io + 'static, proxied: bool) -> Self {
        Self {
            io: Box::new(io),
            proxied,
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.proxied)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(cx, room)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names() {
        for host in [
            "127.0.0.1",
            "127.8.9.1",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "10.0.0.1",
            "localhost.example.com",
            "notlocalhost",
            "[fe80::1]",
            "128.0.0.1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
