//! The checks, one function each.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use serde_json::json;
use tokio::time::Instant;

use abide::BoxFuture;
use abide::webhook::{Secret, now as system_time, seconds_of, sign};
use abide_wire::{Timestamp, headers};

use super::{Attack, AttackError, Grade, Verdict, random_bytes};

/// How large the body is that no receiver needs to take, in bytes.
const OVERSIZE: usize = 8 * 1024 * 1024;
/// How far an old or a future timestamp lies from now.
const FAR: Duration = Duration::from_secs(600);
/// How long a good delivery may take while another one drips.
const BESIDE_MAX: Duration = Duration::from_secs(3);
/// How long a body that drips takes to its next byte.
const DRIP: Duration = Duration::from_millis(250);

/// One check.
pub(super) struct Check {
    pub(super) name: &'static str,
    expected: &'static str,
    run: for<'a> fn(&'a Field<'a>) -> BoxFuture<'a, (Grade, String)>,
}

/// All of them, in the order in which they are run.
pub(super) const ALL: &[Check] = &[
    Check {
        name: "valid",
        expected: "a good delivery is answered with a 2xx",
        run: |field| Box::pin(async { accepted(&field.send(field.good()).await) }),
    },
    Check {
        name: "unsigned",
        expected: "a delivery without a signature is refused with a 4xx",
        run: |field| {
            Box::pin(async {
                let mut shot = field.good();
                shot.signature = None;
                refused(&field.send(shot).await)
            })
        },
    },
    Check {
        name: "forged_signature",
        expected: "a signature by another secret is refused with a 4xx",
        run: |field| {
            Box::pin(async { refused(&field.send(field.signed_by(&[&field.stranger])).await) })
        },
    },
    Check {
        name: "tampered_body",
        expected: "a body that was changed after it was signed is refused with a 4xx",
        run: |field| {
            Box::pin(async {
                let mut shot = field.good();
                // One space more: a receiver that parses and writes the body again before it verifies doesn't see it.
                shot.body = Bytes::from(format!("{} ", String::from_utf8_lossy(&shot.body)));
                refused(&field.send(shot).await)
            })
        },
    },
    Check {
        name: "wrong_version",
        expected: "a signature of an unknown version is not taken for one that is known",
        run: |field| {
            Box::pin(async {
                let mut shot = field.good();
                shot.signature = shot.signature.map(|text| text.replace("v1,", "v0,"));
                refused(&field.send(shot).await)
            })
        },
    },
    Check {
        name: "moved_timestamp",
        expected: "a timestamp that isn't the signed one is refused with a 4xx",
        run: |field| {
            Box::pin(async {
                let mut shot = field.good();
                shot.timestamp = (seconds_of(system_time()) - 1).to_string();
                refused(&field.send(shot).await)
            })
        },
    },
    Check {
        name: "old_timestamp",
        expected: "a delivery that was signed ten minutes ago is refused with a 4xx",
        run: |field| {
            Box::pin(async { refused(&field.send(field.signed_at(system_time() - FAR)).await) })
        },
    },
    Check {
        name: "future_timestamp",
        expected: "a delivery that was signed ten minutes from now is refused with a 4xx",
        run: |field| {
            Box::pin(async { refused(&field.send(field.signed_at(system_time() + FAR)).await) })
        },
    },
    Check {
        name: "rotated_key",
        expected: "a delivery that is signed by a new secret and by the known one is taken",
        run: |field| {
            Box::pin(async {
                let both = field.signed_by(&[&field.stranger, &field.attack.secret]);
                accepted(&field.send(both).await)
            })
        },
    },
    Check {
        name: "replayed_id",
        expected: "a delivery that comes again, later and with the same id, is acknowledged",
        run: |field| {
            Box::pin(async {
                let first = field.good();
                let again = field.shot(&first.id, system_time(), first.body.clone());
                let first = field.send(first).await;
                if accepted(&first).0 != Grade::Pass {
                    return (Grade::Fail, format!("the first one: {first}"));
                }
                // A sender that got no answer would repeat it for days if it were refused.
                accepted(&field.send(again).await)
            })
        },
    },
    Check {
        name: "doubled",
        expected: "of two that come at the same moment with the same id one is taken, and neither fails",
        run: |field| {
            Box::pin(async {
                let one = field.good();
                let other = one.clone();
                let (one, other) = tokio::join!(field.send(one), field.send(other));
                let seen = format!("the first: {one}; the second: {other}");
                let takes = |seen: &Seen| matches!(seen, Seen::Status(200..=299));
                let puts_off = |seen: &Seen| matches!(seen, Seen::Status(409 | 425 | 429 | 503));
                let grade = match (&one, &other) {
                    (a, b) if takes(a) && takes(b) => Grade::Pass,
                    (a, b) if (takes(a) && puts_off(b)) || (takes(b) && puts_off(a)) => Grade::Pass,
                    _ => Grade::Fail,
                };
                (grade, seen)
            })
        },
    },
    Check {
        name: "reordered",
        expected: "an older event that comes after the end is acknowledged",
        run: |field| {
            Box::pin(async {
                let job = field.word("job_");
                let ended = event(&job, "job.completed", "completed", true, 4);
                let older = event(&job, "job.progress", "running", false, 2);
                let first = field.send(field.now(ended)).await;
                if accepted(&first).0 != Grade::Pass {
                    return (Grade::Fail, format!("the end: {first}"));
                }
                acknowledged(&field.send(field.now(older)).await)
            })
        },
    },
    Check {
        name: "unknown_type",
        expected: "an event of a type that it doesn't know is acknowledged",
        run: |field| {
            Box::pin(async {
                let body = json!({"type": "job.archived", "timestamp": system_time(), "data": {}});
                acknowledged(&field.send(field.now(body.to_string())).await)
            })
        },
    },
    Check {
        name: "wrong_type",
        expected: "a content type that isn't JSON is refused with a 4xx",
        run: |field| {
            Box::pin(async {
                let mut shot = field.good();
                shot.content_type = "text/plain";
                refused_or_shrugged(&field.send(shot).await)
            })
        },
    },
    Check {
        name: "not_json",
        expected: "a body that is signed and is no JSON is refused with a 4xx",
        run: |field| {
            Box::pin(async {
                refused_or_shrugged(&field.send(field.now("{\"type\":".to_owned())).await)
            })
        },
    },
    Check {
        name: "oversize",
        expected: "a body of 8 MiB is refused, or the connection is closed",
        run: |field| {
            Box::pin(async {
                let filler = "x".repeat(OVERSIZE);
                let body = json!({"type": "job.completed", "filler": filler}).to_string();
                match field.send(field.now(body)).await {
                    seen @ Seen::Broken(_) => (Grade::Pass, seen.to_string()),
                    seen => refused(&seen),
                }
            })
        },
    },
    Check {
        name: "slow_body",
        expected: "a body that drips is given up on, and keeps no other request waiting",
        run: |field| Box::pin(field.slow_body()),
    },
];

/// The body of a delivery: whole, or dripping.
type Sent = UnsyncBoxBody<Bytes, std::io::Error>;

/// What is sent.
#[derive(Clone, Debug)]
struct Shot {
    id: String,
    timestamp: String,
    signature: Option<String>,
    content_type: &'static str,
    body: Bytes,
}

/// What is seen of it.
#[derive(Debug)]
enum Seen {
    Status(u16),
    Broken(String),
    Timeout(Duration),
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "it answered {status}"),
            Self::Broken(why) => write!(f, "the connection ended: {why}"),
            Self::Timeout(limit) => write!(f, "no answer within {} s", limit.as_secs_f64()),
        }
    }
}

/// Where the attack takes place.
#[derive(Debug)]
pub(super) struct Field<'a> {
    attack: &'a Attack,
    stranger: Secret,
    url: http::Uri,
    client: Client<abide::Connector, Sent>,
}

impl<'a> Field<'a> {
    pub(super) fn new(attack: &'a Attack, stranger: Secret) -> Result<Self, AttackError> {
        let url: http::Uri = attack.url.as_str().parse().map_err(unreachable)?;
        Ok(Self {
            attack,
            stranger,
            client: attack.http.unpooled(&url).map_err(unreachable)?,
            url,
        })
    }

    /// Makes sure that the receiver listens, by a request without consequences.
    pub(super) async fn reach(&self) -> Result<(), AttackError> {
        let request = Request::head(&self.url).body(Sent::default());
        let request = self.client.request(request.map_err(unreachable)?);
        match tokio::time::timeout(self.attack.timeout, request).await {
            Ok(Err(error)) if error.is_connect() => {
                Err(AttackError::Unreachable(innermost(&error)))
            }
            // Whatever else it answers, it is there.
            _ => Ok(()),
        }
    }

    pub(super) async fn try_out(&self, check: &Check) -> Verdict {
        let begun = now();
        let (grade, seen) = (check.run)(self).await;
        let took = now().saturating_duration_since(begun);
        Verdict {
            check: check.name,
            grade,
            expected: check.expected,
            seen,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn word(&self, prefix: &str) -> String {
        // Without randomness the attack has not begun; a word that repeats would only spoil it.
        let bytes = random_bytes().unwrap_or_default();
        let mut word = prefix.to_owned();
        for byte in &bytes[..16] {
            let _ = write!(word, "{byte:02x}");
        }
        word
    }

    fn payload(&self) -> String {
        match &self.attack.payload {
            Some(payload) => payload.clone(),
            None => event(&self.word("job_"), "job.completed", "completed", true, 4),
        }
    }

    fn shot(&self, id: &str, at: Timestamp, body: Bytes) -> Shot {
        Shot {
            id: id.to_owned(),
            timestamp: seconds_of(at).to_string(),
            signature: Some(sign([&self.attack.secret], id, at, &body)),
            content_type: "application/json",
            body,
        }
    }

    fn now(&self, body: String) -> Shot {
        self.shot(&self.word("msg_"), system_time(), body.into())
    }

    fn good(&self) -> Shot {
        self.now(self.payload())
    }

    fn signed_at(&self, at: Timestamp) -> Shot {
        self.shot(&self.word("msg_"), at, self.payload().into())
    }

    fn signed_by(&self, secrets: &[&Secret]) -> Shot {
        let at = system_time();
        let mut shot = self.signed_at(at);
        shot.signature = Some(sign(secrets.iter().copied(), &shot.id, at, &shot.body));
        shot
    }

    fn request(&self, shot: &Shot) -> request::Builder {
        let mut request = Request::post(&self.url)
            .header(headers::WEBHOOK_ID, &shot.id)
            .header(headers::WEBHOOK_TIMESTAMP, &shot.timestamp)
            .header(http::header::CONTENT_TYPE, shot.content_type);
        if let Some(signature) = &shot.signature {
            request = request.header(headers::WEBHOOK_SIGNATURE, signature);
        }
        request
    }

    async fn send(&self, shot: Shot) -> Seen {
        self.send_within(shot, self.attack.timeout).await
    }

    async fn send_within(&self, shot: Shot, limit: Duration) -> Seen {
        let whole = Sent::new(Full::new(shot.body.clone()).map_err(|never| match never {}));
        self.see(&shot, whole, limit).await
    }

    async fn see(&self, shot: &Shot, body: Sent, limit: Duration) -> Seen {
        let request = match self.request(shot).body(body) {
            Ok(request) => self.client.request(request),
            Err(error) => return Seen::Broken(error.to_string()),
        };
        match tokio::time::timeout(limit, request).await {
            Ok(Ok(response)) => Seen::Status(response.status().as_u16()),
            Ok(Err(error)) => Seen::Broken(innermost(&error)),
            Err(_elapsed) => Seen::Timeout(limit),
        }
    }

    async fn slow_body(&self) -> (Grade, String) {
        let shot = self.good();
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(DRIP).await;
            Some((Ok(Frame::data(Bytes::from_static(b" "))), ()))
        });
        let drops = Sent::new(StreamBody::new(drops));
        let slow = self.see(&shot, drops, self.attack.patience);
        let beside = async {
            // Given the slow one time to get hold of whatever it can get hold of.
            tokio::time::sleep(DRIP * 4).await;
            self.send_within(self.good(), BESIDE_MAX).await
        };
        let (slow, beside) = tokio::join!(slow, beside);
        if accepted(&beside).0 != Grade::Pass {
            return (Grade::Fail, format!("a good delivery meanwhile: {beside}"));
        }
        match slow {
            Seen::Status(200..=299) => (Grade::Fail, format!("{slow} to half a body")),
            Seen::Timeout(limit) => {
                let seconds = limit.as_secs_f64();
                (Grade::Warn, format!("it still waited after {seconds} s"))
            }
            ended => (Grade::Pass, ended.to_string()),
        }
    }
}

fn unreachable(error: impl std::error::Error) -> AttackError {
    AttackError::Unreachable(innermost(&error))
}

/// What an error is about in the end.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The only place of this crate that reads a clock: a verdict says how long its check took.
#[expect(
    clippy::disallowed_methods,
    reason = "a suite that is run against real receivers has no other clock"
)]
fn now() -> Instant {
    Instant::now()
}

fn event(job: &str, kind: &str, status: &str, is_done: bool, revision: u64) -> String {
    let now = system_time();
    let ended = is_done.then_some(now);
    json!({
        "type": kind,
        "timestamp": now,
        "data": {
            "id": job,
            "kind": "video_translation",
            "status": status,
            "done": is_done,
            "outcome": is_done.then_some(status),
            "revision": revision,
            "progress": null,
            "input": null,
            "result": null,
            "error": null,
            "metadata": {"attack": true},
            "created_at": now - Duration::from_secs(20),
            "started_at": now - Duration::from_secs(20),
            "updated_at": now,
            "finished_at": ended,
            "expires_at": ended,
            "remaining_ms": null,
        },
    })
    .to_string()
}

/// The grade of what was taken, of what was refused in so many words, and of all else.
fn graded(seen: &Seen, [taken, refused, other]: [Grade; 3]) -> (Grade, String) {
    let grade = match seen {
        Seen::Status(200..=299) => taken,
        Seen::Status(400..=499) => refused,
        _ => other,
    };
    (grade, seen.to_string())
}

fn accepted(seen: &Seen) -> (Grade, String) {
    graded(seen, [Grade::Pass, Grade::Fail, Grade::Fail])
}

/// A refusal is meant only where it is a 4xx: a receiver that crashes, redirects or hangs up has noticed nothing.
fn refused(seen: &Seen) -> (Grade, String) {
    let other = match seen {
        Seen::Timeout(_) => Grade::Fail,
        Seen::Status(_) | Seen::Broken(_) => Grade::Warn,
    };
    graded(seen, [Grade::Fail, Grade::Pass, other])
}

/// For what is signed and odd: to take it is careless, to fall over it is wrong.
fn refused_or_shrugged(seen: &Seen) -> (Grade, String) {
    graded(seen, [Grade::Warn, Grade::Pass, Grade::Fail])
}

/// For what is signed and of no use: to refuse it has it repeated for days, to fall over it is wrong.
fn acknowledged(seen: &Seen) -> (Grade, String) {
    graded(seen, [Grade::Pass, Grade::Warn, Grade::Fail])
}
