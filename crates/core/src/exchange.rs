//! The transport of a core: its requests become effects, and what the host reports becomes their answers.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abide::{Body, BoxFuture, Look, Transport, TransportError};
use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use crate::effect::{Broken, Effect, ExchangeId, LookId};
use crate::look::LookError;

/// What the futures of a core and its host share.
#[derive(Clone, Default)]
pub(crate) struct Ports(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    names: u64,
    pub(crate) effects: Vec<Effect>,
    pub(crate) exchanges: HashMap<ExchangeId, Port>,
    pub(crate) looks: HashMap<LookId, oneshot::Sender<Result<Look<()>, LookError>>>,
}

/// Where the parts of one answer go.
pub(crate) struct Port {
    /// None once the head has come.
    head: Option<oneshot::Sender<Result<Head, TransportError>>>,
    parts: mpsc::UnboundedSender<Result<Bytes, TransportError>>,
}

type Head = (StatusCode, HeaderMap);

impl State {
    pub(crate) const fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }
}

impl Ports {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn effect(&self, effect: Effect) {
        self.lock().effects.push(effect);
    }

    pub(crate) fn head(&self, exchange: ExchangeId, status: StatusCode, headers: HeaderMap) {
        let mut state = self.lock();
        let port = state.exchanges.get_mut(&exchange);
        let Some(tell) = port.and_then(|port| port.head.take()) else {
            return;
        };
        drop(state);
        // A future that is gone has said so by an abort.
        let _ = tell.send(Ok((status, headers)));
    }

    pub(crate) fn chunk(&self, exchange: ExchangeId, bytes: Bytes) {
        let state = self.lock();
        let Some(port) = state.exchanges.get(&exchange) else {
            return;
        };
        let parts = port.parts.clone();
        drop(state);
        let _ = parts.send(Ok(bytes));
    }

    pub(crate) fn end(&self, exchange: ExchangeId) {
        let port = self.lock().exchanges.remove(&exchange);
        drop(port);
    }

    pub(crate) fn broken(&self, exchange: ExchangeId, how: Broken, why: String) {
        let Some(port) = self.lock().exchanges.remove(&exchange) else {
            return;
        };
        let error = match how {
            Broken::Connect => TransportError::connect(why),
            Broken::Lost => TransportError::broken(why),
            Broken::Final => TransportError::unsendable(why),
        };
        let _ = match port.head {
            Some(head) => head.send(Err(error)).is_ok(),
            None => port.parts.send(Err(error)).is_ok(),
        };
    }
}

/// Sends by telling the host to.
pub(crate) struct Host(pub(crate) Ports);

impl Transport for Host {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        let ports = self.0.clone();
        Box::pin(async move {
            let (head, told) = oneshot::channel();
            let (parts, bytes) = mpsc::unbounded_channel();
            let exchange = {
                let mut state = ports.lock();
                let exchange = ExchangeId(state.name());
                let head = Some(head);
                state.exchanges.insert(exchange, Port { head, parts });
                state.effects.push(Effect::Send { exchange, request });
                exchange
            };
            let mut ticket = Ticket {
                ports,
                exchange,
                is_over: false,
            };
            let (status, headers) = match told.await {
                Ok(Ok(head)) => head,
                Ok(Err(error)) => {
                    ticket.is_over = true;
                    return Err(error);
                }
                // The host has ended an exchange without a head.
                Err(_) => {
                    ticket.is_over = true;
                    return Err(TransportError::broken("there was no answer"));
                }
            };
            let body = unfold((bytes, ticket), |(mut bytes, mut ticket)| async move {
                let part = bytes.recv().await;
                ticket.is_over |= !matches!(part, Some(Ok(_)));
                Some((part?, (bytes, ticket)))
            });
            let mut response = Response::new(Body::stream(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response)
        })
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

/// Says so if an exchange is given up before its end.
struct Ticket {
    ports: Ports,
    exchange: ExchangeId,
    is_over: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.ports.lock();
        let port = state.exchanges.remove(&self.exchange);
        if !self.is_over && port.is_some() {
            let exchange = self.exchange;
            state.effects.push(Effect::Abort { exchange });
        }
        drop(state);
    }
}
