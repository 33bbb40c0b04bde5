//! A call that is sent until it is answered: retries, hints, and what answers of our own API and of others mean.

use std::io;
use std::time::Duration;

use abide::{Client, Error, Remote, RetryPolicy};
use abide_core::{Broken, Core, Effect, Ended, ExchangeId};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{span, told};

/// The time of day at the beginning, in seconds since 1970.
const WALL: Duration = Duration::from_secs(1_800_000_000);
/// How long an answer takes.
const TOOK: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
pub(crate) struct Scene {
    seed: u64,
    remote: Option<Value>,
    retry: Retry,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Retry {
    #[serde(default, deserialize_with = "span")]
    initial: Option<Duration>,
    factor: Option<f64>,
    #[serde(default, deserialize_with = "span")]
    max: Option<Duration>,
    attempts: Option<u32>,
    #[serde(default, deserialize_with = "span")]
    hint_max: Option<Duration>,
}

/// An answer; status 0 is none.
#[derive(Clone, Deserialize)]
struct Answer {
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

/// Plays it: asks how a job stands. Tells when it asked, and the job or the error.
pub(crate) fn play(scene: Scene) -> io::Result<Value> {
    let mut builder = Client::builder("http://abide.test")
        .seed(scene.seed)
        .retry(scene.retry.policy());
    if let Some(remote) = scene.remote {
        builder = builder.remote(serde_json::from_value::<Remote>(remote)?);
    }
    let mut core = Core::new(builder, WALL).map_err(io::Error::other)?;
    let job = core.client().job("job_1");
    core.status(job);
    let mut answers = scene.answers.into_iter().cycle();
    let (mut now, mut sent) = (Duration::ZERO, Vec::new());
    loop {
        let mut asked = None;
        for effect in core.turn(now) {
            match effect {
                Effect::Send { exchange, request } => {
                    sent.push(json!([told(now), request.uri().to_string()]));
                    asked = Some(exchange);
                }
                Effect::Ended { end, .. } => {
                    let end = match end {
                        Ok(Ended::Job(job)) => json!(job),
                        Ok(_) => Value::Null,
                        Err(error) => described(&error),
                    };
                    return Ok(json!({"sent": sent, "end": end}));
                }
                _ => {}
            }
        }
        match asked {
            Some(exchange) => {
                now += TOOK;
                let answer = answers.next().expect("a scene has answers");
                tell(&mut core, exchange, answer)?;
            }
            None => now = core.deadline().expect("a call ends"),
        }
    }
}

fn tell(core: &mut Core, exchange: ExchangeId, answer: Answer) -> io::Result<()> {
    if answer.status == 0 {
        core.broken(exchange, Broken::Lost, "lost");
        return Ok(());
    }
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers {
        let name: HeaderName = name.parse().map_err(io::Error::other)?;
        headers.append(
            name,
            HeaderValue::from_str(&value).map_err(io::Error::other)?,
        );
    }
    let status = StatusCode::from_u16(answer.status).map_err(io::Error::other)?;
    core.head(exchange, status, headers);
    core.chunk(exchange, Bytes::from(answer.body));
    core.end(exchange);
    Ok(())
}

impl Retry {
    fn policy(self) -> RetryPolicy {
        let mut policy = RetryPolicy::default();
        if let Some(initial) = self.initial {
            policy = policy.initial(initial);
        }
        if let Some(factor) = self.factor {
            policy = policy.factor(factor);
        }
        if let Some(max) = self.max {
            policy = policy.max(max);
        }
        if let Some(attempts) = self.attempts {
            policy = policy.attempts(attempts);
        }
        if let Some(hint) = self.hint_max {
            policy = policy.hint_max(hint);
        }
        policy
    }
}

fn described(error: &Error) -> Value {
    let kind = match () {
        () if error.is_unreachable() => "unreachable",
        () if error.is_not_found() => "not_found",
        () if error.is_refused() => "refused",
        () if error.is_garbled() => "garbled",
        () => "usage_error",
    };
    json!({
        "code": kind,
        "status": error.status(),
        "problem": error.problem(),
        "retry_after": error.retry_after().map(told),
        "token": error.resume_token().map(ToString::to_string),
        "job_id": error.job_id(),
    })
}
