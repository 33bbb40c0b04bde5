//! The asynchronous faults that the simulator can play.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Span, limits};

/// What goes wrong. See [`Fault`] for when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FaultKind {
    /// The answer comes [`Fault::delay`] later (1 s by default).
    Latency,
    /// The answer is [`Fault::status`] (503 by default) with a problem body.
    Error,
    /// The connection is reset instead of answered.
    Reset,
    /// The body ends half way, the connection closes.
    Truncate,
    /// The head is sent, the body never comes until [`Fault::delay`] (30 s by default) has passed.
    Stall,
    /// The job never ends by itself.
    Stuck,
    /// For [`Fault::delay`] (2 s by default) after the end, reads show the job as it was before.
    Stale,
    /// While the job runs, its status is [`Fault::word`] (`"archiving"` by default).
    UnknownStatus,
    /// The job completes, and its result stays `null` for [`Fault::delay`] (2 s by default).
    LateResult,
    /// The event stream is cut in the middle of an event.
    StreamCut,
    /// The event stream falls silent, heartbeats too, and stays open.
    StreamMute,
    /// The webhook counts as delivered and is never sent.
    WebhookLost,
    /// The webhook is sent twice.
    WebhookDoubled,
    /// The webhook is sent [`Fault::delay`] (5 s by default) late.
    WebhookLate,
    /// A first webhook (`job.created`) is sent before the create's answer.
    WebhookEarly,
    /// The job is made, and the connection is reset instead of the create's answer.
    LostCreate,
    /// The first read, or those that the fault names, finds no such job.
    NotFoundFirst,
    /// When its time has come the job ends as canceled, though no client of this server asked for it.
    CanceledElsewhere,
    /// For [`Fault::delay`] (2 s by default) after a cancel, the job is shown as it was before.
    SlowCancel,
    /// The job never leaves its queue.
    QueueStuck,
    /// The URL of a result answers `403`, from [`Fault::delay`] (at once by default) after the end on.
    ExpiredUrl,
}

impl FaultKind {
    /// The word on the wire, which is also what `Sim-Decision` says.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Error => "error",
            Self::Reset => "reset",
            Self::Truncate => "truncate",
            Self::Stall => "stall",
            Self::Stuck => "stuck",
            Self::Stale => "stale",
            Self::UnknownStatus => "unknown_status",
            Self::LateResult => "late_result",
            Self::StreamCut => "stream_cut",
            Self::StreamMute => "stream_mute",
            Self::WebhookLost => "webhook_lost",
            Self::WebhookDoubled => "webhook_doubled",
            Self::WebhookLate => "webhook_late",
            Self::WebhookEarly => "webhook_early",
            Self::LostCreate => "lost_create",
            Self::NotFoundFirst => "not_found_first",
            Self::CanceledElsewhere => "canceled_elsewhere",
            Self::SlowCancel => "slow_cancel",
            Self::QueueStuck => "queue_stuck",
            Self::ExpiredUrl => "expired_url",
        }
    }
}

impl FaultKind {
    /// How long such a fault lasts if [`Fault::delay`] isn't given; zero for those that don't last.
    #[must_use]
    pub const fn delay(self) -> Duration {
        Duration::from_secs(match self {
            Self::Latency => 1,
            Self::Stall => 30,
            Self::Stale | Self::LateResult | Self::SlowCancel => 2,
            Self::WebhookLate => 5,
            _ => 0,
        })
    }
}

/// Which requests a fault of the answer meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FaultTarget {
    /// Reads of the job, held or not.
    #[default]
    Read,
    /// The create.
    Create,
    /// Both, and cancel, report and delete.
    Any,
}

/// One fault: what goes wrong, and when.
///
/// A fault meets the requests (or streams, or deliveries) of a job that are among `first`, `nth` or `every`, counted
/// from 1 per job; of those, each with `chance`. Without any of the three it meets all of them. Whether it does is
/// decided by a hash of the server's seed, the job's key, the fault and the ordinal, so that the same clients meet the
/// same faults under any concurrency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fault {
    /// What goes wrong.
    pub fault: FaultKind,
    /// How likely it is where it may happen, 0 to 1; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 1))]
    pub chance: Option<f64>,
    /// Only this many occasions, from the first on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// Only these, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub nth: Option<Vec<u32>>,
    /// Only every n-th occasion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub every: Option<u32>,
    /// Which requests it meets; reads by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<FaultTarget>,
    /// How long, for those faults that last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// Which status, for [`FaultKind::Error`]: 400 to 599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 400, maximum = 599))]
    pub status: Option<u16>,
    /// What `Retry-After` says, verbatim, for [`FaultKind::Error`]: seconds or a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[ -~]{1,100}$"))]
    pub retry_after: Option<String>,
    /// Which word, for [`FaultKind::UnknownStatus`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[ -~]{1,100}$"))]
    pub word: Option<String>,
}

impl Fault {
    /// A fault of that kind that always happens.
    #[must_use]
    pub const fn new(fault: FaultKind) -> Self {
        Self {
            fault,
            chance: None,
            first: None,
            nth: None,
            every: None,
            on: None,
            delay: None,
            status: None,
            retry_after: None,
            word: None,
        }
    }

    /// How long it lasts: its own delay, or its [kind's](FaultKind::delay).
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay.map_or_else(|| self.fault.delay(), Span::get)
    }

    /// Whether the fault may meet the `ordinal`-th occasion, counted from 1, whatever its chance.
    #[must_use]
    pub fn may_meet(&self, ordinal: u32) -> bool {
        let none = self.first.is_none() && self.nth.is_none() && self.every.is_none();
        match self.fault {
            FaultKind::NotFoundFirst if none => return ordinal == 1,
            _ => {}
        }
        none || self.first.is_some_and(|n| ordinal <= n)
            || self
                .nth
                .as_ref()
                .is_some_and(|list| list.contains(&ordinal))
            || self
                .every
                .is_some_and(|n| n > 0 && ordinal.is_multiple_of(n))
    }

    /// Checks the bounds.
    ///
    /// # Errors
    ///
    /// The member that is out of its bound, and the bound.
    pub fn validate(&self) -> Result<(), String> {
        if let Some(chance) = self.chance
            && !(0.0..=1.0).contains(&chance)
        {
            return Err(format!("`chance` must be between 0 and 1, but is {chance}"));
        }
        if let Some(status) = self.status
            && !(400..=599).contains(&status)
        {
            return Err(format!(
                "`status` of a fault must be between 400 and 599, but is {status}"
            ));
        }
        if self.every == Some(0) {
            return Err("`every` must be at least 1".to_owned());
        }
        if self.nth.as_ref().is_some_and(|list| list.len() > 100) {
            return Err("`nth` must have at most 100 ordinals".to_owned());
        }
        for (name, text) in [("retry_after", &self.retry_after), ("word", &self.word)] {
            if let Some(text) = text
                && (text.is_empty()
                    || text.len() > limits::WORD_CHARS_MAX
                    || !text.bytes().all(|b| (0x20..0x7f).contains(&b)))
            {
                return Err(format!(
                    "`{name}` must be 1 to {} printable ASCII characters",
                    limits::WORD_CHARS_MAX
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_say_which_occasions_a_fault_may_meet() {
        let meets = |fault: &Fault| (1..=6).filter(|n| fault.may_meet(*n)).collect::<Vec<_>>();
        let plain = Fault::new(FaultKind::Error);
        assert_eq!(meets(&plain), [1, 2, 3, 4, 5, 6]);
        let first = Fault {
            first: Some(2),
            ..plain.clone()
        };
        assert_eq!(meets(&first), [1, 2]);
        let nth = Fault {
            nth: Some(vec![3, 5]),
            ..plain.clone()
        };
        assert_eq!(meets(&nth), [3, 5]);
        let every = Fault {
            every: Some(3),
            first: Some(1),
            ..plain
        };
        assert_eq!(meets(&every), [1, 3, 6]);
    }
}
