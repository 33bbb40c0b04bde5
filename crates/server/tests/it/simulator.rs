//! The simulator's settings and the clock, through the interface.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::journal::{Journal as _, MemoryJournal};
use abide_wire::Timestamp;
use serde_json::json;

use crate::common::{House, START};

async fn manual(flags: &[(&str, &str)]) -> House {
    let mut flags = flags.to_vec();
    flags.extend([("rate-limit", "off"), ("clock", "manual")]);
    House::open(&flags, Clock::manual(START), Box::new(MemoryJournal::new())).await
}

#[expect(clippy::disallowed_methods, reason = "measures paused time")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

impl House {
    async fn advance(&self, seconds: serde_json::Value) {
        let answer = self
            .post("/v1/clock/advance", json!({ "seconds": seconds }))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    async fn patch(&self, change: serde_json::Value) -> crate::common::Answer {
        self.ask("PATCH", "/v1/simulator", Some(change)).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_defaults_are_shown_and_changed_and_kept_whole() {
    let house = House::with(&[("seed", "7"), ("error-chance", "0.25")]).await;
    let shown = house.get("/v1/simulator").await.json();
    assert_eq!(shown["seed"], 7);
    assert_eq!(shown["scenario"], json!(null));
    assert_eq!(
        shown["duration"],
        json!({"uniform": {"min": "10s", "max": "30s"}})
    );
    assert_eq!(shown["outcome"], json!({"error_chance": 0.25}));
    assert_eq!(shown["stages"].as_array().unwrap().len(), 5);

    // What is shown can be sent back.
    assert_eq!(house.patch(shown.clone()).await.json(), shown);

    let changed = house
        .patch(json!({
            "duration": {"fixed": "2s"},
            "outcome": {"error_chance": 0},
            "stages": [],
            "faults": [{"fault": "latency", "chance": 0.5}],
        }))
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json(), house.get("/v1/simulator").await.json());
    let id = house.post("/v1/jobs", json!({})).await.json()["id"].clone();
    let path = format!("/v1/jobs/{}?wait=5", id.as_str().unwrap());
    house.patch(json!({"faults": []})).await;
    let before = now();
    assert_eq!(house.get(&path).await.json()["outcome"], "completed");
    assert_eq!(before.elapsed().as_secs(), 2);
    assert_eq!(
        house.get("/v1/simulator").await.json()["duration"],
        json!({"fixed": "2s"})
    );
    let as_text = json!({"duration": "mixture:1:2s+3:weibull:20s:1.5"});
    assert_eq!(
        house.patch(as_text).await.json()["duration"],
        json!({"mixture": [
            {"weight": 1.0, "law": {"fixed": "2s"}},
            {"weight": 3.0, "law": {"weibull": {"scale": "20s", "shape": 1.5}}},
        ]})
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_is_carried_out_whole_or_not_at_all() {
    let house = House::with(&[]).await;
    let before = house.get("/v1/simulator").await.json();
    for (change, named) in [
        (
            json!({"seed": 1, "outcome": {"error_chance": 2}}),
            "error_chance",
        ),
        (json!({"seed": 1, "scenario": "odd"}), "scenario"),
        (json!({"seed": 1, "key": "x"}), "key"),
        (json!({"seed": -1}), "seed"),
        (json!({"duration": "lognormal:20s:6"}), "`sigma`"),
        (
            json!({"duration": {"weibull": {"scale": 1, "shape": 0}}}),
            "`shape`",
        ),
        (
            json!({"duration": {"uniform": {"min": 1}}}),
            "duration.uniform",
        ),
        (json!({"stages": [{"name": "", "share": 1}]}), "name"),
        (json!({"faults": [{"fault": "odd"}]}), "odd"),
        (json!([]), "object"),
    ] {
        let refused = house.patch(change.clone()).await;
        assert_eq!(refused.status, 422, "{change}");
        assert_eq!(refused.code(), "invalid_member");
        assert!(refused.text.contains(named), "{change}: {}", refused.text);
    }
    assert_eq!(house.get("/v1/simulator").await.json(), before);
}

#[tokio::test(start_paused = true)]
async fn a_scenario_is_put_on_by_name_and_taken_off() {
    let house = House::with(&[("scenario", "stuck"), ("duration", "3s")]).await;
    let shown = house.get("/v1/simulator").await.json();
    assert_eq!(shown["scenario"], "stuck");
    assert_eq!(shown["duration"], json!({"fixed": "3s"}));
    assert_eq!(shown["faults"][0]["fault"], "stuck");

    let slow = house
        .patch(json!({"scenario": "slow-start", "duration": {"fixed": "1s"}}))
        .await
        .json();
    assert_eq!(slow["scenario"], "slow-start");
    assert_eq!(slow["faults"][0]["first"], 3);
    assert_eq!(slow["duration"], json!({"fixed": "1s"}));

    // Nothing of the one before is left.
    let none = house.patch(json!({"scenario": null})).await.json();
    assert_eq!(
        (&none["scenario"], &none["faults"]),
        (&json!(null), &json!([]))
    );
    assert_eq!(none["duration"], json!({"fixed": "3s"}));

    let listed = house.get("/v1/simulator/scenarios").await.json();
    let names: Vec<_> = listed["scenarios"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap().to_owned())
        .collect();
    for name in [
        "flaky",
        "slow-start",
        "stuck",
        "mute-streams",
        "lost-webhooks",
    ] {
        assert!(names.iter().any(|it| it == name), "{name}");
        assert_eq!(
            house.patch(json!({"scenario": name})).await.json()["scenario"],
            name
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_jobs_again() {
    let house = House::with(&[("rate-limit", "off")]).await;
    let mut lives = Vec::new();
    for seed in [11, 11, 12] {
        house
            .patch(json!({"seed": seed, "outcome": {"error_chance": 0.5}}))
            .await;
        let mut life = Vec::new();
        for kind in ["a", "b", "a", "a", "b", "c"] {
            let job = house.post("/v1/jobs", json!({"kind": kind})).await.json();
            let path = format!("/v1/jobs/{}?wait=60", job["id"].as_str().unwrap());
            let before = now();
            let outcome = house.get(&path).await.json()["outcome"].clone();
            life.push((before.elapsed().as_millis(), outcome));
        }
        lives.push(life);
    }
    assert_eq!(lives[0], lives[1]);
    assert_ne!(lives[0], lives[2]);
}

#[tokio::test(start_paused = true)]
async fn the_clock_says_what_sort_it_is() {
    let real = House::with(&[]).await.get("/v1/clock").await.json();
    assert_eq!(
        real,
        json!({"now": "2027-01-15T08:00:00.000Z", "sort": "real", "speed": 1})
    );
    let flags = [("speed", "60")];
    let clock = Clock::running(START, 60.try_into().unwrap());
    let house = House::open(&flags, clock, Box::new(MemoryJournal::new())).await;
    house.pass(1_000).await;
    let scaled = house.get("/v1/clock").await.json();
    assert_eq!(
        scaled,
        json!({"now": "2027-01-15T08:01:00.000Z", "sort": "scaled", "speed": 60})
    );
    let refused = house.post("/v1/clock/advance", json!({"seconds": 1})).await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "conflict"));

    let house = manual(&[]).await;
    let before = house.get("/v1/clock").await.json();
    house.pass(1_000_000).await;
    assert_eq!(house.get("/v1/clock").await.json(), before);
    assert_eq!(
        (&before["sort"], &before["speed"]),
        (&json!("manual"), &json!(0))
    );
    house.advance(json!(90.5)).await;
    house.advance(json!("2h")).await;
    assert_eq!(
        house.get("/v1/clock").await.json()["now"],
        "2027-01-15T10:01:30.500Z"
    );
    for seconds in [
        json!(-1),
        json!("soon"),
        json!(366 * 86_400 + 1),
        json!(null),
    ] {
        let refused = house
            .post("/v1/clock/advance", json!({"seconds": seconds}))
            .await;
        assert_eq!(refused.status, 422, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_follows_its_systems_clock_forward_and_never_back() {
    let system = Arc::new(AtomicI64::new(START.as_millis()));
    let read = system.clone();
    let now = move || Timestamp::from_millis(read.load(Ordering::Relaxed));
    let clock = Clock::of_system(now, NonZeroU32::MIN);
    let house = House::open(&[], clock, Box::new(MemoryJournal::new())).await;
    let hour = house.job(3_600_000).await;
    house.pass(1_000).await;
    // A lid was closed for two hours.
    system.fetch_add(7_200_000, Ordering::Relaxed);
    house.pass(1_500).await;
    let done = house.get(&format!("/v1/jobs/{hour}")).await.json();
    assert_eq!(done["outcome"], "completed");
    let shown: Timestamp = house.clock.now();
    assert!(shown >= START + Duration::from_secs(7_200));

    system.fetch_sub(3_600_000, Ordering::Relaxed);
    let short = house.job(2_000).await;
    house.pass(2_100).await;
    assert!(house.clock.now() > shown);
    let done = house.get(&format!("/v1/jobs/{short}")).await.json();
    assert_eq!(done["outcome"], "completed");
    assert!(done["created_at"].as_str() >= Some(shown.to_string().as_str()));
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_what_was_changed_at_run_time_until_the_configuration_changes() {
    let disk = MemoryJournal::new();
    let start = async |chance: &str| {
        let clock = Clock::running(START, NonZeroU32::MIN);
        let flags = [("error-chance", chance), ("seed", "3")];
        let house = House::open(&flags, clock, Box::new(disk.clone())).await;
        let shown = house.get("/v1/simulator").await.json();
        (
            house,
            shown["outcome"]["error_chance"].clone(),
            shown["seed"].clone(),
        )
    };
    let (house, chance, seed) = start("0.5").await;
    assert_eq!((chance, seed), (json!(0.5), json!(3)));
    let change = json!({"outcome": {"error_chance": 0.9}, "seed": 4});
    house.ask("PATCH", "/v1/simulator", Some(change)).await;
    let entries = disk.last_seq();
    drop(house);

    let (house, chance, seed) = start("0.5").await;
    assert_eq!((chance, seed), (json!(0.9), json!(4)));
    assert_eq!(
        disk.last_seq(),
        entries,
        "a start with nothing new writes nothing"
    );
    drop(house);
    let (_house, chance, seed) = start("0.1").await;
    assert_eq!((chance, seed), (json!(0.1), json!(3)));
}

#[tokio::test]
async fn seventy_five_hours_pass_in_less_than_a_second() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the machine's time is what is measured"
    )]
    let now = std::time::Instant::now;
    let house = manual(&[]).await;
    let begun = now();
    let stages: Vec<_> = (0..50)
        .map(|n| json!({"name": n.to_string(), "share": 1}))
        .collect();
    let body = json!({"simulate": {"duration": {"fixed": "75h"}, "outcome": {"error_chance": 0}, "stages": stages}});
    let id = house.post("/v1/jobs", body).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut events = house.events(&format!("/v1/jobs/{id}/events")).await;
    house.advance(json!("74h 59m 59s 999ms")).await;
    let running = house.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(
        (&running["done"], &running["progress"]["stage"]),
        (&json!(false), &json!("49"))
    );
    house.advance(json!("1ms")).await;
    let done = house.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(done["outcome"], "completed");
    assert_eq!(
        done["finished_at"],
        (START + Duration::from_secs(75 * 3_600)).to_string()
    );
    let seen = events.rest().await;
    let ids: Vec<u64> = seen.iter().map(|event| event.id.parse().unwrap()).collect();
    assert_eq!(ids, (1..=52).collect::<Vec<_>>());
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn two_who_advance_at_once_both_arrive() {
    let house = manual(&[]).await;
    let advances = (0..20).map(|_| house.advance(json!(1)));
    futures_util::future::join_all(advances).await;
    assert_eq!(
        house.get("/v1/clock").await.json()["now"],
        "2027-01-15T08:00:20.000Z"
    );
}
