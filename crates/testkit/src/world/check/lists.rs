//! A list has all jobs, what is deleted is gone, and odd requests are answered as each is to be.

use std::time::Duration;

use super::judge::{Judge, Promise, told};
use crate::world::history::Event;

/// How long a body may take to come, and the end of its connection.
const BODY_MAX: Duration = Duration::from_secs(30 + 3);

impl Judge<'_> {
    /// A list has each job that was there when it began, once and the newest first.
    pub(super) fn lists(&mut self) {
        let mut accused = Vec::new();
        for moment in self.moments {
            let Event::Listed { owner, sent, jobs } = &moment.event else {
                continue;
            };
            // A name begins with when the job was made.
            if !jobs.is_sorted_by(|newer, older| newer > older) {
                let what = format!("{} listed {jobs:?} in no order", moment.who);
                accused.push((moment.at, what));
            }
            let before = self.moments.iter().take_while(|it| it.at < *sent);
            let missing = before.filter_map(told).find(|view| {
                view.owner == *owner
                    && !self.deleted.contains_key(view.job.as_str())
                    && !jobs.contains(&view.job)
            });
            if let Some(view) = missing {
                let what = format!("{} missed {} in {jobs:?}", moment.who, view.job);
                accused.push((moment.at, what));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Lists, at, what);
        }
    }

    /// A job that was deleted is gone for its owner, and never was for others.
    pub(super) fn gone(&mut self) {
        let mut accused = Vec::new();
        for moment in self.moments {
            let Event::Gone {
                job,
                is_owner,
                status,
            } = &moment.event
            else {
                continue;
            };
            let expected = if *is_owner { 410 } else { 404 };
            if *status != expected && *status != 503 {
                let what = format!("{job} was deleted and is {status} where {expected} is right");
                accused.push((moment.at, what));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Lists, at, what);
        }
    }

    /// Odd requests are answered as each is to be, and slow ones don't last.
    pub(super) fn odd(&mut self) {
        let mut accused = Vec::new();
        for moment in self.moments {
            match &moment.event {
                Event::Deaf {
                    sent,
                    host,
                    is_ended: false,
                } if !self.is_troubled(*host, *sent, moment.at) => {
                    let what = format!("{} reads nothing and is kept", moment.who);
                    accused.push((moment.at, what));
                }
                Event::Odd {
                    what,
                    expected,
                    status,
                } if status != expected && *status != 503 => {
                    let what = format!("{what} was answered by {status}, not by {expected}");
                    accused.push((moment.at, what));
                }
                Event::Dripped { sent, host }
                    if moment.at > *sent + BODY_MAX
                        && !self.is_troubled(*host, *sent, moment.at) =>
                {
                    let took = moment.at - *sent;
                    let what = format!("a body that came byte by byte was read for {took:?}");
                    accused.push((moment.at, what));
                }
                _ => {}
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Odd, at, what);
        }
    }
}
