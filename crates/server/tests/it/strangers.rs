//! Another owner's things are as if they had never been: those that are there, and those that were removed.

use abide_server::clock::Clock;
use abide_server::journal::MemoryJournal;
use serde_json::{Value, json};

use crate::common::{Answer, House, START};
use crate::webhooks::receivers::Receivers;

const DESCRIPTION: &str = include_str!("../../openapi.json");
const KEYS: &str = "ann:user:ann-ann-ann-ann-ann-ann,bob:user:bob-bob-bob-bob-bob-bob";
/// Headers that are another at each answer.
const LEFT_OUT: [&str; 2] = ["date", "x-request-id"];

/// What an answer says, but for what is another each time.
pub(crate) fn shown(answer: &Answer) -> String {
    let kept = |name: &str| !LEFT_OUT.contains(&name);
    let headers = answer.headers.iter();
    let headers: Vec<_> = headers.filter(|(name, _)| kept(name.as_str())).collect();
    let text = &answer.text;
    let id = Some(answer.header("x-request-id")).filter(|id| !id.is_empty());
    let text = id.map_or_else(|| text.clone(), |id| text.replace(id, "REQUEST"));
    format!("{} {headers:?} {text}", answer.status)
}

/// An id or a name that was never given, much like that one.
pub(crate) fn never(id: &str) -> String {
    let last = if id.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", &id[..id.len() - 1])
}

/// A thing of ann's, and what it is to her.
struct Thing {
    id: String,
    status: u16,
}

/// The house as ann and as bob see it.
async fn open(journal: &MemoryJournal, clock: &Clock) -> (House, House) {
    let flags = [
        ("api-key", KEYS),
        ("rate-limit", "off"),
        ("retention", "1h"),
        ("jobs-max", "3"),
        ("webhook-allow", "127.0.0.0/8"),
    ];
    let receivers = Receivers::ok(clock);
    let journal = Box::new(journal.clone());
    let house = House::open_with(&flags, clock.clone(), journal, Some(receivers)).await;
    let keyed = |name: &str| {
        let key = format!("Bearer {}", [name; 6].join("-"));
        house.with_header("authorization", &key)
    };
    (keyed("ann"), keyed("bob"))
}

async fn made(house: &House, path: &str, body: Value) -> String {
    let made = house.post(path, body).await;
    assert!(made.status < 300, "{path}: {}", made.text);
    made.json()["id"].as_str().unwrap().to_owned()
}

/// Jobs, endpoints and deliveries that are there, and such as were removed in each way.
async fn things(ann: &House) -> Vec<(&'static str, Thing)> {
    let endpoint = json!({"url": "http://127.0.0.1:9/"});
    let mut hooks = Vec::new();
    for _ in 0..2 {
        let id = made(ann, "/v1/webhooks", endpoint.clone()).await;
        let test = format!("/v1/webhooks/{id}/test");
        hooks.push((made(ann, &test, json!({})).await, id));
    }
    let expired = ann.job(0).await;
    ann.pass(3_601_000).await;
    let evicted = ann.job(0).await;
    ann.pass(1_000).await;
    let (deleted, ended) = (ann.job(0).await, ann.job(0).await);
    ann.pass(1_000).await;
    for path in [
        format!("/v1/jobs/{deleted}"),
        format!("/v1/webhooks/{}", hooks[1].1),
    ] {
        assert_eq!(ann.ask("DELETE", &path, None).await.status, 204, "{path}");
    }
    ann.job(600_000).await;
    let running = ann.job(600_000).await;
    let [(sent, kept), (unsent, gone)] = hooks.try_into().unwrap();
    let all = [
        ("jobs", running, 200),
        ("jobs", ended, 200),
        ("jobs", deleted, 410),
        ("jobs", evicted, 410),
        ("jobs", expired, 410),
        ("webhooks", kept, 200),
        ("webhooks", gone, 404),
        ("deliveries", sent, 200),
        ("deliveries", unsent, 404),
    ];
    all.map(|(sort, id, status)| (sort, Thing { id, status }))
        .into()
}

/// Every request that names a thing, with `ID` in its place, and the sort of the thing.
fn requests() -> Vec<(&'static str, String, String, Option<String>)> {
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let mut all = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        let sort = match path.split('/').collect::<Vec<_>>()[..] {
            ["", "v1", "webhooks", ..] => "webhooks",
            ["", "v1", "deliveries", ..] => "deliveries",
            _ => "jobs",
        };
        for method in methods.as_object().unwrap().keys() {
            let body = match (method.as_str(), sort) {
                ("patch", "jobs") => Some(r#"{"progress":{"percent":1}}"#),
                ("patch", _) => Some(r#"{"description":"x"}"#),
                _ => None,
            };
            if path.contains("{id}") {
                let path = path.replace("{id}", "ID");
                all.push((sort, method.to_uppercase(), path, body.map(str::to_owned)));
            }
        }
    }
    assert!(all.len() > 14, "only {} routes have an id", all.len());
    for (method, path, body) in [
        ("GET", "/v1/jobs/ID?wait=1&after=1", ""),
        ("GET", "/v1/jobs/ID/events?last_event_id=1", ""),
        ("GET", "/v1/jobs?ids=ID", ""),
        ("GET", "/status?job_id=ID", ""),
        ("GET", "/status?job_id=ID&mode=long", ""),
        (
            "POST",
            "/v1/jobs/wait",
            r#"{"jobs":[{"id":"ID"}],"wait":1}"#,
        ),
        ("POST", "/v1/stream-tokens", r#"{"job":"ID"}"#),
    ] {
        let body = Some(body)
            .filter(|body| !body.is_empty())
            .map(str::to_owned);
        all.push(("jobs", method.to_owned(), path.to_owned(), body));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn to_another_owner_a_removed_thing_never_was() {
    let clock = Clock::running(START, 1.try_into().unwrap());
    let journal = MemoryJournal::new();
    let (mut ann, mut bob) = open(&journal, &clock).await;
    let things = things(&ann).await;
    for life in ["as it is removed", "after a start"] {
        for (sort, thing) in &things {
            let read = ann.get(&format!("/v1/{sort}/{}", thing.id)).await;
            assert_eq!(read.status, thing.status, "{sort} {life}: {}", read.text);
        }
        for (sort, method, path, body) in requests() {
            let ask = async |id: &str| {
                let body = body.as_ref().map(|body| body.replace("ID", id));
                let body = body.map(|body| serde_json::from_str(&body).unwrap());
                let answer = bob.ask(&method, &path.replace("ID", id), body).await;
                shown(&answer).replace(id, "ID")
            };
            for (_, thing) in things.iter().filter(|(of, _)| *of == sort) {
                let id = &thing.id;
                let (told, untold) = (ask(id).await, ask(&never(id)).await);
                assert_eq!(
                    told, untold,
                    "{method} {path}, {} to ann {life}",
                    thing.status
                );
            }
        }
        (ann, bob) = open(&journal, &clock).await;
    }
}
