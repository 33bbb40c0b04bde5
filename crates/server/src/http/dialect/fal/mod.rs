//! fal: the queue, `https://queue.fal.run`.
//!
//! Any path of two parts and more is a model to ask. A request has a status, which says `COMPLETED` also if it failed,
//! and a result, which then is an error. Webhooks are signed by Ed25519, with a key that everybody may look up.

mod request;
mod webhooks;
mod wire;

use abide_engine::fault::Purpose;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::door::Door;
use crate::http::route::{Counts, Meets, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect {
    name: "fal",
    rows: ROUTES,
    words: &Vendor {
        keys: &[KeyForm::Scheme("Key"), KeyForm::Bearer],
        allows_no_key: false,
        error: wire::error,
    },
    trees: None,
    tell: webhooks::tell,
    proxy: Some(("/proxy", request::PROXIED)),
    tag: None,
};

const fn create(path: &'static str) -> Row {
    Row::post(path, request::create)
        .holds(request::is_direct)
        .creates()
}

const fn read(row: Row) -> Row {
    row.job(request::subject)
        .meets(Meets::Job(Purpose::Read))
        .counts(Counts::Read)
}

/// The routes.
const ROUTES: &[Row] = &[
    create("/{owner}/{alias}"),
    create("/{owner}/{alias}/{*sub}"),
    read(Row::get("/{owner}/{alias}/requests/{id}", request::result)),
    read(Row::get(
        "/{owner}/{alias}/requests/{id}/status",
        request::status,
    )),
    Row::get(
        "/{owner}/{alias}/requests/{id}/status/stream",
        request::stream,
    )
    .holds(|_| true)
    .job(request::subject)
    .meets(Meets::Job(Purpose::Stream))
    .counts(Counts::Request),
    Row::put("/{owner}/{alias}/requests/{id}/cancel", request::cancel)
        .job(request::subject)
        .meets(Meets::Job(Purpose::Write)),
    Row::get("/.well-known/jwks.json", webhooks::keys).door(Door::Open),
];
