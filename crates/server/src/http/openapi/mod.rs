//! The description of the interface for machines, made from the rows of the route table.
//!
//! A row says what is its own: its parameters, its body, its answers. What all routes of a sort have in common (who
//! must show a key, which problems may come, which headers every answer has) follows from the row's door, body and
//! job. So the description can't drift from what the server does.
//!
//! If the server has no API keys the description asks for none.

mod operation;
#[cfg(feature = "docs")]
mod pages;
mod problems;
mod schemas;
mod webhook;

#[cfg(feature = "docs")]
pub(super) use pages::ROUTES as PAGES;

use std::collections::BTreeMap;

use utoipa::openapi::path::PathItem;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathsBuilder,
};

use abide_wire::{Event, Problem};

use super::described::{Schemas, named};
use super::route::Row;
use super::stream_token::PARAMETER;

/// What stands above everything.
const ABOUT: &str = "Long-running jobs, and every way to learn of their end without wasting a request or a second: \
    ask, hold, hold for many, listen, be told.\n\n\
    Decide on `done` and `outcome`; `status` is an open list, for people. `revision` counts a job's changes, and is \
    its ETag, the cursor of a long poll, the id of an event and `data.revision` of a webhook.\n\n\
    An answer with the header `Sim-Decision` was tampered with because the simulator was asked to: it may be any \
    status from 400 to 599, late, or half.";

/// The parts of the native interface, in the order in which they are shown.
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
];

/// The description of those rows, and of the tags that dialects add, for a server that asks for a key or for one that
/// doesn't.
pub(super) fn describe(
    rows: impl Iterator<Item = &'static Row>,
    tags: impl Iterator<Item = (&'static str, &'static str)>,
    has_keys: bool,
) -> OpenApi {
    let mut schemas = Schemas::new();
    let mut paths = PathsBuilder::new();
    for row in rows {
        if let Some(tag) = row.tag {
            let operation = operation::of(row, tag, has_keys, &mut schemas);
            let item = PathItem::new(operation::method(row.verb), operation);
            paths = paths.path(row.path, item);
        }
    }
    named::<Event<serde_json::Value>>(&mut schemas);
    named::<Problem>(&mut schemas);
    let tags = TAGS.iter().copied().chain(tags);
    let mut api = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("abide")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .license(Some(
                    LicenseBuilder::new()
                        .name("MIT OR Apache-2.0")
                        .identifier(Some("MIT OR Apache-2.0"))
                        .build(),
                ))
                .build(),
        )
        .paths(paths)
        .components(Some(components(schemas, has_keys)))
        .tags(Some(tags.map(|(name, text)| {
            TagBuilder::new().name(name).description(Some(text)).build()
        })))
        .build();
    api.webhooks = Some(webhook::webhooks());
    api
}

/// What operations refer to by name, in alphabetical order.
fn components(schemas: Schemas, has_keys: bool) -> Components {
    let mut components = Components::new();
    let schemas: BTreeMap<_, _> = schemas.into_iter().collect();
    for (name, mut schema) in schemas {
        schemas::complete(&name, &mut schema);
        components.schemas.insert(name, schema);
    }
    for problem in &problems::ALL {
        let response = problem.response().into();
        components
            .responses
            .insert(problem.name.to_owned(), response);
    }
    if has_keys {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
        let token =
            ApiKeyValue::with_description(PARAMETER, "A token of `POST /v1/stream-tokens`.");
        components.add_security_scheme("token", SecurityScheme::ApiKey(ApiKey::Query(token)));
    }
    components
}
