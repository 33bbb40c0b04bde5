//! Whether the server answers while a command waits for it, for the person who sees nothing happen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use abide::{Body, BoxFuture, Http, Timestamp, Transport, TransportError, webhook};
use bytes::Bytes;
use http::{Request, Response, StatusCode};

use crate::connect::Common;
use crate::exit::{Failure, UNREACHABLE};
use crate::{show, url};

/// How long a server may be silent before that is said.
const SILENCE_MIN: Duration = Duration::from_secs(3);
/// How long a server that has never answered is tried: its address is more likely wrong than its deployment this slow.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long what answers with pages alone is tried: it is another program.
const PAGES_MAX: Duration = Duration::from_secs(5);
/// How long the other side must have held a request to count as a server, although it never answered: one
/// that dies with the first request of a wait may come back.
const HELD_MIN: Duration = Duration::from_secs(1);
/// How often the silence is measured.
const TICK: Duration = Duration::from_millis(500);

/// A transport that notes whether answers come. Clones note together.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    http: Arc<Http>,
    noted: Arc<Mutex<Noted>>,
}

/// What has been noted.
#[derive(Debug, Default)]
struct Noted {
    has_answered: bool,
    /// Since when there is no answer, and why.
    silence: Option<(Timestamp, String)>,
    /// Whether the latest answer was a page.
    is_page: bool,
    /// Whether the latest answer was that of a limit.
    is_limit: bool,
    /// The latest `Date` of an answer, which an abide server tells by its own clock.
    date: Option<SystemTime>,
}

impl Reach {
    /// A transport over HTTP.
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        Self {
            http: Arc::new(Http::new(connect_timeout)),
            noted: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server has answered since the beginning.
    pub(crate) fn has_answered(&self) -> bool {
        self.lock().has_answered
    }

    /// What the server's clock showed in its latest answer; this machine's time before that.
    pub(crate) fn server_now(&self) -> Timestamp {
        let date = self.lock().date;
        let since = date.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok());
        let millis = since.and_then(|since| i64::try_from(since.as_millis()).ok());
        millis.map_or_else(webhook::now, Timestamp::from_millis)
    }

    /// Asks the server whether it is well, and notes if it is.
    async fn probe(&self, common: &Common) {
        let Ok(server) = url::read_server(common.first_server()) else {
            return;
        };
        let Ok(request) = Request::get(format!("{server}/healthz")).body(Bytes::new()) else {
            return;
        };
        let answered = tokio::time::timeout(SILENCE_MIN, self.http.send(request)).await;
        if matches!(answered, Ok(Ok(answer)) if answer.status().is_success() && !is_page(&answer)) {
            self.note(None);
        }
    }

    fn note(&self, failure: Option<String>) {
        let mut noted = self.lock();
        match failure {
            None => {
                noted.has_answered = true;
                noted.silence = None;
            }
            Some(why) => {
                noted.silence.get_or_insert_with(|| (webhook::now(), why));
            }
        }
    }

    /// Says when the server falls silent and when it is back, through `say`, until dropped. Ends only if a server has
    /// never answered at all, unless `is_patient`.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub(crate) async fn tell(
        &self,
        common: &Common,
        is_patient: bool,
        say: impl Fn(&str),
    ) -> Failure {
        let mut told: Option<Timestamp> = None;
        loop {
            tokio::time::sleep(TICK).await;
            if told.is_some() && common.remote.is_none() && !self.lock().is_limit {
                // A server that is back holds the next request, and would be called silent for all that time.
                self.probe(common).await;
            }
            let noted = self.lock();
            let now = webhook::now();
            match &noted.silence {
                None => {
                    if let Some(since) = told.take() {
                        let silent = show::duration(now.since(since));
                        say(&format!(
                            "abide: {} answers again, after {silent}",
                            common.server
                        ));
                    }
                }
                Some((since, why)) => {
                    let silent = now.since(*since);
                    let most = if noted.is_page {
                        PAGES_MAX
                    } else {
                        FIRST_ANSWER_MAX
                    };
                    if !noted.has_answered && !is_patient && silent >= most {
                        let message = format!(
                            "{} has never answered: {why}; is it the right address, and is the server running?",
                            common.server
                        );
                        return Failure::new(UNREACHABLE, message);
                    }
                    if told.is_none() && silent >= SILENCE_MIN {
                        let (at, server) = (show::time_of_day(*since), &common.server);
                        let what = match noted.is_limit {
                            true => format!("{server} has put requests off"),
                            false => format!("no answer from {server}"),
                        };
                        say(&format!(
                            "abide: {what} since {at} UTC ({why}); still waiting"
                        ));
                        told = Some(*since);
                    }
                }
            }
        }
    }
}

impl Transport for Reach {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        Box::pin(async move {
            let asked = webhook::now();
            let result = self.http.send(request).await;
            let is_cut = result.as_ref().is_err_and(|error| !error.is_connect());
            if is_cut && webhook::now().since(asked) >= HELD_MIN {
                self.lock().has_answered = true;
            }
            let is_page = result.as_ref().is_ok_and(is_page);
            self.note(match &result {
                Ok(_) if is_page => Some("it answers with a page (text/html)".to_owned()),
                Ok(answer) => puts_off(answer.status()).then(|| answer.status().to_string()),
                Err(error) => Some(error.to_string()),
            });
            let mut noted = self.lock();
            noted.is_page = is_page;
            noted.is_limit = false;
            if let Ok(answer) = &result {
                noted.is_limit = answer.status() == StatusCode::TOO_MANY_REQUESTS;
                // A server that asks for patience is there.
                noted.has_answered |= noted.is_limit;
                noted.date = date(answer);
            }
            drop(noted);
            result
        })
    }
}

/// Whether it is a page for people.
fn is_page(answer: &Response<Body>) -> bool {
    let kind = answer.headers().get(http::header::CONTENT_TYPE);
    let is_html = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    is_html && answer.status().is_success()
}

/// Whether it puts the client off: the limit of a server, or a proxy whose server is away.
fn puts_off(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn date(answer: &Response<Body>) -> Option<SystemTime> {
    let date = answer.headers().get(http::header::DATE)?;
    httpdate::parse_http_date(date.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_held_a_request_counts_as_a_server_and_who_hung_up_at_once_does_not() {
        for (held, counts) in [(Duration::ZERO, false), (HELD_MIN + TICK, true)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let reach = Reach::new(Duration::from_secs(5));
            let request = Request::get(url).body(Bytes::new()).unwrap();
            let server = async {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::time::sleep(held).await;
                drop(socket);
            };
            let (result, ()) = tokio::join!(reach.send(request), server);
            result.unwrap_err();
            assert_eq!(reach.lock().has_answered, counts, "{held:?}");
        }
    }
}
