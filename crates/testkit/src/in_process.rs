//! The door without a socket.

use std::sync::{Arc, PoisonError, RwLock};

use abide::{Body, BoxFuture, Transport, TransportError};
use abide_server::http::{AppState, Gate};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};

/// Brings requests straight to the server's handlers, through everything that happens around every request.
///
/// There is no connection, so what ends with one (a half-sent request, a reset) doesn't happen here. Dropping an answer
/// that is still being held cancels the waiting, as closing a connection would. Clones are the same door.
#[derive(Clone, Debug)]
pub struct InProcess(Arc<RwLock<Option<Gate>>>);

impl InProcess {
    /// The door to the server of that state.
    #[must_use]
    pub fn new(state: &AppState) -> Self {
        let gate = Gate::new(state.clone(), None);
        Self(Arc::new(RwLock::new(Some(gate))))
    }

    /// Closes the door: from now on requests fail as if nothing listened.
    pub fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn gate(&self) -> Option<Gate> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Transport for InProcess {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        Box::pin(async move {
            let Some(gate) = self.gate() else {
                return Err(TransportError::connect("the server has been stopped"));
            };
            let (mut head, body) = request.into_parts();
            // The server sees a path, as it would over a socket.
            let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
            head.uri = path.parse().map_err(TransportError::unsendable)?;
            let request = Request::from_parts(head, body.into());
            let answer = gate.answer(request).answer().await;
            let (head, body) = answer.into_parts();
            let pieces = body.into_pieces();
            let body = Body::stream(pieces.map(|piece| piece.map_err(TransportError::broken)));
            Ok(Response::from_parts(head, body))
        })
    }
}
