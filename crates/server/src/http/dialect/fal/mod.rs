//! fal: the queue, `https://queue.fal.run`.
//!
//! Any path of two parts and more is a model to ask. A request has a status, which says `COMPLETED` also if it failed,
//! and a result, which then is an error. Webhooks are signed by Ed25519, with a key that everybody may look up.

mod request;
mod webhooks;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::door::Door;
use crate::http::route::Row;

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "fal",
    ROUTES,
    &Vendor::new(&[KeyForm::Scheme("Key"), KeyForm::Bearer], wire::error),
)
.tells(webhooks::tell)
.proxied("/proxy", request::PROXIED);

const fn create(path: &'static str) -> Row {
    Row::post(path, request::create)
        .holds(request::is_direct)
        .creates()
}

/// The routes.
const ROUTES: &[Row] = &[
    create("/{owner}/{alias}"),
    create("/{owner}/{alias}/{*sub}"),
    read!("/{owner}/{alias}/requests/{id}", request::RESULT),
    read!("/{owner}/{alias}/requests/{id}/status", request::REQUEST),
    Row::get(
        "/{owner}/{alias}/requests/{id}/status/stream",
        request::stream,
    )
    .streams(|_, call| request::REQUEST.subject(call)),
    Row::put("/{owner}/{alias}/requests/{id}/cancel", request::cancel)
        .writes(|_, call| request::REQUEST.subject(call)),
    Row::get("/.well-known/jwks.json", webhooks::keys).door(Door::Open),
];
