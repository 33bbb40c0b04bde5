//! Receivers without sockets: they write down what they get and answer as a script says.

#![expect(unreachable_pub, reason = "a module of a test has no public")]

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::courier::send::{ANSWER_BYTES_MAX, Carrying, EXCHANGE_MAX};
use abide_server::courier::{Answered, Carrier, Post, SendError};
use abide_wire::Timestamp;
use abide_wire::webhook::{Signed, Verifier, VerifyError};
use serde_json::Value;
use tokio::sync::Notify;

/// How a receiver answers.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    /// `503`, and when to come back.
    Busy(Duration),
    Unreachable,
    /// Takes that long to say that status.
    Slow(Duration, u16),
    /// A body of that many bytes, as the carrier cuts it.
    Body(usize),
    /// The sender has no descriptor left.
    Lacking,
    /// No answer until the sender gives up.
    TimesOut,
    /// No answer at all, for senders that are killed meanwhile.
    Hang,
}

/// What a receiver got.
#[derive(Clone, Debug)]
pub struct Got {
    pub at: Timestamp,
    pub post: Post,
}

type Script = dyn Fn(&Got, usize) -> Reply + Send + Sync;

/// All receivers there are.
pub struct Receivers {
    clock: Clock,
    got: Mutex<Vec<Got>>,
    news: Notify,
    script: Box<Script>,
}

impl fmt::Debug for Receivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receivers")
    }
}

impl Receivers {
    /// Receivers that answer as `script` says of what they got and how much they had got before.
    pub fn new(
        clock: &Clock,
        script: impl Fn(&Got, usize) -> Reply + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: clock.clone(),
            got: Mutex::default(),
            news: Notify::new(),
            script: Box::new(script),
        })
    }

    pub fn ok(clock: &Clock) -> Arc<Self> {
        Self::new(clock, |_, _| Reply::Status(204))
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until they have got so much, and gives all of it.
    pub async fn wait_for(&self, count: usize) -> Vec<Got> {
        loop {
            let news = self.news.notified();
            let got = self.got();
            if got.len() >= count {
                return got;
            }
            news.await;
        }
    }
}

impl Carrier for Receivers {
    fn post(&self, post: Post) -> Carrying<'_> {
        Box::pin(async move {
            let got = Got {
                at: self.clock.now(),
                post,
            };
            let before = {
                let mut all = self.got.lock().unwrap();
                all.push(got.clone());
                all.len() - 1
            };
            self.news.notify_waiters();
            let answered = |status, retry_after| Answered {
                status,
                retry_after,
                body: format!("answer {}", before + 1).into_bytes(),
                truncated: false,
            };
            match (self.script)(&got, before) {
                Reply::Status(status) => Ok(answered(status, None)),
                Reply::Busy(pause) => Ok(answered(503, Some(pause))),
                Reply::Slow(pause, status) => {
                    tokio::time::sleep(pause).await;
                    Ok(answered(status, None))
                }
                Reply::Body(bytes) => Ok(Answered {
                    body: vec![b'x'; bytes.min(ANSWER_BYTES_MAX)],
                    truncated: bytes > ANSWER_BYTES_MAX,
                    ..answered(500, None)
                }),
                Reply::TimesOut => {
                    tokio::time::sleep(EXCHANGE_MAX).await;
                    Err(SendError::Timeout(EXCHANGE_MAX))
                }
                Reply::Unreachable => Err(SendError::Connect("nobody is there".to_owned())),
                Reply::Lacking => Err(SendError::Own("too many open files".to_owned())),
                Reply::Hang => std::future::pending().await,
            }
        })
    }
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        let value = self.post.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.post.body).unwrap()
    }

    /// Whether it is signed by that secret, as a receiver decides it.
    pub fn verify(&self, secret: &str, now: Timestamp) -> Result<(), VerifyError> {
        let find = |name: &'static str| self.post.headers.get(name)?.to_str().ok();
        let verifier = Verifier::new([secret.parse().unwrap()]);
        verifier.verify_at(Signed::read(find)?, &self.post.body, now)
    }
}
