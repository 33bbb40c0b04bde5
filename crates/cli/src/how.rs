//! How to wait: from flags to a strategy and a schedule.
//!
//! A flag that would do nothing is refused, because whoever gave it believes that it does something.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use abide::schedule::{Backoff, Countdown, Fixed, Schedule};
use abide::strategy::{Auto, LongPoll, Poll, Strategy, Stream, Webhook};
use abide::{Inbox, JobHandle, Wait};
use abide_wire::Span;
use clap::{Args, ValueEnum};

use crate::endpoint::Place;
use crate::exit::{Failure, USAGE};

/// The flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "How to wait")]
pub(crate) struct How {
    /// Gives up after so long; the jobs go on [default: never]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Span>,
    /// How to learn of the end [default: auto, or poll where a schedule is named]
    #[arg(long, value_enum)]
    strategy: Option<Way>,
    /// When to poll [default: learned, or what the other flags suggest]
    #[arg(long, value_enum)]
    schedule: Option<When>,
    /// The pause between polls; of `backoff` and `countdown` the first one
    #[arg(long, value_name = "DURATION")]
    interval: Option<Span>,
    /// The greatest pause of `backoff` [default: 30s]
    #[arg(long, value_name = "DURATION")]
    max_interval: Option<Span>,
    /// What each pause of `backoff` is multiplied by to make the next [default: 1.5]
    #[arg(long, value_name = "NUMBER")]
    factor: Option<f64>,
    /// Where to listen for webhooks, with `--strategy webhook` [default: a free port of this machine]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The address by which the server reaches that [default: the one that is listened at]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Keeps there what was learned of how long jobs take [default: the user's state directory]
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

/// The schedules by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    /// When earlier jobs of the kind suggest it
    Learned,
    /// At pauses that grow by a factor
    Backoff,
    /// At equal pauses
    Fixed,
    /// At pauses that shrink
    Countdown,
}

/// A strategy and a schedule, made of the flags once, for any number of waits.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    strategy: Arc<dyn Strategy>,
    schedule: Option<Arc<dyn Schedule>>,
    timeout: Option<Duration>,
    /// Where to listen for webhooks, and where they go.
    pub(crate) webhook: Option<(Place, Inbox)>,
}

impl Plan {
    /// A wait for that job.
    pub(crate) fn wait(&self, job: &JobHandle) -> Wait {
        let mut wait = job.wait().strategy(self.strategy.clone());
        if let Some(schedule) = &self.schedule {
            wait = wait.schedule(schedule.clone());
        }
        if let Some(timeout) = self.timeout {
            wait = wait.deadline(timeout);
        }
        wait
    }
}

impl How {
    /// Puts the flags together.
    ///
    /// # Errors
    ///
    /// Flags that would do nothing, or that have values they can't have.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let (when, schedule) = self.schedule()?;
        let named = self.schedule.is_some() || when != When::Learned;
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
            timeout: self.timeout.map(Span::get),
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
        let place = Place {
            listen: self.listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into()),
            public_url: self.public_url.clone(),
        };
        Ok(Some((place, Inbox::new())))
    }

    /// The schedule that the flags name. The learned one is the client's own, which knows the server and the kind.
    fn schedule(&self) -> Result<(When, Option<Arc<dyn Schedule>>), Failure> {
        let when = self.when()?;
        let interval = self.interval.map(Span::get);
        let schedule: Arc<dyn Schedule> = match when {
            When::Learned => return Ok((when, None)),
            When::Fixed => Arc::new(interval.map_or_else(Fixed::default, Fixed::new)),
            When::Backoff => {
                let mut backoff = interval.map_or_else(Backoff::default, Backoff::new);
                if let Some(factor) = self.factor {
                    backoff = backoff.factor(factor);
                }
                if let Some(max) = self.max_interval {
                    backoff = backoff.max(max.get());
                }
                Arc::new(backoff)
            }
            When::Countdown => {
                let first = interval.unwrap_or(Duration::from_secs(4));
                Arc::new(Countdown::new([(4, first), (3, first / 2)]).then(first / 4))
            }
        };
        Ok((when, Some(schedule)))
    }

    fn when(&self) -> Result<When, Failure> {
        let grows = self.factor.is_some() || self.max_interval.is_some();
        let when = match self.schedule {
            Some(when) => when,
            None if grows => When::Backoff,
            None if self.interval.is_some() => When::Fixed,
            None => When::Learned,
        };
        let zero = |pause: Option<Span>| pause.is_some_and(|pause| pause.get().is_zero());
        if grows && when != When::Backoff {
            Err(wrong(
                "--max-interval and --factor are for --schedule backoff",
            ))
        } else if when == When::Learned && self.interval.is_some() {
            Err(wrong(
                "--interval is for --schedule fixed, backoff and countdown; learned finds its own",
            ))
        } else if zero(self.interval) || zero(self.max_interval) {
            Err(wrong("--interval and --max-interval must be more than 0s"))
        } else if self
            .factor
            .is_some_and(|factor| !(1.0..=100.0).contains(&factor))
        {
            Err(wrong("--factor must be 1 to 100"))
        } else {
            Ok(when)
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
            ("--schedule fixed --factor 2", Err("--schedule backoff")),
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
