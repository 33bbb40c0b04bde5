//! A server that is several nodes: a dead one is left at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri};
use url::Url;

use super::{Body, BoxFuture, Transport, TransportError};

/// Sends each request to the node that answered last. A node to which no connection can be made is left for the next
/// one, in the same exchange; so is, from the next exchange on, one that breaks a connection or says that it can't
/// answer (`503`). Which node answers doesn't matter: reads name the revision that they have seen.
#[derive(Debug)]
pub(crate) struct Nodes {
    transport: Arc<dyn Transport>,
    servers: Vec<(Scheme, Authority)>,
    /// The place in `servers` of the one to ask, of those that were ever counted.
    current: AtomicUsize,
}

impl Nodes {
    /// The nodes at these addresses, of which the first is asked first. `None` if one of them isn't an address of HTTP.
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        servers: impl Iterator<Item = Url>,
    ) -> Option<Self> {
        let part = |url: Url| {
            let parts = url.as_str().parse::<Uri>().ok()?.into_parts();
            Some((parts.scheme?, parts.authority?))
        };
        Some(Self {
            transport,
            servers: servers.map(part).collect::<Option<_>>()?,
            current: AtomicUsize::new(0),
        })
    }

    /// Leaves that node, unless another request has done so already.
    fn leave(&self, current: usize) {
        let next = current.wrapping_add(1);
        let _left =
            self.current
                .compare_exchange(current, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn to(
        &self,
        current: usize,
        request: &Request<Bytes>,
    ) -> Result<Request<Bytes>, TransportError> {
        let (scheme, authority) = &self.servers[current % self.servers.len()];
        let path = request.uri().path_and_query().cloned();
        let uri = Uri::builder()
            .scheme(scheme.clone())
            .authority(authority.clone())
            .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
            .build()
            .map_err(TransportError::unsendable)?;
        let mut request = request.clone();
        *request.uri_mut() = uri;
        Ok(request)
    }
}

/// A node that has been asked. Unless it answers it is left, also where its caller waits no longer: a node may hang.
struct Asked<'a> {
    nodes: &'a Nodes,
    current: usize,
    is_well: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_well {
            self.nodes.leave(self.current);
        }
    }
}

impl Transport for Nodes {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        Box::pin(async move {
            let mut tried = 1;
            loop {
                let mut asked = Asked {
                    nodes: self,
                    current: self.current.load(Ordering::Relaxed),
                    is_well: false,
                };
                let request = self.to(asked.current, &request)?;
                let sent = self.transport.send(request).await;
                asked.is_well = sent
                    .as_ref()
                    .is_ok_and(|answer| answer.status() != StatusCode::SERVICE_UNAVAILABLE);
                match sent {
                    // It surely never reached a server.
                    Err(error) if error.is_connect() && tried < self.servers.len() => tried += 1,
                    sent => return sent,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Nodes by host: `down` refuses connections, `broken` breaks them, `busy` answers 503, `hung` never answers.
    #[derive(Debug, Default)]
    struct Fake(Mutex<Vec<String>>);

    impl Transport for Fake {
        fn send(
            &self,
            request: Request<Bytes>,
        ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
            let host = request.uri().host().unwrap().to_owned();
            self.0.lock().unwrap().push(request.uri().to_string());
            Box::pin(async move {
                let mut answer = Response::new(Body::full(Bytes::new()));
                match &*host {
                    "down" => return Err(TransportError::connect("refused")),
                    "broken" => return Err(TransportError::broken("reset")),
                    "hung" => std::future::pending().await,
                    "busy" => *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
                    _ => {}
                }
                Ok(answer)
            })
        }
    }

    fn nodes(hosts: &[&str]) -> (Arc<Fake>, Nodes) {
        let fake = Arc::new(Fake::default());
        let urls = hosts
            .iter()
            .map(|host| Url::parse(&format!("http://{host}:8080")).unwrap());
        (fake.clone(), Nodes::new(fake, urls).unwrap())
    }

    async fn send(nodes: &Nodes) -> Result<u16, bool> {
        let request = Request::get("http://first/v1/jobs?x=1");
        let request = request.body(Bytes::new()).unwrap();
        let sent = nodes.send(request).await;
        sent.map(|answer| answer.status().as_u16())
            .map_err(|error| error.is_connect())
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_cant_be_reached_is_left_in_the_same_exchange() {
        let (fake, nodes) = nodes(&["down", "down", "up"]);
        assert_eq!(send(&nodes).await, Ok(200));
        assert_eq!(send(&nodes).await, Ok(200));
        let asked = fake.0.lock().unwrap().clone();
        let last = "http://up:8080/v1/jobs?x=1";
        assert_eq!(asked.len(), 4);
        assert_eq!(asked[2..], [last, last]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_reached_a_node_is_sent_to_another_only_by_those_who_may_repeat_it() {
        for (host, first) in [("broken", Err(false)), ("busy", Ok(503))] {
            let (_, nodes) = nodes(&[host, "up"]);
            assert_eq!(send(&nodes).await, first);
            assert_eq!(send(&nodes).await, Ok(200));
        }
        let (_, nodes) = nodes(&["hung", "up"]);
        let limit = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(limit, send(&nodes)).await.is_err());
        assert_eq!(send(&nodes).await, Ok(200));
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_node_is_up_the_last_error_is_told_once_each_was_tried() {
        let (fake, nodes) = nodes(&["down", "down"]);
        assert_eq!(send(&nodes).await, Err(true));
        assert_eq!(fake.0.lock().unwrap().len(), 2);
    }
}
