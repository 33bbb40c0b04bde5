//! One row as an operation.

use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, Schema};

use super::problems::{self, Problem};
use super::schemas::{bound, header, leave_out_null};
use crate::http::described::{Param, Place, Request, Response, Schemas};
use crate::http::door::Door;
use crate::http::route::{Row, Verb};

/// The headers of every answer that shows one job.
const OF_A_JOB: &[(&str, &str)] = &[
    ("ETag", "The revision, in quotes."),
    (
        "Server-Timing",
        "Once the job is done, the age of the news: `since-end;dur=12`, in milliseconds.",
    ),
    ("Sim-Decision", "What the simulator did to this answer."),
];
/// The headers of every event stream.
const OF_A_STREAM: &[(&str, &str)] = &[
    ("Cache-Control", "`no-cache, no-transform`"),
    ("X-Accel-Buffering", "`no`"),
    ("Incremental", "`?1`"),
];

/// The operation of that row, under that tag.
pub(super) fn of(row: &Row, tag: &str, has_keys: bool, schemas: &mut Schemas) -> Operation {
    let mut operation = OperationBuilder::new()
        .tag(tag)
        .operation_id(Some(row.id))
        .summary(Some(row.summary))
        .description(Some(row.text).filter(|text| !text.is_empty()))
        .request_body(row.request.map(|request| body(&request, schemas)));
    let (headers, others): (Vec<&Param>, Vec<&Param>) = row
        .params
        .iter()
        .partition(|param| param.place == Place::Header);
    for param in others {
        operation = operation.parameter(parameter(param, schemas));
    }
    for mut param in row.query.map(|params| params()).unwrap_or_default() {
        if let Some(schema) = &mut param.schema {
            leave_out_null(schema);
            bound(schema);
        }
        operation = operation.parameter(param);
    }
    for param in headers {
        operation = operation.parameter(parameter(param, schemas));
    }
    for answer in row.answers {
        operation = operation.response(answer.status.to_string(), response(row, answer, schemas));
    }
    let is_own = |status: &str| {
        let mut answers = row.answers.iter();
        answers.any(|answer| answer.status.to_string() == status)
    };
    for problem in problems(row)
        .into_iter()
        .filter(|problem| !is_own(problem.status))
    {
        let response = Ref::from_response_name(problem.name);
        operation = operation.response(problem.status, response);
    }
    if has_keys && !row.door.is_open() {
        operation = operation.security(SecurityRequirement::new("key", [] as [&str; 0]));
        if row.takes_token {
            operation = operation.security(SecurityRequirement::new("token", [] as [&str; 0]));
        }
    }
    operation.build()
}

/// The method of that verb.
pub(super) const fn method(verb: Verb) -> HttpMethod {
    match verb {
        Verb::Get => HttpMethod::Get,
        Verb::Post => HttpMethod::Post,
        Verb::Put => HttpMethod::Put,
        Verb::Patch => HttpMethod::Patch,
        Verb::Delete => HttpMethod::Delete,
    }
}

fn parameter(param: &Param, schemas: &mut Schemas) -> Parameter {
    let (place, required) = match param.place {
        Place::Path => (ParameterIn::Path, Required::True),
        Place::Query => (ParameterIn::Query, Required::False),
        Place::Header => (ParameterIn::Header, Required::False),
    };
    let mut schema = (param.schema)(schemas);
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.pattern = param.pattern.map(str::to_owned);
        if let Some((min, max)) = param.bounds {
            if object.schema_type == SchemaType::Type(Type::String) {
                (object.min_length, object.max_length) = (Some(min), Some(max));
            } else {
                (object.minimum, object.maximum) = (Some(min.into()), Some(max.into()));
                object.format = None;
            }
        }
    }
    ParameterBuilder::new()
        .name(param.name)
        .parameter_in(place)
        .required(required)
        .description(Some(param.text))
        .schema(Some(schema))
        .example(param.example.map(Into::into))
        .build()
}

fn body(request: &Request, schemas: &mut Schemas) -> RequestBody {
    let mut schema = (request.schema)(schemas);
    if request.is_nullable {
        let null = ObjectBuilder::new().schema_type(Type::Null);
        schema = OneOfBuilder::new().item(schema).item(null).into();
    }
    let required = match request.is_required {
        true => Required::True,
        false => Required::False,
    };
    RequestBodyBuilder::new()
        .content(
            "application/json",
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .required(Some(required))
        .build()
}

fn response(
    row: &Row,
    told: &Response,
    schemas: &mut Schemas,
) -> utoipa::openapi::response::Response {
    let mut response = ResponseBuilder::new().description(told.text);
    let mut headers = vec![(
        "X-Request-Id",
        false,
        "The request's name in the server's log.",
    )];
    if let Some((kinds, schema)) = told.body {
        let schema = schema(schemas);
        let content = ContentBuilder::new().schema(Some(schema)).build();
        for kind in kinds.split(", ") {
            response = response.content(kind, content.clone());
        }
        if kinds == "text/event-stream" {
            headers.extend(OF_A_STREAM.iter().map(|(name, text)| (*name, false, *text)));
        }
    }
    let words = row.door.words();
    if row.door.is_limited() {
        headers.extend(words.limits());
    }
    if told.is_job {
        headers.extend(OF_A_JOB.iter().map(|(name, text)| (*name, false, *text)));
        headers.extend(words.of_a_job());
    }
    headers.extend(
        told.headers
            .iter()
            .map(|(name, text)| (*name, false, *text)),
    );
    for (name, is_number, text) in headers {
        response = response.header(name, header(text, is_number));
    }
    response.build()
}

/// The problems that any request of that sort may meet.
fn problems(row: &Row) -> Vec<&'static Problem> {
    let mut met = vec!["431"];
    if let Some(request) = &row.request {
        met.extend(["408", "413"]);
        if request.is_strict {
            met.extend(["400", "415", "422"]);
        }
    }
    if row.query.is_some() || row.params.iter().any(|param| param.is_checked) {
        met.push("422");
    }
    if row.subject.is_some() {
        met.extend(["404", "410"]);
    } else if row.path.contains("{id}") {
        met.push("404");
    }
    if !row.door.is_open() {
        met.push("401");
        if row.verb != Verb::Get || matches!(row.door, Door::Operator) {
            met.push("403");
        }
        met.extend(["500", "503"]);
    }
    met.push("429");
    let problems = problems::ALL.iter();
    problems
        .filter(|problem| met.contains(&problem.status))
        .collect()
}
