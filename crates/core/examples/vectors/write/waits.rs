//! Whole waits: what a core was told and when, and what it did.
//!
//! A trace is a list of steps. At `at` seconds after its zero the core is told what `in` lists, and turned: then it has
//! these `effects`, and wants to be turned again at `deadline`. `draws` are the numbers of the client's generator, in
//! the order in which it draws them, so that no other language needs the generator itself: 64 bits each; a share is the
//! upper 53 of them over 2⁵³, an idempotency key is two of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use abide::schedule::Fixed;
use abide::strategy::{Auto, LongPoll, Poll, Stream};
use abide::{Client, Error, JobHandle, NewJob, Report};
use abide_core::{Core, Effect, Ended, News, Op, PollTerms};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::seconds;
use super::world::{EPOCH_MS, Fault, Manner, World, instant};

const URL: &str = "http://127.0.0.1:8080";
/// How many numbers a trace lists.
const DRAWS: usize = 64;
/// The steps after which a trace is cut off.
const STEPS_MAX: usize = 400;
/// How many traces are made of random histories.
const RANDOM: u64 = 300;

/// What the caller does.
#[derive(Clone, Debug)]
enum Call {
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

pub(super) fn traces() -> Vec<(String, Value)> {
    let mut traces = Vec::new();
    let mut add = |name: &str, world: Manner, calls: Vec<(f64, Call)>| {
        let seed = 7 + traces.len() as u64;
        traces.push((name.replace(' ', "_"), play(seed, world, calls)));
    };
    let wait = |deadline, strategy, updates| Call::Wait {
        of: Some(1),
        id: "",
        deadline,
        strategy,
        updates,
    };
    let world = |lives: &[&[f64]], faults: &[(usize, Fault)]| Manner {
        lives: lives.iter().map(|life| life.to_vec()).collect(),
        faults: faults.to_vec(),
        ..Manner::default()
    };
    add(
        "a hold",
        world(&[&[5.0, 12.0]], &[]),
        vec![(0.0, Call::Create), (1.0, wait(None, "auto", false))],
    );
    add(
        "a stream",
        world(&[&[2.0, 4.0, 9.0]], &[]),
        vec![(0.0, Call::Create), (1.0, wait(None, "auto", true))],
    );
    add(
        "a watch",
        world(&[&[2.0, 4.0, 9.0]], &[]),
        vec![(0.0, Call::Create), (1.0, Call::Watch { of: 1 })],
    );
    add(
        "polls",
        world(&[&[17.0]], &[]),
        vec![(0.0, Call::Create), (0.2, wait(None, "poll", false))],
    );
    add(
        "a deadline",
        world(&[&[60.0]], &[]),
        vec![(0.0, Call::Create), (0.5, wait(Some(10.0), "auto", false))],
    );
    add(
        "an end at the deadline",
        world(&[&[9.8]], &[]),
        vec![(0.0, Call::Create), (0.5, wait(Some(9.5), "poll", false))],
    );
    let unheld = Manner {
        holds: false,
        streams: false,
        ..world(&[&[8.0]], &[])
    };
    add(
        "a server that holds nothing",
        unheld,
        vec![(0.0, Call::Create), (0.5, wait(None, "auto", false))],
    );
    let faults = [
        (1, Fault::Refuse),
        (2, Fault::Lose),
        (4, Fault::Status(503, None)),
        (5, Fault::Cut),
    ];
    add(
        "a create and a hold through failures",
        world(&[&[6.0]], &faults),
        vec![(0.0, Call::Create), (9.0, wait(None, "long_poll", false))],
    );
    let faults = [(2, Fault::Status(429, Some(3)))];
    add(
        "a hint is a floor",
        world(&[&[6.0]], &faults),
        vec![(0.0, Call::Create), (1.0, wait(None, "poll", false))],
    );
    let faults: Vec<_> = (2..60).map(|number| (number, Fault::Refuse)).collect();
    add(
        "nothing listens",
        world(&[&[6.0]], &faults),
        vec![(0.0, Call::Create), (1.0, wait(None, "auto", false))],
    );
    add(
        "a stall",
        world(&[&[6.0]], &[(2, Fault::Stall)]),
        vec![(0.0, Call::Create), (1.0, wait(None, "poll", false))],
    );
    add(
        "a page on the way",
        world(&[&[6.0]], &[(2, Fault::Page)]),
        vec![(0.0, Call::Create), (1.0, wait(None, "long_poll", false))],
    );
    let strange = Call::Wait {
        of: None,
        id: "job_9",
        deadline: None,
        strategy: "auto",
        updates: false,
    };
    add("no such job", world(&[], &[]), vec![(0.0, strange)]);
    add(
        "a stream that breaks",
        world(&[&[2.0, 4.0, 9.0]], &[(2, Fault::Cut)]),
        vec![(0.0, Call::Create), (1.0, wait(None, "stream", true))],
    );
    let mut set = vec![(0.0, Call::Create); 12];
    set.push((
        1.0,
        Call::Set {
            of: (1..=12).collect(),
            deadline: Some(60.0),
        },
    ));
    let lives: Vec<Vec<f64>> = (0..12)
        .map(|number| vec![3.0 + f64::from(number) * 1.7])
        .collect();
    add(
        "a set",
        Manner {
            lives,
            ..Manner::default()
        },
        set,
    );
    add(
        "a cancel",
        world(&[&[60.0]], &[]),
        vec![
            (0.0, Call::Create),
            (1.0, wait(None, "auto", false)),
            (5.0, Call::Cancel { of: 1 }),
            (6.0, Call::Status { of: 1 }),
        ],
    );
    add(
        "a wait that is given up",
        world(&[&[60.0]], &[]),
        vec![
            (0.0, Call::Create),
            (1.0, wait(None, "auto", false)),
            (5.0, Call::GiveUp { op: 0 }),
        ],
    );
    let looks = Manner {
        done_at: 21.0,
        failing_looks: vec![2, 4],
        ..Manner::default()
    };
    add(
        "looks of a function",
        looks,
        vec![(
            0.0,
            Call::PollUntil {
                interval: 5.0,
                deadline: None,
            },
        )],
    );
    let looks = Manner {
        done_at: 90.0,
        ..Manner::default()
    };
    add(
        "looks up to a deadline",
        looks,
        vec![(
            0.0,
            Call::PollUntil {
                interval: 7.0,
                deadline: Some(30.0),
            },
        )],
    );
    for seed in 0..RANDOM {
        traces.push((format!("random_{seed:03}"), random_trace(seed)));
    }
    traces
}

/// The trace of the random history with that seed.
pub(super) fn random_trace(seed: u64) -> Value {
    let (world, calls) = random(seed);
    play(1_000 + seed, world, calls)
}

/// A history of a few jobs and failures.
fn random(seed: u64) -> (Manner, Vec<(f64, Call)>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let jobs = rng.random_range(1..=3_u64);
    let mut calls: Vec<(f64, Call)> = Vec::new();
    let mut lives = Vec::new();
    for of in 1..=jobs {
        let end = f64::from(rng.random_range(2..400_u32)) / 10.0;
        lives.push(if rng.random_bool(0.5) {
            vec![end]
        } else {
            vec![end / 3.0, end / 2.0, end]
        });
        calls.push((0.0, Call::Create));
        let strategy = ["auto", "poll", "long_poll", "stream"][rng.random_range(0..4_usize)];
        let deadline = rng
            .random_bool(0.4)
            .then(|| f64::from(rng.random_range(1..40_u32)));
        let updates = rng.random_bool(0.3);
        let at = 10.0 + f64::from(rng.random_range(0..30_u32)) / 10.0;
        calls.push((
            at,
            if rng.random_bool(0.15) {
                Call::Watch { of }
            } else {
                Call::Wait {
                    of: Some(of),
                    id: "",
                    deadline,
                    strategy,
                    updates,
                }
            },
        ));
        let later = at + f64::from(rng.random_range(1..150_u32)) / 10.0;
        match rng.random_range(0..10_u32) {
            0 => calls.push((later, Call::Cancel { of })),
            1 => calls.push((later, Call::Status { of })),
            2 => calls.push((later, Call::GiveUp { op: 0 })),
            _ => {}
        }
    }
    // Which of a set's jobs meets a failure first is left to each language: nothing fails in a history with a set.
    let is_set = rng.random_bool(0.2);
    if is_set {
        let of = (1..=jobs).collect();
        let deadline = rng.random_bool(0.3).then_some(20.0);
        calls.push((15.0, Call::Set { of, deadline }));
    }
    calls.sort_by(|one, two| one.0.total_cmp(&two.0));
    let kinds = [
        Fault::Refuse,
        Fault::Lose,
        Fault::Cut,
        Fault::Page,
        Fault::Stall,
        Fault::Status(503, None),
        Fault::Status(429, Some(2)),
        Fault::Status(500, None),
    ];
    let mut faults = Vec::new();
    for number in 1..30 {
        if rng.random_bool(0.25) && !is_set {
            faults.push((number, kinds[rng.random_range(0..kinds.len())]));
        }
    }
    let (holds, streams) = (rng.random_bool(0.8) || is_set, rng.random_bool(0.8));
    (
        Manner {
            lives,
            faults,
            holds,
            streams,
            ..Manner::default()
        },
        calls,
    )
}

fn play(seed: u64, world: Manner, calls: Vec<(f64, Call)>) -> Value {
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
        let deadline = |some: &Option<f64>| some.map(Duration::from_secs_f64);
        let (name, op) = match call {
            Call::Create => {
                let op = self
                    .core
                    .create(self.core.client().create(NewJob::new("render")));
                self.created.push(op.0);
                (json!({"create": {"kind": "render"}}), op)
            }
            Call::Wait {
                of,
                id,
                deadline: until,
                strategy,
                updates,
            } => {
                let handle = match of {
                    Some(of) => self.handle(*of),
                    None => self.core.client().job(*id),
                };
                let mut wait = handle.wait();
                if let Some(until) = deadline(until) {
                    wait = wait.deadline(until);
                }
                wait = match *strategy {
                    "poll" => wait.strategy(Poll::new()),
                    "long_poll" => wait.strategy(LongPoll::new()),
                    "stream" => wait.strategy(Stream::new()),
                    _ => wait.strategy(Auto::new()),
                };
                let op = self.core.wait(wait, *updates);
                let of = of.map(|of| self.created[of as usize - 1]);
                let id = handle.id().as_str();
                (
                    json!({"wait": id, "of": of, "deadline": until, "strategy": strategy, "updates": updates}),
                    op,
                )
            }
            Call::Watch { of } => {
                let op = self.core.watch(self.handle(*of).watch());
                (
                    json!({"watch": self.handle(*of).id().as_str(), "of": self.created[*of as usize - 1]}),
                    op,
                )
            }
            Call::Set {
                of,
                deadline: until,
            } => {
                let handles: Vec<JobHandle> = of.iter().map(|of| self.handle(*of)).collect();
                let mut set = self.core.client().set(handles);
                if let Some(until) = deadline(until) {
                    set = set.deadline(until);
                }
                let op = self.core.set(set);
                let of: Vec<u64> = of.iter().map(|of| self.created[*of as usize - 1]).collect();
                (json!({"set": of, "deadline": until}), op)
            }
            Call::Status { of } => {
                let op = self.core.status(self.handle(*of));
                (
                    json!({"status": self.handle(*of).id().as_str(), "of": self.created[*of as usize - 1]}),
                    op,
                )
            }
            Call::Cancel { of } => {
                let op = self.core.cancel(self.handle(*of));
                (
                    json!({"cancel": self.handle(*of).id().as_str(), "of": self.created[*of as usize - 1]}),
                    op,
                )
            }
            Call::PollUntil {
                interval,
                deadline: until,
            } => {
                let op = self.core.poll_until(PollTerms {
                    schedule: Arc::new(Fixed::new(Duration::from_secs_f64(*interval))),
                    deadline: deadline(until),
                    ..PollTerms::default()
                });
                (
                    json!({"poll_until": {"fixed": interval}, "deadline": until}),
                    op,
                )
            }
            Call::GiveUp { op } => {
                let op = if *op == 0 {
                    last.unwrap_or_default()
                } else {
                    *op
                };
                self.core.give_up(Op(op), self.now);
                return (json!({"give_up": op}), None);
            }
        };
        let mut described = name;
        described["op"] = json!(op.0);
        (described, Some(op.0))
    }

    fn handle(&self, of: u64) -> JobHandle {
        let op = self.created[of as usize - 1];
        match self.handles.get(&op) {
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
