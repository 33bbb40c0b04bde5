//! The flags, and what they come to together.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use abide::schedule::{Dial, FeatureValue, Schedule};
use abide::strategy::{Auto, LongPoll, Poll, Strategy, Stream, Webhook};
use abide::{Inbox, JobHandle, RetryPolicy, Wait, Watch};
use abide_wire::Span;
use clap::{Args, ValueEnum};

use super::schedule::{Recipe, is_factor};
use crate::exit::{Failure, USAGE};
use crate::url;

/// Where a command listens for webhooks.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) listen: SocketAddr,
    /// The address by which the server reaches it, where that is another.
    pub(crate) public_url: Option<String>,
}

/// The flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "How to wait")]
pub(crate) struct How {
    /// Give up after this long (the jobs keep running) [default: never]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Span>,
    /// Give up after this long without an answer from the server [default: never before --timeout]
    #[arg(long, value_name = "DURATION")]
    give_up: Option<Span>,
    /// How to learn that a job ended: by requests (poll), by requests that the server holds (long-poll), by a stream of
    /// events, by a webhook with polls as a safety net, or by the best of these that the server can do (auto)
    /// [default: auto, or poll where a schedule is named]
    #[arg(long, value_enum)]
    strategy: Option<Way>,
    /// When to poll: learned, fixed, backoff or countdown, or with its numbers, such as backoff:1s:1.5:30s
    /// [default: learned, or what the other flags suggest]
    #[arg(long)]
    schedule: Option<Recipe>,
    /// Pause between polls; the first one for `backoff` and `countdown`
    #[arg(long, value_name = "DURATION")]
    interval: Option<Span>,
    /// Of the learned schedule: a request is worth this much delay [default: 500ms]
    #[arg(long, value_name = "DURATION", group = "dial")]
    price: Option<Span>,
    /// Of the learned schedule: as many requests per job on average
    #[arg(long, value_name = "NUMBER", group = "dial")]
    budget: Option<f64>,
    /// Of the learned schedule: that share of the ends is seen within that time, such as 3s@95
    #[arg(long, value_name = "DURATION@PERCENT", group = "dial", value_parser = late)]
    late: Option<Dial>,
    /// Longest pause of `backoff` [default: 30s] or `learned` [default: none]
    #[arg(long, value_name = "DURATION")]
    max_interval: Option<Span>,
    /// What may bear on how long jobs take, for the learned schedule to find out: a value such as model=sdxl or
    /// seconds=90, or the name of a member of the job's metadata; repeatable
    #[arg(long = "feature", value_name = "NAME[=VALUE]")]
    features: Vec<Trait>,
    /// Growth factor of `backoff` [default: 1.5]
    #[arg(long, value_name = "NUMBER")]
    factor: Option<f64>,
    /// Address to receive webhooks on, with `--strategy webhook` [default: a free port of this machine]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// URL at which the server reaches that address [default: the address itself]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Directory for learned job durations [default: the user's state directory]
    #[arg(long, env = "ABIDE_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// The strategies by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// The best that the server can do
    Auto,
    /// Requests now and then
    Poll,
    /// Requests that the server holds
    LongPoll,
    /// A stream of events
    Stream,
    /// To be told by the server, with polls as a safety net
    Webhook,
}

/// What is told of jobs by `--feature`.
#[derive(Clone, Debug, PartialEq)]
struct Trait {
    name: String,
    /// None where the job's metadata tell it.
    value: Option<FeatureValue>,
}

impl FromStr for Trait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if name.is_empty() || value == Some("") {
            return Err(format!("{text:?} is no such thing as model=sdxl or model"));
        }
        let read = |value: &str| match value.parse::<f64>() {
            Ok(number) => FeatureValue::from(number),
            Err(_) => FeatureValue::from(value),
        };
        Ok(Self {
            name: name.to_owned(),
            value: value.map(read),
        })
    }
}

/// A strategy and a schedule, made of the flags once, for any number of waits.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    strategy: Arc<dyn Strategy>,
    schedule: Option<Arc<dyn Schedule>>,
    dial: Option<Dial>,
    max_interval: Option<Duration>,
    features: Vec<Trait>,
    timeout: Option<Duration>,
    retry: RetryPolicy,
    /// Whether it was said how long to wait for a server that doesn't answer.
    pub(crate) is_patient: bool,
    /// Where to listen for webhooks, and where they go.
    pub(crate) webhook: Option<(Place, Inbox)>,
}

/// That wait or watch, with all that a plan says of it.
macro_rules! planned {
    ($plan:expr, $wait:expr) => {{
        let (plan, mut wait) = ($plan, $wait);
        wait = wait
            .strategy(plan.strategy.clone())
            .retry(plan.retry.clone());
        if let Some(schedule) = &plan.schedule {
            wait = wait.schedule(schedule.clone());
        }
        if let Some(dial) = plan.dial {
            wait = wait.dial(dial);
        }
        if let Some(interval) = plan.max_interval {
            wait = wait.max_interval(interval);
        }
        if let Some(timeout) = plan.timeout {
            wait = wait.deadline(timeout);
        }
        for Trait { name, value } in &plan.features {
            wait = match value {
                Some(value) => wait.feature(name, value.clone()),
                None => wait.metadata_feature(name),
            };
        }
        wait
    }};
}

impl Plan {
    /// A wait for that job.
    pub(crate) fn wait(&self, job: &JobHandle) -> Wait {
        planned!(self, job.wait())
    }

    /// A watch of that job.
    pub(crate) fn watch(&self, job: &JobHandle) -> Watch {
        planned!(self, job.watch())
    }
}

impl How {
    /// Puts the flags together.
    ///
    /// # Errors
    ///
    /// Flags that would do nothing, or that have values they can't have.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let recipe = self.recipe()?;
        let dial = self.dial(&recipe)?;
        let is_learned = matches!(recipe, Recipe::Learned(_));
        let schedule = recipe.build();
        let named = self.schedule.is_some() || schedule.is_some();
        let way = self
            .strategy
            .unwrap_or(if named { Way::Poll } else { Way::Auto });
        if named && matches!(way, Way::LongPoll | Way::Stream) {
            return Err(wrong(
                "--schedule, --interval, --max-interval and --factor are for polling; \
                 use them with --strategy poll, or leave --strategy out",
            ));
        }
        let webhook = self.webhook(way)?;
        let strategy: Arc<dyn Strategy> = match way {
            Way::Webhook => {
                let inbox = webhook.as_ref().map(|(_, inbox)| inbox.clone());
                Arc::new(Webhook::new(&inbox.unwrap_or_default()))
            }
            Way::Auto => Arc::new(Auto::new()),
            Way::Poll => Arc::new(Poll::new()),
            Way::LongPoll => Arc::new(LongPoll::new()),
            Way::Stream => Arc::new(Stream::new()),
        };
        Ok(Plan {
            strategy,
            schedule,
            dial,
            max_interval: self.max_interval.map(Span::get).filter(|_| is_learned),
            features: self.features.clone(),
            timeout: self.timeout.map(Span::get),
            retry: RetryPolicy::default().patience(self.give_up.map_or(Duration::MAX, Span::get)),
            is_patient: self.give_up.is_some(),
            webhook,
        })
    }

    fn webhook(&self, way: Way) -> Result<Option<(Place, Inbox)>, Failure> {
        if way != Way::Webhook {
            return match (self.listen, &self.public_url) {
                (None, None) => Ok(None),
                _ => Err(wrong(
                    "--listen and --public-url are for --strategy webhook",
                )),
            };
        }
        let public_url = self.public_url.as_deref();
        let public_url = public_url.map(|text| url::read("--public-url", text));
        let place = Place {
            listen: self.listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into()),
            public_url: public_url.transpose()?.map(String::from),
        };
        Ok(Some((place, Inbox::new())))
    }

    /// The schedule that the flags name. The learned one is the client's own, which knows the server and the kind.
    fn recipe(&self) -> Result<Recipe, Failure> {
        let dials = self.price.is_some() || self.budget.is_some() || self.late.is_some();
        let grows = self.factor.is_some() || self.max_interval.is_some() && !dials;
        let zero = |pause: Option<Span>| pause.is_some_and(|pause| pause.get().is_zero());
        if zero(self.interval) || zero(self.max_interval) {
            return Err(wrong("--interval and --max-interval must be more than 0s"));
        }
        if self.factor.is_some_and(|factor| !is_factor(&factor)) {
            return Err(wrong("--factor must be 1 to 100"));
        }
        let mut recipe = match &self.schedule {
            Some(recipe) => recipe.clone(),
            None if grows => Recipe::BACKOFF,
            None if self.interval.is_some() => Recipe::Fixed(None),
            None => Recipe::Learned(None),
        };
        let is_learned = matches!(recipe, Recipe::Learned(_));
        if self.factor.is_some() && !matches!(recipe, Recipe::Backoff { .. }) {
            return Err(wrong("--factor is for --schedule backoff"));
        }
        if self.max_interval.is_some() && !is_learned && !matches!(recipe, Recipe::Backoff { .. }) {
            return Err(wrong(
                "--max-interval is for --schedule backoff and learned",
            ));
        }
        let interval = self.interval.map(Span::get);
        match &mut recipe {
            Recipe::Learned(Some(_)) => Err(wrong("--schedule learned takes no more here")),
            Recipe::Learned(None) if interval.is_some() => Err(wrong(
                "--interval is for --schedule fixed, backoff and countdown; learned finds its own",
            )),
            Recipe::Learned(None) => Ok(()),
            Recipe::Fixed(first) | Recipe::Countdown(first) => fill("--interval", first, interval),
            Recipe::Backoff {
                initial,
                factor,
                max,
            } => fill("--interval", initial, interval)
                .and_then(|()| fill("--factor", factor, self.factor))
                .and_then(|()| fill("--max-interval", max, self.max_interval.map(Span::get))),
        }?;
        Ok(recipe)
    }

    /// What the learned schedule is told.
    fn dial(&self, recipe: &Recipe) -> Result<Option<Dial>, Failure> {
        let dial = match (self.price, self.budget) {
            (Some(price), _) => Some(Dial::Price(price.get())),
            (_, Some(requests)) if !(1.0..=1e6).contains(&requests) => {
                return Err(wrong(
                    "--budget must be at least 1, for the request that sees the end",
                ));
            }
            (_, Some(requests)) => Some(Dial::Budget(requests)),
            (None, None) => self.late,
        };
        match (dial, recipe) {
            (Some(_), Recipe::Learned(_)) | (None, _) => Ok(dial),
            (Some(_), _) => Err(wrong(
                "--price, --budget and --late are for --schedule learned",
            )),
        }
    }

    /// Where to keep what is learned; nowhere if that was asked for by an empty name, or if there is no place for it.
    pub(crate) fn state_dir(&self) -> Option<PathBuf> {
        if let Some(directory) = &self.state_dir {
            return Some(directory.clone()).filter(|directory| !directory.as_os_str().is_empty());
        }
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let state = variable("XDG_STATE_HOME").map(PathBuf::from);
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        state.or_else(home).map(|state| state.join("abide"))
    }
}

/// How late ends may be seen: a length of time and a percentage.
fn late(text: &str) -> Result<Dial, String> {
    let wrong = || format!("{text:?} is no such thing as 3s@95");
    let (within, percent) = text.split_once('@').ok_or_else(wrong)?;
    let within = within.parse::<Span>().map_err(|_| wrong())?.get();
    let percent: f64 = percent.trim_end_matches('%').parse().map_err(|_| wrong())?;
    let sound = !within.is_zero() && (1.0..=100.0).contains(&percent);
    let share = percent / 100.0;
    sound
        .then_some(Dial::Late { within, share })
        .ok_or_else(wrong)
}

/// Puts a flag's value where the schedule has none yet.
fn fill<T>(flag: &str, slot: &mut Option<T>, given: Option<T>) -> Result<(), Failure> {
    match (&slot, given) {
        (Some(_), Some(_)) => Err(wrong(&format!("{flag} is said by --schedule already"))),
        (None, Some(value)) => {
            *slot = Some(value);
            Ok(())
        }
        (_, None) => Ok(()),
    }
}

fn wrong(message: &str) -> Failure {
    Failure::new(USAGE, message)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        how: How,
    }

    #[test]
    fn flags_make_a_strategy_and_a_schedule_or_are_refused() {
        let table = [
            ("", Ok(("auto", ""))),
            ("--strategy stream", Ok(("stream", ""))),
            ("--strategy poll", Ok(("poll", ""))),
            ("--schedule learned", Ok(("poll", ""))),
            ("--strategy webhook", Ok(("webhook", ""))),
            (
                "--strategy webhook --listen 127.0.0.1:9 --public-url http://me/ --interval 5s",
                Ok(("webhook", "Fixed")),
            ),
            ("--listen 127.0.0.1:9", Err("--strategy webhook")),
            (
                "--strategy poll --public-url http://me/",
                Err("--strategy webhook"),
            ),
            ("--interval 200ms", Ok(("poll", "Fixed"))),
            ("--strategy poll --schedule fixed", Ok(("poll", "Fixed"))),
            ("--factor 2 --max-interval 15s", Ok(("poll", "Backoff"))),
            (
                "--schedule countdown --interval 3",
                Ok(("poll", "Countdown")),
            ),
            ("--strategy auto --interval 5s", Ok(("auto", "Fixed"))),
            ("--strategy stream --interval 1s", Err("--strategy poll")),
            (
                "--strategy long-poll --schedule learned",
                Err("--strategy poll"),
            ),
            ("--schedule backoff:1s:2:15s", Ok(("poll", "Backoff"))),
            ("--schedule fixed:2s", Ok(("poll", "Fixed"))),
            ("--schedule fixed:2s --interval 1s", Err("already")),
            ("--schedule learned:eager", Err("takes no more")),
            ("--schedule fixed --factor 2", Err("--schedule backoff")),
            ("--late 3s@95", Ok(("auto", ""))),
            ("--price 2s --max-interval 30s", Ok(("auto", ""))),
            ("--budget 4 --strategy poll", Ok(("poll", ""))),
            ("--schedule learned --max-interval 30s", Ok(("poll", ""))),
            ("--schedule fixed --late 3s@95", Err("--schedule learned")),
            ("--schedule fixed --max-interval 9s", Err("and learned")),
            (
                "--feature model=sdxl --feature seconds=90 --feature tier",
                Ok(("auto", "")),
            ),
            ("--budget 0.5", Err("at least 1")),
            (
                "--schedule learned --interval 1s",
                Err("learned finds its own"),
            ),
            ("--interval 0", Err("more than 0s")),
            ("--factor 0.5", Err("1 to 100")),
            ("--factor NaN", Err("1 to 100")),
        ];
        for (flags, expected) in table {
            let line = Line::try_parse_from(format!("x {flags}").split_whitespace()).unwrap();
            match (line.how.plan(), expected) {
                (Ok(plan), Ok((strategy, schedule))) => {
                    assert_eq!(plan.strategy.name(), strategy, "{flags}");
                    let shown = plan.schedule.map_or_else(String::new, |s| format!("{s:?}"));
                    assert!(shown.starts_with(schedule), "{flags}: {shown}");
                    assert_eq!(shown.is_empty(), schedule.is_empty(), "{flags}: {shown}");
                }
                (Err(failure), Err(part)) => {
                    assert_eq!(failure.code, USAGE, "{flags}");
                    assert!(failure.message.contains(part), "{flags}: {failure}");
                }
                (got, _) => panic!("{flags}: {got:?}"),
            }
        }
    }
}
