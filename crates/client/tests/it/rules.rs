//! The rules of waiting, each a fault of a well-known client, each a test named after what must be true.
//!
//! | rule | where it is tested |
//! |---|---|
//! | 1 a deadline bounds everything, all of it is used, and one last look is taken | here, under 1; `histories`: within 100 ms whatever the server does |
//! | 2 still running, failed, unreachable and refused are four things; each error resumes | here, under 2 |
//! | 3 failures are a process of their own, under a budget | here, under 3; `src/retry.rs` |
//! | 4 one create makes one job | here, under 4; `faults::fault_8_a_create_is_never_doubled` |
//! | 5 clients decide on `done` and `outcome` | here, under 5; `foreign::a_word_that_nobody_knows_means_that_the_job_runs_unless_that_is_refused` |
//! | 6 hints are read anew; floors, not appointments | here, under 6; `foreign::a_hint_is_read_anew_on_every_answer`; `src/schedule/learned/hint.rs` |
//! | 7 empty is no result; 204 ends a stream; every held read has a watchdog | here, under 7; `src/strategy/stream.rs` |
//! | 8 one bad id fails itself alone; one deadline; order of completion | `many::one_bad_id_fails_itself_alone`, `many::a_set_has_one_deadline`, `many::outcomes_come_in_order_of_completion` |
//! | 9 dropping is safe at every await | `drops`, by poll count; `sockets::dropping_a_wait_closes_its_connection` |
//! | 10 progress before sleeping; revisions never go back | here, under 10; `many::a_watch_tells_every_state_once_and_in_order`; `histories` |
//! | 11 thousands of waits share a request, a pool and a budget | `many::a_thousand_separate_waits_share_requests_too`, `many::however_a_thousand_jobs_end_no_ten_seconds_have_more_than_thirty_requests`, `real::a_thousand_jobs_in_one_process_spend_at_most_three_requests_a_second`; `src/budget.rs` |
//! | 12 every wait reports itself | here, under 12; `telemetry` |
//! | 13 the learned state is small, atomic, safe to lose and to share | `src/schedule/learned/file.rs`, `src/schedule/learned/history.rs` |
//! | 14 it never prints, never sets up logging, never panics on input, leaves no task | the lints of the workspace; `histories`; `drops` |

use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide::schedule::{Backoff, Fixed};
use abide::strategy::{LongPoll, Poll, Stream};
use abide::{OnDeadline, Outcome, RetryPolicy, Revision};

use crate::world::{Fault, Manner, Seen, World};

const SECOND: Duration = Duration::from_secs(1);

fn about(actual: Duration, expected: f64, tolerance: f64) {
    let off = (actual.as_secs_f64() - expected).abs();
    assert!(off <= tolerance, "{actual:?} instead of {expected} s");
}

// 1. A deadline bounds everything.

#[tokio::test(start_paused = true)]
async fn a_deadline_bounds_a_request_in_flight() {
    for fault in [Fault::Stall, Fault::StallBody, Fault::Late(60 * SECOND)] {
        let script = fault.clone();
        let world = World::with(Manner::default(), move |_| script.clone());
        let id = world.job("a", &[600.0], Outcome::Completed);
        let error = world
            .client()
            .job(id)
            .wait()
            .deadline(3 * SECOND)
            .await
            .unwrap_err();
        about(world.elapsed(), 3.0, 0.1);
        assert!(
            error.is_unreachable() && error.is_timeout(),
            "{fault:?}: {error:?}"
        );
        assert_eq!(world.open(), 0, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_bounds_the_pause_after_a_failure() {
    let world = World::with(Manner::default(), |_| Fault::Refuse);
    let retry = RetryPolicy::default().initial(60 * SECOND).max(60 * SECOND);
    let client = world.builder().retry(retry).build().unwrap();
    let error = client
        .job("a")
        .wait()
        .deadline(5 * SECOND)
        .await
        .unwrap_err();
    about(world.elapsed(), 5.0, 0.1);
    assert!(error.is_unreachable(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_bounds_a_hint_on_a_good_answer_and_leaves_the_last_look() {
    let manner = Manner {
        hint: Some("3600"),
        ..Manner::default()
    };
    let world = World::with(manner, |_| Fault::None);
    let id = world.job("a", &[9.0], Outcome::Completed);
    let done = world
        .client()
        .job(id)
        .wait()
        .strategy(Poll::new())
        .deadline(10 * SECOND)
        .await
        .unwrap();
    assert_eq!(done.outcome(), Outcome::Completed);
    about(world.elapsed(), 10.0, 0.1);
    assert_eq!(world.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_last_look_is_taken_at_the_deadline_and_an_end_seen_then_is_a_result() {
    let world = World::new();
    let id = world.job("a", &[29.5], Outcome::Completed);
    let job = world.client().job(id);
    let schedule = Fixed::new(20 * SECOND);
    let done = job
        .wait()
        .strategy(Poll::by(schedule))
        .deadline(30 * SECOND)
        .await
        .unwrap();
    assert!(done.is_completed());
    about(world.elapsed(), 30.0, 0.05);
}

#[tokio::test(start_paused = true)]
async fn a_wait_uses_the_time_that_it_was_given_and_sees_an_end_in_the_last_of_it() {
    for rtt in [0.5, 20.0, 100.0] {
        for deadline in [0.5, 1.0, 4.0, 30.0] {
            for strategy in 0..4 {
                let manner = Manner {
                    rtt: Duration::from_secs_f64(rtt / 1_000.0),
                    ..Manner::default()
                };
                let wait = |end: f64| {
                    let world = World::with(manner.clone(), |_| Fault::None);
                    let id = world.job("a", &[end], Outcome::Completed);
                    let wait = world.client().job(id).wait();
                    let wait = match strategy {
                        0 => wait,
                        1 => wait.strategy(LongPoll::new()),
                        2 => wait.strategy(Stream::new()),
                        _ => wait.strategy(Poll::by(Fixed::new(SECOND * 2))),
                    };
                    (
                        world,
                        wait.deadline(Duration::from_secs_f64(deadline))
                            .into_future(),
                    )
                };
                let about_it = format!("strategy {strategy}, {rtt} ms, {deadline} s");
                let (world, running) = wait(600.0);
                let error = running.await.unwrap_err();
                assert!(error.is_still_running(), "{about_it}: {error:?}");
                let early = deadline - world.elapsed().as_secs_f64();
                // The last answer takes a round trip, and one that came later would be of no use.
                let most = 0.02 + 1.3 * rtt / 1_000.0;
                assert!(
                    (-0.1..=most).contains(&early),
                    "{about_it}: {early} s early"
                );
                let requests = world.requests();
                let most = if strategy < 2 { 5 } else { 19 };
                assert!(requests <= most, "{about_it}: {requests} requests");
                // A fifth of a second before the deadline there is time to hear of it, whatever was known before.
                let (_, ends) = wait(deadline - 0.2);
                assert!(ends.await.unwrap().is_completed(), "{about_it}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_is_one_held_request_and_a_second_one_where_the_round_trip_is_not_known() {
    for deadline in [0.5, 1.0, 5.0, 9.0] {
        let world = World::new();
        let id = world.job("a", &[600.0], Outcome::Completed);
        let client = world.client();
        let mut counted = 0;
        for requests in [2, 1, 1] {
            let wait = client.job(id.clone()).wait();
            let error = wait.deadline(Duration::from_secs_f64(deadline)).await;
            let error = error.unwrap_err();
            assert!(error.is_still_running(), "{deadline} s: {error:?}");
            let seen = world.seen();
            let sent = &seen[counted..];
            assert_eq!(sent.len(), requests, "{deadline} s: {sent:#?}");
            assert!(sent.iter().all(Seen::is_hold), "{deadline} s: {sent:#?}");
            counted = seen.len();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_canceled_at_the_deadline_if_that_was_asked_for_and_only_then() {
    // The cancel's answer may never come: the caller doesn't wait for it long.
    for (name, stalled) in [("answered", false), ("stalled", true)] {
        let world = World::with(Manner::default(), move |seen| {
            let cancel = seen.path.ends_with("/cancel");
            if stalled && cancel {
                Fault::Stall
            } else {
                Fault::None
            }
        });
        let id = world.job("a", &[60.0], Outcome::Completed);
        let wait = world.client().job(id.clone()).wait();
        let error = wait
            .deadline(5 * SECOND)
            .on_deadline(OnDeadline::Cancel)
            .await
            .unwrap_err();
        assert!(error.is_still_running() && error.is_timeout(), "{name}");
        assert!(world.elapsed() < 6_100 * SECOND / 1_000, "{name}");
        assert_eq!(world.look(&id).unwrap().done, !stalled, "{name}");
    }
    // Attempts that are used up are no deadline.
    let world = World::new();
    let id = world.job("a", &[60.0], Outcome::Completed);
    let few = Poll::by(Fixed::new(SECOND).attempts(3));
    let wait = world.client().job(id.clone()).wait().strategy(few);
    let error = wait
        .deadline(50 * SECOND)
        .on_deadline(OnDeadline::Cancel)
        .await
        .unwrap_err();
    assert!(error.is_still_running() && !error.is_timeout());
    assert!(!world.look(&id).unwrap().done);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_already_over_still_looks_once() {
    let world = World::new();
    let id = world.job("a", &[0.0], Outcome::Completed);
    let done = world
        .client()
        .job(id)
        .wait()
        .deadline(Duration::ZERO)
        .await
        .unwrap();
    assert!(done.is_completed());
    let id = world.job("b", &[60.0], Outcome::Completed);
    let error = world
        .client()
        .job(id)
        .wait()
        .deadline(Duration::ZERO)
        .await
        .unwrap_err();
    assert!(error.is_still_running(), "{error:?}");
    assert_eq!(world.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_just_made_may_not_be_known_everywhere_yet() {
    for way in 0..4 {
        // Reads come from a copy that is three seconds behind.
        let world = World::with(Manner::default(), |seen| match seen.at < 3 * SECOND {
            true if !seen.is_create() => Fault::Status(404, None),
            _ => Fault::None,
        });
        world.jobs_take(9 * SECOND);
        let client = world.client();
        let job = client.create(abide::NewJob::new("k")).await.unwrap();
        if way == 3 {
            let mut watch = job.watch();
            let mut last = None;
            while let Some(update) = watch.next().await {
                last = Some(update.unwrap());
            }
            assert!(last.unwrap().done);
            continue;
        }
        let wait = job.wait();
        let wait = match way {
            0 => wait,
            1 => wait.strategy(Stream::new()),
            _ => wait.strategy(Poll::by(Fixed::new(SECOND))),
        };
        assert!(wait.await.unwrap().is_completed(), "{way}");
        about(world.elapsed(), 9.0, 1.1);
    }
    let world = World::with(Manner::default(), |seen| match seen.is_create() {
        true => Fault::None,
        false => Fault::Status(404, None),
    });
    let retry = RetryPolicy::default().not_found_for(Duration::ZERO);
    let client = world.builder().retry(retry).build().unwrap();
    let job = client.create(abide::NewJob::new("k")).await.unwrap();
    assert!(job.wait().await.unwrap_err().is_not_found());
    assert!(job.cancel().await.unwrap_err().is_not_found());
    assert!(world.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_is_learned_of_a_kind_is_used_by_a_wait_that_knows_only_the_id() {
    // Jobs take 40 s. Who knows that asks a few times; who doesn't asks from the first seconds on.
    let manner = Manner {
        holds: false,
        sets: false,
        streams: false,
        ..Manner::default()
    };
    let world = World::with(manner, |_| Fault::None);
    let client = abide::Client::builder("http://world.test")
        .transport(world.clone())
        .seed(1)
        .build()
        .unwrap();
    for n in 0..20 {
        let id = world.job(&format!("job_{n}"), &[40.0], Outcome::Completed);
        let done = client.job(id).wait().strategy(Poll::new()).await.unwrap();
        if n > 15 {
            let requests = done.report().requests;
            assert!(requests <= 4, "{n}: {requests} requests");
        }
    }
    assert_eq!(
        client.history().jobs("http://world.test video_translation"),
        20
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_metadata_tell_of_a_job_is_learned_from_even_if_only_its_id_is_known() {
    let manner = Manner {
        holds: false,
        sets: false,
        streams: false,
        ..Manner::default()
    };
    let world = World::with(manner, |_| Fault::None);
    let mut spent = [0, 0];
    for (way, spent) in spent.iter_mut().enumerate() {
        let client = abide::Client::builder("http://world.test")
            .transport(world.clone())
            .seed(1)
            .build()
            .unwrap();
        for n in 0..60 {
            let model = n * 7 % 4;
            let length = [6.0, 20.0, 45.0, 90.0][model] * (1.0 + 0.1 * f64::from(n as u32 % 5));
            let id = format!("model{model}_{way}{n}");
            let id = world.job(&id, &[length], Outcome::Completed);
            let wait = client.job(id).wait().strategy(Poll::new());
            let wait = match way {
                0 => wait,
                _ => wait.metadata_feature("model"),
            };
            let done = wait.await.unwrap();
            if n >= 30 {
                *spent += done.report().requests;
            }
        }
    }
    let [without, with] = spent;
    assert!(with * 5 < without * 4, "{with} requests, {without} without");
}

// 2. Still running, failed, unreachable and refused are four things.

#[tokio::test(start_paused = true)]
async fn still_running_failed_unreachable_and_refused_are_told_apart() {
    let world = World::new();
    let client = world.client();
    let running = world.job("running", &[60.0], Outcome::Completed);
    let failed = world.job("failed", &[1.0], Outcome::Failed);

    let error = client
        .job(running)
        .wait()
        .deadline(5 * SECOND)
        .await
        .unwrap_err();
    assert!(error.is_still_running() && error.is_timeout());
    assert!(!error.is_unreachable() && !error.is_refused() && !error.is_failed());
    assert_eq!(error.job().unwrap().revision, Revision(1));

    let done = client
        .job(failed)
        .wait()
        .deadline(5 * SECOND)
        .await
        .unwrap();
    assert_eq!(done.outcome(), Outcome::Failed);
    let error = done.completed().unwrap_err();
    assert!(error.is_failed() && !error.is_still_running());
    assert_eq!(error.problem().unwrap().title, "The job failed");

    let error = client
        .job("unknown")
        .wait()
        .deadline(5 * SECOND)
        .await
        .unwrap_err();
    assert!(error.is_refused() && error.is_not_found() && !error.is_timeout());
    assert_eq!(error.status(), Some(404));

    let dead = World::with(Manner::default(), |_| Fault::Refuse);
    let error = dead
        .client()
        .job("a")
        .wait()
        .deadline(5 * SECOND)
        .await
        .unwrap_err();
    assert!(error.is_unreachable() && !error.is_still_running());
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_answers_before_it_are_told_and_not_that_time_was_short() {
    for (pages, said) in [
        (1, "the answer (text/html) holds no job"),
        (0, "no answer within"),
    ] {
        let world = World::with(Manner::default(), move |seen| match seen.ordinal <= pages {
            true => Fault::Page,
            false => Fault::Stall,
        });
        let id = world.job("a", &[60.0], Outcome::Completed);
        let client = world.client();
        let error = client
            .job(id)
            .wait()
            .strategy(Poll::by(Fixed::new(SECOND)))
            .deadline(5 * SECOND)
            .await
            .unwrap_err();
        assert!(world.requests() > pages, "{}", world.requests());
        assert_eq!(error.is_garbled(), pages > 0, "{error}");
        assert_eq!(error.is_unreachable(), pages == 0, "{error}");
        assert!(
            error.is_timeout() && error.to_string().contains(said),
            "{error}"
        );
    }
}

/// What answers garbage for half a minute will not get better; what answers it now and then, or not at all, may.
#[tokio::test(start_paused = true)]
async fn a_patient_wait_without_a_deadline_ends_where_all_answers_are_garbled() {
    for refused_every in [None, Some(3)] {
        let world = World::with(Manner::default(), move |seen| match refused_every {
            Some(n) if seen.ordinal % n == 0 => Fault::Refuse,
            _ if refused_every.is_some() && seen.ordinal > 100 => Fault::None,
            _ => Fault::Page,
        });
        let id = world.job("a", &[60.0], Outcome::Completed);
        let patient = RetryPolicy::default().patience(Duration::MAX);
        let wait = world.client().job(id).wait().retry(patient).await;
        let took = world.elapsed();
        match refused_every {
            None => {
                let error = wait.unwrap_err();
                assert!(error.is_garbled() && !error.is_timeout(), "{error}");
                assert_eq!(error.job_id().unwrap().as_str(), "a");
                // The first answer comes at the end of a hold, when the job ends.
                assert!((90 * SECOND..110 * SECOND).contains(&took), "{took:?}");
            }
            Some(_) => {
                assert!(wait.unwrap().is_completed());
                assert!(took > 120 * SECOND, "{took:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_error_carries_the_id_and_a_token_that_resumes() {
    let world = World::new();
    let client = world.client();
    let id = world.job("a", &[20.0], Outcome::Completed);
    let error = client
        .job(id)
        .wait()
        .deadline(5 * SECOND)
        .await
        .unwrap_err();
    assert_eq!(error.job_id().unwrap().as_str(), "a");
    let token = error.resume_token().unwrap().to_string();
    // Another process, later.
    let job = world.client().resume(&token.parse().unwrap()).unwrap();
    assert!(job.wait().await.unwrap().is_completed());
    about(world.elapsed(), 20.0, 0.05);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_create_carries_the_key_and_sending_it_again_makes_one_job() {
    let world = World::with(Manner::default(), |seen| {
        if seen.ordinal <= 4 {
            Fault::ResetAfter
        } else {
            Fault::None
        }
    });
    let client = world.client();
    let error = client.create(abide::NewJob::new("k")).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert!(error.job_id().is_none());
    assert_eq!(error.idempotency_key().unwrap().len(), 32);
    let token = error.resume_token().unwrap();
    assert!(client.resume(token).unwrap_err().is_usage());
    let job = client
        .create(abide::NewJob::new("k"))
        .resume(token)
        .await
        .unwrap();
    assert!(job.is_replayed());
    assert_eq!(world.created(), 1);
}

// 3. Failures are a process of their own.

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_and_what_will_not_is_final_at_once() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let world = World::with(Manner::default(), move |seen| {
            if seen.ordinal <= 3 {
                Fault::Status(status, None)
            } else {
                Fault::None
            }
        });
        let id = world.job("a", &[2.0], Outcome::Completed);
        let done = world.client().job(id).wait().await.unwrap();
        assert_eq!(done.report().failures, 3, "{status}");
    }
    for status in [400, 401, 403, 404, 410, 422] {
        let world = World::with(Manner::default(), move |_| Fault::Status(status, None));
        let error = world.client().job("a").wait().await.unwrap_err();
        assert!(error.is_refused(), "{status}: {error:?}");
        assert_eq!(world.requests(), 1, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_poll_neither_advances_nor_resets_the_schedule() {
    let world = World::with(Manner::default(), |seen| {
        if seen.ordinal == 2 {
            Fault::Status(503, None)
        } else {
            Fault::None
        }
    });
    world.jobs_take(60 * SECOND);
    let job = world
        .client()
        .create(abide::NewJob::new("k"))
        .await
        .unwrap();
    let schedule = Backoff::new(4 * SECOND).factor(2.0);
    let error = job
        .wait()
        .strategy(Poll::by(schedule))
        .deadline(30 * SECOND)
        .await
        .unwrap_err();
    assert!(error.is_still_running());
    let at: Vec<f64> = world
        .seen()
        .iter()
        .skip(1)
        .map(|seen| seen.at.as_secs_f64())
        .collect();
    // 4 s fails, is retried soon, and the next pause is the second one of the schedule, 8 s.
    about(Duration::from_secs_f64(at[0]), 4.0, 0.05);
    assert!(at[1] - at[0] < 0.3, "{at:?}");
    assert!((at[2] - at[1] - 8.0).abs() < 0.05, "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_outlasts_the_restart_of_a_server_and_not_its_death() {
    let world = World::with(Manner::default(), |seen| match seen.at.as_secs_f64() {
        at if (5.0..25.0).contains(&at) => Fault::Refuse,
        at if at < 5.0 => Fault::HoldCut(5 * SECOND),
        _ => Fault::None,
    });
    let id = world.job("a", &[40.0], Outcome::Completed);
    assert!(world.client().job(id).wait().await.unwrap().is_completed());
    about(world.elapsed(), 40.0, 1.0);

    let dead = World::with(Manner::default(), |_| Fault::Refuse);
    let error = dead.client().job("a").wait().await.unwrap_err();
    assert!(error.is_unreachable() && !error.is_timeout(), "{error:?}");
    about(dead.elapsed(), 35.0, 6.0);
}

// 4. One create makes one job.

#[tokio::test(start_paused = true)]
async fn a_create_whose_answers_are_lost_makes_one_job() {
    let world = World::with(Manner::default(), |seen| {
        if seen.ordinal <= 2 {
            Fault::ResetAfter
        } else {
            Fault::None
        }
    });
    let job = world
        .client()
        .create(abide::NewJob::new("k"))
        .await
        .unwrap();
    assert_eq!(world.created(), 1);
    let keys: Vec<_> = world
        .seen()
        .iter()
        .map(|seen| seen.headers["idempotency-key"].clone())
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert!(job.wait().await.unwrap().is_completed());
}

// 5. Clients decide on `done` and `outcome`.

#[tokio::test(start_paused = true)]
async fn an_unknown_status_is_neither_success_nor_an_end() {
    let world = World::new();
    let id = world.job("a", &[1.0, 20.0], Outcome::Failed);
    world.change(&id, |life| life.status_word = Some("archiving".to_owned()));
    let done = world
        .client()
        .job(id)
        .wait()
        .strategy(Poll::by(Fixed::new(SECOND)))
        .await
        .unwrap();
    assert_eq!(done.outcome(), Outcome::Failed);
    about(world.elapsed(), 20.5, 0.6);
}

// 6. Hints are read anew, floors have ceilings.

#[tokio::test(start_paused = true)]
async fn retry_after_on_a_good_answer_is_a_floor_for_polls() {
    let manner = Manner {
        hint: Some("5"),
        ..Manner::default()
    };
    let world = World::with(manner, |_| Fault::None);
    let id = world.job("a", &[60.0], Outcome::Completed);
    let wait = world
        .client()
        .job(id)
        .wait()
        .strategy(Poll::by(Fixed::new(SECOND)));
    let _ = wait.deadline(30 * SECOND).await;
    let at: Vec<f64> = world
        .seen()
        .iter()
        .map(|seen| seen.at.as_secs_f64())
        .collect();
    for pair in at.windows(2).take(at.len() - 2) {
        assert!((5.0..5.6).contains(&(pair[1] - pair[0])), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_outlasts_the_deadline_fails_at_once() {
    let world = World::with(Manner::default(), |_| Fault::Status(429, Some("120")));
    let error = world
        .client()
        .job("a")
        .wait()
        .deadline(60 * SECOND)
        .await
        .unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert_eq!(error.status(), Some(429));
    assert_eq!(error.retry_after(), Some(120 * SECOND));
    about(world.elapsed(), 0.0, 0.1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_within_the_deadline_is_obeyed() {
    let world = World::with(Manner::default(), |seen| {
        if seen.ordinal == 1 {
            Fault::Status(429, Some("7"))
        } else {
            Fault::None
        }
    });
    let id = world.job("a", &[1.0], Outcome::Completed);
    let _ = world
        .client()
        .job(id)
        .wait()
        .deadline(60 * SECOND)
        .await
        .unwrap();
    about(world.seen()[1].at, 7.4, 0.4);
}

// 7. An empty answer is not a result.

#[tokio::test(start_paused = true)]
async fn an_empty_hold_is_not_a_result_and_not_a_busy_loop() {
    let world = World::new();
    let id = world.job("a", &[150.0], Outcome::Completed);
    let done = world
        .client()
        .job(id)
        .wait()
        .strategy(LongPoll::new())
        .await
        .unwrap();
    assert!(done.is_completed());
    assert_eq!(done.report().requests, 3);
    about(world.elapsed(), 150.0, 0.02);

    let manner = Manner {
        holds: false,
        ..Manner::default()
    };
    let world = World::with(manner, |_| Fault::None);
    let id = world.job("a", &[60.0], Outcome::Completed);
    let _ = world
        .client()
        .job(id)
        .wait()
        .strategy(LongPoll::new())
        .await
        .unwrap();
    assert!(world.requests() < 15, "{}", world.requests());
}

#[tokio::test(start_paused = true)]
async fn a_held_request_that_never_answers_is_given_up_by_its_watchdog() {
    let world = World::with(Manner::default(), |seen| {
        if seen.ordinal == 1 {
            Fault::Stall
        } else {
            Fault::None
        }
    });
    let id = world.job("a", &[5.0], Outcome::Completed);
    let done = world.client().job(id).wait().await.unwrap();
    // A minute of hold, an eighth for the server's stretching, ten seconds for the exchange.
    about(world.elapsed(), 77.5, 0.5);
    assert_eq!(done.report().failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_a_dead_one() {
    let manner = Manner {
        buffered: true,
        ..Manner::default()
    };
    let world = World::with(manner, |_| Fault::None);
    let id = world.job("a", &[1.0, 10.0, 200.0], Outcome::Completed);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let done = world
        .client()
        .job(id)
        .wait()
        .on_update(move |job| noted.lock().unwrap().push(job.revision.0))
        .await
        .unwrap();
    assert!(done.is_completed());
    // The buffered stream would have told nothing before the end, at 200 s.
    about(world.elapsed(), 200.0, 0.05);
    assert_eq!(*seen.lock().unwrap(), [2, 3, 4]);
}

// 10. Progress is told at once, and revisions never go back.

#[tokio::test(start_paused = true)]
async fn progress_is_told_when_it_happens() {
    for strategy in ["auto", "stream", "long_poll"] {
        let world = World::new();
        let id = world.job("a", &[1.0, 5.0, 9.0, 30.0], Outcome::Completed);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let clock = world.clone();
        let wait = world.client().job(id).wait().on_update(move |job| {
            noted
                .lock()
                .unwrap()
                .push((job.revision.0, clock.elapsed().as_secs()));
        });
        let wait = match strategy {
            "stream" => wait.strategy(Stream::new()),
            "long_poll" => wait.strategy(LongPoll::new()),
            _ => wait,
        };
        let done = wait.await.unwrap();
        assert!(done.is_completed());
        let seen = seen.lock().unwrap();
        assert_eq!(
            seen[seen.len() - 4..],
            [(2, 1), (3, 5), (4, 9), (5, 30)],
            "{strategy}"
        );
        if strategy != "long_poll" {
            assert_eq!(done.report().requests, 1, "{strategy}");
        }
    }
}

// 12. Every wait reports itself.

#[tokio::test(start_paused = true)]
async fn a_wait_reports_what_it_cost_and_how_late_the_news_was() {
    let world = World::new();
    let job = world
        .client()
        .create(abide::NewJob::new("k"))
        .await
        .unwrap();
    let done = job.wait().await.unwrap();
    let report = done.report();
    assert_eq!(report.requests, 1);
    assert_eq!(report.strategy, "auto");
    assert!(
        report.detection.unwrap() < Duration::from_millis(5),
        "{report:?}"
    );
    assert!(report.bytes_received > 100);
    about(report.elapsed, 20.0, 0.05);
}

#[tokio::test(start_paused = true)]
async fn the_detection_delay_is_right_although_the_clocks_are_not() {
    // The server's clock is an hour behind and it doesn't say how old its news is.
    let manner = Manner {
        skew: -3_600_000,
        timing: false,
        ..Manner::default()
    };
    let world = World::with(manner, |_| Fault::None);
    let id = world.job("a", &[17.3], Outcome::Completed);
    let schedule = Poll::by(Fixed::new(Duration::from_millis(2_270)));
    let done = world
        .client()
        .job(id)
        .wait()
        .strategy(schedule)
        .await
        .unwrap();
    let late = world.elapsed().as_secs_f64() - 17.3;
    about(done.report().detection.unwrap(), late, 0.3);
}
