//! What nodes know apart, shown by any of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::world::World;

const NAMES: [&str; 3] = ["a", "b", "c"];

async fn get(world: &World, node: &str, path: &str) -> Value {
    let answer = world.house(node).get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// Three nodes that know each other, and a job of a minute.
async fn with_a_job() -> (World, String) {
    let world = World::of(&NAMES).await;
    let id = world.house("a").job(60_000).await;
    world.house("a").pass(5_000).await;
    (world, id)
}

#[tokio::test(start_paused = true)]
async fn any_node_shows_the_reads_at_all_of_them_and_what_clients_spent_in_all() {
    let (world, id) = with_a_job().await;
    for name in NAMES {
        get(&world, name, &format!("/v1/jobs/{id}")).await;
        world.house(name).pass(100).await;
    }
    for name in NAMES {
        let log = get(&world, name, &format!("/v1/jobs/{id}/looks")).await;
        let looks = log["looks"].as_array().unwrap();
        // The first read told its client what the others showed again.
        let news: Vec<_> = looks.iter().map(|look| &look["news"]).collect();
        assert_eq!(news, [true, false, false], "{name}: {log}");
        assert!(log.get("partial").is_none(), "{log}");
        let report = get(&world, name, "/v1/report").await;
        let clients = report["clients"].as_array().unwrap();
        assert_eq!(clients.len(), 1, "{name}: {report}");
        let client = &clients[0];
        assert_eq!(
            (&client["requests"], &client["creates"]),
            (&json!(4), &json!(1)),
            "{report}"
        );
        assert!(report.get("partial").is_none(), "{report}");
    }
    let cleared = world.house("b").ask("DELETE", "/v1/report", None).await;
    assert_eq!(cleared.status, 204);
    for name in NAMES {
        assert_eq!(
            get(&world, name, "/v1/report").await["clients"],
            json!([]),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn any_node_shows_who_waits_at_all_of_them() {
    let (world, id) = with_a_job().await;
    let path = format!("/v1/jobs/{id}?wait=50s");
    for (n, name) in NAMES.into_iter().enumerate() {
        let house = world.house(name).from(&format!("127.0.0.{}", 7 + n));
        let path = path.clone();
        tokio::spawn(async move { house.get(&path).await });
        world.house(name).pass(100).await;
    }
    for name in NAMES {
        let shown = get(&world, name, &format!("/v1/jobs/{id}/watchers")).await;
        let waiting = shown["watchers"].as_array().unwrap();
        let addresses: Vec<_> = waiting.iter().map(|watcher| &watcher["address"]).collect();
        assert_eq!(
            addresses,
            ["127.0.0.7", "127.0.0.8", "127.0.0.9"],
            "{name}: {shown}"
        );
        assert!(shown.get("partial").is_none(), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_named_and_nobody_waits_for_it_for_long() {
    let (mut world, id) = with_a_job().await;
    for name in NAMES {
        get(&world, name, &format!("/v1/jobs/{id}")).await;
    }
    // It goes on by reading the log, and no link brings anything to it.
    world.nodes["c"]
        .faults
        .is_alone
        .store(true, Ordering::Relaxed);
    world.house("a").pass(1_000).await;
    let looks = format!("/v1/jobs/{id}/looks");
    for (name, seen, missing) in [
        ("a", 2, json!(["c"])),
        ("b", 2, json!(["c"])),
        ("c", 1, json!(["a", "b"])),
    ] {
        let begun = world.clock.elapsed();
        let log = get(&world, name, &looks).await;
        assert_eq!(
            log["looks"].as_array().unwrap().len(),
            seen,
            "{name}: {log}"
        );
        assert_eq!(log["partial"], missing, "{name}: {log}");
        assert!(world.clock.elapsed() - begun <= Duration::from_millis(600));
        let report = get(&world, name, "/v1/report").await;
        assert_eq!(report["partial"], missing, "{name}: {report}");
        let watchers = get(&world, name, &format!("/v1/jobs/{id}/watchers")).await;
        assert_eq!(watchers["partial"], missing, "{name}: {watchers}");
    }
    // One that is dead has nothing to tell, and is named until it is known to be.
    world.kill("c");
    assert_eq!(get(&world, "b", &looks).await["partial"], json!(["c"]));
    world.house("a").pass(8_000).await;
    assert!(get(&world, "b", &looks).await.get("partial").is_none());
    // And one that is unknown everywhere is still unknown.
    let unknown = world
        .house("b")
        .get("/v1/jobs/018c0000-0000-7000-8000-000000000000/looks")
        .await;
    assert_eq!(unknown.status, 404, "{}", unknown.text);
}
