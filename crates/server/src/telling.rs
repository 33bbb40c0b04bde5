//! How a webhook is told in another form than the native one: what the courier hands to the dialect, and gets back.

use abide_engine::EndpointKey;
use abide_wire::Timestamp;
use abide_wire::webhook::{self, Secret};
use http::{HeaderMap, HeaderName, HeaderValue};

/// One attempt to tell an endpoint of an event.
#[derive(Clone, Debug)]
pub struct Telling<'a> {
    /// The form, as the endpoint was registered with it.
    pub form: &'a str,
    /// The native event, as JSON.
    pub event: &'a str,
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// The delivery's id, the same at every attempt.
    pub id: &'a str,
    /// The machine's time, whatever the server's clock shows: receivers compare it with their own.
    pub at: Timestamp,
    /// The endpoint's secrets that sign, the newest first.
    pub secrets: Vec<&'a Secret>,
}

/// What is posted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The body, JSON; nothing is sent if it is empty.
    pub body: String,
    /// Its headers; those of Standard Webhooks if `None`.
    pub headers: Option<HeaderMap>,
    /// Whether their names are sent as `Like-This`, as some receivers compare them; in lower case if not.
    pub has_titles: bool,
}

impl Telling<'_> {
    /// The headers of Standard Webhooks for that body.
    #[must_use]
    pub fn standard_headers(&self, body: &[u8]) -> HeaderMap {
        use abide_wire::headers::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};

        let mut map = HeaderMap::with_capacity(5);
        put(&mut map, WEBHOOK_ID, self.id);
        let seconds = webhook::seconds_of(self.at).to_string();
        put(&mut map, WEBHOOK_TIMESTAMP, &seconds);
        if !self.secrets.is_empty() {
            let secrets = self.secrets.iter().copied();
            let signature = webhook::sign(secrets, self.id, self.at, body);
            put(&mut map, WEBHOOK_SIGNATURE, &signature);
        }
        map
    }
}

/// Puts a header in whose value is ids, numbers or base64.
pub(crate) fn put(map: &mut HeaderMap, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("ids, numbers and base64 are ASCII");
    map.insert(HeaderName::from_static(name), value);
}
