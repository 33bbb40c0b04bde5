//! The loop, the board and the journal together, in process and on virtual time.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide_engine::{Create, Job, JobKey, Owner, PlayNamed, Policy, State};
use abide_server::board::{Board, Channel, Look, Watcher};
use abide_server::clock::Clock;
use abide_server::driver::{Commands, Driver, DriverError, Failure};
use abide_server::journal::{Journal, JournalError, MemoryJournal, SqliteJournal};
use abide_wire::{NewJob, Simulate, Timestamp, Until};
use tokio::task::JoinHandle;

use crate::common::journal::Disk;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn start(
    journal: Box<dyn Journal>,
    clock: Clock,
) -> (Commands, Arc<Board>, JoinHandle<Result<(), DriverError>>) {
    let (driver, commands, board) =
        Driver::open(journal, clock, Policy::default(), 7).expect("a journal that opens");
    (commands, board, tokio::spawn(driver.run()))
}

fn create(length: Duration, idempotency_key: Option<&str>) -> Create {
    Create {
        owner: Owner::ANYONE,
        new: NewJob {
            simulate: Some(Simulate {
                stages: Some(Vec::new()),
                ..Simulate::fixed(length)
            }),
            ..NewJob::default()
        },
        idempotency_key: idempotency_key.map(str::to_owned),
        rendering: None,
        traceparent: None,
    }
}

async fn created(commands: &Commands, length: Duration, key: Option<&str>) -> Arc<Job> {
    commands.ask(create(length, key)).await.unwrap().job
}

async fn ended(board: &Arc<Board>, clock: &Clock, key: JobKey) -> Arc<Job> {
    let watcher = Watcher {
        channel: Channel::LongPoll,
        since: clock.now(),
        address: None,
    };
    let mut waiter = board.waiter(Until::Done, watcher);
    waiter.register(key);
    loop {
        match board.look(key) {
            Look::Found(job) if job.is_done() => return job,
            Look::Found(_) => waiter.rung().await,
            look => panic!("{look:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn six_thousand_waiters_wake_at_the_very_millisecond() {
    let clock = Clock::running(START, NonZeroU32::MIN);
    let (commands, board, _running) = start(Box::new(MemoryJournal::default()), clock.clone());
    let mut waits = Vec::new();
    for n in 0..2_000_u64 {
        // Ten virtual minutes, no two jobs alike.
        let job = created(&commands, Duration::from_millis(1 + n * 300), None).await;
        for _ in 0..3 {
            let (board, clock, key) = (board.clone(), clock.clone(), job.key);
            waits.push(tokio::spawn(async move {
                let job = ended(&board, &clock, key).await;
                (clock.now(), job)
            }));
        }
    }
    assert_eq!(waits.len(), 6_000);
    for wait in waits {
        let (woke_at, job) = wait.await.expect("a waiter that doesn't panic");
        assert_eq!(job.state, State::Completed);
        assert_eq!(Some(woke_at), job.finished_at);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ended_while_the_server_was_down_is_ended_when_it_comes_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = || Box::new(SqliteJournal::open(directory.path(), &[], 1).expect("a journal"));
    let (commands, _, running) = start(open(), Clock::manual(START));
    let job = created(&commands, Duration::from_secs(5), Some("key")).await;
    drop(commands);
    running.await.expect("a task").expect("a clean end");

    let later = START + Duration::from_secs(3_600);
    let (commands, board, running) = start(open(), Clock::manual(later));
    let Look::Found(found) = board.look(job.key) else {
        panic!("an acknowledged job is there after a restart");
    };
    assert_eq!(found.finished_at, Some(START + Duration::from_secs(5)));
    let again = created(&commands, Duration::from_secs(5), Some("key")).await;
    assert_eq!(
        again.key, job.key,
        "the same key gives the same job, before and after"
    );
    drop(commands);
    running.await.expect("a task").expect("a clean end");
}

/// A machine whose clock was wrong and is set right while the server is down, or that comes back from a snapshot.
#[tokio::test(start_paused = true)]
async fn time_goes_on_from_the_latest_entry_where_the_clock_is_behind_it() {
    let second = Duration::from_secs(1);
    let wall = START - 3 * 3_600 * second;
    let clocks: [fn(Timestamp) -> Clock; 3] = [
        |at| Clock::running(at, NonZeroU32::MIN),
        |at| Clock::running(at, NonZeroU32::new(100).unwrap()),
        Clock::manual,
    ];
    for clock_at in clocks {
        // From the log, and from a checkpoint.
        for is_killed in [true, false] {
            let disk = MemoryJournal::new();
            let (commands, board, running) = start(Box::new(disk.clone()), Clock::manual(START));
            let old = created(&commands, 4 * second, None).await;
            commands.advance(second).await.unwrap();
            let killed = disk.crashed_after(disk.last_seq()).unwrap();
            drop((commands, board));
            running.await.unwrap().unwrap();

            let clock = clock_at(wall);
            let disk = if is_killed { killed } else { disk };
            let (commands, board, _running) = start(Box::new(disk), clock.clone());
            assert_eq!(clock.now(), START + second);
            let begun = clock.elapsed();
            let new = created(&commands, second, None).await;
            assert!(new.key > old.key, "new jobs are listed before old ones");
            if clock.is_manual() {
                commands.advance(3 * second).await.unwrap();
            }
            let ended = ended(&board, &clock, old.key).await;
            assert_eq!(ended.finished_at, Some(START + 4 * second));
            let took = clock.elapsed() - begun;
            assert!(took <= 3 * second + Duration::from_millis(2), "{took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_faster_clock_goes_on_over_a_restart_where_it_was() {
    let speed = NonZeroU32::new(100).unwrap();
    let clock = || Clock::of_system(|| START, speed);
    for is_killed in [true, false] {
        let disk = MemoryJournal::new();
        let first = clock();
        let (commands, board, running) = start(Box::new(disk.clone()), first.clone());
        tokio::time::sleep(Duration::from_secs(6)).await;
        created(&commands, Duration::from_secs(300), None).await;
        let made_at = first.now();
        let killed = disk.crashed_after(disk.last_seq()).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let stopped_at = first.now();
        drop((commands, board));
        running.await.unwrap().unwrap();

        let second = clock();
        let (disk, expected) = match is_killed {
            true => (killed, made_at),
            false => (disk, stopped_at),
        };
        let (_commands, _board, _running) = start(Box::new(disk), second.clone());
        let ahead = second.now().since(expected);
        assert!(
            second.now() >= expected && ahead < Duration::from_secs(1),
            "{ahead:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_fell_due_while_the_server_was_down_is_caught_up_with_in_batches() {
    const JOBS: usize = 6_000;
    let disk = MemoryJournal::new();
    let (commands, _, running) = start(Box::new(disk.clone()), Clock::manual(START));
    for n in 0..JOBS {
        let length = Duration::from_millis(1_000 + n as u64);
        commands.ask(create(length, None)).await.unwrap();
    }
    drop(commands);
    running.await.unwrap().unwrap();

    let batches = Arc::new(Mutex::new(Vec::new()));
    let (seen, mut last) = (batches.clone(), disk.last_seq());
    let inner = disk.clone();
    let journal = Disk {
        inner: disk.clone(),
        is_blocking: false,
        latency: Duration::ZERO,
        before_append: move || {
            let now = inner.last_seq();
            seen.lock()
                .unwrap()
                .push(now - std::mem::replace(&mut last, now));
            Ok(())
        },
    };
    let later = Clock::manual(START + Duration::from_secs(3_600));
    let before = disk.last_seq();
    let (commands, board, running) = start(Box::new(journal), later);
    assert_eq!(board.len(), JOBS);
    let after = disk.last_seq();
    assert_eq!(after - before, JOBS as u64, "each ended");
    let batches = batches.lock().unwrap();
    let largest = batches.iter().max().unwrap();
    assert!(batches.len() >= 2 && *largest <= 4_096, "{batches:?}");
    drop((commands, running));
}

/// A default job that begins again every two seconds has lived 21,600 times in half a day. Nobody saw it.
#[tokio::test(start_paused = true)]
async fn of_a_job_that_begins_again_only_the_last_life_is_played_after_a_downtime() {
    let second = Duration::from_secs(1);
    let play = PlayNamed {
        name: "default".into(),
        simulate: Simulate {
            stages: Some(Vec::new()),
            ..Simulate::fixed(second)
        },
        reset_after: Some(second),
        is_new: false,
    };
    let disk = MemoryJournal::new();
    let (commands, _, running) = start(Box::new(disk.clone()), Clock::manual(START));
    let first = commands.ask(play.clone()).await.unwrap();
    drop(commands);
    running.await.unwrap().unwrap();

    let before = disk.last_seq();
    let later = START + 43_200 * second + Duration::from_millis(300);
    let (commands, board, _running) = start(Box::new(disk.clone()), Clock::manual(later));
    assert!(
        disk.last_seq() - before < 10,
        "{}",
        disk.last_seq() - before
    );
    let last = commands.ask(play).await.unwrap();
    assert_ne!(last.key, first.key);
    let age = later.since(last.created_at);
    assert!(age < 2 * second, "{age:?}");
    assert_eq!(board.len(), 2);
    // Step by step nothing is left out.
    commands.advance(20 * second).await.unwrap();
    assert_eq!(board.len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_log_of_a_newer_program_is_refused_with_the_level_that_it_needs() {
    let mut disk = MemoryJournal::new();
    disk.append(&[
        br#"{"seeded":{"seed":1}}"#.to_vec(),
        br#"{"level":{"level":77}}"#.to_vec(),
        br#"{"leased":{}}"#.to_vec(),
    ])
    .unwrap();
    let clock = Clock::manual(START);
    let error = Driver::open(Box::new(disk), clock, Policy::default(), 7).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("entry 2") && error.contains("level 77"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_manual_clock_is_advanced_from_deadline_to_deadline() {
    let clock = Clock::manual(START);
    let (commands, board, _running) = start(Box::new(MemoryJournal::default()), clock.clone());
    let job = created(&commands, Duration::from_secs(75 * 3_600), None).await;
    let shown = commands.advance(Duration::from_secs(75 * 3_600 - 1)).await;
    assert_eq!(shown, Ok(START + Duration::from_secs(75 * 3_600 - 1)));
    assert!(matches!(board.look(job.key), Look::Found(job) if !job.is_done()));
    commands
        .advance(Duration::from_secs(1))
        .await
        .expect("a manual clock");
    assert!(matches!(board.look(job.key), Look::Found(job) if job.is_done()));
}

/// A journal in memory that is full while that is set.
fn tight(full: &Arc<AtomicBool>) -> Box<dyn Journal> {
    let full = full.clone();
    Box::new(Disk {
        inner: MemoryJournal::new(),
        is_blocking: false,
        latency: Duration::ZERO,
        before_append: move || match full.load(Ordering::SeqCst) {
            true => Err(JournalError::Full {
                path: "nowhere".into(),
            }),
            false => Ok(()),
        },
    })
}

#[tokio::test(start_paused = true)]
async fn while_the_disk_is_full_nothing_is_acknowledged_and_nothing_is_lost() {
    let clock = Clock::running(START, NonZeroU32::MIN);
    let full = Arc::new(AtomicBool::new(false));
    let (commands, board, _running) = start(tight(&full), clock.clone());
    let first = created(&commands, Duration::from_secs(1), Some("first")).await;
    full.store(true, Ordering::SeqCst);
    let refused = commands
        .ask(create(Duration::from_secs(1), Some("second")))
        .await;
    assert_eq!(refused.unwrap_err(), Failure::Storage);
    assert_eq!(board.len(), 1, "what isn't durable is not shown");
    assert!(matches!(board.look(first.key), Look::Found(_)));
    full.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = created(&commands, Duration::from_secs(1), Some("second")).await;
    assert_eq!(
        ended(&board, &clock, second.key).await.state,
        State::Completed
    );
    assert_eq!(
        ended(&board, &clock, first.key).await.state,
        State::Completed
    );
    assert_eq!(
        board.len(),
        2,
        "asked again under the same key, it is the same job"
    );
}

#[tokio::test(start_paused = true)]
async fn while_the_disk_is_full_every_caller_is_told_so() {
    let clock = Clock::manual(START);
    let full = Arc::new(AtomicBool::new(false));
    let (commands, _board, _running) = start(tight(&full), clock);
    created(&commands, Duration::from_secs(9), None).await;
    full.store(true, Ordering::SeqCst);
    // More than one batch takes, so that some wait for the next one.
    let creates: Vec<_> = (0..3_000)
        .map(|_| commands.ask(create(Duration::from_secs(1), None)))
        .collect();
    let (advanced, refused) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            commands.advance(Duration::from_secs(1)).await
        },
        futures_util::future::join_all(creates),
    );
    assert_eq!(advanced, Err(Failure::Storage));
    for refused in refused {
        assert_eq!(refused.unwrap_err(), Failure::Storage);
    }
    full.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let advanced = commands.advance(Duration::from_secs(1)).await;
    assert_eq!(advanced, Ok(START + Duration::from_secs(1)));
}
