//! What is the same for all requests of a sort, added to what their handlers say of themselves.

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayItems, KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, Paths, Ref, RefOr, Required, Schema,
};
use utoipa::{Number, PartialSchema as _, ToSchema as _};

use abide_wire::{Event, Problem, headers, limits};

use crate::http::routes::{Door, Route};

/// What stands above everything.
const ABOUT: &str = "Long-running jobs, and every way to learn of their end without wasting a request or a second: ask, hold, \
    hold for many, listen, be told.\n\nDecide on `done` and `outcome`; `status` is an open list, for people. `revision` counts a job's changes, and is its \
    ETag, the cursor of a long poll, the id of an event and `data.revision` of a webhook.\n\nAn answer with the header `Sim-Decision` was tampered with because \
    the simulator was asked to: it may be any status from 400 to 599, late, or half.";

/// The parts of the interface, in the order in which they are shown.
const TAGS: &[(&str, &str)] = &[
    ("Jobs", "Create, read, list, cancel, remove."),
    ("Waiting", "One request for many jobs, and event streams."),
    ("Workers", "Who does the work reports here."),
    (
        "Webhooks",
        "Be told, signed by the Standard Webhooks specification.",
    ),
    ("Simulator", "How jobs are played, and the clock."),
    ("Report card", "How the clients that were seen waited."),
    ("Operations", "For operators and their probes."),
    (
        "Classic",
        "The routes of five earlier systems, as their clients speak them.",
    ),
];

/// What the server shows with all of its members, though a client can do without some.
const ALWAYS_WHOLE: [&str; 5] = ["Job", "Links", "JobPage", "WaitResponse", "DeliveryPage"];

/// Who may say which events it wants.
const TOLD: [&str; 3] = ["NewEndpoint", "EndpointChange", "WebhookTarget"];
/// An event, or all.
const EVENT: &str = r"^(\*|job\.(\*|created|started|progress|completed|failed|canceled))$";

/// A problem that many requests may meet.
struct Common {
    status: &'static str,
    name: &'static str,
    description: &'static str,
}

const fn common(status: &'static str, name: &'static str, description: &'static str) -> Common {
    Common {
        status,
        name,
        description,
    }
}

const BAD_JSON: Common = common("400", "InvalidJson", "The body is not JSON.");
const UNAUTHORIZED: Common = common(
    "401",
    "Unauthorized",
    "A key is needed, or this one isn't known.",
);
const FORBIDDEN: Common = common(
    "403",
    "Forbidden",
    "Without keys a page of another site may not change anything.",
);
const NOT_FOUND: Common = common(
    "404",
    "NotFound",
    "There is no such thing, or it is somebody else's.",
);
const SLOW: Common = common("408", "SlowBody", "The body came too slowly.");
const GONE: Common = common("410", "Gone", "Its record has been deleted.");
const TOO_LARGE: Common = common("413", "TooLarge", "The body is larger than 256 KiB.");
const NOT_JSON: Common = common(
    "415",
    "UnsupportedType",
    "The body isn't JSON by its content type.",
);
const INVALID: Common = common(
    "422",
    "InvalidMember",
    "A member, parameter or header is unknown or out of its bound; the detail names both.",
);
const LIMITED: Common = common("429", "RateLimited", "More requests than the limit allows.");
const HEAD: Common = common(
    "431",
    "HeadTooLarge",
    "The head of the request is larger than 8 KiB or has more than 64 headers.",
);
const INTERNAL: Common = common(
    "500",
    "Internal",
    "The server has a fault, which it has logged under the request's id.",
);
const UNAVAILABLE: Common = common(
    "503",
    "Unavailable",
    "As many requests are held as may be, the disk is full, or the server goes down.",
);
const ALL: [Common; 13] = [
    BAD_JSON,
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    SLOW,
    GONE,
    TOO_LARGE,
    NOT_JSON,
    INVALID,
    LIMITED,
    HEAD,
    INTERNAL,
    UNAVAILABLE,
];

/// The description with everything in it.
pub(super) fn complete(mut api: OpenApi, has_keys: bool) -> OpenApi {
    api.info = InfoBuilder::new()
        .title("abide")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(
            LicenseBuilder::new()
                .name("MIT OR Apache-2.0")
                .identifier(Some("MIT OR Apache-2.0"))
                .build(),
        ))
        .build();
    let tags = TAGS.iter().map(|(name, about)| {
        TagBuilder::new()
            .name(*name)
            .description(Some(*about))
            .build()
    });
    api.tags = Some(tags.collect());
    for (path, item) in &mut api.paths.paths {
        let door = Route::of(path).door;
        let operations = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Patch, &mut item.patch),
            (HttpMethod::Delete, &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                if let Some(RefOr::T(body)) = &mut operation.request_body {
                    leave_out_body(body, door);
                }
                for parameter in operation.parameters.iter_mut().flatten() {
                    if let RefOr::T(Parameter {
                        schema: Some(schema),
                        ..
                    }) = parameter
                    {
                        leave_out_null(schema);
                        bound(schema);
                    }
                }
                add_problems(operation, path, door, &method);
                add_headers(operation, door);
                if has_keys && door != Door::Open {
                    operation.security = Some(vec![key()]);
                }
            }
        }
    }
    let components = api.components.get_or_insert_default();
    let mut needed = Vec::new();
    Event::<serde_json::Value>::schemas(&mut needed);
    needed.push((
        Event::<serde_json::Value>::name().into(),
        Event::<serde_json::Value>::schema(),
    ));
    needed.push((Problem::name().into(), Problem::schema()));
    components.schemas.extend(needed);
    for (name, schema) in &mut components.schemas {
        bound(schema);
        if name == "DurationLaw" {
            close(schema);
            or_text(schema);
        }
        if name == "NewJob" {
            bound_metadata(schema);
        }
        if TOLD.contains(&name.as_str()) {
            name_events(schema);
        }
        if ALWAYS_WHOLE.contains(&name.as_str()) {
            require_all(schema);
        }
    }
    for problem in &ALL {
        components
            .responses
            .insert(problem.name.to_owned(), response_of(problem).into());
    }
    if has_keys {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("key", scheme);
    }
    api.webhooks = Some(webhooks());
    api
}

fn key() -> SecurityRequirement {
    SecurityRequirement::new("key", [] as [&str; 0])
}

/// Where a body may be left out, it is left out, and not `null`.
fn leave_out_body(body: &mut RequestBody, door: Door) {
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(schema) = &mut content.schema
            && let RefOr::T(Schema::OneOf(_)) = schema
        {
            // The classic routes take that too.
            if door != Door::Classic {
                leave_out_null(schema);
            }
            body.required = Some(Required::False);
        }
    }
}

/// A parameter is there or isn't; there is no way to write `null`.
fn leave_out_null(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            if let SchemaType::Array(types) = &mut object.schema_type {
                types.retain(|kind| *kind != Type::Null);
                if let [only] = types.as_slice() {
                    object.schema_type = SchemaType::Type(only.clone());
                }
            }
        }
        RefOr::T(Schema::OneOf(one_of)) => {
            one_of.items.retain(|item| !is_null(item));
            if let [only] = one_of.items.as_mut_slice() {
                *schema = only.clone();
            }
        }
        _ => {}
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    match schema {
        RefOr::T(Schema::Object(object)) => object.schema_type == SchemaType::Type(Type::Null),
        _ => false,
    }
}

/// Says that there are no other members, in every object that is written out in it, and how many samples or parts there may be.
fn close(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::OneOf(one_of)) => one_of.items.iter_mut().for_each(close),
        RefOr::T(Schema::Object(object)) if !object.properties.is_empty() => {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            for (name, member) in &mut object.properties {
                if let RefOr::T(Schema::Array(array)) = member {
                    array.min_items = Some(1);
                    array.max_items = Some(if name == "mixture" {
                        limits::MIXTURE_PARTS_MAX
                    } else {
                        limits::EMPIRICAL_SAMPLES_MAX
                    });
                }
                close(member);
            }
        }
        _ => {}
    }
}

/// Says that a law may be written as text, and how it mostly is.
fn or_text(law: &mut RefOr<Schema>) {
    const LAW: &str = "^(SIMPLE|shifted:SPAN:(SIMPLE)\
        |mixture:[1-9](\\.[0-9]{1,9})?:(SIMPLE)(\\+[1-9](\\.[0-9]{1,9})?:(SIMPLE)){0,9})$";
    const SPAN: &str = "[0-9]{1,3}(\\.[0-9]{1,3})?(ms|s|m|h)?";
    const SIMPLE: &str = "(fixed:)?SPAN|uniform:SPAN:SPAN|exponential:SPAN|lognormal:SPAN:[0-4](\\.[0-9]{1,9})?\
        |(weibull|pareto):SPAN:[1-9](\\.[0-9]{1,9})?|empirical(:SPAN){1,50}";
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .pattern(Some(LAW.replace("SIMPLE", SIMPLE).replace("SPAN", SPAN)))
        .description(Some("The law as text, such as `lognormal:20s:0.5`."));
    if let RefOr::T(Schema::OneOf(one_of)) = law {
        one_of.items.push(text.into());
    }
}

/// Says how large the numbers may be that have a size.
fn bound(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::OneOf(one_of)) => one_of.items.iter_mut().for_each(bound),
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                bound(items);
            }
        }
        RefOr::T(Schema::Object(object)) => {
            if let Some(SchemaFormat::KnownFormat(format)) = &object.format {
                let max = match format {
                    KnownFormat::UInt16 => Some(u16::MAX.into()),
                    KnownFormat::UInt32 => Some(u32::MAX.into()),
                    KnownFormat::UInt64 => Some(u64::MAX),
                    _ => None,
                };
                let max = max.and_then(|max| usize::try_from(max).ok());
                object.maximum = object.maximum.take().or(max.map(Number::UInt));
            }
            object.properties.values_mut().for_each(bound);
        }
        _ => {}
    }
}

/// Says how many members the metadata of a job may have.
fn bound_metadata(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(job)) = schema
        && let Some(RefOr::T(Schema::Object(metadata))) = job.properties.get_mut("metadata")
    {
        metadata.max_properties = Some(limits::METADATA_MEMBERS_MAX);
    }
}

/// Says which events there are.
fn name_events(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(object)) = schema
        && let Some(RefOr::T(Schema::Array(events))) = object.properties.get_mut("events")
    {
        let word = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(EVENT));
        events.min_items = Some(1);
        events.items = ArrayItems::RefOrSchema(Box::new(word.into()));
    }
}

/// Says that no member is ever left out.
fn require_all(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(object)) = schema {
        object.required = object.properties.keys().cloned().collect();
    }
}

/// The problems that any request of that sort may meet.
fn add_problems(operation: &mut Operation, path: &str, door: Door, method: &HttpMethod) {
    let mut met = Vec::new();
    let is_limited = matches!(door, Door::Native | Door::Classic);
    // What earlier systems registered is read as their clients write it.
    let is_registration = path.contains("register");
    if operation.request_body.is_some() {
        met.extend([SLOW, TOO_LARGE]);
        if !is_registration {
            met.extend([BAD_JSON, NOT_JSON, INVALID]);
        }
    }
    let is_refusable = |parameter: &RefOr<_>| match parameter {
        RefOr::T(parameter) => is_checked(parameter),
        RefOr::Ref(_) => true,
    };
    if operation.parameters.iter().flatten().any(is_refusable) || path == "/v1/jobs" {
        met.push(INVALID);
    }
    if path.contains("{id}") || path == "/status" {
        met.push(NOT_FOUND);
        if !path.starts_with("/v1/webhooks") && !path.starts_with("/v1/deliveries") {
            met.push(GONE);
        }
    }
    if door != Door::Open {
        met.push(UNAUTHORIZED);
        if !matches!(method, HttpMethod::Get) {
            met.push(FORBIDDEN);
        }
    }
    if is_limited {
        met.extend([LIMITED, INTERNAL, UNAVAILABLE]);
    }
    met.push(HEAD);
    for problem in met {
        operation
            .responses
            .responses
            .entry(problem.status.to_owned())
            .or_insert_with(|| Ref::from_response_name(problem.name).into());
    }
}

/// Whether a value of it may be refused. Conditions and preferences that aren't understood are passed over.
fn is_checked(parameter: &Parameter) -> bool {
    match parameter.parameter_in {
        ParameterIn::Query => true,
        ParameterIn::Header => {
            ["Idempotency-Key", "Last-Event-ID"].contains(&parameter.name.as_str())
        }
        _ => false,
    }
}

/// The headers that answers of that sort have.
fn add_headers(operation: &mut Operation, door: Door) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        add_header(
            response,
            "X-Request-Id",
            text("The request's name in the server's log."),
        );
        let is_success = status.starts_with('2') || status.starts_with('3');
        match door {
            Door::Native => {
                add_header(
                    response,
                    "RateLimit",
                    text("What is left: `\"requests\";r=599;t=1`."),
                );
                add_header(
                    response,
                    "RateLimit-Policy",
                    text("The limit: `\"requests\";q=600;w=60`."),
                );
            }
            Door::Classic => {
                add_header(
                    response,
                    "X-RateLimit-Limit",
                    number("The most requests in a window."),
                );
                add_header(
                    response,
                    "X-RateLimit-Remaining",
                    number("How many are left."),
                );
                add_header(
                    response,
                    "X-RateLimit-Reset",
                    number("In how many seconds there is one more."),
                );
            }
            Door::Open | Door::Operator => {}
        }
        if is_job(response) || status == "304" {
            add_header(response, "ETag", text("The revision, in quotes."));
            add_header(
                response,
                "Cache-Control",
                text("`private, no-cache`, or `no-store` on the classic routes."),
            );
            add_header(
                response,
                "Server-Timing",
                text(
                    "Once the job is done, the age of the news: `since-end;dur=12`, in milliseconds.",
                ),
            );
            if door == Door::Native {
                add_header(
                    response,
                    "Retry-After",
                    number(
                        "While the job is not done: after how many seconds a look is worth while.",
                    ),
                );
                add_header(
                    response,
                    "Preference-Applied",
                    text("`wait=N`: for how long the request might be held."),
                );
            }
            add_header(
                response,
                "Sim-Decision",
                text("What the simulator did to this answer."),
            );
        }
        if operation.operation_id.as_deref() == Some("createJob") && is_success {
            add_header(response, "Location", text("Where the job is."));
            add_header(
                response,
                "Operation-Location",
                text("The same, as a whole URL."),
            );
            add_header(
                response,
                "Idempotent-Replayed",
                text("`true` where the job had been created under this key before."),
            );
            add_header(
                response,
                "Webhook-Secret",
                text("The secret that was made for the job's own webhook; it is not shown again."),
            );
        }
        if response.content.contains_key("text/event-stream") {
            add_header(response, "Cache-Control", text("`no-cache, no-transform`"));
            add_header(response, "X-Accel-Buffering", text("`no`"));
            add_header(response, "Incremental", text("`?1`"));
        }
    }
}

/// Whether the answer is a job.
fn is_job(response: &Response) -> bool {
    let schemas = response
        .content
        .values()
        .filter_map(|content| match content {
            RefOr::T(content) => content.schema.as_ref(),
            RefOr::Ref(_) => None,
        });
    let mut names = schemas.filter_map(|schema| match schema {
        RefOr::Ref(reference) => Some(reference.ref_location.as_str()),
        RefOr::T(_) => None,
    });
    names.any(|name| name.ends_with("/Job") || name.ends_with("/ClassicJob"))
}

fn add_header(response: &mut Response, name: &str, header: Header) {
    response
        .headers
        .entry(name.to_owned())
        .or_insert_with(|| header.into());
}

fn response_of(problem: &Common) -> Response {
    let mut response = ResponseBuilder::new()
        .description(problem.description)
        .content(
            headers::PROBLEM_JSON,
            ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .build(),
        )
        .header(
            "X-Request-Id",
            text("The request's name in the server's log."),
        );
    if problem.status == "401" {
        response = response.header("WWW-Authenticate", text("`Bearer`"));
    }
    if ["429", "503"].contains(&problem.status) {
        response = response.header("Retry-After", number("When to try again, in seconds."));
    }
    response.build()
}

fn text(description: &str) -> Header {
    header(description, Type::String)
}

fn number(description: &str) -> Header {
    header(description, Type::Integer)
}

fn header(description: &str, kind: Type) -> Header {
    HeaderBuilder::new()
        .schema(Some(Schema::from(
            ObjectBuilder::new().schema_type(kind).build(),
        )))
        .description(Some(description))
        .build()
}

/// What the server sends to whoever registered for it.
fn webhooks() -> Paths {
    let signed = [
        (
            headers::WEBHOOK_ID,
            "The delivery's id, the same on every attempt.",
        ),
        (
            headers::WEBHOOK_TIMESTAMP,
            "When this attempt was signed, in seconds since the epoch.",
        ),
        (
            headers::WEBHOOK_SIGNATURE,
            "`v1,` and base64 of the HMAC-SHA256 of `id.timestamp.body`; several with spaces between them while a secret is being replaced.",
        ),
    ];
    let mut operation = OperationBuilder::new()
        .tag("Webhooks")
        .operation_id(Some("receiveEvent"))
        .summary(Some("Something happened to a job"))
        .description(Some("`job.created`, `job.started`, `job.progress`, `job.completed`, `job.failed`, `job.canceled`. At least once; drop what comes twice by `webhook-id`."))
        .request_body(Some(
            RequestBodyBuilder::new()
                .content(
                    "application/json",
                    ContentBuilder::new()
                        .schema(Some(Ref::from_schema_name("Event")))
                        .build(),
                )
                .required(Some(Required::True))
                .build(),
        ))
        .response("2XX", Response::new("Taken; within 15 s."))
        .response("410", Response::new("Not wanted: the endpoint is disabled."))
        .response("default", Response::new("Not taken: it is tried again, after `Retry-After` where a 429 or 503 says so."));
    for (name, about) in signed {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::True)
                .description(Some(about))
                .schema(Some(Schema::from(
                    ObjectBuilder::new().schema_type(Type::String).build(),
                ))),
        );
    }
    let mut webhooks = Paths::new();
    webhooks
        .paths
        .insert("job".to_owned(), PathItem::new(HttpMethod::Post, operation));
    webhooks
}
