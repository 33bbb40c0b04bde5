//! What the derived schemas leave open: bounds, and which members are always there.

use utoipa::Number;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayItems, KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};

use abide_wire::limits;

/// What the server shows with all of its members, though a client can do without some.
const ALWAYS_WHOLE: [&str; 5] = ["Job", "Links", "JobPage", "WaitResponse", "DeliveryPage"];
/// But for these, which come with a worker's claim alone.
const OF_A_CLAIM: [&str; 2] = ["attempts", "lease"];
/// Schemas that say which events an endpoint wants.
const TOLD: [&str; 3] = ["NewEndpoint", "EndpointChange", "WebhookTarget"];
/// An event, or all.
const EVENT: &str = r"^(\*|job\.(\*|created|started|progress|completed|failed|canceled))$";

/// Completes the schema of that name.
pub(super) fn complete(name: &str, schema: &mut RefOr<Schema>) {
    bound(schema);
    match name {
        "DurationLaw" => {
            close(schema);
            or_text(schema);
        }
        "NewJob" => bound_metadata(schema),
        "ClaimRequest" => bound_kinds(schema),
        name if TOLD.contains(&name) => name_events(schema),
        name if ALWAYS_WHOLE.contains(&name) => require_all(schema),
        _ => {}
    }
}

/// A header of an answer.
pub(super) fn header(text: &str, is_number: bool) -> Header {
    let kind = if is_number {
        Type::Integer
    } else {
        Type::String
    };
    HeaderBuilder::new()
        .schema(Some(Schema::from(
            ObjectBuilder::new().schema_type(kind).build(),
        )))
        .description(Some(text))
        .build()
}

/// A parameter is there or isn't; there is no way to write `null`.
pub(super) fn leave_out_null(schema: &mut RefOr<Schema>) {
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

/// Says that there are no other members, in every object that is written out in it, and how many samples or parts
/// there may be.
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
pub(super) fn bound(schema: &mut RefOr<Schema>) {
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

/// Says how long the name of a kind may be.
fn bound_kinds(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(claim)) = schema
        && let Some(RefOr::T(Schema::Array(kinds))) = claim.properties.get_mut("kinds")
    {
        let word = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(limits::WORD_CHARS_MAX));
        kinds.items = ArrayItems::RefOrSchema(Box::new(word.into()));
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

/// Says that no member is ever left out, but for those that come with a worker's claim.
fn require_all(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(object)) = schema {
        let names = object.properties.keys();
        let required = names.filter(|name| !OF_A_CLAIM.contains(&name.as_str()));
        object.required = required.cloned().collect();
    }
}
