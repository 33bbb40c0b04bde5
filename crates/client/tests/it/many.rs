//! Many jobs: one held request, outcomes in order of completion, one deadline.

use std::time::Duration;

use abide::{JobHandle, NewJob, Outcome};
use futures_util::future::join_all;

use crate::world::{Fault, Manner, ODD, Seen, World};

const SECOND: Duration = Duration::from_secs(1);

fn handles(world: &World, count: usize, end: impl Fn(usize) -> f64) -> Vec<JobHandle> {
    let client = world.client();
    (0..count)
        .map(|n| client.job(world.job(&format!("job_{n}"), &[end(n)], Outcome::Completed)))
        .collect()
}

/// The most requests in any second, beside the first.
fn busiest_second(seen: &[Seen]) -> usize {
    let at: Vec<f64> = seen.iter().map(|seen| seen.at.as_secs_f64()).collect();
    at.iter()
        .map(|from| {
            at.iter()
                .filter(|at| (*from..from + 1.0).contains(*at))
                .count()
        })
        .max()
        .unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn outcomes_come_in_order_of_completion() {
    let world = World::new();
    let mut set = world.client().set(handles(&world, 30, |n| 40.0 - n as f64));
    let mut order = Vec::new();
    while let Some((id, outcome)) = set.join_next().await {
        assert!(outcome.unwrap().is_completed());
        order.push(id.as_str().to_owned());
    }
    let expected: Vec<String> = (0..30).rev().map(|n| format!("job_{n}")).collect();
    assert_eq!(order, expected);
    assert_eq!(world.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_jobs_spend_at_most_three_requests_a_second() {
    let world = World::new();
    let client = world.client();
    // Ends spread over 10 to 30 seconds, fifty a second.
    let jobs = handles(&world, 1_000, |n| 10.0 + n as f64 * 0.02);
    let jobs: Vec<JobHandle> = jobs
        .iter()
        .map(|job| client.job(job.id().clone()))
        .collect();
    let mut set = client.set(jobs).deadline(60 * SECOND);
    let mut late = Vec::new();
    let mut share = 0.0;
    while let Some((id, outcome)) = set.join_next().await {
        let n: f64 = id.as_str()[4..].parse().unwrap();
        late.push(world.elapsed().as_secs_f64() - (10.0 + n * 0.02));
        share += outcome.unwrap().report().requests_share;
    }
    let seen = world.seen();
    let rate = seen.len() as f64 / world.elapsed().as_secs_f64();
    assert!(rate <= 3.0, "{} requests, {rate} a second", seen.len());
    assert!(
        (share - seen.len() as f64).abs() < 1.0,
        "{share} against {}",
        seen.len()
    );
    assert!(
        seen.iter().any(|seen| seen.jobs > 900),
        "no request is for all"
    );
    late.sort_by(f64::total_cmp);
    assert!(late[500] < 0.6, "{}", late[500]);
    assert!(world.elapsed() < 31 * SECOND, "{:?}", world.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_separate_waits_share_requests_too() {
    let world = World::new();
    let client = world.client();
    let jobs = handles(&world, 1_000, |n| 10.0 + n as f64 * 0.02);
    let waits = jobs
        .iter()
        .map(|job| client.job(job.id().clone()).wait().into_future());
    let outcomes = join_all(waits).await;
    assert!(
        outcomes
            .into_iter()
            .all(|outcome| outcome.unwrap().is_completed())
    );
    let seen = world.seen();
    let rate = seen.len() as f64 / world.elapsed().as_secs_f64();
    assert!(rate <= 3.0, "{} requests, {rate} a second", seen.len());
}

/// The most requests in any ten seconds.
fn busiest_ten_seconds(seen: &[Seen]) -> usize {
    let within = |from: &Seen| {
        let window = from.at..from.at + 10 * SECOND;
        seen.iter().filter(|seen| window.contains(&seen.at)).count()
    };
    seen.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn however_a_thousand_jobs_end_no_ten_seconds_have_more_than_thirty_requests() {
    type Ends = (&'static str, fn(f64) -> f64);
    let ends: [Ends; 4] = [
        ("a hundred a second", |u| 3.0 + 10.0 * u),
        ("in three heaps", |u| {
            5.0 + 8.0 * (3.0 * u).floor() + 0.3 * u
        }),
        ("with a long tail", |u| 2.0 + 1.5 / (1.02 - u)),
        ("the last hundred in a rush", |u| {
            if u < 0.9 {
                4.0
            } else {
                30.0 + 50.0 * (u - 0.9)
            }
        }),
    ];
    for (name, end) in ends {
        for separately in [false, true] {
            let world = World::new();
            let client = world.client();
            let ids = handles(&world, 1_000, |n| end(n as f64 / 1_000.0));
            let jobs = ids.iter().map(|job| client.job(job.id().clone()));
            if separately {
                let waits = jobs.map(|job| job.wait().into_future());
                assert!(join_all(waits).await.iter().all(Result::is_ok), "{name}");
            } else {
                let outcomes = client.set(jobs).await;
                assert!(outcomes.iter().all(|(_, done)| done.is_ok()), "{name}");
            }
            let (seen, took) = (world.seen(), world.elapsed().as_secs_f64());
            let busiest = busiest_ten_seconds(&seen);
            assert!(busiest <= 30, "{name}, {separately}: {busiest}");
            let rate = seen.len() as f64 / took;
            assert!(rate <= 3.0, "{name}, {separately}: {rate} a second");
            let last = end(0.999);
            assert!(took < last + 1.2, "{name}, {separately}: {took} for {last}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waits_that_begin_one_after_the_other_are_merged() {
    let world = World::new();
    let client = world.client();
    let jobs = handles(&world, 300, |_| 100.0);
    let waits = jobs.into_iter().enumerate().map(|(n, job)| {
        let job = client.job(job.id().clone());
        async move {
            tokio::time::sleep(Duration::from_millis(50) * u32::try_from(n).unwrap()).await;
            job.wait().await
        }
    });
    let watch = async {
        tokio::time::sleep(40 * SECOND).await;
        world.open()
    };
    let (outcomes, open) = tokio::join!(join_all(waits), watch);
    assert!(
        outcomes
            .into_iter()
            .all(|outcome| outcome.unwrap().is_completed())
    );
    assert!(open <= 8 + 8, "{open} requests are held at once");
    let rate = world.requests() as f64 / world.elapsed().as_secs_f64();
    let busiest = busiest_second(&world.seen());
    assert!(rate <= 3.0 && busiest <= 20, "{rate}, {busiest}");
    assert_eq!(world.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn few_jobs_are_not_held_back() {
    let world = World::new();
    let mut set = world.client().set(handles(&world, 20, |n| 5.0 + n as f64));
    let mut end = 5.0;
    while let Some((_, outcome)) = set.join_next().await {
        let late = world.elapsed().as_secs_f64() - end;
        assert!(late < 0.01, "{late}");
        let told = outcome.unwrap().report().detection.unwrap().as_secs_f64();
        assert!((told - late).abs() < 0.01, "{told} instead of {late}");
        end += 1.0;
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_id_fails_itself_alone() {
    let world = World::new();
    let client = world.client();
    let mut jobs = handles(&world, 40, |_| 5.0);
    jobs.insert(20, client.job("unknown"));
    jobs.insert(9, client.job(".."));
    let outcomes = client.set(jobs).await;
    assert_eq!(outcomes.len(), 42);
    for (id, outcome) in outcomes {
        match id.as_str() {
            "unknown" => assert!(outcome.unwrap_err().is_not_found()),
            ".." => assert!(outcome.unwrap_err().is_usage()),
            _ => assert!(outcome.unwrap().is_completed()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_job_that_cannot_be_read_fails_itself_alone_and_an_odd_one_not_at_all() {
    let world = World::new();
    let client = world.client();
    let mut jobs = handles(&world, 40, |_| 5.0);
    for id in ["broken_1", "odd_1"] {
        let id = world.job(id, &[2.0], Outcome::Completed);
        jobs.insert(20, client.job(id));
    }
    let mut set = client.set(jobs);
    for _ in 0..41 {
        let (id, outcome) = set.join_next().await.unwrap();
        let done = outcome.unwrap();
        assert!(done.is_completed(), "{id}");
        if id.as_str() == "odd_1" {
            let result = done.into_job().result.unwrap();
            assert_eq!(result.get(), ODD);
            assert!(result.parse::<serde_json::Value>().is_err());
        }
    }
    assert!(world.elapsed() < 6 * SECOND, "{:?}", world.elapsed());
    let (id, outcome) = set.join_next().await.unwrap();
    assert_eq!(id.as_str(), "broken_1");
    assert!(outcome.unwrap_err().is_garbled());
    assert!(world.elapsed() < 60 * SECOND, "{:?}", world.elapsed());
    let requests = world.requests();
    assert!(requests < 60, "{requests}");
}

#[tokio::test(start_paused = true)]
async fn a_set_has_one_deadline() {
    let world = World::new();
    let client = world.client();
    let mut set = client
        .set(handles(
            &world,
            100,
            |n| if n % 2 == 0 { 5.0 } else { 500.0 },
        ))
        .deadline(30 * SECOND);
    let (mut ended, mut running) = (0, 0);
    while let Some((_, outcome)) = set.join_next().await {
        match outcome {
            Ok(finished) => ended += u32::from(finished.is_completed()),
            Err(error) => running += u32::from(error.is_still_running() && error.is_timeout()),
        }
    }
    assert_eq!((ended, running), (50, 50));
    let off = world.elapsed().abs_diff(30 * SECOND);
    assert!(off < Duration::from_millis(100), "{:?}", world.elapsed());
    // The last looks, two where no round trip was known before, are shared too.

    let looks = world
        .seen()
        .iter()
        .filter(|seen| seen.at > 29 * SECOND)
        .count();
    assert!(looks <= 30, "{looks}");
}

#[tokio::test(start_paused = true)]
async fn a_server_without_set_waits_is_held_job_by_job() {
    let manner = Manner {
        sets: false,
        ..Manner::default()
    };
    let world = World::with(manner, |_| Fault::None);
    let outcomes = world
        .client()
        .set(handles(&world, 30, |n| 5.0 + n as f64))
        .await;
    assert!(
        outcomes
            .into_iter()
            .all(|(_, outcome)| outcome.unwrap().is_completed())
    );
    assert!(world.requests() <= 32, "{}", world.requests());
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_shared_request_loses_no_outcome() {
    let world = World::with(Manner::default(), |seen| match seen.at.as_secs_f64() {
        at if (2.0..9.0).contains(&at) => Fault::Refuse,
        at if at < 2.0 => Fault::HoldCut(3 * SECOND),
        _ => Fault::None,
    });
    let outcomes = world
        .client()
        .set(handles(&world, 200, |n| 1.0 + n as f64 * 0.1))
        .await;
    assert!(
        outcomes
            .into_iter()
            .all(|(_, outcome)| outcome.unwrap().is_completed())
    );
    assert!(world.elapsed() < 25 * SECOND, "{:?}", world.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_on_when_the_last_wait_is_dropped() {
    let world = World::new();
    let client = world.client();
    let set = client.set(handles(&world, 100, |_| 500.0));
    let mut set = set.deadline(300 * SECOND);
    let nothing = tokio::time::timeout(20 * SECOND, set.join_next()).await;
    assert!(nothing.is_err());
    assert!(world.open() > 0);
    drop(set);
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(world.open(), 0);
    let before = world.requests();
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(world.requests(), before);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_created_job_costs_two_requests_in_all() {
    let world = World::new();
    let client = world.client();
    let job = client.create(NewJob::new("k")).await.unwrap();
    let done = job.wait().await.unwrap();
    assert!(done.is_completed());
    assert_eq!(world.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_every_state_once_and_in_order() {
    let world = World::new();
    let client = world.client();
    let id = world.job("a", &[1.0, 2.0, 3.0, 9.0], Outcome::Completed);
    let mut watch = client.job(id).watch();
    let mut seen = Vec::new();
    while let Some(job) = watch.next().await {
        seen.push(job.unwrap().revision.0);
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert!(watch.next().await.is_none());
    assert_eq!(world.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_watches_share_requests_and_each_sees_every_state() {
    let world = World::new();
    let client = world.client();
    let watches = (0..100).map(|n| {
        let start = 5.0 + f64::from(n) * 0.01;
        let id = world.job(
            &format!("job_{n}"),
            &[start, 20.0, 40.0],
            Outcome::Completed,
        );
        let mut watch = client.job(id).watch();
        async move {
            let mut seen = Vec::new();
            while let Some(job) = watch.next().await {
                seen.push(job.unwrap().revision.0);
            }
            seen
        }
    });
    let seen = join_all(watches).await;
    assert!(seen.iter().all(|seen| *seen == [1, 2, 3, 4]), "{seen:?}");
    let streams = world.seen().iter().filter(|seen| seen.is_stream()).count();
    assert_eq!(streams, 8);
    assert!(world.requests() < 60, "{}", world.requests());
    assert!(world.elapsed() < 42 * SECOND, "{:?}", world.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_watch_loses_nothing_when_its_futures_are_dropped() {
    let world = World::new();
    let id = world.job("a", &[1.0, 2.0, 3.0, 9.0], Outcome::Completed);
    let mut watch = world.client().job(id).watch();
    let mut seen = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_millis(130), watch.next()).await {
            Err(_) => {}
            Ok(Some(job)) => seen.push(job.unwrap().revision.0),
            Ok(None) => break,
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(world.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_in_another_process_where_it_stopped() {
    let world = World::new();
    let id = world.job("a", &[1.0, 2.0, 3.0, 9.0], Outcome::Completed);
    let error = world
        .client()
        .job(id)
        .wait()
        .on_update(|_| {})
        .deadline(5 * SECOND / 2)
        .await
        .unwrap_err();
    let token = error.resume_token().unwrap().to_string().parse().unwrap();
    let mut watch = world.client().resume(&token).unwrap().watch();
    let next = watch.next().await.unwrap().unwrap();
    assert_eq!(next.revision.0, 4);
}
