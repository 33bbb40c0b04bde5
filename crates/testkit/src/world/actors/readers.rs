//! What clients read: a job over and over, by held requests, from the feed or in a list.

use std::sync::PoisonError;
use std::time::Duration;

use abide::{Job, JobId};
use http::{Method, header};
use serde_json::json;

use super::cast::{Actors, owner_of};
use super::clients::who;
use crate::world::history::{End, Event, Way as By};
use crate::world::node::OWNERS;

/// How long a late follower of the feed goes on.
const FEED_WAIT: Duration = Duration::from_secs(25);
/// How soon it shows that a kept connection is one no longer.
const STALE_MAX: Duration = Duration::from_millis(50);
/// How long a client reads no answer.
const DEAF: Duration = Duration::from_secs(40);
/// How many keys are tried in a row, and within which time; how many of them are listened to: 30 at once, and one in
/// each two seconds.
const GUESSES: u64 = 40;
const GUESSES_TIME_MAX: Duration = Duration::from_secs(5);
const GUESSES_HEARD_MAX: u64 = 33;
/// How long a read is held.
const HOLD: Duration = Duration::from_secs(10);

impl Actors {
    /// Reads a job a few times, unless it is as it was.
    pub(super) async fn look_again(&self, step: usize, client: u64, job: &JobId) {
        let (_, way) = self.client(client);
        let draw = self.0.draw.named("looks").of(step as u64);
        let (mut revision, path) = (0, format!("/v1/jobs/{job}"));
        for n in 0..draw.named("count").between(1, 8) {
            let sent = self.0.history.age();
            let condition = (header::IF_NONE_MATCH, revision);
            let asked = way.ask_if(Method::GET, &path, condition, None).await;
            match asked {
                Ok(answer) if answer.status == 200 => {
                    let Ok(job) = serde_json::from_slice::<Job>(&answer.body) else {
                        continue;
                    };
                    revision = job.revision.0;
                    self.show(who(client), By::Read, &job);
                }
                Ok(answer) if answer.status == 304 => {}
                _ => continue,
            }
            let job = job.as_str().to_owned();
            let read = Event::Read {
                job,
                sent,
                revision,
            };
            self.note(who(client), read);
            tokio::time::sleep(draw.named("pause").of(n).span(10, 4_000)).await;
        }
    }

    /// Reads a job by held requests until its end.
    pub(super) async fn hold(&self, step: usize, client: u64, job: &JobId, half_closes: bool) {
        let (_, way) = self.client(client);
        let mut after = 0;
        for _ in 0..40 {
            let path = format!("/v1/jobs/{job}?wait={}&after={after}", HOLD.as_secs());
            let began = self.0.history.age();
            let answer = match half_closes {
                true => way
                    .ask_and_end(&path, HOLD)
                    .await
                    .map_err(|error| error.to_string()),
                false => {
                    let asked = way.ask(Method::GET, &path, None, HOLD);
                    asked.await.map_err(|error| error.to_string())
                }
            };
            if answer.as_ref().is_ok_and(|answer| answer.status == 404) {
                let (job, host) = (job.as_str().to_owned(), client);
                return self.note(who(client), Event::Missing { job, host });
            }
            let held = answer.and_then(|answer| match answer.status {
                200 => serde_json::from_slice::<Job>(&answer.body).map_err(|it| it.to_string()),
                status => Err(format!("status {status}")),
            });
            let shown = match held {
                Ok(shown) => shown,
                // A kept connection that the server has just closed: every client asks once more.
                Err(_) if !half_closes && self.0.history.age() - began < STALE_MAX => {
                    tokio::time::sleep(STALE_MAX).await;
                    continue;
                }
                Err(why) => {
                    let over = Event::Over {
                        job: job.as_str().to_owned(),
                        how: "hold",
                        host: client,
                        began,
                        deadline: None,
                        half_closed: half_closes,
                        after: Some(after),
                        end: End::Other(why),
                    };
                    self.note(format!("hold {step}"), over);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    continue;
                }
            };
            self.show(format!("hold {step}"), By::Hold, &shown);
            let over = Event::Over {
                job: job.as_str().to_owned(),
                how: "hold",
                host: client,
                began,
                deadline: Some(HOLD),
                half_closed: half_closes,
                after: Some(after),
                end: match shown.revision.0 > after {
                    true => End::Finished,
                    false => End::StillRunning,
                },
            };
            self.note(format!("hold {step}"), over);
            if shown.done {
                return;
            }
            after = shown.revision.0;
        }
    }

    /// Follows the feed for a while, beside the owner's first follower.
    pub(super) async fn follow_late(&self, step: usize, client: u64) {
        let places = self.0.places[owner_of(client)].lock();
        let places = places.unwrap_or_else(PoisonError::into_inner).clone();
        let draw = self.0.draw.named("late").of(step as u64);
        let count = places.len() as u64;
        // One draw stands for no place: the follower begins with what comes next.
        let begin = usize::try_from(draw.below(count + 1)).unwrap_or_default();
        let begin = places.get(begin).cloned();
        let name = format!("late {step}");
        let followed = Event::Followed {
            host: client,
            after: begin.as_ref().map(|(_, change)| change.clone()),
        };
        self.note(name.as_str(), followed);
        let place = begin.map(|(place, _)| place);
        let following = self.tell(self.client(client).0, &name, place, |_, _| {});
        let _ = tokio::time::timeout(FEED_WAIT, following).await;
        self.note(name, Event::Unfollowed);
    }

    pub(super) async fn list(&self, client: u64) {
        let sent = self.0.history.age();
        let mut list = self.client(client).0.list().page_size(3);
        let mut jobs = Vec::new();
        while let Ok(page) = list.next_page().await {
            let Some(page) = page else {
                let owner = OWNERS[owner_of(client)];
                let listed = Event::Listed { owner, sent, jobs };
                return self.note(who(client), listed);
            };
            for job in page {
                self.show(who(client), By::List, &job);
                jobs.push(job.id.as_str().to_owned());
            }
        }
    }

    /// Asks oddly, twice.
    pub(super) async fn ask_oddly(&self, step: usize, client: u64, job: &JobId) {
        for n in 0..2 {
            let draw = self.0.draw.named("odd").of(step as u64).of(n);
            match draw.below(8) {
                0 => self.drip(client).await,
                1 => self.read_nothing(client).await,
                2 => self.guess(client).await,
                odd => {
                    if let Some(answered) = self.ask_odd(client, job, odd).await {
                        self.note(who(client), answered);
                    }
                }
            }
        }
    }

    /// Sends a body byte by byte.
    async fn drip(&self, client: u64) {
        let sent = self.0.history.age();
        // It may be the network that ends it.
        let _over = self.client(client).1.drip().await;
        self.note(who(client), Event::Dripped { sent, host: client });
    }

    /// Reads no answer for a while.
    async fn read_nothing(&self, client: u64) {
        let sent = self.0.history.age();
        if let Ok(is_ended) = self.client(client).1.ask_deaf(DEAF).await {
            let deaf = Event::Deaf {
                sent,
                host: client,
                is_ended,
            };
            self.note(who(client), deaf);
        }
    }

    /// Tries more keys than are listened to.
    async fn guess(&self, client: u64) {
        let (_, way) = self.client(client);
        let sent = self.0.history.age();
        let mut heard = 0;
        for n in 0..GUESSES {
            let guess = format!("a-guess-that-is-long-enough-{n}");
            let lines = [(way.key(), guess.as_str())];
            let asked = way.ask_as(&lines, "/v1/jobs", Duration::ZERO).await;
            // A server that has started anew has counted none.
            let Ok(answer) = asked else {
                return;
            };
            heard += u64::from(answer.status != 429);
        }
        if self.0.history.age() < sent + GUESSES_TIME_MAX {
            let odd = Event::Odd {
                what: "a guess after many",
                expected: 429,
                status: if heard > GUESSES_HEARD_MAX { 401 } else { 429 },
            };
            self.note(who(client), odd);
        }
    }

    /// Asks in one of a few odd ways, to each of which there is one right answer.
    async fn ask_odd(&self, client: u64, job: &JobId, odd: u64) -> Option<Event> {
        let (_, way) = self.client(client);
        let path = format!("/v1/jobs/{job}");
        let with = |line| [("", line)];
        let (what, expected, asked) = match odd {
            3 => {
                let hosts = with("host: another.test");
                let asked = way.ask_as(&hosts, &path, Duration::ZERO);
                ("a request to two hosts", 400, asked.await.ok())
            }
            4 => {
                let coding = with("transfer-encoding: gzip, chunked");
                let asked = way.ask_as(&coding, &path, Duration::ZERO);
                ("a body in an unknown coding", 501, asked.await.ok())
            }
            5 => {
                let change = json!({"outcome": {"error_chance": 1}}).to_string();
                let asked = way.ask(Method::PATCH, "/v1/simulator", Some(change), Duration::ZERO);
                ("a change for everyone", 403, asked.await.ok())
            }
            6 => {
                let path = "/v1/jobs?created_after=2020-01-01T00:00:00+00:00";
                let asked = way.ask(Method::GET, path, None, Duration::ZERO);
                ("a sign that isn't escaped", 200, asked.await.ok())
            }
            _ => {
                let new = r#"{"worker": "external", "input": "\ud800"}"#.to_owned();
                let asked = way.ask(Method::POST, "/v1/jobs", Some(new), Duration::ZERO);
                ("half of a character", 422, asked.await.ok())
            }
        };
        Some(Event::Odd {
            what,
            expected,
            status: asked?.status,
        })
    }
}
