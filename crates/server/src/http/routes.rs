//! What is known of a request from its path alone, before it is routed: what it is called in metrics, who may make it, and in
//! which words its limits are told.

/// One sort of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The path with its place holders; what metrics call it.
    pub pattern: &'static str,
    /// Who may make it.
    pub door: Door,
}

/// Who may make a request, and what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Anybody, as often as they like: probes and pages that show nothing of anybody's.
    Open,
    /// Whoever has a key, as often as they like: what operators read.
    Operator,
    /// Whoever has a key, within limits.
    Native,
    /// The same, in the words of the classic systems.
    Classic,
}

impl Route {
    /// The sort of a request for that path.
    pub(super) fn of(path: &str) -> Self {
        use Door::{Classic, Native, Open, Operator};

        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
        let mut next = || segments.next();
        let path = [next(), next(), next(), next(), next(), next()];
        let (pattern, door) = match path {
            [Some("v1"), Some("jobs"), None, ..] => ("/v1/jobs", Native),
            [Some("v1"), Some("jobs"), Some("wait"), None, ..] => ("/v1/jobs/wait", Native),
            [Some("v1"), Some("jobs"), Some(_), None, ..] => ("/v1/jobs/{id}", Native),
            [Some("v1"), Some("jobs"), Some(_), Some(what), None, _] => (
                match what {
                    "cancel" => "/v1/jobs/{id}/cancel",
                    "deliveries" => "/v1/jobs/{id}/deliveries",
                    "events" => "/v1/jobs/{id}/events",
                    "looks" => "/v1/jobs/{id}/looks",
                    "watchers" => "/v1/jobs/{id}/watchers",
                    _ => OTHER,
                },
                Native,
            ),
            [Some("v1"), Some("events"), None, ..] => ("/v1/events", Native),
            [Some("v1"), Some("webhooks"), None, ..] => ("/v1/webhooks", Native),
            [Some("v1"), Some("webhooks"), Some(_), None, ..] => ("/v1/webhooks/{id}", Native),
            [Some("v1"), Some("webhooks"), Some(_), Some(_), None, _] => {
                ("/v1/webhooks/{id}/…", Native)
            }
            [Some("v1"), Some("deliveries"), ..] => ("/v1/deliveries/…", Native),
            [Some("v1"), Some("simulator"), None, ..] => ("/v1/simulator", Native),
            [Some("v1"), Some("simulator"), Some("scenarios"), None, ..] => {
                ("/v1/simulator/scenarios", Native)
            }
            [Some("v1"), Some("clock"), None, ..] => ("/v1/clock", Native),
            [Some("v1"), Some("clock"), Some("advance"), None, ..] => ("/v1/clock/advance", Native),
            [Some("v1"), Some("report"), None, ..] => ("/v1/report", Native),
            [Some("jobs"), None, ..] => ("/jobs", Classic),
            [Some("status"), None, ..] => ("/status", Classic),
            [Some("status"), Some(_), None, ..] => ("/status/{id}", Classic),
            [Some("webhooks"), ..] => ("/webhooks/…", Classic),
            [Some("register-webhook"), None, ..] => ("/register-webhook", Classic),
            [Some("metrics"), None, ..] => ("/metrics", Operator),
            [Some("healthz"), None, ..] => ("/healthz", Open),
            [Some("readyz"), None, ..] => ("/readyz", Open),
            [Some("openapi.json"), None, ..] => ("/openapi.json", Open),
            [Some("docs"), ..] => ("/docs", Open),
            [Some(""), None, ..] => ("/", Open),
            [Some("assets" | "favicon.ico"), ..] => ("/assets/…", Open),
            // An unknown path tells nothing, but asking for many of them has its limit.
            _ => (OTHER, Native),
        };
        Self { pattern, door }
    }
}

const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_names_and_doors() {
        let table = [
            ("/v1/jobs", "/v1/jobs", Door::Native),
            ("/v1/jobs/", "/v1/jobs/{id}", Door::Native),
            ("/v1/jobs/wait", "/v1/jobs/wait", Door::Native),
            ("/v1/jobs/job_1", "/v1/jobs/{id}", Door::Native),
            (
                "/v1/jobs/job_1/events",
                "/v1/jobs/{id}/events",
                Door::Native,
            ),
            ("/v1/jobs/job_1/odd", OTHER, Door::Native),
            ("/v1/jobs/a/b/c/d/e/f/g", OTHER, Door::Native),
            ("/status", "/status", Door::Classic),
            ("/status/x", "/status/{id}", Door::Classic),
            ("/webhooks/register", "/webhooks/…", Door::Classic),
            ("/healthz", "/healthz", Door::Open),
            ("/metrics", "/metrics", Door::Operator),
            ("/", "/", Door::Open),
            ("", "/", Door::Open),
            ("/docs/index.css", "/docs", Door::Open),
            ("/v2", OTHER, Door::Native),
        ];
        for (path, pattern, door) in table {
            assert_eq!(Route::of(path), Route { pattern, door }, "{path}");
        }
    }
}
