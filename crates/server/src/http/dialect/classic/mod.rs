//! The classic routes: `POST /jobs`, `GET /status`, `GET /status?job_id=&mode=`, `GET /status/{id}`, and registrations.
//!
//! Several small systems speak like this, each in its own way: the word for a status is under `result` or under `status`; a
//! create has a body or none; a job is named by the path, by the query or not at all. An answer here has what any of them
//! looks for, and their clients pass over the rest. There are three words: `pending`, `completed`, `error`.
//!
//! The job that is not named is the default job. It starts with the server or with the first question, and starts again after
//! its end, as the configuration says.

mod create;
mod default_job;
mod registrations;
mod status;
mod words;

use abide_engine::fault::Purpose;

use super::Dialect;
use crate::http::door::Door;
use crate::http::route::{About, Counts, Meets, Param, Request, Response, Row, Subject, inline};

const TAG: &str = "Classic";
const DOOR: Door = Door::Dialect(&words::Classic);
const NO_URL: &str = "There is no URL in it that may be called.";

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect {
    rows: ROUTES,
    words: &words::Classic,
    trees: &["/webhooks", "/status/"],
    tag: Some((
        TAG,
        "The routes of five earlier systems, as their clients speak them.",
    )),
};

/// A status, as the rows have it.
const STATUS: About = About {
    responses: &[Response::job::<words::ClassicJob<'_>>(
        200,
        "The status, under two names.",
    )],
    ..About::new(
        TAG,
        "readClassicStatus",
        "Read the status of a job, or of the default job",
    )
};

/// The routes.
const ROUTES: &[Row] = &[
    Row {
        door: DOOR,
        meets: Meets::Create,
        counts: Counts::Create,
        about: Some(About {
            text: "The body and its content type may be missing. Other members are passed over.",
            request: Some(Request {
                is_nullable: true,
                ..Request::optional_json::<create::NewClassicJob>()
            }),
            responses: &[Response {
                headers: &[("Location", "Where its status is.")],
                ..Response::job::<words::ClassicJob<'_>>(200, "The job.")
            }],
            ..About::new(TAG, "createClassicJob", "Create a job")
        }),
        ..Row::post_body("/jobs", create::create)
    },
    Row {
        door: DOOR,
        asks_to_hold: Some(status::asks_to_hold),
        subject: Some(status::subject),
        meets: Meets::Job(Purpose::Read),
        counts: Counts::Read,
        about: Some(About {
            params: &[Param::query::<status::StatusQuery>()],
            ..STATUS
        }),
        ..Row::get("/status", status::read)
    },
    Row {
        door: DOOR,
        asks_to_hold: Some(status::asks_to_hold),
        subject: Some(Subject::in_path),
        meets: Meets::Job(Purpose::Read),
        counts: Counts::Read,
        about: Some(About {
            id: "readClassicStatusOf",
            summary: "Read the status of a job",
            params: &[Param::JOB, Param::query::<status::ModeQuery>()],
            ..STATUS
        }),
        ..Row::get("/status/{id}", status::read_named)
    },
    Row {
        door: DOOR,
        about: Some(About {
            text: "Posts `{\"result\", \"timestamp\"}` at each change of state.",
            request: Some(registrations::REQUEST),
            responses: &[
                Response::json::<registrations::Message>(200, "Registered."),
                Response::json::<registrations::Complaint>(400, NO_URL),
            ],
            ..About::new(
                TAG,
                "registerResultWebhook",
                "Be told of the default job, as a result",
            )
        }),
        ..Row::post_body("/webhooks/register", registrations::register_result)
    },
    Row {
        door: DOOR,
        about: Some(About {
            text: "The URL comes in the body. One that was never registered is as good.",
            request: Some(Request {
                is_strict: false,
                ..Request::json::<registrations::Unregistration>()
            }),
            responses: &[
                Response::json::<registrations::Message>(200, "Not registered."),
                Response::json::<registrations::Complaint>(400, "There is no URL in it."),
            ],
            ..About::new(TAG, "unregisterWebhook", "Be told no longer")
        }),
        ..Row::delete("/webhooks/unregister", registrations::unregister).with_body()
    },
    Row {
        door: DOOR,
        about: Some(About {
            text: "Posts `{\"status\"}` at the end.",
            request: Some(registrations::REQUEST),
            responses: &[
                Response::empty(200, "Registered; there is nothing in the body."),
                Response {
                    body: Some(("text/plain", inline::<String>)),
                    ..Response::empty(400, NO_URL)
                },
            ],
            ..About::new(
                TAG,
                "registerStatusWebhook",
                "Be told of the default job, as a status",
            )
        }),
        ..Row::post_body("/register-webhook", registrations::register_status)
    },
];
