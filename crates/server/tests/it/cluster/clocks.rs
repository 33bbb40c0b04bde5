//! Clocks that are wrong, and that step.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::world::World;

const HOUR_MS: i64 = 3_600_000;

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// Makes a job at that node, and gives how long it took to end by a clock that is right, in milliseconds.
async fn lasts(world: &World, node: &str, length_ms: u64) -> u64 {
    let begun = world.clock.elapsed();
    let id = world.house(node).job(length_ms).await;
    let path = format!("/v1/jobs/{id}?wait=60s");
    let done = world.house(node).get(&path).await.json();
    assert_eq!(done["status"], "completed", "{done}");
    millis(world.clock.elapsed() - begun)
}

/// How far apart what the nodes show is, in milliseconds.
fn apart(world: &World) -> u64 {
    let shown = || world.nodes.keys().map(|name| world.house(name).clock.now());
    millis(shown().max().unwrap().since(shown().min().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn nodes_whose_machines_are_hours_off_show_the_time_of_their_database() {
    let mut world = World::new(7);
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        world.start(name).await;
        world.nodes[name]
            .faults
            .clock_ms
            .store((n as i64 - 1) * 2 * HOUR_MS, Ordering::Relaxed);
        // One that starts where the clock is wrong already.
        world.kill(name);
        world.start(name).await;
    }
    world.leader().await;
    assert!(apart(&world) <= 1, "{}", apart(&world));
    let took = lasts(&world, "c", 10_000).await;
    assert!((10_000..10_100).contains(&took), "{took}");
    let shown = world.house("a").clock.now();
    assert!(
        shown.since(world.clock.now()) < Duration::from_millis(2),
        "{shown}"
    );
    world.nodes["a"]
        .faults
        .clock_ms
        .store(-9 * HOUR_MS, Ordering::Relaxed);
    world.nodes["b"]
        .faults
        .clock_ms
        .store(9 * HOUR_MS, Ordering::Relaxed);
    let took = lasts(&world, "b", 10_000).await;
    assert!((10_000..10_100).contains(&took), "{took}");
    assert!(apart(&world) <= 1, "{}", apart(&world));
}

#[tokio::test(start_paused = true)]
async fn a_database_whose_clock_steps_by_an_hour_makes_time_run_a_tenth_off_and_the_next_leader_goes_on()
 {
    let mut world = World::of(&["a", "b", "c"]).await;
    world.database_ms.store(HOUR_MS, Ordering::Relaxed);
    world.house("a").pass(1_000).await;
    let took = lasts(&world, "b", 20_000).await;
    assert!((18_000..18_500).contains(&took), "{took}");
    // All nodes run off by as much, so the next leader shows the same.
    assert!(apart(&world) <= 60, "{}", apart(&world));
    let shown = world.house("a").clock.now();
    let then = world.clock.elapsed();
    world.kill("a");
    world.led_by(world.leader().await).await;
    let next = world.house(world.leader().await).clock.now();
    let passed = millis(world.clock.elapsed() - then);
    let went_on = millis(next.since(shown));
    assert!(
        (passed..=passed * 11 / 10 + 60).contains(&went_on),
        "{went_on} of {passed}"
    );

    world.database_ms.store(-HOUR_MS, Ordering::Relaxed);
    world.house("b").pass(1_000).await;
    let took = lasts(&world, "b", 20_000).await;
    assert!((21_500..22_400).contains(&took), "{took}");
    // A process that begins now has the database's time, and leads with that of the log.
    let newest = world.house("b").job(60_000).await;
    world.start("a").await;
    world.house("a").pass(1_000).await;
    assert!(apart(&world) > 3_000_000, "{}", apart(&world));
    world.move_to("a");
    world.led_by("a").await;
    assert!(apart(&world) < 5_000, "{}", apart(&world));
    let later = world.house("a").job(1).await;
    assert!(
        later > newest,
        "ids are in the order of time: {newest} {later}"
    );
}
