//! Who read which jobs, and how the clients waited: counted as the gate finishes an answer, and shown.

mod count;
mod report;
mod timeline;

use super::described::{Param, Response};
use super::door::Door;
use super::route::{Row, Subject};

pub(super) use count::answered;

/// What a read that isn't held is called.
const POLL: &str = "poll";

/// The routes.
pub(super) const ROUTES: &[Row] = &[
    Row::get("/v1/jobs/{id}/looks", timeline::read)
        .job(Subject::in_path)
        .about("Jobs", "listLooks", "Who has looked")
        .text("When, by which channel, and whether it was news.")
        .params(&[Param::JOB])
        .answers(&[Response::json::<timeline::Log>(200, "The last looks, and what there was to see.")]),
    Row::get("/v1/report", report::read)
        .door(Door::Apart)
        .about("Report card", "readReport", "How the clients waited")
        .text("Per client that was seen: what it spent, how late it learned, and verdicts, whose limits \
            the query may set.")
        .query::<report::Limits>()
        .answers(&[Response::json::<report::Report>(200, "The report card.")]),
    Row::delete("/v1/report", report::clear)
        .door(Door::Apart)
        .about("Report card", "clearReport", "Begin a new report card")
        .text("Forgets the clients that were seen.")
        .answers(&[Response::empty(204, "Forgotten.")]),
];
