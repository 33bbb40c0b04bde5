//! Lists of endpoints and deliveries: a page has a limit in bytes, and each item is on some page.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::receivers::{Receivers, Reply};
use super::{URL, clock, endpoint, house};
use crate::common::House;

/// As much as a page may have, and what is around it.
const PAGE_MAX: usize = 1024 * 1024 + 1024;

/// The items of all pages, and how many pages there are.
async fn all_pages(house: &House, path: &str, member: &str) -> (Vec<Value>, usize) {
    let (mut items, mut pages) = (Vec::new(), 0);
    let mut next = format!("{path}?limit=1000");
    loop {
        let answer = house.get(&next).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.text.len() <= PAGE_MAX, "{}", answer.text.len());
        let page = answer.json();
        items.extend(page[member].as_array().unwrap().clone());
        pages += 1;
        match page["next_page_token"].as_str() {
            Some(token) => next = format!("{path}?limit=1000&page_token={token}"),
            None => return (items, pages),
        }
    }
}

fn ids(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_page_of_deliveries_has_its_size_however_long_the_answers_to_them_were() {
    const JOBS: usize = 400;
    let clock = clock();
    let receivers = Receivers::new(&clock, |_, _| Reply::Body(8_000));
    let house = house(&clock, &receivers, &[("rate-limit", "off")]).await;
    let new = json!({"url": URL, "events": ["job.created"]});
    let (endpoint, _) = endpoint(&house, new).await;
    for _ in 0..JOBS {
        house.post("/v1/jobs", json!({"worker": "external"})).await;
    }
    house.pass(4 * 86_400_000).await;
    let path = format!("/v1/webhooks/{endpoint}/deliveries");
    let (deliveries, pages) = all_pages(&house, &path, "deliveries").await;
    let attempts = |delivery: &Value| delivery["attempts"].as_array().unwrap().len();
    let attempts: usize = deliveries.iter().map(attempts).sum();
    assert!(attempts > 2 * JOBS, "{attempts}");
    assert!((2..20).contains(&pages), "{pages}");
    let ids = ids(&deliveries);
    assert_eq!(ids.len(), JOBS);
    assert!(ids.is_sorted_by(|newer, older| newer > older));
}

#[tokio::test(start_paused = true)]
async fn the_deliveries_of_a_job_are_listed_as_far_as_they_fit_the_newest_first() {
    const ENDPOINTS: usize = 150;
    let clock = clock();
    let receivers = Receivers::new(&clock, |_, _| Reply::Body(8_000));
    let house = house(&clock, &receivers, &[("rate-limit", "off")]).await;
    for n in 0..ENDPOINTS {
        let url = format!("http://127.0.0.1:9/{n}");
        endpoint(&house, json!({"url": url, "events": ["job.created"]})).await;
    }
    let made = house.post("/v1/jobs", json!({"worker": "external"})).await;
    let path = format!(
        "/v1/jobs/{}/deliveries",
        made.json()["id"].as_str().unwrap()
    );
    house.pass(1_000).await;
    let few = house.get(&path).await.json()["deliveries"].clone();
    let few = few.as_array().unwrap();
    assert_eq!(few.len(), ENDPOINTS);
    assert!(ids(few).is_sorted_by(|newer, older| newer > older));
    house.pass(4 * 86_400_000).await;
    let answer = house.get(&path).await;
    assert!(answer.text.len() <= PAGE_MAX, "{}", answer.text.len());
    let many = answer.json()["deliveries"].as_array().unwrap().clone();
    assert!((50..ENDPOINTS).contains(&many.len()), "{}", many.len());
    assert_eq!(ids(&many), ids(few)[..many.len()]);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_endpoints_has_its_size_however_long_their_urls_are() {
    const ENDPOINTS: usize = 400;
    let clock = clock();
    let receivers = Receivers::ok(&clock);
    let house = house(&clock, &receivers, &[("rate-limit", "off")]).await;
    let mut made = BTreeSet::new();
    for n in 0..ENDPOINTS {
        let url = format!("http://127.0.0.1:9/{n}/{}", "x".repeat(2_000));
        let new = json!({"url": url, "description": "\u{1f41d}".repeat(500)});
        made.insert(endpoint(&house, new).await.0);
    }
    let (endpoints, pages) = all_pages(&house, "/v1/webhooks", "webhooks").await;
    assert!(pages > 1, "{pages}");
    let ids = ids(&endpoints);
    assert_eq!(ids.len(), ENDPOINTS);
    assert!(ids.iter().all(|id| made.contains(*id)));
    assert!(ids.is_sorted());
}
