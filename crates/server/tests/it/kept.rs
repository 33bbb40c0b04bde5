//! An answer in a vendor's words is kept for the next read of the job, and is still the one that would be made.

use serde_json::json;

use crate::common::House;

#[tokio::test(start_paused = true)]
async fn a_job_is_shown_as_it_is_whatever_was_shown_before() {
    let house = House::with(&[]).await;
    let client = house.with_header("authorization", "Key id:secret");
    let wanted = json!({"prompt": "abide:queue=10s,duration=20s"});
    let made = client.post("/dialects/fal/a/b", wanted).await.json();
    let request = format!(
        "/dialects/fal/a/b/requests/{}",
        made["request_id"].as_str().unwrap()
    );
    let status = format!("{request}/status");
    // The place in the queue changes although the job doesn't.
    assert_eq!(client.get(&status).await.json()["queue_position"], 5);
    house.pass(4_500).await;
    assert_eq!(client.get(&status).await.json()["queue_position"], 3);

    house.pass(6_000).await;
    let running = client.get(&status).await;
    assert_eq!(running.json()["status"], "IN_PROGRESS");
    let begun = running.json()["logs"][0]["timestamp"].clone();
    house.pass(100).await;
    let again = client.get(&status).await;
    assert_eq!((again.status, &again.text), (running.status, &running.text));
    // The line of a log says when it was written, and not when it is read.
    assert_eq!(again.json()["logs"][0]["timestamp"], begun);
    // The same job, shown otherwise, and to a client elsewhere.
    assert_eq!(client.get(&request).await.status, 400);
    let elsewhere = client.with_header("host", "localhost:1").get(&status).await;
    let url = &elsewhere.json()["status_url"];
    assert_eq!(*url, format!("http://localhost:1{status}"));
    assert_eq!(client.get(&status).await.text, running.text);

    house.pass(20_000).await;
    let ended = client.get(&status).await;
    assert_eq!(
        (ended.status, &ended.json()["status"]),
        (200, &json!("COMPLETED"))
    );
    assert_eq!(client.get(&request).await.status, 200);
}
