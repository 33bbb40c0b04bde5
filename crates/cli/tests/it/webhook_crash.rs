//! Killed thirty times under load: every event reaches its receivers, under one id, and a receiver that keeps ids sees
//! it once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide::webhook::{Delivery, Secret, Verifier};
use abide::{Client, Http, NewJob, Receiver, RetryPolicy, Transport as _};
use abide_wire::Simulate;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::bench::Bench;

/// How often the server is killed.
const ROUNDS: u64 = 30;
/// How many clients create jobs at the same time.
const CLIENTS: u64 = 4;
/// How many jobs must have been acknowledged in a round before the server is killed, the draw aside.
const ENOUGH: u32 = 6;
/// Another seed gives other moments: `ABIDE_TEST_SEED`.
const SEED: u64 = 4;
/// Nothing that is waited for here takes a tenth of this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of which job, and which of its revisions.
type Event = (String, u64);

/// A receiver that writes down whatever comes, and sometimes fails: it answers `503`, hangs up or takes its time.
struct Witness {
    verifier: Verifier,
    draws: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// What each id stood for, in the very bytes.
    ids: HashMap<String, Vec<u8>>,
    /// Under which ids each event came.
    events: BTreeMap<Event, BTreeSet<String>>,
    /// Those that were acknowledged.
    taken: BTreeSet<Event>,
    attempts: usize,
}

impl Witness {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((socket, _)) = listener.accept().await {
            let witness = self.clone();
            tokio::spawn(async move { witness.converse(socket).await });
        }
    }

    async fn converse(&self, mut socket: TcpStream) -> Option<()> {
        let mut bytes = Vec::new();
        loop {
            let (headers, body) = read_request(&mut socket, &mut bytes).await?;
            let event = self.note(&headers, &body);
            let draw = mix(self.draws.fetch_add(1, Ordering::Relaxed)) % 25;
            match draw {
                0 => return None,
                1 => tokio::time::sleep(Duration::from_millis(30)).await,
                _ => {}
            }
            let status = if draw == 2 { "503 Busy" } else { "204 Taken" };
            if draw != 2 {
                self.seen.lock().unwrap().taken.insert(event);
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.ok()?;
        }
    }

    fn note(&self, headers: &HeaderMap, body: &[u8]) -> Event {
        let delivery = Delivery::verified(&self.verifier, headers, body).expect("it is signed");
        let event = event_of(&delivery);
        let mut seen = self.seen.lock().unwrap();
        seen.attempts += 1;
        let before = seen.ids.insert(delivery.id.clone(), body.to_vec());
        assert!(
            before.is_none_or(|before| before == body),
            "{} is the same at every attempt",
            delivery.id
        );
        seen.events
            .entry(event.clone())
            .or_default()
            .insert(delivery.id);
        event
    }
}

fn event_of(delivery: &Delivery) -> Event {
    let job = delivery.job().expect("it tells of a job");
    (job.id.to_string(), job.revision.0)
}

/// Reads one request; `None` where the connection ends.
async fn read_request(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(HeaderMap, Vec<u8>)> {
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let headers: HeaderMap = head
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(": "))
                .filter_map(|(name, value)| {
                    let name: HeaderName = name.parse().ok()?;
                    Some((name, HeaderValue::from_str(value).ok()?))
                })
                .collect();
            let length: usize = headers["content-length"].to_str().ok()?.parse().ok()?;
            let whole = end + 4 + length;
            if bytes.len() >= whole {
                let body = bytes[end + 4..whole].to_vec();
                bytes.drain(..whole);
                return Some((headers, body));
            }
        }
        if socket.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Random numbers that can be drawn again: splitmix64.
fn mix(number: u64) -> u64 {
    let mut word = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

async fn get(url: &str) -> String {
    let request = Request::get(url).body(bytes::Bytes::new()).unwrap();
    let answer = Http::new(Duration::from_secs(10))
        .send(request)
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    let body = answer.into_body().collect(64 << 20).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn register(server: &str, url: &str, secret: &Secret) {
    let new = json!({"url": url, "secret": secret.expose(), "events": ["job.*"]});
    let request = Request::post(format!("{server}/v1/webhooks"))
        .header("content-type", "application/json")
        .body(new.to_string().into())
        .unwrap();
    let answer = Http::new(Duration::from_secs(10))
        .send(request)
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
}

/// Every job that the server knows, with its revision.
async fn jobs(server: &str) -> Vec<(Event, bool)> {
    let mut found = Vec::new();
    let mut query = "?limit=1000".to_owned();
    loop {
        let page: Value = serde_json::from_str(&get(&format!("{server}/v1/jobs{query}")).await)
            .expect("a page of jobs");
        for job in page["jobs"].as_array().unwrap() {
            let id = job["id"].as_str().unwrap().to_owned();
            let event = (id, job["revision"].as_u64().unwrap());
            found.push((event, job["done"] == true));
        }
        match page["next_page_token"].as_str() {
            Some(token) => query = format!("?limit=1000&page_token={token}"),
            None => return found,
        }
    }
}

/// Creates jobs until the server is gone.
async fn load(client: Client, created: Arc<Semaphore>) {
    for number in 0_u64.. {
        let length = Duration::from_millis(mix(number) % 40);
        let mut simulate = Simulate::fixed(length);
        simulate.stages = Some(Vec::new());
        let job = NewJob::default().simulate(simulate);
        if client.create(job).await.is_err() {
            return;
        }
        created.add_permits(1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_kills_under_load_lose_no_event_and_change_no_id() {
    let seed = std::env::var("ABIDE_TEST_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    let shown = format!("ABIDE_TEST_SEED={seed}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let witness_url = format!("http://{}/", listener.local_addr().unwrap());
    let secret = Secret::generate([3; 32]);
    let witness = Arc::new(Witness {
        verifier: Verifier::new([secret.clone()]),
        draws: AtomicU64::new(mix(seed)),
        seen: Mutex::default(),
    });
    tokio::spawn(witness.clone().serve(listener));
    let once: Arc<Mutex<Vec<Event>>> = Arc::default();
    let taken = once.clone();
    let keeper = Receiver::builder()
        .on_delivery(move |delivery| {
            taken.lock().unwrap().push(event_of(&delivery));
            async { true }
        })
        .bind("127.0.0.1:0")
        .await
        .unwrap();

    let bench = Bench::new();
    let retry = "0s,50ms,100ms,200ms,500ms,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s";
    let flags = [
        "--data",
        "jobs",
        "--rate-limit",
        "off",
        "--webhook-retry",
        retry,
        "--seed",
        "7",
        // Its job would have begun before anybody had registered.
        "--default-job-start",
        "first-poll",
    ];
    for round in 0..ROUNDS {
        let server = bench.serve(&flags);
        if round == 0 {
            register(&server.url, &witness_url, &secret).await;
            register(&server.url, &keeper.url(), keeper.secret()).await;
        }
        let client = Client::builder(&server.url)
            .retry(RetryPolicy::never())
            .build()
            .unwrap();
        let created = Arc::new(Semaphore::new(0));
        let loads: Vec<_> = (0..CLIENTS)
            .map(|_| tokio::spawn(load(client.clone(), created.clone())))
            .collect();
        let enough = ENOUGH + u32::try_from(mix(seed ^ round) % 12).unwrap();
        let _counted = created.acquire_many(enough).await.unwrap();
        // In the middle of whatever is being written, sent and reported.
        server.kill();
        for load in loads {
            load.await.unwrap();
        }
    }

    let server = bench.serve(&flags);
    let settled = async {
        loop {
            // In this order: once they are done there is nothing more to tell than what waits.
            let jobs = jobs(&server.url).await;
            let are_done = jobs.iter().all(|(_, is_done)| *is_done);
            let text = get(&format!("{}/metrics", server.url)).await;
            let none = |status: &str| {
                text.contains(&format!(
                    "abide_webhook_deliveries{{status=\"{status}\"}} 0"
                ))
            };
            if are_done && none("pending") && none("queued") {
                return jobs;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let jobs = tokio::time::timeout(PATIENCE, settled).await;
    let jobs = jobs.unwrap_or_else(|_| panic!("deliveries are missing; {shown}"));
    let text = get(&format!("{}/metrics", server.url)).await;
    assert!(
        text.contains(r#"abide_webhook_deliveries{status="failed"} 0"#),
        "{text}; {shown}"
    );
    assert!(jobs.len() as u64 >= ROUNDS * u64::from(ENOUGH));
    let expected: BTreeSet<Event> = jobs
        .into_iter()
        .flat_map(|((id, revision), _)| (1..=revision).map(move |n| (id.clone(), n)))
        .collect();
    let seen = witness.seen.lock().unwrap();
    assert!(seen.attempts > expected.len(), "some came again");
    let lost: Vec<_> = expected.difference(&seen.taken).collect();
    assert!(lost.is_empty(), "{lost:?}; {shown}");
    assert_eq!(seen.taken.len(), expected.len(), "{shown}");
    for (event, ids) in &seen.events {
        assert_eq!(ids.len(), 1, "{event:?} under {ids:?}; {shown}");
    }
    let mut once = once.lock().unwrap().clone();
    once.sort_unstable();
    let twice: Vec<_> = once.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}; {shown}");
    let once: BTreeSet<Event> = once.into_iter().collect();
    let lost: Vec<_> = expected.difference(&once).collect();
    assert!(lost.is_empty(), "{lost:?}; {shown}");
}
