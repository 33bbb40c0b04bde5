//! Those who work on external jobs.

use std::time::Duration;

use abide::{Job, JobId, TransportError};
use http::Method;
use serde_json::{Value, json};

use super::cast::Actors;
use crate::world::draw::Draw;
use crate::world::history::{Event, View, Way as By};
use crate::world::node::OWNERS;
use crate::world::plan::CLIENTS;
use crate::world::transport::{Answer, CLAIM, Way};

/// The kind of jobs that workers claim.
pub(super) const CLAIMED: &str = "claimed";
/// How often a report is sent at most.
const SENDS_MAX: u32 = 4;

/// A worker, and the lease that it has.
struct Held<'a> {
    worker: &'a str,
    way: &'a Way,
    job: String,
    token: String,
    lease: Duration,
}

/// Claims a job, or waits for one. A claim with an idempotency key is sent again if there is no answer.
async fn claim(
    way: &Way,
    name: Option<&str>,
    body: &Value,
    wait: Duration,
) -> Result<Answer, TransportError> {
    let body = body.to_string();
    let Some(name) = name else {
        return way.ask(Method::POST, CLAIM, Some(body), wait).await;
    };
    let mut answer = way.claim(name, body.clone(), wait).await;
    for _ in 1..SENDS_MAX {
        if answer.is_ok() {
            break;
        }
        answer = way.claim(name, body.clone(), wait).await;
    }
    answer
}

impl Actors {
    /// Works on an external job, and reports until the server has it.
    pub(super) async fn work(&self, step: usize, owner: usize, job: &JobId) {
        let (_, way) = self.safe(owner);
        let draw = self.0.draw.named("work").of(step as u64);
        let reports = draw.named("reports").between(0, 4);
        for n in 0..=reports {
            tokio::time::sleep(draw.named("pause").of(n).span(20, 3_000)).await;
            let report = match n == reports {
                true => json!({"result": {"of": step}}),
                false => json!({"progress": {"percent": 100 * n / (reports + 1)}}),
            };
            for _ in 0..60 {
                let path = format!("/v1/jobs/{job}");
                let body = Some(report.to_string());
                match way.ask(Method::PATCH, &path, body, Duration::ZERO).await {
                    Ok(answer) if answer.status == 200 => {
                        if let Ok(job) = serde_json::from_slice::<Job>(&answer.body) {
                            self.show(format!("report {step}"), By::Change, &job);
                        }
                        break;
                    }
                    // It has ended: this report was taken before, or the job was canceled.
                    Ok(answer) if answer.status == 409 => break,
                    _ => tokio::time::sleep(Duration::from_secs(1)).await,
                }
            }
        }
        self.remark(CLIENTS + owner as u64, job).await;
    }

    /// Claims jobs and works on them, for as long as the world lasts. An owner's first worker has a network that never
    /// fails, the others have a client's.
    pub(in crate::world) async fn claim_jobs(&self, owner: usize, number: u64) {
        let worker = format!("worker {}", OWNERS[owner]);
        let draw = self.0.draw.named("claims").of(owner as u64).of(number);
        let host = match (number, owner) {
            (0, _) => CLIENTS + owner as u64,
            (_, 0) => 0,
            _ => CLIENTS - 1,
        };
        let (_, way) = self.client(host);
        for round in 0_u64.. {
            let draw = draw.of(round);
            let lease = Duration::from_secs(draw.named("lease").between(1, 7));
            let wait = Duration::from_secs(draw.named("wait").between(0, 10));
            let body = json!({
                "kinds": [CLAIMED],
                "wait": wait.as_secs(),
                "lease_s": lease.as_secs(),
            });
            let sent = self.0.history.age();
            let name = format!("claim {owner} {number} {round}");
            let name = draw.named("named").one_in(2).then_some(name);
            match claim(way, name.as_deref(), &body, wait).await {
                Ok(answer) if answer.status == 200 => {
                    let Ok(job) = serde_json::from_slice::<Job>(&answer.body) else {
                        continue;
                    };
                    let token = job.lease.as_ref().map(|lease| lease.token.clone());
                    let held = Held {
                        worker: &worker,
                        way,
                        job: job.id.as_str().to_owned(),
                        token: token.unwrap_or_default(),
                        lease,
                    };
                    let claimed = Event::Claimed {
                        sent,
                        token: held.token.clone(),
                        lease,
                        view: View::of(&job),
                    };
                    self.note(worker.as_str(), claimed);
                    self.work_on(&held, draw).await;
                }
                Ok(answer) if answer.status == 204 => {
                    self.note(worker.as_str(), Event::Idle { sent, wait, host });
                }
                _ => tokio::time::sleep(Duration::from_millis(500)).await,
            }
            tokio::time::sleep(draw.named("pace").span(50, 2_000)).await;
        }
    }

    /// Works on a claimed job: reports in time, or too late, or not at all.
    async fn work_on(&self, held: &Held<'_>, draw: Draw) {
        let reports = draw.named("reports").between(0, 3);
        let too_long = u64::try_from(held.lease.as_millis()).unwrap_or(u64::MAX) * 3 / 2;
        for n in 0..=reports {
            tokio::time::sleep(draw.named("pause").of(n).span(20, too_long)).await;
            let body = match (n == reports, draw.named("says").of(n).below(5)) {
                // It is lost.
                (_, 0) => return,
                (true, 1) => {
                    json!({"error": {"title": "It broke", "status": 500, "code": "broken"}})
                }
                (true, _) => json!({"result": {"by": held.token}}),
                (false, 1 | 2) => json!({}),
                (false, _) => json!({"progress": {"percent": 100 * n / (reports + 1)}}),
            };
            if !self.report(held, &body).await {
                return;
            }
        }
    }

    /// Reports until the server has it. Whether it was taken.
    async fn report(&self, held: &Held<'_>, body: &Value) -> bool {
        for _ in 0..SENDS_MAX {
            let sent = self.0.history.age();
            let report = held.way.report(&held.job, &held.token, body.to_string());
            let Ok(answer) = report.await else {
                tokio::time::sleep(Duration::from_millis(300)).await;
                continue;
            };
            let reported = Event::Reported {
                job: held.job.clone(),
                sent,
                token: held.token.clone(),
                status: answer.status,
            };
            self.note(held.worker, reported);
            match answer.status {
                200 => {
                    if let Ok(job) = serde_json::from_slice::<Job>(&answer.body) {
                        self.show(held.worker, By::Change, &job);
                    }
                    return true;
                }
                503 => tokio::time::sleep(Duration::from_millis(300)).await,
                _ => return false,
            }
        }
        false
    }
}
