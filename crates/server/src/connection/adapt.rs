//! The gate, as what answers the requests of a connection.

use std::time::Duration;

use axum::body::Body;
use futures_util::{FutureExt as _, StreamExt as _};
use http::Request;
use http_body::Body as _;

use super::{Answering, Answers, Head, Quick};
use crate::http::{Gate, answer};

impl Answers for Gate {
    fn quick(&self, _: &Head<'_>, _: &[u8], _: bool, _: &mut Vec<u8>) -> Quick {
        Quick::Ordinary
    }

    fn ordinary(&self, request: Request<Body>) -> Answering {
        let request = request.map(|body| match body.is_end_stream() {
            true => answer::Body::Empty,
            false => answer::Body::stream(
                body.into_data_stream()
                    .map(|piece| piece.map_err(|_| answer::Broken)),
            ),
        });
        let answer = self.answer(request).answer();
        Box::pin(answer.map(|answer| answer.map(Body::new)))
    }

    fn elapsed(&self) -> Duration {
        Self::elapsed(self)
    }
}
