//! The settings that everything that waits has in common.

use std::sync::Arc;
use std::time::Duration;

use crate::retry::RetryPolicy;
use crate::schedule::{Dial, Feature, Schedule};
use crate::strategy::Strategy;

/// How to wait. What isn't set is as the client has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) deadline: Option<Duration>,
    pub(crate) strategy: Option<Arc<dyn Strategy>>,
    pub(crate) schedule: Option<Arc<dyn Schedule>>,
    pub(crate) dial: Option<Dial>,
    pub(crate) max_interval: Option<Duration>,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) size: Option<f64>,
    pub(crate) features: Vec<Feature>,
    /// The members of a job's metadata that are features.
    pub(crate) metadata_features: Vec<String>,
}

/// Gives a builder with a member `options` a method for each of these settings.
macro_rules! settings {
    ($($setting:ident)*) => { $( crate::options::setting! { $setting } )* };
}

macro_rules! setting {
    (deadline) => {
        /// Bounds the wait, from its first poll on: requests in flight, pauses after failures, the server's hints,
        /// everything. One last look is taken just before, and an end seen then is a result.
        pub fn deadline(mut self, deadline: ::std::time::Duration) -> Self {
            self.options.deadline = Some(deadline);
            self
        }
    };
    (strategy) => {
        /// How to learn of the end.
        pub fn strategy(mut self, strategy: impl crate::strategy::Strategy) -> Self {
            self.options.strategy = Some(::std::sync::Arc::new(strategy));
            self
        }
    };
    (schedule) => {
        /// When to poll, if it comes to polling.
        pub fn schedule(mut self, schedule: impl crate::schedule::Schedule) -> Self {
            self.options.schedule = Some(::std::sync::Arc::new(schedule));
            self
        }
    };
    (dial) => {
        /// What a request is worth, what a job may cost, or how late its end may be seen, to the learned schedule. A
        /// [schedule](Self::schedule) that is named has its own.
        pub fn dial(mut self, dial: crate::schedule::Dial) -> Self {
            self.options.dial = Some(dial);
            self
        }
    };
    (max_interval) => {
        /// The greatest pause between two polls of the learned schedule.
        pub fn max_interval(mut self, interval: ::std::time::Duration) -> Self {
            self.options.max_interval = Some(interval);
            self
        }
    };
    (retry) => {
        /// How failures are retried.
        pub fn retry(mut self, retry: crate::retry::RetryPolicy) -> Self {
            self.options.retry = Some(retry);
            self
        }
    };
    (attempt_timeout) => {
        /// The most that one exchange may take, from connecting to the last byte, beside the time that the server was
        /// asked to hold it.
        pub fn attempt_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.attempt_timeout = Some(timeout);
            self
        }
    };
    (size) => {
        /// How big the job is, in any unit that is the same within one kind, such as seconds of video: a schedule that
        /// learns scales its expectation by it. A size that isn't a positive number counts as unknown.
        pub fn size(mut self, size: f64) -> Self {
            self.options.size = Some(size);
            self
        }
    };
    (feature) => {
        /// What is known of the job that may bear on how long it takes, such as its model: a schedule that learns finds
        /// out by how much it does. Call it once per feature, up to four, and tell the same of all jobs of a kind.
        pub fn feature(
            mut self,
            name: &str,
            value: impl Into<crate::schedule::FeatureValue>,
        ) -> Self {
            let feature = crate::schedule::Feature::new(name, value);
            self.options.features.push(feature);
            self
        }
    };
    (metadata_feature) => {
        /// Takes a [`Feature`](crate::schedule::Feature) from the member of that name of the job's metadata: a text, a
        /// number, or true or false. A job without it has none.
        pub fn metadata_feature(mut self, name: &str) -> Self {
            self.options.metadata_features.push(name.to_owned());
            self
        }
    };
}

pub(crate) use {setting, settings};
