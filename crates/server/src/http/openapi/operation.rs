//! One row as an operation.

use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, Schema};

use super::problems::{
    BAD_JSON, FORBIDDEN, GONE, HEAD, INTERNAL, INVALID, LIMITED, NOT_FOUND, NOT_JSON, Problem,
    SLOW, TOO_LARGE, UNAUTHORIZED, UNAVAILABLE,
};
use super::schemas::{bound, header, leave_out_null};
use crate::http::route::{About, Field, Param, Place, Request, Response, Row, Schemas, Verb};

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

/// The operation of that row.
pub(super) fn of(row: &Row, about: &About, has_keys: bool, schemas: &mut Schemas) -> Operation {
    let mut operation = OperationBuilder::new()
        .tag(about.tag)
        .operation_id(Some(about.id))
        .summary(Some(about.summary))
        .description(Some(about.text).filter(|text| !text.is_empty()));
    for param in about.params {
        match param {
            Param::One(field) => operation = operation.parameter(parameter(field, schemas)),
            Param::Query(all) => {
                for mut one in all() {
                    if let Some(schema) = &mut one.schema {
                        leave_out_null(schema);
                        bound(schema);
                    }
                    operation = operation.parameter(one);
                }
            }
        }
    }
    operation = operation.request_body(about.request.map(|request| body(&request, schemas)));
    for told in about.responses {
        operation = operation.response(told.status.to_string(), response(row, told, schemas));
    }
    let is_told = |problem: &Problem| {
        let mut told = about.responses.iter();
        told.any(|told| told.status.to_string() == problem.status)
    };
    for problem in problems(row, about)
        .iter()
        .filter(|problem| !is_told(problem))
    {
        let response = Ref::from_response_name(problem.name);
        operation = operation.response(problem.status, response);
    }
    if has_keys && !row.door.is_open() {
        operation = operation.security(SecurityRequirement::new("key", [] as [&str; 0]));
    }
    operation.build()
}

/// The method of that verb.
pub(super) const fn method(verb: Verb) -> HttpMethod {
    match verb {
        Verb::Get => HttpMethod::Get,
        Verb::Post => HttpMethod::Post,
        Verb::Patch => HttpMethod::Patch,
        Verb::Delete => HttpMethod::Delete,
    }
}

fn parameter(field: &Field, schemas: &mut Schemas) -> Parameter {
    let (place, required) = match field.place {
        Place::Path => (ParameterIn::Path, Required::True),
        Place::Query => (ParameterIn::Query, Required::False),
        Place::Header => (ParameterIn::Header, Required::False),
    };
    let mut schema = (field.schema)(schemas);
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.pattern = field.pattern.map(str::to_owned);
        if let Some((min, max)) = field.bounds {
            if object.schema_type == SchemaType::Type(Type::String) {
                (object.min_length, object.max_length) = (Some(min), Some(max));
            } else {
                (object.minimum, object.maximum) = (Some(min.into()), Some(max.into()));
                object.format = None;
            }
        }
    }
    ParameterBuilder::new()
        .name(field.name)
        .parameter_in(place)
        .required(required)
        .description(Some(field.text))
        .schema(Some(schema))
        .example(field.example.map(Into::into))
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
    if let Some((kind, schema)) = told.body {
        let schema = schema(schemas);
        let content = ContentBuilder::new().schema(Some(schema)).build();
        response = response.content(kind, content);
        if kind == "text/event-stream" {
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
fn problems(row: &Row, about: &About) -> Vec<Problem> {
    let mut met = Vec::new();
    if let Some(request) = &about.request {
        met.extend([SLOW, TOO_LARGE]);
        if request.is_strict {
            met.extend([BAD_JSON, NOT_JSON, INVALID]);
        }
    }
    let is_refusable = |param: &Param| match param {
        Param::One(field) => field.is_checked,
        Param::Query(_) => true,
    };
    if about.params.iter().any(is_refusable) {
        met.push(INVALID);
    }
    if row.subject.is_some() {
        met.extend([NOT_FOUND, GONE]);
    } else if row.path.contains("{id}") {
        met.push(NOT_FOUND);
    }
    if !row.door.is_open() {
        met.push(UNAUTHORIZED);
        if row.verb != Verb::Get {
            met.push(FORBIDDEN);
        }
    }
    if row.door.is_limited() {
        met.extend([LIMITED, INTERNAL, UNAVAILABLE]);
    }
    met.push(HEAD);
    met.sort_by_key(|problem| problem.status);
    met.dedup_by_key(|problem| problem.status);
    met
}
