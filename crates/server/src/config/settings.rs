//! What can be set: the one table.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use abide_engine::delivery::RetryPolicy;
use abide_engine::entry::LEVEL;
use abide_engine::jobs::plan::DURATION_S;
use abide_engine::{Configure, Defaults, PlayNamed, Policy};
use abide_wire::{DurationLaw, Simulate, Span};

use ipnet::IpNet;

use super::database::{DatabaseUrl, SHARED_SETTINGS};
use super::key::ApiKey;
use super::types::{
    ByteLimit, ClockSort, Dialects, Directives, JobStart, Lead, ListenAddr, LogFormat, RateLimit,
    WebhookAllow,
};
use super::value::Value;
use crate::scenario::Scenario;

/// The engine's name for the default job: what a classic `/status` without an id refers to.
pub const DEFAULT_JOB: &str = "default";

/// One thing that can be set: a flag, an environment variable and a key of the file in one.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The flag without its dashes, and the key of the file.
    pub name: &'static str,
    /// What it stands under in a help text.
    pub heading: &'static str,
    /// What stands for the value in a help text.
    pub value_name: &'static str,
    /// The default, as it would be written; empty if there is none.
    pub default: fn() -> String,
    /// What it does, in what unit, between what bounds.
    pub help: &'static str,
    /// Whether it may be given several times, or several values with commas between them.
    pub is_list: bool,
    /// Whether it is a switch, which as a flag needs no value.
    pub is_switch: bool,
    /// The environment variable.
    pub variable: &'static str,
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    pub(super) show: fn(&Config) -> String,
}

/// A row's default: a text as it would be written, or in braces the value that the engine has for it.
macro_rules! default_value {
    ($text:literal) => {
        Value::parse($text).expect("the table's defaults are tested")
    };
    ({ $value:expr }) => {
        $value
    };
}

macro_rules! default_text {
    ($text:literal, $ty:ty) => {
        $text.to_owned()
    };
    ({ $value:expr }, $ty:ty) => {
        <$ty as Value>::show(&$value)
    };
}

macro_rules! settings {
    ($($heading:literal: $(
        $(#[doc = $doc:literal])+
        $name:literal $variable:literal $value_name:literal $field:ident: $ty:ty = $default:tt;
    )+)+) => {
        /// What the server does. Made by [`Layers::resolve`](super::Layers::resolve), or by [`Default`] and changed
        /// field by field in a test.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($($(#[doc = $doc])+ pub $field: $ty,)+)+
        }

        /// Everything that can be set, in the order in which it is shown.
        pub const SETTINGS: &[Setting] = &[$($(
            Setting {
                name: $name,
                heading: $heading,
                value_name: $value_name,
                default: || default_text!($default, $ty),
                help: concat!($($doc, "\n"),+),
                is_list: <$ty as Value>::IS_LIST,
                is_switch: <$ty as Value>::IS_SWITCH,
                variable: $variable,
                set: |config, text| {
                    config.$field = Value::parse(text)?;
                    Ok(())
                },
                show: |config| config.$field.show(),
            },
        )+)+];

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $($($field: default_value!($default),)+)+
                }
            }
        }
    };
}

settings! {
    "Listening and storage":
    /// Where to listen: address and port. Port 0 takes a free one; `:8080` is 127.0.0.1. With `NAME=` before it, that
    /// vendor's interface has the root there (repeatable).
    "listen" "ABIDE_LISTEN" "[NAME=]ADDR:PORT" listen: ListenAddr = "127.0.0.1:8080";
    /// The directory that keeps the jobs. Created if missing; used by one server at a time.
    "data" "ABIDE_DATA" "DIR" data: PathBuf = "abide-data";
    /// Keep everything in memory; nothing is written to disk.
    "ephemeral" "ABIDE_EPHEMERAL" "BOOL" ephemeral: bool = "false";
    /// Write the server's URL to this file once it listens, and remove it at the end. For scripts that start a server
    /// on port 0.
    "ready-file" "ABIDE_READY_FILE" "FILE" ready_file: Option<PathBuf> = "";
    /// Serve https with the certificate and its chain in this PEM file; read again on SIGHUP.
    "tls-cert" "ABIDE_TLS_CERT" "FILE" tls_cert: Option<PathBuf> = "";
    /// The certificate's private key, a PEM file.
    "tls-key" "ABIDE_TLS_KEY" "FILE" tls_key: Option<PathBuf> = "";
    /// Which vendors' interfaces are served below `/dialects/`: `all`, `none`, or names (repeatable). All if the server
    /// listens on loopback alone, else none.
    "dialects" "ABIDE_DIALECTS" "all|none|NAME" dialects: Dialects = "";

    "Database and nodes":
    /// Keep the jobs in this PostgreSQL database instead of a directory, so that the server starts on any machine.
    /// Several hosts may stand in it, with commas between them. `abide cluster init` makes the tables.
    "database" "ABIDE_DATABASE" "URL" database: Option<DatabaseUrl> = "";
    /// The schema of that database, so that several clusters fit into one.
    "schema" "ABIDE_SCHEMA" "NAME" schema: String = "abide";
    /// The name of this node, unique among the servers on that schema; the machine's name if it isn't set. A second
    /// server under a name takes it over, and the first one ends.
    "node" "ABIDE_NODE" "NAME" node: Option<String> = "";
    /// Where other nodes link to this one, over a protocol of their own that is encrypted; never a public address.
    /// Without it no other node can have commands carried out here, so the nodes of a cluster all need it.
    "cluster-listen" "ABIDE_CLUSTER_LISTEN" "ADDR:PORT" cluster_listen: Option<String> = "";
    /// The host and port at which other nodes reach that; the address itself if it isn't set, or the node's name with
    /// its port where that listens on all addresses.
    "cluster-advertise" "ABIDE_CLUSTER_ADVERTISE" "HOST:PORT" cluster_advertise: Option<String> = "";
    /// How long the leader of the nodes may be silent before another one takes the lead, 500 ms to 60 s.
    "lease" "ABIDE_LEASE" "DURATION" lease: Span = "2s";
    /// Whether this node may lead: `auto` or `never`.
    "lead" "ABIDE_LEAD" "auto|never" lead: Lead = "auto";
    /// Encrypt what is written to the database with the key in this file: 32 bytes, or 64 hexadecimal digits.
    "seal-key-file" "ABIDE_SEAL_KEY_FILE" "FILE" seal_key_file: Option<PathBuf> = "";

    "Access":
    /// An API key (repeatable). With one, requests need `Authorization: Bearer SECRET`, and jobs belong to the name.
    /// The role is `admin`, `user` or `read`; a bare secret is a user's. A secret has 20 to 256 printable ASCII
    /// characters.
    "api-key" "ABIDE_API_KEYS" "NAME:ROLE:SECRET" api_keys: Vec<ApiKey> = "";
    /// A file of API keys, one a line; `#` at the beginning of a line or after white space begins a comment.
    "api-key-file" "ABIDE_API_KEY_FILE" "FILE" api_key_file: Option<PathBuf> = "";
    /// Listen beyond loopback although there are no API keys: everyone who reaches the address has full access.
    "allow-anonymous" "ABIDE_ALLOW_ANONYMOUS" "BOOL" allow_anonymous: bool = "false";
    /// A name, beside loopback ones, that a server without API keys answers to (repeatable). Any other `Host` is
    /// refused.
    "allow-host" "ABIDE_ALLOW_HOST" "NAME" allow_host: Vec<String> = "";
    /// A page's origin, such as `https://example.com`, whose scripts may ask and read; `*` for all (repeatable).
    "cors-origin" "ABIDE_CORS_ORIGIN" "ORIGIN|*" cors_origin: Vec<String> = "";
    /// A network of reverse proxies whose `X-Forwarded-For`, `-Host`, `-Proto` and `-Prefix` are believed
    /// (repeatable).
    "trusted-proxy" "ABIDE_TRUSTED_PROXY" "CIDR" trusted_proxy: Vec<IpNet> = "";

    "Limits":
    /// How many requests a client may make: `3000/min`, `10/s`, `off`. By API key, else by address.
    "rate-limit" "ABIDE_RATE_LIMIT" "RATE" rate_limit: RateLimit = "3000/min";
    /// The longest time a request is held, 1 s to 10 min; longer requests are capped.
    "hold-max" "ABIDE_HOLD_MAX" "DURATION" hold_max: Span = "50s";
    /// The most held requests of one client.
    "waits-per-client" "ABIDE_WAITS_PER_CLIENT" "N" waits_per_client: NonZeroUsize = "10000";
    /// The most held requests of all clients together.
    "waits-max" "ABIDE_WAITS_MAX" "N" waits_max: NonZeroUsize = "200000";
    /// The most event streams of one client.
    "streams-per-client" "ABIDE_STREAMS_PER_CLIENT" "N" streams_per_client: NonZeroUsize = "1000";
    /// The most event streams of all clients together.
    "streams-max" "ABIDE_STREAMS_MAX" "N" streams_max: NonZeroUsize = "100000";
    /// The most open connections, fewer where memory or open files allow fewer; further ones wait to be accepted. An
    /// address that isn't a trusted proxy's may have 99 times as many as are free, so that others find room.
    "connections-max" "ABIDE_CONNECTIONS_MAX" "N" connections_max: NonZeroUsize = "250000";
    /// The most jobs whose records are kept; one beyond them takes the place of an ended one, or is refused.
    "jobs-max" "ABIDE_JOBS_MAX" "N" jobs_max: NonZeroUsize = { jobs_max() };
    /// The most bytes of records: `512MiB`, `2GiB`; by default a quarter of the memory that the process may use.
    "stored-bytes-max" "ABIDE_STORED_BYTES_MAX" "BYTES" stored_bytes_max: ByteLimit = "auto";
    /// The most bytes of the records of one owner; by default half of `stored-bytes-max`.
    "stored-bytes-per-owner" "ABIDE_STORED_BYTES_PER_OWNER" "BYTES" stored_bytes_per_owner: ByteLimit = "auto";
    /// The most bytes of requests, answers and streams under way; by default a sixteenth of the memory.
    "inflight-bytes-max" "ABIDE_INFLIGHT_BYTES_MAX" "BYTES" inflight_bytes_max: ByteLimit = "auto";
    /// The most bytes of those of one client; by default a quarter of `inflight-bytes-max`.
    "inflight-bytes-per-owner" "ABIDE_INFLIGHT_BYTES_PER_OWNER" "BYTES" inflight_bytes_per_owner: ByteLimit = "auto";
    /// The most bytes of a form with files, such as an upload to a vendor's interface. Files are counted, not kept.
    "upload-max" "ABIDE_UPLOAD_MAX" "BYTES" upload_max: ByteLimit = "512MiB";
    /// How long the record of a job is kept after its end, 1 s to 366 days.
    "retention" "ABIDE_RETENTION" "DURATION" retention: Span = { Policy::default().retention };

    "Webhooks":
    /// Where webhooks may go although it is a private address: a network, a host name, or `none` to refuse even
    /// loopback (repeatable).
    "webhook-allow" "ABIDE_WEBHOOK_ALLOW" "CIDR|HOST|none" webhook_allow: Vec<WebhookAllow> = "";
    /// The pause before each attempt to deliver a webhook, the first included; each is stretched or shrunk by up to a
    /// fifth.
    "webhook-retry" "ABIDE_WEBHOOK_RETRY" "DURATION,…" webhook_retry: Vec<Span> = { webhook_retry() };

    "Simulator and tests":
    /// What decides every draw of the simulator. The same seed gives the same jobs and the same faults; without one,
    /// each start has its own.
    "seed" "ABIDE_SEED" "N" seed: Option<u64> = "";
    /// What sort of clock: `real`, or `manual`, which stands still until it is advanced through the API.
    "clock" "ABIDE_CLOCK" "real|manual" clock: ClockSort = "real";
    /// Clock speed multiplier, 1 to 100000.
    "speed" "ABIDE_SPEED" "N" speed: NonZeroU32 = "1";
    /// Duration of a simulated job without one of its own: `20s`, `uniform:10s:30s`, `exponential:20s`,
    /// `lognormal:20s:0.5`, `weibull:20s:1.5`, `pareto:10s:1.5`, `empirical:3s:41s`, `shifted:5s:LAW`,
    /// `mixture:0.3:LAW+0.7:LAW`.
    "duration" "ABIDE_DURATION" "LAW" duration: DurationLaw = { Defaults::default().duration };
    /// Shortest duration of a simulated job without one of its own; makes the distribution uniform.
    "min-delay" "ABIDE_MIN_DELAY" "DURATION" min_delay: Option<Span> = "";
    /// Longest duration of a simulated job without one of its own; makes the distribution uniform.
    "max-delay" "ABIDE_MAX_DELAY" "DURATION" max_delay: Option<Span> = "";
    /// Chance that a simulated job fails, 0 to 1, where the job doesn't say.
    "error-chance" "ABIDE_ERROR_CHANCE" "CHANCE" error_chance: f64 = { Defaults::default().error_chance };
    /// Further defaults of the simulator: a TOML file of durations, outcomes, stages and faults, or the name of a
    /// built-in one such as `flaky`.
    "scenario" "ABIDE_SCENARIO" "FILE|NAME" scenario: Option<Scenario> = "";
    /// Whether a request to a vendor's interface may say how its job is played: `on` or `off`.
    "directives" "ABIDE_DIRECTIVES" "on|off" directives: Directives = "on";
    /// How many answered requests `GET /v1/requests` remembers, the last ones; `0` for none.
    "requests-kept" "ABIDE_REQUESTS_KEPT" "N" requests_kept: usize = "1000";

    "Default job":
    /// When the default job of the classic routes starts: `boot` or `first-poll`.
    "default-job-start" "ABIDE_DEFAULT_JOB_START" "boot|first-poll" default_job_start: JobStart = "boot";
    /// How long after its end the default job starts again; `off` for never.
    "default-job-reset" "ABIDE_DEFAULT_JOB_RESET" "DURATION" default_job_reset: Option<Span> = "off";
    /// How long the default job runs; by default like every other simulated job.
    "default-job-delay" "ABIDE_DEFAULT_JOB_DELAY" "LAW" default_job_delay: Option<DurationLaw> = "";

    "Logging and stopping":
    /// How long the server may take to end what is open when it is told to stop, 0 s to 10 min.
    "drain" "ABIDE_DRAIN" "DURATION" drain: Span = "10s";
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or by module, as in `info,abide_server=debug`.
    "log" "ABIDE_LOG" "FILTER" log: String = "info";
    /// How it is logged: `text`, or `json`, one object a line.
    "log-format" "ABIDE_LOG_FORMAT" "text|json" log_format: LogFormat = "text";
}

impl Config {
    /// What the engine allows and how often it tries.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let bytes = self.byte_limits();
        Policy {
            stored_bytes_max: bytes.stored,
            stored_bytes_per_owner: bytes.stored_per_owner,
            retention: self.retention,
            jobs_max: self.jobs_max.get(),
            webhooks: {
                let default = RetryPolicy::default();
                RetryPolicy {
                    pauses: self.webhook_retry.clone(),
                    open_max: bytes.open_deliveries(default.open_max),
                    ..default
                }
            },
        }
    }

    /// What of it the log has to know.
    #[must_use]
    pub fn configure(&self) -> Configure {
        Configure {
            policy: self.policy(),
            defaults: self.defaults(),
            seed: self.seed,
            level: LEVEL,
        }
    }

    /// The simulator's defaults as the settings make them: those of the scenario, and over them what was set apart.
    ///
    /// What is at its own default counts as not set.
    #[must_use]
    pub fn simulate(&self) -> Simulate {
        let untouched = Self::default();
        let mut simulate = self
            .scenario
            .as_ref()
            .map_or_else(Simulate::default, |scenario| scenario.simulate.clone());
        let duration = self.job_duration();
        if simulate.duration.is_none() || duration != untouched.job_duration() {
            simulate.duration = Some(duration);
        }
        let outcome = simulate.outcome.get_or_insert_default();
        if outcome.error_chance.is_none() || self.error_chance != untouched.error_chance {
            outcome.error_chance = Some(self.error_chance);
        }
        simulate
    }

    /// The simulator's defaults, whole.
    #[must_use]
    pub fn defaults(&self) -> Defaults {
        Defaults {
            scenario: self.scenario.as_ref().map(|scenario| scenario.name.clone()),
            ..Defaults::default().with(&self.simulate())
        }
    }

    /// Whether that vendor's interface is served below `/dialects/`.
    #[must_use]
    pub fn speaks(&self, name: &str) -> bool {
        match &self.dialects {
            Dialects::Near => self.listen.is_loopback(),
            Dialects::All => true,
            Dialects::None => false,
            Dialects::Named(names) => names.iter().any(|named| named == name),
        }
    }

    /// How the default job of the classic routes is played.
    #[must_use]
    pub fn simulate_default_job(&self) -> Simulate {
        let simulate = self.simulate();
        Simulate {
            duration: self.default_job_delay.clone().or(simulate.duration),
            outcome: simulate.outcome,
            ..Simulate::default()
        }
    }

    /// The default job of the classic routes. `is_new` says that one that has ended counts as none.
    #[must_use]
    pub fn default_job(&self, is_new: bool) -> PlayNamed {
        PlayNamed {
            name: DEFAULT_JOB.into(),
            simulate: self.simulate_default_job(),
            reset_after: self.default_job_reset.map(Span::get),
            is_new,
        }
    }

    /// Takes a setting that all nodes of a cluster share, in place of this node's own.
    ///
    /// # Errors
    ///
    /// It isn't one of [`SHARED_SETTINGS`], or the value can't be.
    pub fn share(&mut self, name: &str, value: &str) -> Result<(), String> {
        let setting = SETTINGS
            .iter()
            .find(|setting| setting.name == name && SHARED_SETTINGS.contains(&name))
            .ok_or_else(|| {
                let all = SHARED_SETTINGS.join(", ");
                format!("{name} is no setting that nodes share; those are {all}")
            })?;
        (setting.set)(self, value)?;
        self.check().map_err(|(_, detail)| detail)
    }

    pub(super) fn job_duration(&self) -> DurationLaw {
        if self.min_delay.is_none() && self.max_delay.is_none() {
            return self.duration.clone();
        }
        let (min, max) = match self.duration {
            DurationLaw::Uniform { min, max } => (min, max),
            _ => (seconds_span(DURATION_S.0), seconds_span(DURATION_S.1)),
        };
        DurationLaw::Uniform {
            min: self.min_delay.unwrap_or(min),
            max: self.max_delay.unwrap_or(max),
        }
    }
}

fn jobs_max() -> NonZeroUsize {
    NonZeroUsize::new(Policy::default().jobs_max).expect("the engine's default is more than none")
}

fn webhook_retry() -> Vec<Span> {
    RetryPolicy::default().pauses
}

pub(super) fn seconds_span(seconds: u64) -> Span {
    Span::new(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::Union;
    use proptest::string::string_regex;

    use super::*;

    #[test]
    fn every_default_is_read_and_shown_as_the_table_says() {
        let config = Config::default();
        config.check().unwrap();
        for setting in SETTINGS {
            let mut again = config.clone();
            (setting.set)(&mut again, &(setting.show)(&config)).unwrap();
            assert_eq!(again, config, "{}", setting.name);
            assert!(setting.variable.starts_with("ABIDE_"), "{}", setting.name);
            assert!(setting.help.len() > 20, "{}", setting.name);
        }
    }

    /// Texts as people may write them, for settings of every sort; each setting takes those that it understands.
    fn texts() -> impl Strategy<Value = String> {
        let number = r"[0-9]{1,7}(\.[0-9]{1,9})?";
        let span = format!("{number} ?(ns|us|ms|s|m|h|d|)");
        let laws = "(fixed|exponential|uniform|lognormal|weibull|pareto|empirical|shifted)";
        let law = format!("{laws}:{span}(:{span}){{0,2}}");
        let address = r"(|localhost|0\.0\.0\.0|127\.0\.0\.1|\[::1\]):[0-9]{1,5}";
        let words =
            "auto|off|none|all|on|never|true|no|real|manual|boot|first-poll|text|json|flaky|stuck";
        let patterns = [
            number.to_owned(),
            span.clone(),
            format!("{span}(,{span}){{1,3}}"),
            format!("[0-9]{{1,5}}/({span}|s|min|hour|d)"),
            law.clone(),
            format!(r"mixture:{number}:{law}\+{number}:{span}"),
            format!("{address}(,[a-z]{{2,5}}={address}){{0,2}}"),
            "[0-9]{1,9} ?(KiB|MiB|GiB|B)?".to_owned(),
            r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?".to_owned(),
            "[a-f0-9:]{2,12}(/[0-9]{1,3})?".to_owned(),
            words.to_owned(),
            "[ -~]{0,20}".to_owned(),
            ".{0,8}".to_owned(),
        ];
        let texts = patterns.map(|pattern| string_regex(&pattern).unwrap());
        Union::new(texts)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_a_setting_takes_is_read_back_from_what_it_shows(text in texts()) {
            for setting in SETTINGS.iter().filter(|setting| setting.name != "api-key") {
                let mut config = Config::default();
                if (setting.set)(&mut config, &text).is_err() {
                    continue;
                }
                let shown = (setting.show)(&config);
                let mut again = Config::default();
                let read = (setting.set)(&mut again, &shown);
                prop_assert_eq!(read, Ok(()), "{} of {:?}: {:?}", setting.name, &text, &shown);
                prop_assert_eq!(&again, &config, "{} of {:?}: {:?}", setting.name, &text, shown);
            }
        }
    }

    #[test]
    fn what_is_set_apart_wins_over_the_scenario() {
        let scenario = Scenario::open("flaky").unwrap();
        let config = Config {
            scenario: Some(scenario.clone()),
            ..Config::default()
        };
        let defaults = config.defaults();
        assert_eq!(defaults.scenario.as_deref(), Some("flaky"));
        assert_eq!(defaults.error_chance, 0.1);
        assert_eq!(defaults.faults.to_vec(), scenario.simulate.faults.unwrap());
        assert_eq!(defaults.stages, Defaults::default().stages);
        let config = Config {
            error_chance: 0.7,
            ..config
        };
        assert_eq!(config.defaults().error_chance, 0.7);
        assert_eq!(Config::default().defaults(), Defaults::default());
    }

    #[test]
    fn nodes_share_what_decides_entries_and_nothing_else() {
        let mut config = Config::default();
        config.share("retention", "7d").unwrap();
        assert_eq!(config.retention.get(), Duration::from_secs(7 * 86_400));
        assert!(
            config
                .share("retention", "900d")
                .unwrap_err()
                .contains("366")
        );
        let error = config.share("listen", ":1").unwrap_err();
        assert!(error.contains("jobs-max"), "{error}");
        for name in SHARED_SETTINGS {
            assert!(
                SETTINGS.iter().any(|setting| setting.name == *name),
                "{name}"
            );
        }
    }

    #[test]
    fn delays_make_the_law_uniform() {
        let law = |min: Option<u64>, max: Option<u64>, duration: &str| {
            let config = Config {
                min_delay: min.map(seconds_span),
                max_delay: max.map(seconds_span),
                duration: Value::parse(duration).unwrap(),
                ..Config::default()
            };
            config.simulate().duration.unwrap().show()
        };
        assert_eq!(law(None, None, "20s"), "20s");
        assert_eq!(law(Some(1), Some(2), "20s"), "uniform:1s:2s");
        assert_eq!(law(Some(1), None, "uniform:5s:9s"), "uniform:1s:9s");
        assert_eq!(law(None, Some(15), "20s"), "uniform:10s:15s");
    }
}
