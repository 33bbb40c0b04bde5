//! Jobs: create, read, report, list, wait for many, and who watches.

mod change;
mod create;
mod idempotency;
mod list;
mod read;
mod report;
mod set;
mod watchers;

use abide_engine::fault::Purpose;
use abide_wire::{Job, JobPage, NewJob, Timestamp, WaitRequest, WaitResponse, limits};

use super::paging::{LIMIT, PAGE_TOKEN};
use super::route::{
    About, Counts, Field, Meets, Param, Place, Request, Response, Row, Subject, named,
};

/// Headers of an answer to a create.
const CREATED: &[(&str, &str)] = &[
    ("Location", "Where the job is."),
    ("Operation-Location", "The same, as a whole URL."),
    (
        "Idempotent-Replayed",
        "`true` where the job had been created under this key before.",
    ),
    (
        "Webhook-Secret",
        "The secret that was made for the job's own webhook; it is not shown again.",
    ),
];

/// A parameter of the list.
const fn filter(name: &'static str, text: &'static str) -> Field {
    Field::new(Place::Query, name, text)
}

/// The routes.
pub(super) const ROUTES: &[Row] = &[
    Row {
        asks_to_hold: Some(create::asks_to_hold),
        meets: Meets::Create,
        counts: Counts::Create,
        about: Some(About {
            text: "No body at all is the same as `{}`. With an idempotency key a create may be sent again: the same key and body give the same job.",
            params: &[
                Param::One(Field {
                    bounds: Some((1, limits::IDEMPOTENCY_KEY_BYTES_MAX)),
                    pattern: Some(r#"^([!#-~]([ -~]*[!-~])?|"[ -~]+")$"#),
                    is_checked: true,
                    ..Field::new(
                        Place::Header,
                        "Idempotency-Key",
                        "Names this create, so that sending it again makes no second job; 1 to 255 visible ASCII characters with spaces between them, or a string in double quotes; remembered for 24 hours.",
                    )
                }),
                Param::header(
                    "Prefer",
                    "`wait=N` holds the request up to so many seconds, until the job has ended; `respond-async` doesn't.",
                    "wait=10",
                ),
            ],
            request: Some(Request::optional_json::<NewJob>()),
            responses: &[
                Response {
                    headers: CREATED,
                    ..Response::job::<Job>(
                        200,
                        "The job, which ended while the request was held, or had before it was sent again.",
                    )
                },
                Response {
                    headers: CREATED,
                    ..Response::job::<Job>(
                        202,
                        "The job. It has been accepted and will be worked on.",
                    )
                },
            ],
            ..About::new("Jobs", "createJob", "Create a job")
        }),
        ..Row::post_body("/v1/jobs", create::create)
    },
    Row {
        counts: Counts::Refusals,
        about: Some(About {
            text: "The newest first. A filter that few jobs pass may leave a page short, or empty, and there may yet be a next one.",
            params: &[
                Param::One(Field {
                    pattern: Some(
                        "^(pending|running|completed|failed|canceled)(,(pending|running|completed|failed|canceled))*$",
                    ),
                    ..filter("status", "Only these, with commas between them.")
                }),
                Param::One(filter("kind", "Only jobs of that kind.")),
                Param::One(Field {
                    schema: named::<Timestamp>,
                    ..filter("created_after", "Only jobs created after that instant.")
                }),
                Param::One(Field {
                    schema: named::<Timestamp>,
                    ..filter("created_before", "Only jobs created before that instant.")
                }),
                Param::One(filter(
                    "metadata.{name}",
                    "Only jobs whose `metadata` has that value under that name; up to ten such filters.",
                )),
                Param::One(filter(
                    "ids",
                    "Only these, up to 1,000 with commas between them, in that order.",
                )),
                LIMIT,
                PAGE_TOKEN,
            ],
            responses: &[Response {
                headers: &[("Link", "The next page, `rel=\"next\"`, where there is one.")],
                ..Response::json::<JobPage>(200, "A page of jobs.")
            }],
            ..About::new("Jobs", "listJobs", "List jobs")
        }),
        ..Row::get("/v1/jobs", list::list)
    },
    Row {
        asks_to_hold: Some(|_| true),
        meets: Meets::Set,
        counts: Counts::Request,
        about: Some(About {
            text: "Holds until any of up to 1,000 jobs has news, and answers with all that have. A bad id is an error for itself alone.",
            request: Some(Request::json::<WaitRequest>()),
            responses: &[Response::json::<WaitResponse>(
                200,
                "The jobs with news; none where the hold ran out.",
            )],
            ..About::new("Waiting", "waitForJobs", "Wait for many jobs")
        }),
        ..Row::post_body("/v1/jobs/wait", set::wait)
    },
    Row {
        asks_to_hold: Some(read::asks_to_hold),
        subject: Some(Subject::in_path),
        meets: Meets::Job(Purpose::Read),
        counts: Counts::Read,
        about: Some(About {
            text: "With `wait`, or `Prefer: wait=N`, the request is held: where a revision is named (`after`, or `If-None-Match`) until there is a newer one, else until the end.",
            params: &[
                Param::JOB,
                Param::query::<read::ReadQuery>(),
                Param::header("Prefer", "`wait=N`: the same as the parameter.", "wait=25"),
                Param::header("If-None-Match", "The ETag that the client has.", "\"3\""),
            ],
            responses: &[
                Response::job::<Job>(200, "The job as it is."),
                Response {
                    is_job: true,
                    ..Response::empty(304, "The job is as the client has it.")
                },
            ],
            ..About::new("Jobs", "readJob", "Read a job, or wait for it")
        }),
        ..Row::get("/v1/jobs/{id}", read::read)
    },
    Row {
        subject: Some(Subject::in_path),
        meets: Meets::Job(Purpose::Write),
        counts: Counts::Refusals,
        about: Some(About {
            text: "May be said twice. A job that is not done must be canceled first.",
            params: &[Param::JOB],
            responses: &[
                Response::empty(204, "The record is gone. Reads of it answer `410`."),
                Response::problem(409, "The job is not done."),
            ],
            ..About::new("Jobs", "deleteJob", "Remove a job's record")
        }),
        ..Row::delete("/v1/jobs/{id}", change::delete)
    },
    Row {
        subject: Some(Subject::in_path),
        meets: Meets::Job(Purpose::Write),
        counts: Counts::Refusals,
        about: Some(About {
            text: "Exactly one of `progress`, `result` and `error`. The last two end the job.",
            params: &[
                Param::JOB,
                Param::header(
                    "If-Match",
                    "The ETag that the worker has: the report counts only where the job is still there.",
                    "\"3\"",
                ),
            ],
            request: Some(Request::json::<report::WorkerReport>()),
            responses: &[
                Response::job::<Job>(200, "The job after the report."),
                Response::problem(409, "The job is done, or not an external worker's."),
                Response::problem(412, "The job is at another revision."),
            ],
            ..About::new("Workers", "reportJob", "Report as an external worker")
        }),
        ..Row::patch("/v1/jobs/{id}", report::report)
    },
    Row {
        subject: Some(Subject::in_path),
        meets: Meets::Job(Purpose::Write),
        about: Some(About {
            text: "A job that is done stays as it is. May be said twice.",
            params: &[Param::JOB],
            responses: &[Response::job::<Job>(200, "The job, done.")],
            ..About::new("Jobs", "cancelJob", "Cancel a job")
        }),
        ..Row::post("/v1/jobs/{id}/cancel", change::cancel)
    },
    Row {
        subject: Some(Subject::in_path),
        about: Some(About {
            text: "By which channel, since when.",
            params: &[Param::JOB],
            responses: &[Response::json::<watchers::Watchers>(
                200,
                "Those who are waiting, up to 1,000.",
            )],
            ..About::new("Jobs", "listWatchers", "Who is waiting")
        }),
        ..Row::get("/v1/jobs/{id}/watchers", watchers::watchers)
    },
];
