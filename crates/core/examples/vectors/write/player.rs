//! Plays a caller's history to a core beside a scripted world, and writes down each step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use abide::schedule::Fixed;
use abide::strategy::{Auto, LongPoll, Poll, Stream};
use abide::{Client, Error, JobHandle, NewJob, Report, Wait};
use abide_core::{Core, Effect, Ended, News, Op, PollTerms};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::seconds;
use super::world::{EPOCH_MS, Manner, World, instant};

const URL: &str = "http://127.0.0.1:8080";
/// How many numbers a trace lists.
const DRAWS: usize = 64;
/// The steps after which a trace is cut off.
const STEPS_MAX: usize = 400;

/// What the caller does.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Create,
    /// Waits for the job of that create, or of that id.
    Wait {
        of: Option<u64>,
        id: &'static str,
        deadline: Option<f64>,
        strategy: &'static str,
        updates: bool,
    },
    Watch {
        of: u64,
    },
    Set {
        of: Vec<u64>,
        deadline: Option<f64>,
    },
    Status {
        of: u64,
    },
    Cancel {
        of: u64,
    },
    PollUntil {
        interval: f64,
        deadline: Option<f64>,
    },
    GiveUp {
        op: u64,
    },
}

/// A trace under way.
struct Player {
    core: Core,
    world: World,
    now: Duration,
    handles: BTreeMap<u64, JobHandle>,
    /// The creates in their order, to be spoken of by their number.
    created: Vec<u64>,
    steps: Vec<Value>,
}

/// The trace of these calls in that world.
pub(super) fn play(seed: u64, world: Manner, calls: Vec<(f64, Call)>) -> Value {
    let wall = Duration::from_millis(EPOCH_MS.unsigned_abs());
    let builder = Client::builder(URL).seed(seed);
    let mut player = Player {
        core: Core::new(builder, wall).expect("the address is right"),
        world: World::new(world),
        now: Duration::ZERO,
        handles: BTreeMap::new(),
        created: Vec::new(),
        steps: Vec::new(),
    };
    player.run(calls);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let draws: Vec<String> = (0..DRAWS)
        .map(|_| rng.random::<u64>().to_string())
        .collect();
    json!({"url": URL, "wall": wall.as_secs_f64(), "seed": seed, "draws": draws, "steps": player.steps})
}

impl Player {
    fn run(&mut self, calls: Vec<(f64, Call)>) {
        let mut calls = calls.into_iter().peekable();
        let mut last = None;
        while self.steps.len() < STEPS_MAX {
            let call = calls.peek().map(|(at, _)| Duration::from_secs_f64(*at));
            let next = [call, self.world.next(), self.core.deadline()];
            let Some(at) = next.into_iter().flatten().min() else {
                return;
            };
            // To the microsecond, rounded up: so traces are played on any clock.
            self.now = self.now.max(whole(at));
            let mut told = Vec::new();
            while let Some((_, call)) =
                calls.next_if(|(at, _)| Duration::from_secs_f64(*at) <= self.now)
            {
                let (described, op) = self.call(&call, last);
                last = op.or(last);
                told.push(described);
            }
            for input in self.world.due(self.now) {
                told.push(input.describe());
                input.tell(&mut self.core);
            }
            self.turn(&told);
        }
    }

    fn turn(&mut self, told: &[Value]) {
        let effects = self.core.turn(self.now);
        let effects: Vec<Value> = effects
            .into_iter()
            .map(|effect| self.meet(effect))
            .collect();
        let deadline = self.core.deadline().map(|at| instant(whole(at)));
        self.steps.push(
            json!({"at": instant(self.now), "in": told, "effects": effects, "deadline": deadline}),
        );
    }

    /// Does what the caller does, and says what that was and which operation came of it.
    fn call(&mut self, call: &Call, last: Option<u64>) -> (Value, Option<u64>) {
        let (mut described, op) = match call {
            Call::Create => {
                let create = self.core.client().create(NewJob::new("render"));
                let op = self.core.create(create);
                self.created.push(op.0);
                (json!({"create": {"kind": "render"}}), op)
            }
            Call::Wait {
                of,
                id,
                deadline,
                strategy,
                updates,
            } => {
                let handle = match of {
                    Some(of) => self.handle(*of),
                    None => self.core.client().job(*id),
                };
                let of = of.map(|of| self.create(of));
                let told = json!({
                    "wait": handle.id().as_str(), "of": of, "deadline": deadline, "strategy": strategy,
                    "updates": updates,
                });
                let wait = begin(&handle, *deadline, strategy);
                (told, self.core.wait(wait, *updates))
            }
            Call::Watch { of } => {
                let op = self.core.watch(self.handle(*of).watch());
                (self.about("watch", *of), op)
            }
            Call::Set { of, deadline } => {
                let handles: Vec<JobHandle> = of.iter().map(|of| self.handle(*of)).collect();
                let mut set = self.core.client().set(handles);
                if let Some(until) = *deadline {
                    set = set.deadline(Duration::from_secs_f64(until));
                }
                let of: Vec<u64> = of.iter().map(|of| self.create(*of)).collect();
                (json!({"set": of, "deadline": deadline}), self.core.set(set))
            }
            Call::Status { of } => {
                let op = self.core.status(self.handle(*of));
                (self.about("status", *of), op)
            }
            Call::Cancel { of } => {
                let op = self.core.cancel(self.handle(*of));
                (self.about("cancel", *of), op)
            }
            Call::PollUntil { interval, deadline } => {
                let op = self.core.poll_until(PollTerms {
                    schedule: Arc::new(Fixed::new(Duration::from_secs_f64(*interval))),
                    deadline: deadline.map(Duration::from_secs_f64),
                    ..PollTerms::default()
                });
                let told = json!({"poll_until": {"fixed": interval}, "deadline": deadline});
                (told, op)
            }
            Call::GiveUp { op } => {
                let op = match *op {
                    0 => last.unwrap_or_default(),
                    op => op,
                };
                self.core.give_up(Op(op), self.now);
                return (json!({"give_up": op}), None);
            }
        };
        described["op"] = json!(op.0);
        (described, Some(op.0))
    }

    /// A call about the job of that create.
    fn about(&self, call: &str, of: u64) -> Value {
        json!({(call): self.handle(of).id().as_str(), "of": self.create(of)})
    }

    /// The operation of that create.
    fn create(&self, of: u64) -> u64 {
        self.created[of as usize - 1]
    }

    fn handle(&self, of: u64) -> JobHandle {
        match self.handles.get(&self.create(of)) {
            Some(handle) => handle.clone(),
            // Its create came to nothing: the wait is for a job that doesn't exist.
            None => self.core.client().job("job_none"),
        }
    }

    /// Lets the world meet an effect, and describes it.
    fn meet(&mut self, effect: Effect) -> Value {
        match effect {
            Effect::Send { exchange, request } => {
                self.world.send(self.now, exchange.0, &request);
                let headers: BTreeMap<&str, &str> = request
                    .headers()
                    .iter()
                    // Each language has a name of its own.
                    .filter(|(name, _)| *name != "user-agent")
                    .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
                    .collect();
                let body = String::from_utf8_lossy(request.body());
                json!({
                    "send": exchange.0, "method": request.method().as_str(), "url": request.uri().to_string(),
                    "headers": headers, "body": body,
                })
            }
            Effect::Abort { exchange } => {
                self.world.abort(exchange.0);
                json!({"abort": exchange.0})
            }
            Effect::Look { op, look } => {
                self.world.look(self.now, look.0);
                json!({"look": look.0, "op": op.0})
            }
            Effect::LookAbort { look } => json!({"look_abort": look.0}),
            Effect::Work(work) => {
                work.read().put();
                json!("work")
            }
            Effect::News {
                op,
                news: News::Job(job),
            } => {
                json!({"news": op.0, "id": job.id.as_str(), "revision": job.revision.0, "done": job.done})
            }
            Effect::News {
                op,
                news: News::Member(id, Ok(done)),
            } => json!({
                "member": op.0, "id": id.as_str(), "outcome": done.outcome().as_str(), "report": report(done.report()),
            }),
            Effect::News {
                op,
                news: News::Member(id, Err(error)),
            } => {
                json!({"member": op.0, "id": id.as_str(), "error": failure(&error)})
            }
            Effect::News {
                op,
                news: News::Change(..),
            } => json!({"change": op.0}),
            Effect::Ended { op, end: Ok(end) } => self.ended(op, end),
            Effect::Ended {
                op,
                end: Err(error),
            } => json!({"failed": op.0, "error": failure(&error)}),
        }
    }

    fn ended(&mut self, op: Op, end: Ended) -> Value {
        let mut told = match end {
            Ended::Created(handle) => {
                let told = json!({"id": handle.id().as_str()});
                self.handles.insert(op.0, handle);
                told
            }
            Ended::Job(job) => {
                json!({"id": job.id.as_str(), "revision": job.revision.0, "done": job.done})
            }
            Ended::Finished(done) => json!({
                "id": done.id().as_str(), "outcome": done.outcome().as_str(), "report": report(done.report()),
            }),
            Ended::Looked(told) => json!({"report": report(&told)}),
            _ => json!({}),
        };
        told["ended"] = json!(op.0);
        told
    }
}

/// A wait for that job by a strategy of that name.
fn begin(job: &JobHandle, deadline: Option<f64>, strategy: &str) -> Wait {
    let wait = match deadline {
        Some(deadline) => job.wait().deadline(Duration::from_secs_f64(deadline)),
        None => job.wait(),
    };
    match strategy {
        "poll" => wait.strategy(Poll::new()),
        "long_poll" => wait.strategy(LongPoll::new()),
        "stream" => wait.strategy(Stream::new()),
        _ => wait.strategy(Auto::new()),
    }
}

/// The microsecond that an instant lies in or before.
fn whole(at: Duration) -> Duration {
    Duration::from_micros(u64::try_from(at.as_nanos().div_ceil(1_000)).expect("traces are short"))
}

fn report(report: &Report) -> Value {
    json!({
        "requests": report.requests, "failures": report.failures, "channel": report.channel.map(|channel| channel.as_str()),
        "strategy": report.strategy, "elapsed": seconds(report.elapsed),
    })
}

fn failure(error: &Error) -> Value {
    let kind = match () {
        () if error.is_still_running() => "still_running",
        () if error.is_unreachable() => "unreachable",
        () if error.is_not_found() => "not_found",
        () if error.is_refused() => "refused",
        () if error.is_garbled() => "garbled",
        () => "usage",
    };
    json!({"kind": kind, "timed_out": error.is_timeout(), "status": error.status(), "job_id": error.job_id().map(|id| id.as_str())})
}
