//! Jobs: create, read, report, list, wait for many, and who watches.

mod change;
mod claim;
mod create;
mod idempotency;
mod list;
mod many;
mod metadata;
mod read;
mod report;
mod set;
mod watchers;

use abide_wire::{
    ClaimRequest, Job, JobPage, NewJob, Timestamp, WaitRequest, WaitResponse, limits,
};

use super::described::{Param, Request, Response, named};
use super::paging::{LIMIT, PAGE_TOKEN};
use super::route::{Counts, Meets, Row, Subject};

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
const STATUSES: &str =
    "^(pending|running|completed|failed|canceled)(,(pending|running|completed|failed|canceled))*$";

/// The routes.
pub(super) const ROUTES: &[Row] = &[
    Row::post("/v1/jobs", create::create)
        .holds(create::asks_to_hold)
        .meets(Meets::Create)
        .counts(Counts::Create)
        .about("Jobs", "createJob", "Create a job")
        .text("No body at all is the same as `{}`. With an idempotency key a create may be sent again: the \
            same key and body give the same job.")
        .params(&[
            Param::header("Idempotency-Key", "Names this create, so that sending it again makes no second \
                job; 1 to 255 visible ASCII characters with spaces between them, or a string in double \
                quotes; remembered for 24 hours.")
                .bounds(1, limits::IDEMPOTENCY_KEY_BYTES_MAX)
                .checked(idempotency::PATTERN),
            Param::header("Prefer", "`wait=N` holds the request up to N seconds, until the job has \
                ended; `respond-async` doesn't.")
                .example("wait=10"),
        ])
        .body(Request::optional_json::<NewJob>())
        .answers(&[
            Response::json::<Job>(200, "The job, which ended while the request was held, or had before it \
                was sent again.")
                .job()
                .headers(CREATED),
            Response::json::<Job>(202, "The job. It has been accepted and will be worked on.")
                .job()
                .headers(CREATED),
        ]),
    Row::get("/v1/jobs", list::list)
        .counts(Counts::Refusals)
        .about("Jobs", "listJobs", "List jobs")
        .text("The newest first. A page has at most 4 MiB of jobs, or a single one. A filter that few jobs pass \
            may leave it short, or empty, and there may yet be a next one.")
        .params(&[
            Param::query("status", "Only these statuses, separated by commas.").pattern(STATUSES),
            Param::query("kind", "Only jobs of that kind."),
            Param::query("created_after", "Only jobs created after that instant.")
                .schema(named::<Timestamp>),
            Param::query("created_before", "Only jobs created before that instant.")
                .schema(named::<Timestamp>),
            Param::query("metadata.{name}", "Only jobs whose `metadata` has that value under that name; up \
                to ten such filters."),
            Param::query("ids", "Only these jobs, up to 1,000, separated by commas and shown in that order."),
            LIMIT,
            PAGE_TOKEN,
        ])
        .answers(&[Response::json::<JobPage>(200, "A page of jobs.")
            .headers(&[("Link", "The next page, `rel=\"next\"`, if any.")])]),
    Row::post("/v1/jobs/wait", set::wait)
        .naming_many()
        .holds(|_| true)
        .meets(Meets::Set)
        .counts(Counts::Request)
        .about("Waiting", "waitForJobs", "Wait for many jobs")
        .text("Holds until any of up to 1,000 jobs has news, and answers with those that have, with at most \
            4 MiB of them, or a single one: the others are in the next answer. A bad id is an error for itself \
            alone.")
        .body(Request::json::<WaitRequest>())
        .answers(&[Response::json::<WaitResponse>(200, "The jobs with news; none where the hold ran out.")]),
    Row::post("/v1/jobs/claim", claim::claim)
        .holds(|_| true)
        .counts(Counts::Refusals)
        .about("Workers", "claimJob", "Claim a job to work on")
        .text("Takes the oldest pending job with `\"worker\": \"external\"`, or holds until there is one; of the \
            workers that wait the one that came first gets it. The job is running then, and its `lease` names the \
            token for the worker's reports, each of which renews the lease. A worker that is silent for longer has \
            lost the job, which fails with the code `worker_lost` or is pending again, as its create says. A claim \
            that is sent again under its `Idempotency-Key` is answered with the same job for as long as its lease lasts.")
        .params(&[
            Param::header("Idempotency-Key", "Names this claim, so that sending it again takes no second job.")
                .bounds(1, limits::IDEMPOTENCY_KEY_BYTES_MAX)
                .checked(idempotency::PATTERN),
        ])
        .body(Request::optional_json::<ClaimRequest>())
        .answers(&[
            Response::json::<Job>(200, "The job, with its lease.").job(),
            Response::empty(204, "No job was pending until the hold ran out."),
        ]),
    Row::get("/v1/jobs/{id}", read::read)
        .holds(read::asks_to_hold)
        .reads(Subject::in_path)
        .about("Jobs", "readJob", "Read a job, or wait for it")
        .text("With `wait`, or `Prefer: wait=N`, the request is held: where a revision is named (`after`, \
            or `If-None-Match`) until there is a newer one, else until the end.")
        .params(&[
            Param::JOB,
            Param::header("Prefer", "`wait=N`: the same as the parameter.").example("wait=25"),
            Param::header("If-None-Match", "The ETag that the client has.").example("\"3\""),
        ])
        .query::<read::ReadQuery>()
        .answers(&[
            Response::json::<Job>(200, "The job as it is.").job(),
            Response::empty(304, "The job is as the client has it.").job(),
        ]),
    Row::delete("/v1/jobs/{id}", change::delete)
        .writes(Subject::in_path)
        .counts(Counts::Refusals)
        .about("Jobs", "deleteJob", "Remove a job's record")
        .text("May be sent twice. A job that is not done must be canceled first.")
        .params(&[Param::JOB])
        .answers(&[
            Response::empty(204, "The record is gone. Reads of it answer `410`."),
            Response::problem(409, "The job is not done."),
        ]),
    Row::patch("/v1/jobs/{id}", report::report)
        .writes(Subject::in_path)
        .counts(Counts::Refusals)
        .about("Workers", "reportJob", "Report as an external worker")
        .text("Exactly one of `progress`, `result` and `error`. The last two end the job. A worker that has claimed \
            the job reports under its lease, and may say nothing at all, which renews the lease; `release` gives the \
            job back.")
        .params(&[
            Param::JOB,
            Param::header("If-Match", "The ETag that the worker has: the report counts only where the job \
                is still there.")
                .example("\"3\""),
            Param::header("Lease-Token", "The lease of the worker that has claimed the job.")
                .checked("^lease_[0-9a-f]{16}$"),
        ])
        .body(Request::json::<report::WorkerReport>())
        .answers(&[
            Response::json::<Job>(200, "The job after the report.").job(),
            Response::problem(409, "The job is done, canceled (`job_done`), or not an external worker's; or the lease \
                is lost (`lease_lost`). The worker stops."),
            Response::problem(412, "The job is at another revision."),
        ]),
    Row::post("/v1/jobs/{id}/cancel", change::cancel)
        .writes(Subject::in_path)
        .about("Jobs", "cancelJob", "Cancel a job")
        .text("A job that is done stays as it is. May be sent twice.")
        .params(&[Param::JOB])
        .answers(&[Response::json::<Job>(200, "The job, done.").job()]),
    Row::get("/v1/jobs/{id}/watchers", watchers::watchers)
        .job(Subject::in_path)
        .about("Jobs", "listWatchers", "Who is waiting")
        .text("The channel of each, and since when it waits.")
        .params(&[Param::JOB])
        .answers(&[Response::json::<watchers::Watchers>(200, "Up to 1,000 that wait.")]),
];
