//! How a route is described: its parameters, its body and its answers.

use abide_wire::Problem;
use abide_wire::headers::PROBLEM_JSON;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Param {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub text: &'static str,
    /// Its schema.
    pub schema: SchemaOf,
    /// The pattern that its text fits.
    pub pattern: Option<&'static str>,
    /// The least and the greatest length or value.
    pub bounds: Option<(usize, usize)>,
    /// An example.
    pub example: Option<&'static str>,
    /// Whether a wrong value is refused. Conditions and preferences that aren't understood are passed over.
    pub is_checked: bool,
}

/// Where a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// Its schema.
    pub schema: SchemaOf,
    /// Whether it must be there.
    pub is_required: bool,
    /// Whether it may also be `null`.
    pub is_nullable: bool,
    /// Whether it must be JSON, and say so.
    pub is_strict: bool,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Response {
    /// Its status.
    pub status: u16,
    /// When it comes.
    pub text: &'static str,
    /// The content types of its body, with commas between them, and its schema.
    pub body: Option<(&'static str, SchemaOf)>,
    /// Whether it shows one job, which goes with several headers.
    pub is_job: bool,
    /// Headers that are this answer's own: name and meaning.
    pub headers: &'static [(&'static str, &'static str)],
}

/// Schemas by name.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// The schema of a type, after it has been put among the others if it has a name.
pub(super) type SchemaOf = fn(&mut Schemas) -> RefOr<Schema>;

impl Param {
    /// A job's id in the path.
    pub(super) const JOB: Self = Self::path("The job's id, `job_…`.");

    const fn new(place: Place, name: &'static str, text: &'static str) -> Self {
        Self {
            place,
            name,
            text,
            schema: inline::<String>,
            pattern: None,
            bounds: None,
            example: None,
            is_checked: matches!(place, Place::Query),
        }
    }

    /// What stands for `{id}` in the path.
    pub(super) const fn path(text: &'static str) -> Self {
        Self::new(Place::Path, "id", text)
    }

    /// A parameter of the query.
    pub(super) const fn query(name: &'static str, text: &'static str) -> Self {
        Self::new(Place::Query, name, text)
    }

    /// A header that is passed over if it isn't understood.
    pub(super) const fn header(name: &'static str, text: &'static str) -> Self {
        Self::new(Place::Header, name, text)
    }

    /// A header whose text fits that pattern, or is refused.
    pub(super) const fn checked(mut self, pattern: &'static str) -> Self {
        self.is_checked = true;
        self.pattern(pattern)
    }

    /// A text that fits that pattern.
    pub(super) const fn pattern(mut self, pattern: &'static str) -> Self {
        self.pattern = Some(pattern);
        self
    }

    /// Of that length, or of that size.
    pub(super) const fn bounds(mut self, min: usize, max: usize) -> Self {
        self.bounds = Some((min, max));
        self
    }

    /// Of another type than text.
    pub(super) const fn schema(mut self, schema: SchemaOf) -> Self {
        self.schema = schema;
        self
    }

    /// An example of it.
    pub(super) const fn example(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }
}

impl Request {
    /// A body of JSON.
    pub(super) const fn json<T: ToSchema>() -> Self {
        Self {
            schema: named::<T>,
            is_required: true,
            is_nullable: false,
            is_strict: true,
        }
    }

    /// The same, and it may be left out.
    pub(super) const fn optional_json<T: ToSchema>() -> Self {
        Self {
            is_required: false,
            ..Self::json::<T>()
        }
    }
}

impl Response {
    /// An answer without a body.
    pub(super) const fn empty(status: u16, text: &'static str) -> Self {
        Self {
            status,
            text,
            body: None,
            is_job: false,
            headers: &[],
        }
    }

    /// An answer of that content type.
    pub(super) const fn of(
        status: u16,
        text: &'static str,
        kind: &'static str,
        schema: SchemaOf,
    ) -> Self {
        Self {
            body: Some((kind, schema)),
            ..Self::empty(status, text)
        }
    }

    /// An answer of JSON.
    pub(super) const fn json<T: ToSchema>(status: u16, text: &'static str) -> Self {
        Self::of(status, text, "application/json", named::<T>)
    }

    /// A problem that only this route has, or has for a reason of its own.
    pub(super) const fn problem(status: u16, text: &'static str) -> Self {
        Self::of(status, text, PROBLEM_JSON, named::<Problem>)
    }

    /// It shows one job.
    pub(super) const fn job(mut self) -> Self {
        self.is_job = true;
        self
    }

    /// With those headers: name and meaning.
    pub(super) const fn headers(
        mut self,
        headers: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.headers = headers;
        self
    }
}

/// The schema of a type that has no name.
pub(super) fn inline<T: PartialSchema>(_: &mut Schemas) -> RefOr<Schema> {
    T::schema()
}

/// The schema of a type by its name.
pub(super) fn named<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    schemas.push((T::name().into(), T::schema()));
    T::schemas(schemas);
    Ref::from_schema_name(T::name()).into()
}
