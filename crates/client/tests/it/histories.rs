//! Random histories: a server that fails in every way, any strategy, any deadline; the answer is right or the error is
//! true, the deadline holds, and nothing is left behind.
//!
//! `ABIDE_TEST_SEED=n` plays one history and tells what happened in it; `ABIDE_TEST_HISTORIES=n` plays n.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide::schedule::{Backoff, Countdown, Fixed, Jitter};
use abide::strategy::{Auto, LongPoll, Poll, Stream};
use abide::{Error, Inbox, JobHandle, NewJob, Outcome, RetryPolicy, Revision, Wait, strategy};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::world::{Fault, Manner, Seen, World};

/// How much an answer may lag behind the truth at the deadline: the last look's margin, and the way of its answer.
const MARGIN: f64 = 2.3;

/// What one history is made of.
#[derive(Debug)]
struct Plan {
    manner: Manner,
    changes: Vec<f64>,
    outcome: Outcome,
    strategy: u32,
    /// By a wait, by a watch or by a set of two.
    how: u32,
    updates: bool,
    create: bool,
    deadline: Option<f64>,
    /// When faults strike, and how likely.
    faults_from: f64,
    faults_to: f64,
    chance: f64,
    /// Whether faults may be final: a refusal is then a true answer.
    finals: bool,
    /// Where a wait by webhooks listens.
    inbox: Inbox,
    seed: u64,
}

impl Plan {
    fn draw(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let length = (rng.random_range(-2.0_f64..5.0)).exp();
        let steps = rng.random_range(0..5);
        let mut changes: Vec<f64> = (0..steps).map(|_| rng.random_range(0.0..length)).collect();
        changes.sort_by(f64::total_cmp);
        changes.push(length);
        let faults_from = if rng.random_bool(0.5) {
            0.0
        } else {
            rng.random_range(0.0..length)
        };
        Self {
            manner: Manner {
                rtt: Duration::from_secs_f64(rng.random_range(-8.0_f64..-1.0).exp()),
                holds: rng.random_bool(0.8),
                sets: rng.random_bool(0.8),
                streams: rng.random_bool(0.8),
                buffered: rng.random_bool(0.2),
                greets: rng.random_bool(0.7),
                heartbeat: Duration::from_secs(15),
                skew: rng.random_range(-3_600_000..3_600_000),
                timing: rng.random_bool(0.5),
                hint: [None, None, Some("1"), Some("30"), Some("0"), Some("soon")]
                    [rng.random_range(0..6)],
            },
            changes,
            outcome: [Outcome::Completed, Outcome::Failed, Outcome::Canceled]
                [rng.random_range(0..3)],
            strategy: rng.random_range(0..8),
            // Drawn apart, so that the rest of a history is what it was before there was this.
            how: ChaCha8Rng::seed_from_u64(!seed).random_range(0..4),
            updates: rng.random_bool(0.5),
            create: rng.random_bool(0.3),
            deadline: rng
                .random_bool(0.7)
                .then(|| length * rng.random_range(0.0..3.0)),
            faults_from,
            faults_to: faults_from + [0.0, 3.0, 15.0, 1e9][rng.random_range(0..4)],
            chance: [0.05, 0.3, 0.7, 1.0][rng.random_range(0..4)],
            finals: rng.random_bool(0.1),
            inbox: Inbox::new(),
            seed,
        }
    }

    /// How long after it happened a change is pushed: some are lost, some late, some doubled, and so they overtake
    /// each other.
    fn pushes(&self, change: usize) -> Vec<Duration> {
        let seed = self.seed ^ (change as u64 + 1).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut one = || {
            let late = rng.random_bool(0.3);
            Duration::from_millis(rng.random_range(0..if late { 10_000 } else { 50 }))
        };
        let (first, second) = (one(), one());
        match rng.random_range(0..4) {
            0 => vec![],
            1 => vec![first, second],
            _ => vec![first],
        }
    }

    /// When the end is pushed to a wait by webhooks, in seconds since the job was created.
    fn end_pushed(&self) -> Option<f64> {
        let end = self.changes.last()?;
        let pushes = (self.strategy == 5).then(|| self.pushes(self.changes.len() - 1))?;
        Some(end + pushes.into_iter().min()?.as_secs_f64())
    }

    /// The fault that strikes a request; the same one for the same history and ordinal.
    fn fault(&self, seen: &Seen) -> Fault {
        let mut rng = ChaCha8Rng::seed_from_u64(
            self.seed ^ (seen.ordinal as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        );
        let at = seen.at.as_secs_f64();
        if !(self.faults_from..self.faults_to).contains(&at) || !rng.random_bool(self.chance) {
            return Fault::None;
        }
        if self.finals && rng.random_bool(0.2) {
            let status = [400, 401, 403, 404, 410, 422][rng.random_range(0..6)];
            return [
                Fault::Status(status, None),
                Fault::Redirect(301),
                Fault::Redirect(308),
            ][rng.random_range(0..3)]
            .clone();
        }
        let status = [408, 425, 429, 500, 502, 503, 504][rng.random_range(0..7)];
        let hint = [None, None, Some("0"), Some("1"), Some("3")][rng.random_range(0..5)];
        let bytes = rng.random_range(0..600);
        [
            Fault::Refuse,
            Fault::Reset,
            Fault::ResetAfter,
            Fault::Stall,
            Fault::StallBody,
            Fault::Cut(bytes),
            Fault::Short(bytes),
            Fault::Garbage,
            Fault::Page,
            Fault::OtherShape,
            // Of a create nobody can tell that it was answered with another's job.
            if seen.is_create() {
                Fault::Garbage
            } else {
                Fault::OtherJob
            },
            Fault::NoContent,
            Fault::Redirect(302),
            Fault::Redirect(307),
            Fault::Status(status, hint),
            Fault::Status(status, hint),
            Fault::Late(Duration::from_secs_f64(rng.random_range(0.0..20.0))),
            Fault::HoldCut(Duration::from_secs_f64(rng.random_range(0.0..40.0))),
            Fault::Stale(Duration::from_secs_f64(rng.random_range(0.0..10.0))),
        ][rng.random_range(0..19)]
        .clone()
    }

    fn strategy(&self) -> Box<dyn strategy::Strategy> {
        match self.strategy {
            0 => Box::new(LongPoll::new()),
            1 => Box::new(Stream::new()),
            2 => Box::new(Poll::by(
                Fixed::new(Duration::from_secs(2)).jitter(Jitter::Around(0.5)),
            )),
            3 => Box::new(Poll::by(
                Backoff::new(Duration::from_millis(500)).factor(1.7),
            )),
            4 => Box::new(Poll::by(Countdown::default())),
            5 => Box::new(
                strategy::Webhook::new(&self.inbox).polls(Fixed::new(Duration::from_secs(3))),
            ),
            _ => Box::new(Auto::new()),
        }
    }

    /// Whether every failure passes soon enough for a patient wait to outlast it.
    fn is_survivable(&self) -> bool {
        !self.finals && self.faults_to - self.faults_from <= 15.0 && self.strategy != 4
    }
}

struct Played {
    /// When the end was pushed, since the wait began.
    told: Option<f64>,
    result: Result<(Outcome, Revision), Error>,
    took: f64,
    revisions: Vec<u64>,
}

type Revisions = Arc<Mutex<Vec<u64>>>;
type Learned = Result<(Outcome, Revision), Error>;

/// How patient a wait without a deadline is.
fn patient() -> RetryPolicy {
    RetryPolicy::default().patience(Duration::from_secs(60))
}

async fn waited(plan: &Plan, job: &JobHandle, revisions: &Revisions) -> Learned {
    let mut wait: Wait = job.wait().strategy(plan.strategy());
    if plan.updates {
        let revisions = Arc::clone(revisions);
        wait = wait.on_update(move |job| revisions.lock().unwrap().push(job.revision.0));
    }
    wait = match plan.deadline {
        Some(deadline) => wait.deadline(Duration::from_secs_f64(deadline)),
        None => wait.retry(patient()),
    };
    let done = wait.await?;
    Ok((done.outcome(), done.job().revision))
}

async fn watched(plan: &Plan, job: &JobHandle, revisions: &Revisions) -> Learned {
    let watch = job.watch().strategy(plan.strategy());
    let mut watch = match plan.deadline {
        Some(deadline) => watch.deadline(Duration::from_secs_f64(deadline)),
        None => watch.retry(patient()),
    };
    while let Some(state) = watch.next().await {
        let state = state?;
        revisions.lock().unwrap().push(state.revision.0);
        if let Some(outcome) = state.outcome {
            assert!(watch.next().await.is_none(), "there is more after the end");
            return Ok((outcome, state.revision));
        }
    }
    panic!("a watch was over without an end and without an error");
}

/// Together with a job that nobody knows, which must come to nothing by itself alone.
async fn in_a_set(plan: &Plan, world: &World, job: &JobHandle) -> Learned {
    let nobody = job.client().job("nobody");
    let set = job.client().set([job.clone(), nobody]);
    let set = set.strategy(plan.strategy());
    let mut set = match plan.deadline {
        Some(deadline) => set.deadline(Duration::from_secs_f64(deadline)),
        None => set.retry(patient()),
    };
    let mut learned = None;
    while let Some((id, outcome)) = set.join_next().await {
        if id == *job.id() {
            assert!(learned.is_none(), "told of twice");
            learned = Some(outcome.map(|done| (done.outcome(), done.job().revision)));
        } else {
            assert!(
                outcome.is_err(),
                "nobody has ended, at {:?}",
                world.elapsed()
            );
        }
    }
    learned.expect("every job of a set is told of")
}

async fn play(plan: &Arc<Plan>, world: &World) -> Option<Played> {
    let client = world.builder().seed(plan.seed).build().unwrap();
    let job: JobHandle = if plan.create {
        world.jobs_are(&plan.changes, plan.outcome);
        match client.create(NewJob::new("k")).await {
            Ok(job) => job,
            Err(error) => {
                assert!(error.idempotency_key().is_some(), "{error:?}");
                assert!(error.is_unreachable() || error.is_garbled() || error.is_refused());
                return None;
            }
        }
    } else {
        client.job(world.job("job", &plan.changes, plan.outcome))
    };
    let revisions = Arc::new(Mutex::new(Vec::new()));
    let began = world.elapsed();
    let age = world.age(job.id()).as_secs_f64();
    let learning = async {
        match plan.how {
            0 => watched(plan, &job, &revisions).await,
            1 => in_a_set(plan, world, &job).await,
            _ => waited(plan, &job, &revisions).await,
        }
    };
    let pushing = async {
        if plan.strategy == 5 {
            let pushes = |change| plan.pushes(change);
            world.push(job.id(), &plan.inbox, pushes).await;
        }
        std::future::pending::<()>().await;
    };
    let result = tokio::select! {
        result = learning => result,
        () = pushing => unreachable!("it never ends"),
    };
    let told = plan.end_pushed().map(|at| (at - age).max(0.0));
    let took = (world.elapsed() - began).as_secs_f64();
    let id = job.id().clone();
    let now = world.look(&id).unwrap();
    match &result {
        Ok((outcome, revision)) => {
            assert_eq!(*outcome, plan.outcome, "the outcome is another");
            assert!(now.done, "it was told as ended before it was");
            assert_eq!(*revision, now.revision);
        }
        Err(error) => {
            assert_eq!(error.job_id(), Some(&id));
            assert!(error.resume_token().is_some());
            if error.is_still_running() {
                let end = plan.changes.last().unwrap();
                // The server itself may have told of the past.
                let told = world.seen();
                let told = told.iter().map(|seen| plan.fault(seen));
                let stale = told.filter_map(|fault| match fault {
                    Fault::Stale(ago) => Some(ago.as_secs_f64()),
                    _ => None,
                });
                let age = world.age(&id).as_secs_f64() - stale.fold(0.0, f64::max);
                assert!(
                    *end > age - MARGIN,
                    "told as running {} s after its end",
                    age - end
                );
                assert!(plan.deadline.is_some() || plan.strategy == 4);
            }
        }
    }
    drop((job, client));
    let revisions = revisions.lock().unwrap().clone();
    Some(Played {
        told,
        result,
        took,
        revisions,
    })
}

/// Plays one history; says whether the end was learned, and if not, whether the job was told as running.
fn check(seed: u64, tell: bool) -> (bool, bool) {
    let plan = Arc::new(Plan::draw(seed));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let script = Arc::clone(&plan);
        if tell {
            println!("{plan:#?}");
        }
        let world = World::with(plan.manner.clone(), move |seen| {
            let fault = script.fault(seen);
            if tell {
                println!(
                    "{:?} {} {} {:?} {fault:?}",
                    seen.at, seen.method, seen.path, seen.query
                );
            }
            fault
        });
        let played = play(&plan, &world).await;
        // Tasks that were told to end get a chance to.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.open(), 0, "exchanges are left behind");
        assert!(
            world.created() <= 1,
            "{} jobs for one create",
            world.created()
        );
        let faults = world
            .seen()
            .iter()
            .filter(|seen| plan.fault(seen) != Fault::None)
            .count();
        let Some(played) = played else {
            assert!(faults > 0, "a create failed without a fault");
            return (false, false);
        };
        for pair in played.revisions.windows(2) {
            assert!(
                pair[0] < pair[1],
                "revisions went back: {:?}",
                played.revisions
            );
        }
        if let Some(deadline) = plan.deadline {
            assert!(
                played.took <= deadline + 0.1,
                "{} s instead of {deadline} s",
                played.took
            );
        }
        if let (Some(told), true) = (played.told, plan.how != 1) {
            assert!(
                played.took <= told + 0.1,
                "pushed after {told} s and known after {} s",
                played.took
            );
        }
        assert_eq!(plan.inbox.listeners(), 0, "listeners are left behind");
        let busy = 60.0 + played.took * 5.0;
        assert!(
            (world.requests() as f64) < busy,
            "{} requests in {} s",
            world.requests(),
            played.took
        );
        match &played.result {
            Ok(_) => {}
            Err(error) if error.is_still_running() => {}
            Err(error) => {
                let too_short = plan
                    .deadline
                    .is_some_and(|deadline| deadline < plan.manner.rtt.as_secs_f64() * 6.0);
                assert!(faults > 0 || too_short, "no fault, and yet {error:?}");
                assert!(
                    plan.finals || !error.is_refused(),
                    "nothing was refused, and yet {error:?}"
                );
                assert!(!error.is_usage());
                if plan.deadline.is_none() {
                    assert!(
                        !plan.is_survivable(),
                        "it should have outlasted that: {error:?}"
                    );
                }
            }
        }
        let running = |error: &Error| error.is_still_running();
        (
            played.result.is_ok(),
            played.result.as_ref().is_err_and(running),
        )
    })
}

#[test]
fn in_ten_thousand_histories_the_answer_is_right_or_the_error_is_true() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    if let Some(seed) = number("ABIDE_TEST_SEED") {
        check(seed, true);
        return;
    }
    let histories = number("ABIDE_TEST_HISTORIES").unwrap_or(10_000);
    let (mut ended, mut running) = (0, 0);
    for seed in 0..histories {
        match std::panic::catch_unwind(|| check(seed, false)) {
            Ok((end, run)) => {
                ended += u64::from(end);
                running += u64::from(run);
            }
            Err(_) => panic!("play it again with ABIDE_TEST_SEED={seed}"),
        }
    }
    // Histories of one kind only would prove little.
    let failed = histories - ended - running;
    assert!(
        ended > histories / 3 && running > histories / 30 && failed > histories / 20,
        "{ended} {running} {failed}"
    );
    println!("{ended} ended, {running} were told as running, {failed} came to nothing");
}
