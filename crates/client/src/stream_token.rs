//! Short-lived tokens for event streams.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};

use abide_wire::{JobId, Span, Timestamp};

use crate::call::call;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Call, object};
use crate::resume::ResumeToken;
use crate::telemetry::Purpose;

/// What opens event streams in place of a key: a page's `EventSource` sends it as `?token=`, since it can send no
/// header. Made by [`Client::stream_token`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamToken {
    /// What goes into `?token=` of `/v1/jobs/{id}/events` or `/v1/events`.
    pub token: String,
    /// When it ceases to open streams. One that is open stays open.
    pub expires_at: Timestamp,
}

impl Client {
    /// Makes a token that opens the event stream of a job, or without one all streams of the caller. It opens streams
    /// for `ttl`, which the server clamps to 1 s to 10 min.
    ///
    /// # Errors
    ///
    /// Those of [`JobHandle::status`](crate::JobHandle::status); of usage on an API that isn't ours.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub async fn stream_token(
        &self,
        job: Option<&JobId>,
        ttl: Duration,
    ) -> Result<StreamToken, Error> {
        if self.core.remote.is_some() {
            return Err(Error::usage("only our own API has tokens for streams"));
        }
        let origin = &self.core.origin;
        let body = serde_json::json!({"job": job, "ttl": Span::new(ttl)}).to_string();
        let url = origin.url(["v1", "stream-tokens"]);
        let request = Call::new(Purpose::Stream, Method::POST, url).json(Bytes::from(body));
        let token = ResumeToken::of_nothing(origin.server());
        call(origin, &request, &token, |reply| {
            object(&reply.body)
                .map_err(|error| reply.garbled("the answer holds no token").because(error))
        })
        .await
    }
}

impl fmt::Debug for StreamToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
