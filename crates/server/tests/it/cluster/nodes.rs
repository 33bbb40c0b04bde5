//! What a few nodes do when one of them dies, is cut off, or is asked by the wrong client.

use std::sync::atomic::Ordering;
use std::time::Duration;

use abide_server::cluster::Role;
use serde_json::json;

use super::world::{LEASE, World};

fn external() -> serde_json::Value {
    json!({"worker": "external"})
}

#[tokio::test(start_paused = true)]
async fn a_follower_shows_what_the_leader_has_done() {
    let world = World::of(&["a", "b"]).await;
    let id = world.house("a").job(1_000).await;
    world.house("a").pass(5).await;
    let (a, b) = (world.state("a"), world.state("b"));
    let key = id.parse().unwrap();
    let shown = |state: &abide_server::http::AppState| format!("{:?}", state.board.look(key));
    assert_eq!(shown(a), shown(b));
    // A hold at the follower ends when the leader ends the job.
    let held = world
        .house("b")
        .get(&format!("/v1/jobs/{id}?wait=30s"))
        .await;
    assert_eq!(held.json()["status"], "completed");
    assert_eq!(world.role("b"), Role::Follower);
}

#[tokio::test(start_paused = true)]
async fn a_follower_has_commands_carried_out_and_shows_their_client_what_they_did() {
    let world = World::of(&["a", "b"]).await;
    let b = world.house("b");
    let id = b.job(60_000).await;
    let read = b.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!((read.status, read.json()["id"].as_str()), (200, Some(&*id)));
    let canceled = b.ask("POST", &format!("/v1/jobs/{id}/cancel"), None).await;
    assert_eq!(canceled.json()["status"], "canceled");
    // What the leader refuses is refused in the same words.
    let again = b
        .ask(
            "DELETE",
            "/v1/jobs/job_00000000000070008000000000000000",
            None,
        )
        .await;
    assert_eq!((again.status, again.code()), (404, "not_found".to_owned()));
    let endpoint = b
        .post("/v1/webhooks", json!({"url": "http://127.0.0.1:9/hook"}))
        .await;
    assert_eq!(endpoint.status, 201, "{}", endpoint.text);
    let metrics = b.get("/metrics").await.text;
    for line in [
        "abide_leader{} 0",
        r#"abide_forwarded_total{outcome="answered"} 3"#,
        r#"abide_forwarded_total{outcome="refused"} 1"#,
        "abide_forward_seconds_count{} 3",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let metrics = world.house("a").get("/metrics").await.text;
    assert!(metrics.contains("abide_leader{} 1"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_token_for_streams_is_known_to_every_node() {
    let world = World::of(&["a", "b"]).await;
    let made = world.house("a").post("/v1/stream-tokens", json!({})).await;
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let path = format!("/v1/events?token={token}");
    world.house("b").events(&path).await;
    let odd = world.house("b").get(&format!("{path}x")).await;
    assert_eq!(odd.status, 401);
}

#[tokio::test(start_paused = true)]
async fn when_the_leader_dies_the_other_goes_on_within_the_lease_and_nothing_is_lost() {
    let mut world = World::of(&["a", "b"]).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        let house = world.house(if n % 2 == 0 { "a" } else { "b" });
        ids.push(house.job(5_000 + n).await);
    }
    let held = {
        let (house, id) = (world.house("b").from("127.0.0.2"), ids[0].clone());
        tokio::spawn(async move { house.get(&format!("/v1/jobs/{id}?wait=60s")).await })
    };
    tokio::time::sleep(Duration::from_millis(5)).await;
    let begun = world.house("b").clock.elapsed();
    world.kill("a");
    world.led_by("b").await;
    let pause = world.house("b").clock.elapsed() - begun;
    assert!(pause <= LEASE + LEASE / 4, "{pause:?}");
    assert_eq!(held.await.unwrap().json()["status"], "completed");
    for id in &ids {
        let done = world
            .house("b")
            .get(&format!("/v1/jobs/{id}?wait=60s"))
            .await;
        assert_eq!(done.json()["status"], "completed", "{}", done.text);
    }
    let more = world.house("b").post("/v1/jobs", external()).await;
    assert_eq!(more.status, 202);

    // The dead one comes back as a follower, with all of it.
    world.start("a").await;
    world.house("a").pass(500).await;
    assert_eq!(world.role("a"), Role::Follower);
    let id = more.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        world.house("a").get(&format!("/v1/jobs/{id}")).await.status,
        200
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_ends_in_good_order_hands_over_at_once() {
    let mut world = World::of(&["a", "b"]).await;
    world.house("a").job(1_000).await;
    let begun = world.house("b").clock.elapsed();
    world.stop("a").await.unwrap();
    world.led_by("b").await;
    assert!(
        (world.house("b").clock.elapsed() - begun) < LEASE / 4,
        "{:?}",
        (world.house("b").clock.elapsed() - begun)
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_while_no_other_is_linked_to_it_leaves_a_checkpoint() {
    let mut world = World::of(&["a"]).await;
    let id = world.house("a").job(60_000).await;
    assert!(world.log.batches().len() > 1);
    world.stop("a").await.unwrap();
    let left = world.log.batches().len();
    assert_eq!(left, 1, "what a checkpoint covers is forgotten");
    world.start("a").await;
    world.led_by("a").await;
    let read = world.house("a").get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(read.status, 200, "{}", read.text);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_cut_off_is_fenced_and_ends() {
    let mut world = World::of(&["a", "b"]).await;
    let faults = world.nodes["a"].faults.clone();
    faults.is_cut_off.store(true, Ordering::Relaxed);
    faults.is_alone.store(true, Ordering::Relaxed);
    // It has something to write that it can't.
    let late = world.house("a").post("/v1/jobs", external()).await;
    assert_eq!(
        (late.status, late.code()),
        (503, "storage_unavailable".to_owned())
    );
    world.led_by("b").await;
    let id = world.house("b").job(1_000).await;

    // Reads that must see everything aren't answered by one that may lead no more.
    let old = world.house("a").with_header("cache-control", "no-cache");
    assert_eq!(old.get("/v1/jobs").await.status, 503);
    assert_eq!(
        world.house("a").get(&format!("/v1/jobs/{id}")).await.status,
        503
    );

    faults.is_cut_off.store(false, Ordering::Relaxed);
    faults.is_alone.store(false, Ordering::Relaxed);
    world.house("b").pass(1_000).await;
    assert!(!world.is_up("a"), "a fenced leader ends");
    let ended = world.stop("a").await.unwrap_err().to_string();
    assert!(ended.contains("another server has taken over"), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_deposed_leader_without_anything_in_hand_follows_without_a_restart() {
    let world = World::of(&["a", "b"]).await;
    world.move_to("b");
    world.led_by("b").await;
    world.house("a").pass(1_000).await;
    assert_eq!(world.role("a"), Role::Follower);
    let id = world.house("a").job(1_000).await;
    let done = world
        .house("b")
        .get(&format!("/v1/jobs/{id}?wait=30s"))
        .await;
    assert_eq!(done.json()["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_has_not_heard_of_a_move_answers_nothing_from_before_what_the_next_one_acknowledged()
 {
    let world = World::of(&["a", "b"]).await;
    // Until it is cut off its beats confirm that it leads.
    world.house("a").pass(1_000).await;
    let faults = &world.nodes["a"].faults;
    faults.is_cut_off.store(true, Ordering::Relaxed);
    world.move_to("b");
    world.led_by("b").await;
    let id = world.house("b").job(60_000).await;
    let read = world.house("a").get(&format!("/v1/jobs/{id}")).await;
    assert_eq!((read.status, read.code()), (503, "no_leader".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn without_a_link_a_follower_reads_the_log_and_refuses_commands_after_a_while() {
    let world = World::of(&["a", "b"]).await;
    world.nodes["b"]
        .faults
        .is_alone
        .store(true, Ordering::Relaxed);
    let id = world.house("a").job(1_000).await;
    world.house("b").pass(600).await;
    let shown = world.house("b").get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(shown.status, 200);
    let begun = world.house("b").clock.elapsed();
    let refused = world.house("b").post("/v1/jobs", external()).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_eq!(refused.header("retry-after"), "1");
    assert!((world.house("b").clock.elapsed() - begun) < Duration::from_secs(6));
    assert_eq!(world.house("b").get("/readyz").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hears_of_nothing_is_not_ready_and_still_shows_what_it_has() {
    let world = World::of(&["a", "b"]).await;
    let id = world.house("a").job(60_000).await;
    world.house("b").pass(500).await;
    let faults = &world.nodes["b"].faults;
    faults.is_alone.store(true, Ordering::Relaxed);
    faults.is_cut_off.store(true, Ordering::Relaxed);
    world.house("b").pass(3_000).await;
    let ready = world.house("b").get("/readyz").await;
    assert_eq!((ready.status, ready.code()), (503, "no_leader".to_owned()));
    assert_eq!(
        world.house("b").get(&format!("/v1/jobs/{id}")).await.status,
        200
    );
}

#[tokio::test(start_paused = true)]
async fn no_read_goes_back_and_no_job_is_unknown_that_was_created_before() {
    let world = World::of(&["a", "b"]).await;
    // The follower hears of batches late.
    world.nodes["b"]
        .faults
        .is_alone
        .store(true, Ordering::Relaxed);
    let created = world.house("a").post("/v1/jobs", external()).await.json();
    let id = created["id"].as_str().unwrap().to_owned();
    world.nodes["b"]
        .faults
        .is_alone
        .store(false, Ordering::Relaxed);
    let read = world.house("b").get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(read.status, 200, "{}", read.text);

    let progress = json!({"progress": {"percent": 40}});
    let path = format!("/v1/jobs/{id}");
    let reported = world.house("a").ask("PATCH", &path, Some(progress)).await;
    assert_eq!(reported.status, 200, "{}", reported.text);
    let revision = reported.json()["revision"].as_u64().unwrap();
    // In the same instant: nothing has been pushed yet.
    let read = world
        .house("b")
        .get(&format!("/v1/jobs/{id}?after={}", revision))
        .await;
    assert_eq!(read.json()["revision"], revision, "{}", read.text);
    let fresh = world.house("b").with_header("cache-control", "no-cache");
    let reported = world
        .house("a")
        .ask("PATCH", &path, Some(json!({"progress": {"percent": 50}})))
        .await
        .json();
    let read = fresh.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(read.json()["revision"], reported["revision"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_process_of_a_name_takes_it_over() {
    let mut world = World::of(&["a", "b"]).await;
    let first = world.client_of("b").unwrap();
    world.start("b").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(first.0.commands.failure().is_some(), "the first one ends");
    assert_eq!(world.house("b").get("/readyz").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_second_process_of_the_leaders_name_never_acknowledges_what_the_first_one_answers_without()
 {
    let mut world = World::of(&["a"]).await;
    world.house("a").pass(1_000).await;
    let first = world.house("a").from("127.0.0.1");
    world.start("a").await;
    world.led_by("a").await;
    let id = world.house("a").job(60_000).await;
    let read = first.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(read.status, 503, "{}", read.text);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_to_lead_and_cannot_read_the_log_refuses_what_is_asked_and_ends_when_it_should()
 {
    let mut world = World::of(&["a", "b"]).await;
    world.house("b").pass(1_000).await;
    world.move_to("b");
    let faults = world.nodes["b"].faults.clone();
    // It hears that it leads, and nothing after that.
    world.house("b").pass(200).await;
    faults.is_cut_off.store(true, Ordering::Relaxed);
    faults.is_alone.store(true, Ordering::Relaxed);
    world.house("b").pass(3_000).await;
    assert_eq!(world.role("b"), Role::Follower);
    let begun = world.clock.elapsed();
    let refused = world.house("b").post("/v1/jobs", external()).await;
    assert_eq!(
        (refused.status, refused.code()),
        (503, "no_leader".to_owned())
    );
    assert!(world.clock.elapsed() - begun < Duration::from_secs(6));
    tokio::time::timeout(Duration::from_secs(6), world.stop("b"))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_lost_doubled_late_or_out_of_order_harm_nothing() {
    let world = World::of(&["a", "b", "c"]).await;
    assert_eq!(world.leader().await, "a");
    world.odd_frames(300);
    let mut ids = Vec::new();
    for n in 0..60 {
        let house = world.house(["b", "c"][n % 2]);
        let body = json!({"worker": "external"});
        let key = format!("key-{n}");
        let created = loop {
            let asked = house.with_header("idempotency-key", &key);
            let created = asked.post("/v1/jobs", body.clone()).await;
            match created.status {
                202 => break created.json(),
                503 => {}
                _ => panic!("{}", created.text),
            }
        };
        ids.push(created["id"].as_str().unwrap().to_owned());
    }
    world.odd_frames(0);
    world.house("a").pass(1_000).await;
    for name in ["a", "b", "c"] {
        assert_eq!(world.state(name).board.len(), 60, "{name}");
    }
}
