//! Webhook endpoints and deliveries: who is told, who was told what, and when.

mod deliveries;
mod endpoints;
mod job;

use abide_wire::endpoint as wire;

use super::described::{Param, Request, Response};
use super::paging::{LIMIT, PAGE_TOKEN};
use super::route::{Row, Subject};

pub(super) use job::{check_webhook_of, show_secret_of_job, target, wait_for_early_webhook};

const ENDPOINT: Param = Param::path("The endpoint's id, `wh_…`.");
const DELIVERY: Param = Param::path("The delivery's id, `msg_…`.");
const STATUS: Param = Param::query(
    "status",
    "Only those that stand like this: `pending`, `queued`, `held`, `delivered` or `failed`.",
)
.pattern("^(pending|queued|held|delivered|failed)$");
const DISABLED: Response = Response::problem(409, "The endpoint is disabled.");
const ON_ITS_WAY: Response = Response::json::<wire::Delivery>(202, "The delivery, on its way.");

/// The routes.
pub(super) const ROUTES: &[Row] = &[
    Row::get("/v1/jobs/{id}/deliveries", deliveries::of_job)
        .job(Subject::in_path)
        .about("Jobs", "listDeliveriesOfJob", "Who was told")
        .text("The webhooks that went out for the job, the newest first, up to 1,000, or as many as 1 MiB has.")
        .params(&[Param::JOB])
        .answers(&[Response::json::<wire::DeliveryPage>(200, "The deliveries.")]),
    Row::post("/v1/webhooks", endpoints::create)
        .about("Webhooks", "createWebhook", "Register an endpoint")
        .body(Request::json::<wire::NewEndpoint>())
        .answers(&[
            Response::json::<wire::Endpoint>(
                201,
                "The endpoint, with its secret: it is not shown again.",
            )
            .headers(&[("Location", "Where to read the endpoint.")]),
            Response::problem(409, "The limit of endpoints is reached."),
        ]),
    Row::get("/v1/webhooks", endpoints::list)
        .about("Webhooks", "listWebhooks", "List endpoints")
        .text("The oldest first. A page has at most 1 MiB of endpoints, or a single one.")
        .params(&[LIMIT, PAGE_TOKEN])
        .answers(&[Response::json::<wire::EndpointPage>(
            200,
            "A page of endpoints.",
        )]),
    Row::get("/v1/webhooks/{id}", endpoints::read)
        .about("Webhooks", "readWebhook", "Read an endpoint")
        .params(&[ENDPOINT])
        .answers(&[Response::json::<wire::Endpoint>(200, "The endpoint.")]),
    Row::patch("/v1/webhooks/{id}", endpoints::change)
        .about("Webhooks", "changeWebhook", "Change an endpoint")
        .text("What isn't named stays.")
        .params(&[ENDPOINT])
        .body(Request::json::<wire::EndpointChange>())
        .answers(&[Response::json::<wire::Endpoint>(200, "The endpoint.")]),
    Row::delete("/v1/webhooks/{id}", endpoints::delete)
        .about("Webhooks", "deleteWebhook", "Remove an endpoint")
        .text("With what was still to be sent to it.")
        .params(&[ENDPOINT])
        .answers(&[Response::empty(204, "It is gone.")]),
    Row::post("/v1/webhooks/{id}/rotate", endpoints::rotate)
        .about("Webhooks", "rotateWebhook", "Give an endpoint a new secret")
        .text("The old one signs too for 24 hours.")
        .params(&[ENDPOINT])
        .body(Request::optional_json::<wire::Rotation>())
        .answers(&[Response::json::<wire::Endpoint>(
            200,
            "The endpoint, with its new secret: it is not shown again.",
        )]),
    Row::post("/v1/webhooks/{id}/test", deliveries::test)
        .about("Webhooks", "testWebhook", "Send an endpoint a test")
        .params(&[ENDPOINT])
        .answers(&[ON_ITS_WAY, DISABLED]),
    Row::post("/v1/webhooks/{id}/replay", deliveries::replay)
        .about(
            "Webhooks",
            "replayWebhook",
            "Send again what failed or was held",
        )
        .params(&[ENDPOINT])
        .query::<deliveries::ReplayQuery>()
        .answers(&[
            Response::json::<wire::ReplayStarted>(202, "How many deliveries are due again."),
            DISABLED,
        ]),
    Row::get("/v1/webhooks/{id}/deliveries", deliveries::list)
        .about(
            "Webhooks",
            "listDeliveries",
            "List the deliveries of an endpoint",
        )
        .text("The newest first. A page has at most 1 MiB of deliveries, or a single one.")
        .params(&[ENDPOINT, LIMIT, PAGE_TOKEN, STATUS])
        .answers(&[Response::json::<wire::DeliveryPage>(
            200,
            "A page of deliveries.",
        )]),
    Row::get("/v1/deliveries/{id}", deliveries::read)
        .about("Webhooks", "readDelivery", "Read a delivery")
        .text("With what is sent, every attempt, and up to 16 KiB of each answer.")
        .params(&[DELIVERY])
        .answers(&[Response::json::<wire::Delivery>(200, "The delivery.")]),
    Row::post("/v1/deliveries/{id}/retry", deliveries::retry)
        .about("Webhooks", "retryDelivery", "Send a delivery again")
        .params(&[DELIVERY])
        .answers(&[ON_ITS_WAY, DISABLED]),
];
