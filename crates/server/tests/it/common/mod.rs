//! A whole server in process: journal in memory, tokio's time paused, requests by the real gate.

#![expect(unreachable_pub, reason = "a module of a test has no public")]

pub mod journal;
pub mod running;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::config::{Config, Layers};
use abide_server::courier::Carrier;
use abide_server::http::answer::{self, Body};
use abide_server::http::{AppState, Gate};
use abide_server::journal::{Journal, MemoryJournal};
use abide_server::{Fresh, Server};
use abide_wire::Timestamp;
use abide_wire::webhook::Secret;
use futures_util::StreamExt as _;
use http::{HeaderMap, Request};
use http_body_util::{BodyDataStream, BodyExt as _};
use serde_json::Value;

pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A server under test.
pub struct House {
    pub state: AppState,
    pub clock: Clock,
    /// What every request has.
    headers: Vec<(&'static str, String)>,
    address: IpAddr,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: Value,
}

/// A stream that is being read.
pub struct Events {
    body: BodyDataStream<Body>,
    text: String,
}

impl House {
    /// A server with these flags, on tokio's time.
    pub async fn with(flags: &[(&str, &str)]) -> Self {
        let clock = Clock::running(START, NonZeroU32::MIN);
        Self::open(flags, clock, Box::new(MemoryJournal::new())).await
    }

    pub async fn open(flags: &[(&str, &str)], clock: Clock, journal: Box<dyn Journal>) -> Self {
        Self::open_with(flags, clock, journal, None).await
    }

    /// The same with receivers of webhooks.
    pub async fn open_with(
        flags: &[(&str, &str)],
        clock: Clock,
        journal: Box<dyn Journal>,
        carrier: Option<Arc<dyn Carrier>>,
    ) -> Self {
        let layers = flags
            .iter()
            .fold(Layers::default(), |layers, (name, value)| {
                layers.flag(*name, *value)
            });
        let config: Config = layers.resolve().unwrap().config;
        let fresh = Fresh {
            seed: 7,
            secret: Secret::generate([7; 32]),
        };
        let server = Server::assemble(config, clock.clone(), journal, |_| carrier, fresh).await;
        Self::of(server.unwrap().state, clock)
    }

    /// A server that has been assembled already.
    pub fn of(state: AppState, clock: Clock) -> Self {
        Self {
            state,
            clock,
            headers: Vec::new(),
            address: [127, 0, 0, 1].into(),
        }
    }

    /// The same server, asked with that header.
    pub fn with_header(&self, name: &'static str, value: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.push((name, value.to_owned()));
        Self {
            state: self.state.clone(),
            clock: self.clock.clone(),
            headers,
            address: self.address,
        }
    }

    /// The same server, asked from that address.
    pub fn from(&self, address: &str) -> Self {
        let mut house = self.with_header("x-test", "1");
        house.address = address.parse().unwrap();
        house
    }

    /// What one connection to it is served by.
    pub fn gate(&self) -> Gate {
        Gate::new(self.state.clone(), Some(self.address))
    }

    pub async fn send(&self, mut request: Request<Body>) -> answer::Answer {
        for (name, value) in &self.headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        self.gate().answer(request).answer().await
    }

    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::default, |body| Body::from(body.to_string()));
        let response = self.send(request.body(body).unwrap()).await;
        Answer::read(response).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, Some(body)).await
    }

    /// Creates a job that runs for that span and completes, without stages, and returns its id.
    pub async fn job(&self, millis: u64) -> String {
        let simulate = serde_json::json!({
            "duration": {"fixed": format!("{millis}ms")},
            "outcome": {"error_chance": 0},
            "stages": [],
        });
        let answer = self
            .post("/v1/jobs", serde_json::json!({ "simulate": simulate }))
            .await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub async fn events(&self, path: &str) -> Events {
        let request = Request::get(path).body(Body::Empty).unwrap();
        let response = self.send(request).await;
        assert_eq!(response.status(), 200);
        Events {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// Lets so much time pass.
    pub async fn pass(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

impl Answer {
    pub async fn read(response: answer::Answer) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect(64 << 20).await.unwrap();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The problem's code, which must be there with everything that a problem has.
    pub fn code(&self) -> String {
        let problem = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        for member in ["type", "title", "instance", "code", "retryable"] {
            assert!(!problem[member].is_null(), "{member}: {problem}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }
}

impl Events {
    /// The next thing that the stream says: an event, or a comment or another field as the error.
    pub async fn next(&mut self) -> Option<Result<Event, String>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(Event::parse(&block).ok_or(block));
            }
            let bytes = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next event; whatever is no event is left out.
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            if let Ok(event) = self.next().await? {
                return Some(event);
            }
        }
    }

    /// All events to the end.
    pub async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }
}

impl Event {
    pub fn parse(block: &str) -> Option<Self> {
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        Some(Self {
            name: field("event")?.to_owned(),
            id: field("id")?.to_owned(),
            data: serde_json::from_str(field("data")?).unwrap(),
        })
    }
}
