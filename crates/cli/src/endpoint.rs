//! A webhook endpoint of this process, registered at the server for as long as a command runs.

use std::net::SocketAddr;
use std::time::Duration;

use abide::{Http, Inbox, Receiver, Transport as _};
use abide_wire::Problem;
use abide_wire::endpoint::{Endpoint, NewEndpoint};
use anyhow::Context as _;
use http::{Request, header};

use crate::connect::Common;
use crate::exit::{Failure, UNREACHABLE};
use crate::output;

/// How long the server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Where a command listens for webhooks.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) listen: SocketAddr,
    /// The address by which the server reaches it, where that is another.
    pub(crate) public_url: Option<String>,
}

/// A listener for the ends of jobs, of which the server knows.
pub(crate) struct Ends {
    http: Http,
    id: String,
    /// Listens as long as it lives.
    _receiver: Receiver,
}

impl Ends {
    /// Listens, and has the server tell it of every end from now on; what arrives goes to the inbox.
    pub(crate) async fn open(
        common: &Common,
        place: &Place,
        inbox: &Inbox,
    ) -> anyhow::Result<Self> {
        let receiver = Receiver::builder().inbox(inbox).bind(place.listen).await;
        let receiver = receiver.map_err(|error| Failure::new(UNREACHABLE, error.to_string()))?;
        let http = Http::new(ANSWER_MAX);
        let new = NewEndpoint {
            url: place.public_url.clone().unwrap_or_else(|| receiver.url()),
            secret: Some(receiver.secret().expose()),
            description: Some("abide wait".to_owned()),
            ..NewEndpoint::default()
        };
        let id = register(common, &http, &new).await?;
        Ok(Self {
            http,
            id,
            _receiver: receiver,
        })
    }

    /// Has the server forget it.
    pub(crate) async fn close(self, common: &Common) {
        say_if_left(&self.id, unregister(common, &self.http, &self.id).await);
    }
}

/// Tells the server of an endpoint, and returns its name there.
pub(crate) async fn register(
    common: &Common,
    http: &Http,
    new: &NewEndpoint,
) -> anyhow::Result<String> {
    let body = serde_json::to_vec(new)?;
    let answer = ask(common, http, "POST", "/v1/webhooks", body).await?;
    let made: Endpoint =
        serde_json::from_slice(&answer).context("the server answered something else")?;
    Ok(made.id)
}

/// Has the server forget an endpoint.
pub(crate) async fn unregister(common: &Common, http: &Http, id: &str) -> anyhow::Result<()> {
    let path = format!("/v1/webhooks/{id}");
    ask(common, http, "DELETE", &path, Vec::new()).await?;
    Ok(())
}

/// Says so where the server still knows an endpoint that isn't there any more.
pub(crate) fn say_if_left(id: &str, result: anyhow::Result<()>) {
    if let Err(error) = result {
        output::say(&format!("abide: {id} is still registered: {error:#}"));
    }
}

async fn ask(
    common: &Common,
    http: &Http,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<Vec<u8>> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", common.server.trim_end_matches('/')))
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = common.api_key.first() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.trim()));
    }
    let request = request.body(body.into()).context("the server's address")?;
    let exchange = async {
        let answer = http.send(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect(ANSWER_BYTES_MAX).await?;
        Ok::<_, abide::TransportError>((status, body))
    };
    let (status, body) = tokio::time::timeout(ANSWER_MAX, exchange)
        .await
        .map_err(|_| Failure::new(UNREACHABLE, "the server didn't answer in time"))?
        .map_err(|error| Failure::new(UNREACHABLE, format!("{}: {error}", common.server)))?;
    if status.is_success() {
        return Ok(body.to_vec());
    }
    let problem: Option<Problem> = serde_json::from_slice(&body).ok();
    let why = problem.map_or_else(|| status.to_string(), |problem| problem.to_string());
    Err(Failure::new(UNREACHABLE, format!("the server refused: {why}")).into())
}
