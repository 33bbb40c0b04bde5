//! Whole waits: what a core was told and when, and what it did.
//!
//! A trace is a list of steps. At `at` seconds after its zero the core is told what `in` lists, and turned: then it has
//! these `effects`, and wants to be turned again at `deadline`. `draws` are the numbers of the client's generator, in
//! the order in which it draws them, so that no other language needs the generator itself: 64 bits each; a share is the
//! upper 53 of them over 2⁵³, an idempotency key is two of them.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::player::{Call, play};
use super::world::{Fault, Manner};

/// How many traces are made of random histories.
const RANDOM: u64 = 300;

/// A trace's name, its world, and what the caller does when.
type Scene = (&'static str, Manner, Vec<(f64, Call)>);

pub(super) fn traces() -> Vec<(String, Value)> {
    let scenes = [without_failures(), with_failures(), of_other_calls()];
    let scenes = scenes.into_iter().flatten().zip(7..);
    let named = scenes.map(|((name, world, calls), seed)| {
        let name = name.replace(' ', "_");
        (name, play(seed, world, calls))
    });
    let random = (0..RANDOM).map(|seed| (format!("random_{seed:03}"), random_trace(seed)));
    named.chain(random).collect()
}

/// A world in which jobs change at those times, and those requests fail.
fn world(lives: &[&[f64]], faults: &[(usize, Fault)]) -> Manner {
    Manner {
        lives: lives.iter().map(|life| life.to_vec()).collect(),
        faults: faults.to_vec(),
        ..Manner::default()
    }
}

/// A wait for the job of the first create.
const fn wait(deadline: Option<f64>, strategy: &'static str, updates: bool) -> Call {
    Call::Wait {
        of: Some(1),
        id: "",
        deadline,
        strategy,
        updates,
    }
}

/// A create, and a call at that time.
fn then(at: f64, call: Call) -> Vec<(f64, Call)> {
    vec![(0.0, Call::Create), (at, call)]
}

fn without_failures() -> Vec<Scene> {
    let changing = || world(&[&[2.0, 4.0, 9.0]], &[]);
    let unheld = Manner {
        holds: false,
        streams: false,
        ..world(&[&[8.0]], &[])
    };
    vec![
        (
            "a hold",
            world(&[&[5.0, 12.0]], &[]),
            then(1.0, wait(None, "auto", false)),
        ),
        ("a stream", changing(), then(1.0, wait(None, "auto", true))),
        ("a watch", changing(), then(1.0, Call::Watch { of: 1 })),
        (
            "polls",
            world(&[&[17.0]], &[]),
            then(0.2, wait(None, "poll", false)),
        ),
        (
            "a deadline",
            world(&[&[60.0]], &[]),
            then(0.5, wait(Some(10.0), "auto", false)),
        ),
        (
            "an end at the deadline",
            world(&[&[9.8]], &[]),
            then(0.5, wait(Some(9.5), "poll", false)),
        ),
        (
            "a server that holds nothing",
            unheld,
            then(0.5, wait(None, "auto", false)),
        ),
    ]
}

fn with_failures() -> Vec<Scene> {
    let faulty = |faults: &[(usize, Fault)]| world(&[&[6.0]], faults);
    let each = [
        (1, Fault::Refuse),
        (2, Fault::Lose),
        (4, Fault::Status(503, None)),
        (5, Fault::Cut),
    ];
    let silent: Vec<_> = (2..60).map(|number| (number, Fault::Refuse)).collect();
    let strange = Call::Wait {
        of: None,
        id: "job_9",
        deadline: None,
        strategy: "auto",
        updates: false,
    };
    vec![
        (
            "a create and a hold through failures",
            faulty(&each),
            then(9.0, wait(None, "long_poll", false)),
        ),
        (
            "a hint is a floor",
            faulty(&[(2, Fault::Status(429, Some(3)))]),
            then(1.0, wait(None, "poll", false)),
        ),
        (
            "nothing listens",
            faulty(&silent),
            then(1.0, wait(None, "auto", false)),
        ),
        (
            "a stall",
            faulty(&[(2, Fault::Stall)]),
            then(1.0, wait(None, "poll", false)),
        ),
        (
            "a page on the way",
            faulty(&[(2, Fault::Page)]),
            then(1.0, wait(None, "long_poll", false)),
        ),
        ("no such job", world(&[], &[]), vec![(0.0, strange)]),
        (
            "a stream that breaks",
            world(&[&[2.0, 4.0, 9.0]], &[(2, Fault::Cut)]),
            then(1.0, wait(None, "stream", true)),
        ),
    ]
}

fn of_other_calls() -> Vec<Scene> {
    let set = Call::Set {
        of: (1..=12).collect(),
        deadline: Some(60.0),
    };
    let lives = (0..12).map(|number| vec![3.0 + f64::from(number) * 1.7]);
    let several = Manner {
        lives: lives.collect(),
        ..Manner::default()
    };
    let mut creates = vec![(0.0, Call::Create); 12];
    creates.push((1.0, set));
    let long = || world(&[&[60.0]], &[]);
    let mut canceled = then(1.0, wait(None, "auto", false));
    canceled.extend([(5.0, Call::Cancel { of: 1 }), (6.0, Call::Status { of: 1 })]);
    let mut given_up = then(1.0, wait(None, "auto", false));
    given_up.push((5.0, Call::GiveUp { op: 0 }));
    let looks = |done_at, failing_looks| Manner {
        done_at,
        failing_looks,
        ..Manner::default()
    };
    let polling = |interval, deadline| vec![(0.0, Call::PollUntil { interval, deadline })];
    vec![
        ("a set", several, creates),
        ("a cancel", long(), canceled),
        ("a wait that is given up", long(), given_up),
        (
            "looks of a function",
            looks(21.0, vec![2, 4]),
            polling(5.0, None),
        ),
        (
            "looks up to a deadline",
            looks(90.0, Vec::new()),
            polling(7.0, Some(30.0)),
        ),
    ]
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
