//! The problems that many routes have in common.

use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{ContentBuilder, Ref};

use abide_wire::headers;

use super::schemas::header;

/// A problem that many requests may meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Problem {
    pub status: &'static str,
    pub name: &'static str,
    text: &'static str,
}

/// All of them, by status.
pub(super) const ALL: [Problem; 13] = [
    Problem::new("400", "InvalidJson", "The body is not JSON."),
    Problem::new(
        "401",
        "Unauthorized",
        "A key is needed, or this one isn't known.",
    ),
    Problem::new(
        "403",
        "Forbidden",
        "The key's role doesn't allow it, or, without keys, a page of another site asks.",
    ),
    Problem::new(
        "404",
        "NotFound",
        "It doesn't exist, or it belongs to another owner.",
    ),
    Problem::new("408", "SlowBody", "The body came too slowly."),
    Problem::new("410", "Gone", "Its record has been deleted."),
    Problem::new("413", "TooLarge", "The body is larger than 256 KiB."),
    Problem::new(
        "415",
        "UnsupportedType",
        "The body isn't JSON by its content type.",
    ),
    Problem::new(
        "422",
        "InvalidMember",
        "A member, parameter or header is unknown or out of its bound; the detail names both.",
    ),
    Problem::new("429", "RateLimited", "More requests than the limit allows."),
    Problem::new(
        "431",
        "HeadTooLarge",
        "The head of the request is larger than 8 KiB or has more than 100 headers.",
    ),
    Problem::new(
        "500",
        "Internal",
        "The server failed, and has logged why under the id of the request.",
    ),
    Problem::new(
        "503",
        "Unavailable",
        "Too many requests are held, the disk is full, or the server is shutting down.",
    ),
];

impl Problem {
    const fn new(status: &'static str, name: &'static str, text: &'static str) -> Self {
        Self { status, name, text }
    }

    /// It as an answer.
    pub(super) fn response(&self) -> Response {
        let mut response = ResponseBuilder::new()
            .description(self.text)
            .content(
                headers::PROBLEM_JSON,
                ContentBuilder::new()
                    .schema(Some(Ref::from_schema_name("Problem")))
                    .build(),
            )
            .header(
                "X-Request-Id",
                header("The request's name in the server's log.", false),
            );
        if self.status == "401" {
            response = response.header("WWW-Authenticate", header("`Bearer`", false));
        }
        if ["429", "503"].contains(&self.status) {
            response = response.header(
                "Retry-After",
                header("When to try again, in seconds.", true),
            );
        }
        response.build()
    }
}
