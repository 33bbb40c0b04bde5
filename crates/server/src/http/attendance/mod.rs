//! Who read which jobs, and how the clients waited: counted as the gate finishes an answer, and shown.

mod count;
mod report;
mod timeline;

use super::route::{About, Param, Response, Row, Subject};

pub(super) use count::answered;

/// What a read that isn't held is called.
const POLL: &str = "poll";

/// The routes.
pub(super) const ROUTES: &[Row] = &[
    Row {
        subject: Some(Subject::in_path),
        about: Some(About {
            text: "When, by which channel, and whether it was news.",
            params: &[Param::JOB],
            responses: &[Response::json::<timeline::Log>(
                200,
                "The last looks, and what there was to see.",
            )],
            ..About::new("Jobs", "listLooks", "Who has looked")
        }),
        ..Row::get("/v1/jobs/{id}/looks", timeline::read)
    },
    Row {
        about: Some(About {
            text: "Per client that was seen: what it spent, how late it learned, and verdicts, whose limits the query may set.",
            params: &[Param::query::<report::Limits>()],
            responses: &[Response::json::<report::Report>(200, "The report card.")],
            ..About::new("Report card", "readReport", "How the clients waited")
        }),
        ..Row::get("/v1/report", report::read)
    },
    Row {
        about: Some(About {
            text: "Forgets the clients that were seen.",
            responses: &[Response::empty(204, "Forgotten.")],
            ..About::new("Report card", "clearReport", "Begin a new report card")
        }),
        ..Row::delete("/v1/report", report::clear)
    },
];
