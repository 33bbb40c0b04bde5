//! The classic routes: `POST /jobs`, `GET /status`, `GET /status?job_id=&mode=`, `GET /status/{id}`, and registrations.
//!
//! Several small systems speak like this, each in its own way: the word for a status is under `result` or under
//! `status`; a create has a body or none; a job is named by the path, by the query or not at all. An answer here has
//! what any of them looks for, and their clients pass over the rest. There are three words: `pending`, `completed`,
//! `error`.
//!
//! The job that is not named is the default job. It starts with the server or with the first question, and starts
//! again after its end, as the configuration says.

mod create;
mod default_job;
mod registrations;
mod status;
mod webhooks;
mod words;

use super::Dialect;
use crate::http::described::{Param, Request, Response, inline};
use crate::http::door::Door;
use crate::http::route::{Counts, Meets, Row, Subject};

const TAG: &str = "Classic";
const DOOR: Door = Door::Dialect(&words::Classic);
const NO_URL: &str = "The body has no URL that may be called.";
const STATUS: &[Response] =
    &[Response::json::<words::ClassicJob<'_>>(200, "The status, under two names.").job()];

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect {
    name: "classic",
    rows: ROUTES,
    words: &words::Classic,
    trees: Some(&["/webhooks", "/status/"]),
    tell: webhooks::tell,
    names: |_| Vec::new(),
    proxy: None,
    tag: Some((
        TAG,
        "The routes of five earlier systems, as their clients speak them.",
    )),
};

/// The routes.
const ROUTES: &[Row] = &[
    Row::post("/jobs", create::create)
        .door(DOOR)
        .meets(Meets::Create)
        .counts(Counts::Create)
        .about(TAG, "createClassicJob", "Create a job")
        .text("The body and its content type may be missing. Other members are ignored.")
        .body(Request {
            is_nullable: true,
            ..Request::optional_json::<create::NewClassicJob>()
        })
        .answers(&[Response::json::<words::ClassicJob<'_>>(200, "The job.")
            .job()
            .headers(&[("Location", "The URL of its status.")])]),
    Row::get("/status", status::read)
        .door(DOOR)
        .holds(status::asks_to_hold)
        .reads(status::subject)
        .about(
            TAG,
            "readClassicStatus",
            "Read the status of a job, or of the default job",
        )
        .query::<status::StatusQuery>()
        .answers(STATUS),
    Row::get("/status/{id}", status::read_named)
        .door(DOOR)
        .holds(status::asks_to_hold)
        .reads(Subject::in_path)
        .about(TAG, "readClassicStatusOf", "Read the status of a job")
        .params(&[Param::JOB])
        .query::<status::ModeQuery>()
        .answers(STATUS),
    Row::post("/webhooks/register", registrations::register_result)
        .door(DOOR)
        .about(
            TAG,
            "registerResultWebhook",
            "Be told of the default job, as a result",
        )
        .text("Posts `{\"result\", \"timestamp\"}` at each change of state.")
        .body(registrations::REGISTRATION)
        .answers(&[
            Response::json::<registrations::Message>(200, "Registered."),
            Response::json::<registrations::Complaint>(400, NO_URL),
        ]),
    Row::delete("/webhooks/unregister", registrations::unregister)
        .door(DOOR)
        .about(TAG, "unregisterWebhook", "Be told no longer")
        .text("The URL comes in the body. One that was never registered is accepted too.")
        .body(registrations::UNREGISTRATION)
        .answers(&[
            Response::json::<registrations::Message>(200, "Not registered."),
            Response::json::<registrations::Complaint>(400, "The body has no URL."),
        ]),
    Row::post("/register-webhook", registrations::register_status)
        .door(DOOR)
        .about(
            TAG,
            "registerStatusWebhook",
            "Be told of the default job, as a status",
        )
        .text("Posts `{\"status\"}` at the end.")
        .body(registrations::REGISTRATION)
        .answers(&[
            Response::empty(200, "Registered; there is nothing in the body."),
            Response::of(400, NO_URL, "text/plain", inline::<String>),
        ]),
];
