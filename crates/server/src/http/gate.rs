//! What happens around every request, whatever it asks for.
//!
//! In this order: the route is found, the request gets its id, its key is checked, its client's limits are; the body
//! is read; the handler answers, or a fault does. Then the id, the time and the limits are put on the answer, a
//! problem is completed with the id, and all of it is counted. What can be decided from the head is decided before
//! the body is read.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use abide_wire::Timestamp;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderMap, Request};

use super::access::{Caller, Pass, is_proxied, origin_of};
use super::answer::{Body, Outcome, give_back};
use super::body;
use super::call::{Call, Prefer};
use super::door::Door;
use super::error::ApiError;
use super::exchange::Exchange;
use super::faults::Play;
use super::form;
use super::fresh;
use super::head::{Head, Last, Text};
use super::limits::Class;
use super::near;
use super::route::{Meets, Row};
use super::state::AppState;
use super::stream_token;
use super::table::{Found, TABLE};
use crate::board::Look;
use crate::driver::Failure;
use crate::net::{Answers, Reset};

/// How long a request that changes something waits for a place before it is refused, at least and at most. A refusal at
/// once would bring its client back at once, and half of a create is work that a refusal is too.
const PLACE_WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(300));

/// All routes with what happens around them: what a connection is served by, and what tests call in process.
#[derive(Clone, Debug)]
pub struct Gate {
    state: AppState,
    /// Where requests come from. A gate serves one connection.
    address: Option<IpAddr>,
    /// The dialect that has the listener's root, if it isn't the native interface.
    own: Option<Arc<str>>,
    /// Whether the connection is encrypted.
    is_tls: bool,
    /// Breaks the connection off; without it, a fault that does is an error of the body.
    reset: Option<Reset>,
    last: Last,
}

impl Gate {
    /// All routes, served to clients at that address.
    #[must_use]
    pub fn new(state: AppState, address: Option<IpAddr>) -> Self {
        Self {
            state,
            address,
            own: None,
            is_tls: false,
            reset: None,
            last: Last::default(),
        }
    }

    /// Serves that dialect at the root, and nothing else.
    #[must_use]
    pub fn of_dialect(mut self, name: Arc<str>) -> Self {
        self.own = Some(name);
        self
    }

    /// Says that the connection is encrypted.
    #[must_use]
    pub const fn with_tls(mut self, is_tls: bool) -> Self {
        self.is_tls = is_tls;
        self
    }

    /// Lets faults break the connection off.
    #[must_use]
    pub fn with_reset(mut self, reset: Reset) -> Self {
        self.reset = Some(reset);
        self
    }

    /// Answers one request.
    ///
    /// # Cancel safety
    ///
    /// Dropping the outcome cancels only the waiting: what was asked of the loop happens all the same.
    #[must_use]
    pub fn answer(&self, request: Request<Body>) -> Outcome {
        let (head, body) = request.into_parts();
        let (begun, now) = self.state.clock.both();
        let Some(known) = self.last.find(&head, self.state.access.changes()) else {
            return self.answer_new(head, body, begun, now);
        };
        let Head {
            route, door, row, ..
        } = known;
        let call = Call {
            method: head.method,
            uri: head.uri,
            mount: known.mount,
            params: known.params,
            prefer: known.prefer,
            headers: head.headers,
            body: Bytes::new(),
            room: None,
            caller: known.caller,
            is_tls: self.is_tls,
            is_proxied: known.is_proxied,
            now,
        };
        let mut exchange =
            Exchange::begin(&self.state, begun, (route, door), Class::Request, &call);
        match exchange.admit_again(row.counts) {
            Ok(()) => self.take_place(row, call, body, exchange),
            Err(error) => exchange.now(Some(row), &call, error.into()),
        }
    }

    /// Answers a request whose head isn't the last one's.
    fn answer_new(&self, mut head: Parts, body: Body, begun: Duration, now: Timestamp) -> Outcome {
        let keys = self.state.access.changes();
        let meant = TABLE.meant(&head.uri, &head.headers, self.own.as_deref());
        let is_as_sent = meant.is_none();
        if let Some(meant) = meant {
            head.uri = meant;
        }
        let Found {
            route,
            door,
            row,
            mount,
            params,
        } = TABLE.find(&head.method, head.uri.path(), self.own.as_deref(), |name| {
            self.state.config.speaks(name)
        });
        let trusted = &self.state.config.trusted_proxy;
        let address = origin_of(self.address, trusted, &head.headers);
        let token = match row {
            Ok(row) if row.takes_token => {
                let query = head.uri.query();
                stream_token::pass(&self.state, query, params.text(head.uri.path(), "id"))
            }
            _ => None,
        };
        // A token doesn't stay good, and what waits is mostly asked once.
        let is_worth = |row: &&Row| row.asks_to_hold.is_none() || head.uri.query().is_none();
        let is_kept = is_as_sent && token.is_none() && row.as_ref().is_ok_and(is_worth);
        let text = is_kept.then(|| Text::of(&head)).flatten();
        let pass = self.pass(door, token, &head.headers, address, begun);
        let owner = pass.as_ref().unwrap_or(&Pass::OPEN).owner;
        let caller = Caller::new(owner, address, &head.headers);
        let call = Call {
            method: head.method,
            uri: head.uri,
            mount,
            params,
            prefer: Prefer::of(&head.headers),
            headers: head.headers,
            body: Bytes::new(),
            room: None,
            caller,
            is_tls: self.is_tls,
            is_proxied: is_proxied(self.address, trusted),
            now,
        };
        let known = row.as_ref().ok().copied();
        let holds = known.and_then(|row| row.asks_to_hold);
        let class = match holds.is_some_and(|asks_to_hold| asks_to_hold(&call)) {
            true => Class::Hold,
            false => Class::Request,
        };
        let mut exchange = Exchange::begin(&self.state, begun, (route, door), class, &call);
        if let Some(answer) = near::preflight(&self.state, &call) {
            return exchange.now(known, &call, answer);
        }
        let host = near::coding(&call.headers)
            .and_then(|()| near::host(&call, head.version, self.reset.is_some()));
        let admitted = host.and_then(|host| exchange.admit(pass, known, &call, host.as_ref()));
        match admitted.and(row) {
            Ok(row) => {
                if let Some(text) = text.filter(|_| class == Class::Request) {
                    let head = Head {
                        route,
                        door,
                        row,
                        mount: call.mount.clone(),
                        params: call.params.clone(),
                        caller,
                        prefer: call.prefer,
                        is_proxied: call.is_proxied,
                    };
                    self.last.keep(text, keys, head);
                }
                self.take_place(row, call, body, exchange)
            }
            Err(error) => exchange.now(known, &call, error.into()),
        }
    }

    /// Who asks: by the token of a page's stream, else by the key that the door wants.
    fn pass(
        &self,
        door: Door,
        token: Option<Result<Pass, ApiError>>,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        begun: Duration,
    ) -> Result<Pass, ApiError> {
        let (access, words) = (&self.state.access, door.words());
        match token {
            _ if door.is_open() => Ok(Pass::OPEN),
            Some(pass) => pass,
            None => access.pass(headers, words.keys(), words.needs_key(), address, begun),
        }
    }

    /// Takes a place, if the request may change something, and goes on. If none is free it is tried once more after a
    /// pause; nothing is done for the request until then.
    fn take_place(
        &self,
        row: &'static Row,
        call: Call,
        body: Body,
        mut exchange: Exchange,
    ) -> Outcome {
        exchange.may_change = !call.method.is_safe() && row.meets != Meets::Set;
        if !exchange.may_change || !exchange.door.is_limited() || exchange.take_place() {
            return self.read_body(row, call, body, exchange);
        }
        let gate = self.clone();
        Outcome::Soon(Box::pin(async move {
            let (min, max) = PLACE_WAIT;
            let pause = min + (max - min).mul_f64(gate.state.spread());
            gate.state.clock.hold(pause).await;
            if exchange.take_place() {
                gate.read_body(row, call, body, exchange)
            } else {
                let error = ApiError::from(Failure::Overloaded);
                exchange.now(Some(row), &call, error.into())
            }
        }))
    }

    /// Reads the body, if the route has one, and goes on.
    fn read_body(
        &self,
        row: &'static Row,
        mut call: Call,
        body: Body,
        mut exchange: Exchange,
    ) -> Outcome {
        let bytes_max = row.body_bytes_max.filter(|_| !matches!(body, Body::Empty));
        if bytes_max.is_some() || exchange.may_change {
            let announced = body::announced(&call.headers).unwrap_or(usize::MAX);
            let mut bytes = bytes_max.map_or(0, |bytes_max| announced.min(bytes_max));
            if exchange.may_change {
                bytes += bytes_shown(&self.state, row, &call);
            }
            match self.state.inflight.take(exchange.caller.client, bytes) {
                Ok(held) => {
                    let room = Arc::new(held);
                    call.room = Some(room.clone());
                    exchange.body = Some(room);
                }
                Err(full) => {
                    let error = ApiError::too_many_bytes(full);
                    return exchange.now(Some(row), &call, error.into());
                }
            }
        }
        let Some(bytes_max) = bytes_max else {
            return carry_out(&self.state, self.reset.as_ref(), row, call, exchange);
        };
        let is_form = row.takes_form && form::is_form(&call.headers);
        let (state, reset) = (self.state.clone(), self.reset.clone());
        // In a box, because blocks of more than a kilobyte take much longer to find.
        let mut exchange = Box::new(exchange);
        Outcome::Soon(Box::pin(async move {
            let read = match is_form || row.takes_file {
                // In a box, because most bodies have no need of its room.
                true => {
                    let bytes_max = state.config.upload_bytes_max();
                    let headers = &mut call.headers;
                    Box::pin(body::read_upload(headers, body, is_form, bytes_max)).await
                }
                false => body::read(&call.headers, body, bytes_max).await,
            };
            match read {
                Ok(bytes) => {
                    call.body = bytes;
                    carry_out(&state, reset.as_ref(), row, call, *exchange)
                }
                Err(error) => exchange.now(Some(row), &call, error.into()),
            }
        }))
    }
}

/// How many bytes the answer to a change may show: those of the job that it is about. Once the change has been made it
/// is too late to refuse its answer.
fn bytes_shown(state: &AppState, row: &Row, call: &Call) -> usize {
    let subject = row.subject.and_then(|subject| subject(state, call));
    match subject.map(|subject| state.board.look_as(subject.owner, subject.job)) {
        Some(Look::Found(job)) => job.bytes(),
        _ => 0,
    }
}

/// Has the request answered, by its handler and by the faults that meet it.
fn carry_out(
    state: &AppState,
    reset: Option<&Reset>,
    row: &'static Row,
    call: Call,
    mut exchange: Exchange,
) -> Outcome {
    let is_hold = exchange.class == Class::Hold;
    let play = Play::of(state, row, &call, is_hold, reset);
    let creates = row.meets == Meets::Create;
    let cluster = state.cluster.as_ref().filter(|_| !creates);
    let outcome = match (play, cluster) {
        (None, None) => row.answer(state, &call),
        (None, Some(cluster)) => match fresh::at_once(state, row, &call) {
            Some(outcome) => outcome,
            None => {
                exchange.find_subject(row, &call);
                let path = call.uri.path().into();
                let later = fresh::later(state.clone(), cluster.clone(), row, call);
                return exchange.soon(path, later);
            }
        },
        (Some(play), _) => {
            exchange.find_subject(row, &call);
            return exchange.later(call.uri.path().into(), is_hold, play.answer(row, call));
        }
    };
    if let Outcome::Now(answer) = outcome {
        let outcome = exchange.now(Some(row), &call, answer);
        give_back(call.headers);
        return outcome;
    }
    exchange.find_subject(row, &call);
    let path = call.uri.path().into();
    // The request's buffers are given back: the handler has taken along what it needs.
    give_back(call.headers);
    match outcome {
        Outcome::Held(later) => {
            // The command of a create keeps it until the job is made.
            exchange.body = None;
            exchange.later(path, true, later)
        }
        Outcome::Now(answer) => Outcome::Now(answer),
        Outcome::Soon(later) if creates => {
            exchange.leave_place();
            let (state, caller) = (state.clone(), call.caller);
            let reset = reset.cloned();
            let later = later.map(move |outcome| match outcome {
                Outcome::Now(answer) => match Play::of_created(&state, caller, reset) {
                    None => Outcome::Now(answer),
                    Some(play) => Outcome::Soon(Box::pin(play.after(answer).map(Outcome::Now))),
                },
                outcome => outcome,
            });
            exchange.soon(path, later)
        }
        Outcome::Soon(later) => exchange.soon(path, later),
    }
}

impl Answers for Gate {
    fn answer(&self, request: Request<Body>) -> Outcome {
        Self::answer(self, request)
    }

    fn rest(&self) {
        self.last.forget();
    }
}
