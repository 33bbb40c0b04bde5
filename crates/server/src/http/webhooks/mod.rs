//! Webhook endpoints and deliveries: who is told, who was told what, and when.

mod deliveries;
mod endpoints;
mod job;

use abide_wire::endpoint as wire;

use super::paging::{LIMIT, PAGE_TOKEN};
use super::route::{About, Param, Request, Response, Row, Subject};

pub(super) use job::{check_webhook_of, show_secret_of_job, wait_for_early_webhook};

const ENDPOINT: Param = Param::path("id", "The endpoint's id, `wh_…`.");
const DELIVERY: Param = Param::path("id", "The delivery's id, `msg_…`.");
const DISABLED: Response = Response::problem(409, "The endpoint is disabled.");

/// The routes.
pub(super) const ROUTES: &[Row] = &[
    Row {
        subject: Some(Subject::in_path),
        about: Some(About {
            text: "The webhooks that went out for the job, the newest first, up to 1,000.",
            params: &[Param::JOB],
            responses: &[Response::json::<wire::DeliveryPage>(200, "The deliveries.")],
            ..About::new("Jobs", "listDeliveriesOfJob", "Who was told")
        }),
        ..Row::get("/v1/jobs/{id}/deliveries", deliveries::of_job)
    },
    Row {
        about: Some(About {
            request: Some(Request::json::<wire::NewEndpoint>()),
            responses: &[
                Response {
                    headers: &[("Location", "Where the endpoint is.")],
                    ..Response::json::<wire::Endpoint>(
                        201,
                        "The endpoint, with its secret: it is not shown again.",
                    )
                },
                Response::problem(409, "There are as many endpoints as there may be."),
            ],
            ..About::new("Webhooks", "createWebhook", "Register an endpoint")
        }),
        ..Row::post_body("/v1/webhooks", endpoints::create)
    },
    Row {
        about: Some(About {
            text: "The oldest first.",
            params: &[LIMIT, PAGE_TOKEN],
            responses: &[Response::json::<wire::EndpointPage>(
                200,
                "A page of endpoints.",
            )],
            ..About::new("Webhooks", "listWebhooks", "List endpoints")
        }),
        ..Row::get("/v1/webhooks", endpoints::list)
    },
    Row {
        about: Some(About {
            params: &[ENDPOINT],
            responses: &[Response::json::<wire::Endpoint>(200, "The endpoint.")],
            ..About::new("Webhooks", "readWebhook", "Read an endpoint")
        }),
        ..Row::get("/v1/webhooks/{id}", endpoints::read)
    },
    Row {
        about: Some(About {
            text: "What isn't named stays.",
            params: &[ENDPOINT],
            request: Some(Request::json::<wire::EndpointChange>()),
            responses: &[Response::json::<wire::Endpoint>(200, "The endpoint.")],
            ..About::new("Webhooks", "changeWebhook", "Change an endpoint")
        }),
        ..Row::patch("/v1/webhooks/{id}", endpoints::change)
    },
    Row {
        about: Some(About {
            text: "With what was still to be sent to it.",
            params: &[ENDPOINT],
            responses: &[Response::empty(204, "It is gone.")],
            ..About::new("Webhooks", "deleteWebhook", "Remove an endpoint")
        }),
        ..Row::delete("/v1/webhooks/{id}", endpoints::delete)
    },
    Row {
        about: Some(About {
            text: "The old one signs too for 24 hours.",
            params: &[ENDPOINT],
            request: Some(Request::optional_json::<wire::Rotation>()),
            responses: &[Response::json::<wire::Endpoint>(
                200,
                "The endpoint, with its new secret: it is not shown again.",
            )],
            ..About::new("Webhooks", "rotateWebhook", "Give an endpoint a new secret")
        }),
        ..Row::post_body("/v1/webhooks/{id}/rotate", endpoints::rotate)
    },
    Row {
        about: Some(About {
            params: &[ENDPOINT],
            responses: &[
                Response::json::<wire::Delivery>(202, "The delivery, on its way."),
                DISABLED,
            ],
            ..About::new("Webhooks", "testWebhook", "Send an endpoint a test")
        }),
        ..Row::post("/v1/webhooks/{id}/test", deliveries::test)
    },
    Row {
        about: Some(About {
            params: &[ENDPOINT, Param::query::<deliveries::ReplayQuery>()],
            responses: &[
                Response::json::<wire::ReplayStarted>(202, "How many deliveries are due again."),
                DISABLED,
            ],
            ..About::new(
                "Webhooks",
                "replayWebhook",
                "Send again what failed or was held",
            )
        }),
        ..Row::post("/v1/webhooks/{id}/replay", deliveries::replay)
    },
    Row {
        about: Some(About {
            text: "The newest first.",
            params: &[ENDPOINT, LIMIT, PAGE_TOKEN, deliveries::STATUS],
            responses: &[Response::json::<wire::DeliveryPage>(
                200,
                "A page of deliveries.",
            )],
            ..About::new(
                "Webhooks",
                "listDeliveries",
                "List the deliveries of an endpoint",
            )
        }),
        ..Row::get("/v1/webhooks/{id}/deliveries", deliveries::list)
    },
    Row {
        about: Some(About {
            text: "With every attempt, and up to 16 KiB of each answer.",
            params: &[DELIVERY],
            responses: &[Response::json::<wire::Delivery>(200, "The delivery.")],
            ..About::new("Webhooks", "readDelivery", "Read a delivery")
        }),
        ..Row::get("/v1/deliveries/{id}", deliveries::read)
    },
    Row {
        about: Some(About {
            params: &[DELIVERY],
            responses: &[
                Response::json::<wire::Delivery>(202, "The delivery, on its way."),
                DISABLED,
            ],
            ..About::new("Webhooks", "retryDelivery", "Send a delivery again")
        }),
        ..Row::post("/v1/deliveries/{id}/retry", deliveries::retry)
    },
];
