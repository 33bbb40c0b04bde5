//! The table of all routes: which row answers which request, and what the description says of each.

use std::sync::{LazyLock, OnceLock};

use abide_engine::Job;
use abide_wire::Code;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};

use super::answer::Outcome;
use super::call::{Call, Params};
use super::described::{Response, inline};
use super::dialect::{self, DIALECTS, Dialect};
use super::door::Door;
use super::error::ApiError;
use super::json;
use super::mount::Mount;
use super::route::{Row, Verb};
use super::state::AppState;
use super::{
    attendance, dashboard, events, feed, jobs, openapi, ops, requests, simulator, stream_token,
    webhooks,
};
use crate::telling::{Telling, Told};

/// The native rows. Paths are described in this order.
const NATIVE: &[&[Row]] = &[
    jobs::ROUTES,
    events::ROUTES,
    feed::ROUTES,
    stream_token::ROUTES,
    attendance::ROUTES,
    requests::ROUTES,
    webhooks::ROUTES,
    simulator::ROUTES,
    ops::ROUTES,
    &[DESCRIPTION],
    dashboard::ROUTES,
    #[cfg(feature = "docs")]
    openapi::PAGES,
];

/// Paths under which whatever isn't found needs no key either.
const OPEN: &[&str] = &["/assets", "/docs", "/favicon.ico"];

/// What an unknown path is called in metrics.
const OTHER: &str = "other";

/// All routes.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

/// Finds rows.
pub(super) struct Table {
    root: Paths,
    /// Those of each dialect that is mounted, after its mount.
    mounted: Vec<(&'static Dialect, Paths)>,
}

type Paths = matchit::Router<Route>;

/// All rows of one path.
struct Route {
    /// The whole path, which is its name in metrics.
    path: Box<str>,
    rows: Vec<&'static Row>,
}

/// What a method and a path lead to.
pub(super) struct Found {
    /// The route's path, which is its name in metrics.
    pub route: &'static str,
    /// Who may ask there, also for what isn't there.
    pub door: Door,
    /// The row, or why there is none.
    pub row: Result<&'static Row, ApiError>,
    /// What comes before the row's path.
    pub mount: Mount,
    /// Where the place holders are.
    pub params: Params,
}

/// Every row of the root.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    let native = NATIVE.iter().copied();
    let at_root = DIALECTS.iter().filter(|dialect| !dialect.is_mounted());
    native.chain(at_root.map(|dialect| dialect.rows)).flatten()
}

/// The names of the dialects that are mounted.
pub fn dialects() -> impl Iterator<Item = &'static str> {
    let mounted = DIALECTS.iter().filter(|dialect| dialect.is_mounted());
    mounted.map(|dialect| dialect.name)
}

/// Says a native webhook event in the form that a dialect has registered an endpoint with; `None` if none can.
#[must_use]
pub fn render_webhook(telling: &Telling<'_>) -> Option<Told> {
    let name = telling.form.split(['/', ' ']).next()?;
    let dialect = DIALECTS.iter().find(|dialect| dialect.name == name)?;
    (dialect.tell)(telling)
}

/// The names by which a dialect finds a job, as digests. A dialect's jobs are of kinds that begin with its name.
#[must_use]
pub fn names_of(job: &Job) -> Vec<u64> {
    let dialect = job.kind.split_once('.').and_then(|(name, _)| {
        let mut all = DIALECTS.iter();
        all.find(|dialect| dialect.name == name)
    });
    dialect.map_or_else(Vec::new, |dialect| (dialect.names)(job))
}

/// The parts of the interface that dialects add.
fn tags() -> impl Iterator<Item = (&'static str, &'static str)> {
    DIALECTS.iter().filter_map(|dialect| dialect.tag)
}

impl Table {
    fn new() -> Self {
        let mounted = DIALECTS.iter().filter(|dialect| dialect.is_mounted());
        Self {
            root: paths("", rows()),
            mounted: mounted
                .map(|dialect| {
                    let mount = format!("/dialects/{}", dialect.name);
                    let rows = dialect.rows.iter().chain(dialect::FILES);
                    (dialect, paths(&mount, rows))
                })
                .collect(),
        }
    }

    /// The target that a request means, if it asks a dialect's proxy to ask for it.
    pub(super) fn meant(&self, uri: &Uri, headers: &HeaderMap, own: Option<&str>) -> Option<Uri> {
        let path = uri.path();
        let (mount, name) = Mount::of(path, own)?;
        let mut all = self.mounted.iter();
        let (dialect, _) = all.find(|(dialect, _)| dialect.name == name)?;
        let (at, header) = dialect.proxy?;
        let (base, rest) = path.split_at(mount.base);
        let target: Uri = headers.get(header)?.to_str().ok()?.parse().ok()?;
        let target = target.path_and_query().filter(|_| rest == at)?.as_str();
        // A URL of an answer of ours has the mount already.
        let target = target.strip_prefix(base).unwrap_or(target);
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(format!("{base}{target}").parse().ok()?);
        Uri::from_parts(parts).ok()
    }

    /// The row for that method and path, of a listener that is `own` to a dialect or to none. `speaks` says whether the
    /// dialect of a name is on.
    pub(super) fn find(
        &'static self,
        method: &Method,
        path: &str,
        own: Option<&str>,
        speaks: impl Fn(&str) -> bool,
    ) -> Found {
        let mounted = Mount::of(path, own).and_then(|(mount, name)| {
            let mut all = self.mounted.iter();
            let (dialect, paths) = all.find(|(dialect, _)| dialect.name == name)?;
            (own.is_some() || speaks(name)).then_some((mount, *dialect, paths))
        });
        let (mount, paths, words) = match mounted {
            Some((mount, dialect, paths)) => (mount, paths, Some(dialect.words)),
            None => (Mount::default(), &self.root, None),
        };
        let Ok(found) = paths.at(&path[mount.base..]) else {
            return Found {
                route: OTHER,
                door: words.map_or_else(|| door_of_unknown(path), Door::Dialect),
                row: Err(ApiError::not_found("there is nothing at this path")),
                mount,
                params: Params::default(),
            };
        };
        let Route { path: route, rows } = found.value;
        let verb = Verb::of(method);
        let row = rows.iter().find(|row| Some(row.verb) == verb);
        Found {
            route,
            door: match (rows[0].door, words) {
                // Whatever is mounted speaks in the words of its dialect.
                (Door::Native, Some(words)) => Door::Dialect(words),
                (door, _) => door,
            },
            row: row.copied().ok_or_else(|| other_method(rows)),
            mount,
            params: Params::of(path, &found.params),
        }
    }
}

/// Those rows by their paths.
fn paths(mount: &str, rows: impl Iterator<Item = &'static Row>) -> Paths {
    let mut of_paths: Vec<Vec<&'static Row>> = Vec::new();
    for row in rows {
        match of_paths.iter_mut().find(|rows| rows[0].path == row.path) {
            Some(rows) => rows.push(row),
            None => of_paths.push(vec![row]),
        }
    }
    let mut paths = matchit::Router::new();
    for rows in of_paths {
        let path = rows[0].path;
        let route = Route {
            path: format!("{mount}{path}").into(),
            rows,
        };
        let added = paths.insert(path, route);
        added.expect("no two paths mean the same, as a test sees");
    }
    paths
}

/// Who may ask for a path that leads nowhere. It tells nothing, but asking for many of them has its limit.
fn door_of_unknown(path: &str) -> Door {
    let is_under = |tree: &&str| {
        path.strip_prefix(*tree)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if OPEN.iter().any(&is_under) {
        return Door::Open;
    }
    let mut dialects = DIALECTS.iter();
    match dialects.find(|dialect| {
        dialect
            .trees
            .is_some_and(|trees| trees.iter().any(&is_under))
    }) {
        Some(dialect) => Door::Dialect(dialect.words),
        None => Door::Native,
    }
}

fn other_method(rows: &[&Row]) -> ApiError {
    let allowed: Vec<&str> = rows.iter().map(|row| row.verb.allowed()).collect();
    let allowed = HeaderValue::try_from(allowed.join(",")).expect("methods are a header value");
    ApiError::of(405, Code::METHOD_NOT_ALLOWED, "Not this method")
        .detail("the path exists, and the header `Allow` says by which methods")
        .header(header::ALLOW, allowed)
}

/// `GET /openapi.json`
const DESCRIPTION: Row = Row::get("/openapi.json", description)
    .door(Door::Open)
    .about("Operations", "readDescription", "Read this description")
    .answers(&[Response::of(
        200,
        "OpenAPI 3.1.",
        "application/json",
        inline::<serde_json::Value>,
    )]);

fn description(state: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    static OPEN: OnceLock<Bytes> = OnceLock::new();
    static KEYED: OnceLock<Bytes> = OnceLock::new();
    let is_open = state.access.is_open();
    let text = if is_open { &OPEN } else { &KEYED }.get_or_init(|| {
        let json = serde_json::to_vec(&openapi::describe(rows(), tags(), !is_open));
        json.expect("a description has only text keys").into()
    });
    let mut answer = json::written(text.clone());
    let out = answer.headers_mut();
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(answer.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::route::Meets;

    /// What is kept in the repository is what the code says; set `ABIDE_BLESS` to write it anew.
    #[test]
    fn the_description_is_the_one_that_was_looked_at() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let api = openapi::describe(rows(), tags(), true);
        let now = api.to_pretty_json().unwrap() + "\n";
        if std::env::var_os("ABIDE_BLESS").is_some_and(|bless| bless == "1") {
            std::fs::write(path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        for (n, (now, kept)) in now.lines().zip(kept.lines()).enumerate() {
            assert_eq!(
                now,
                kept,
                "line {} of {path}; ABIDE_BLESS=1 writes it",
                n + 1
            );
        }
        assert_eq!(now.len(), kept.len(), "{path}; ABIDE_BLESS=1 writes it");
    }

    #[test]
    fn every_row_is_found_by_its_method_and_path() {
        for row in rows() {
            let path = row.path.replace("{id}", "x").replace("{*path}", "a/b");
            for (method, verb) in [
                (Method::GET, Verb::Get),
                (Method::POST, Verb::Post),
                (Method::PUT, Verb::Put),
                (Method::PATCH, Verb::Patch),
                (Method::DELETE, Verb::Delete),
            ] {
                let found = TABLE.find(&method, &path, None, |_| true);
                assert_eq!(found.route, row.path);
                if verb == row.verb {
                    let row = found.row.unwrap();
                    assert_eq!((row.verb, row.path), (verb, found.route), "{method} {path}");
                }
            }
        }
    }

    #[test]
    fn what_a_row_says_of_its_body_and_its_job_agrees() {
        for row in rows() {
            let name = format!("{:?} {}", row.verb, row.path);
            assert!(
                row.request.is_none() || row.body_bytes_max.is_some(),
                "{name}"
            );
            if let Meets::Job(_) = row.meets {
                assert!(row.subject.is_some(), "{name}");
            }
            let same = rows().filter(|other| other.path == row.path);
            for other in same {
                assert_eq!(other.door.is_open(), row.door.is_open(), "{name}");
                assert_eq!(other.door.is_limited(), row.door.is_limited(), "{name}");
            }
        }
    }

    #[test]
    fn what_isnt_there_has_the_door_of_what_is_around_it() {
        let is_dialect = |door| matches!(door, Door::Dialect(_));
        for (path, is_open, is_others) in [
            ("/v1/jobs/", false, false),
            ("/v1/jobs/job_1/odd", false, false),
            ("/v1/jobs/a/b/c/d/e/f/g", false, false),
            ("/v2", false, false),
            ("*", false, false),
            ("/webhooks", false, true),
            ("/webhooks/odd", false, true),
            ("/webhooksodd", false, false),
            ("/favicon.ico", true, false),
            ("/assets/", true, false),
            ("/docs/odd", true, false),
        ] {
            let found = TABLE.find(&Method::PUT, path, None, |_| true);
            assert_eq!(found.door.is_open(), is_open, "{path}");
            assert_eq!(is_dialect(found.door), is_others, "{path}");
        }
    }
}
