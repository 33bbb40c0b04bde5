//! AssemblyAI: transcripts, `https://api.assemblyai.com`.
//!
//! A create is answered with the whole transcript, as a read is. There is no cancel. A webhook tells the id and the
//! status alone, unsigned, with a header that the create has chosen.

mod part;
mod transcript;
mod upload;
mod webhooks;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::{Counts, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "assemblyai",
    ROUTES,
    &Vendor::new(&[KeyForm::Raw], wire::error),
)
.tells(webhooks::tell);

/// The routes.
const ROUTES: &[Row] = &[
    Row::post("/v2/upload", upload::upload).takes_file(),
    Row::post("/v2/transcript", transcript::create).creates(),
    Row::get("/v2/transcript", transcript::list).counts(Counts::Refusals),
    read!("/v2/transcript/{id}", transcript::TRANSCRIPT),
    Row::get("/v2/transcript/{id}/{part}", part::read).counts(Counts::Refusals),
    Row::delete("/v2/transcript/{id}", transcript::delete)
        .writes(|_, call| transcript::TRANSCRIPT.subject(call)),
];
