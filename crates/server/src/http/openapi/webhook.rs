//! What the server sends to the endpoints that are registered with it.

use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Paths, Ref, Required, Response, Schema};

use abide_wire::headers;

/// The one webhook.
pub(super) fn webhooks() -> Paths {
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
            "`v1,` and base64 of the HMAC-SHA256 of `id.timestamp.body`; several with spaces between them \
                while a secret is being replaced.",
        ),
    ];
    let mut operation = OperationBuilder::new()
        .tag("Webhooks")
        .operation_id(Some("receiveEvent"))
        .summary(Some("Something happened to a job"))
        .description(Some(
            "`job.created`, `job.started`, `job.progress`, `job.completed`, `job.failed`, \
            `job.canceled`. At least once; drop what comes twice by `webhook-id`.",
        ))
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
        .response(
            "410",
            Response::new("The receiver wants none: the endpoint is disabled."),
        )
        .response(
            "default",
            Response::new(
                "Not taken: it is tried again, after `Retry-After` where a 429 \
            or 503 says so.",
            ),
        );
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
