//! What a node does while another one leads.

use std::time::Duration;

use super::frame::{Down, Up};
use super::links::News;
use super::node::{Next, Node};
use crate::driver::{DriverError, Request};
use crate::journal::{Batch, JournalError};

/// How often a follower without a link reads the log, and looks after what waits.
const READ_EVERY: Duration = Duration::from_millis(250);

/// What comes to a follower.
enum Event {
    Pulse,
    Link(News),
    Read(Result<Vec<Batch>, JournalError>),
    Request(Option<Request>),
    Tick,
}

impl Node {
    /// Applies what others write, and sends on what clients ask, until it is to lead or to end.
    pub(super) async fn follow(&mut self, left: Vec<Request>) -> Result<Next, DriverError> {
        for request in left {
            self.send_on(request);
        }
        let mut tick = tokio::time::interval(READ_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if let Some(next) = self.turn() {
                return Ok(next);
            }
            let event = tokio::select! {
                changed = self.pulse.changed() => match changed {
                    Ok(()) => Event::Pulse,
                    // The heart is gone: without it this node can't know who leads.
                    Err(_) => return Ok(Next::End),
                },
                news = self.links.next() => Event::Link(news),
                batches = self.reader.done() => Event::Read(batches?),
                request = self.driver.request(), if self.errands.has_room() => Event::Request(request),
                _ = tick.tick() => Event::Tick,
                // A follower serves no links.
                Some(_refused) = self.incoming.recv() => Event::Pulse,
            };
            match event {
                Event::Pulse => {}
                Event::Link(News::Down(Some(down))) => self.hear(down)?,
                Event::Link(News::Down(None)) => {
                    self.errands.broken();
                    self.reader.read(self.position);
                }
                Event::Link(News::Linked(Ok(link))) => {
                    self.errands.linked(&link.up);
                    self.status.linked(&link.up);
                    self.links.upstream = Some(link);
                }
                Event::Link(News::Linked(Err(error))) => {
                    tracing::debug!(%error, "the leader can't be reached");
                }
                Event::Read(Ok(batches)) => self.caught_up(&batches)?,
                Event::Read(Err(error)) if error.is_retryable() => {
                    tracing::debug!(%error, "the log can't be read");
                }
                Event::Read(Err(error)) => return Err(error.into()),
                Event::Request(Some(request)) => self.send_on(request),
                Event::Request(None) => return Ok(Next::End),
                Event::Tick => self.tick(),
            }
        }
    }

    /// Looks who leads, and whether that is this node.
    fn turn(&mut self) -> Option<Next> {
        let pulse = self.pulse.borrow_and_update().clone();
        if pulse.is_refused {
            return Some(Next::End);
        }
        let leading = &pulse.leading;
        let is_me = leading.node.as_deref() == Some(self.status.node.as_str())
            && leading.run == self.status.run;
        if is_me && leading.term > self.term {
            return Some(Next::Lead(leading.term));
        }
        if !is_me && self.links.follow(leading) {
            self.errands.broken();
        }
        None
    }

    fn send_on(&mut self, request: Request) {
        let link = self.links.upstream.as_ref().map(|link| &link.up);
        let now = self.status.now();
        self.errands.add(request, now, link);
    }

    fn hear(&mut self, down: Down) -> Result<(), JournalError> {
        match down {
            Down::Batch(pushed) => {
                self.status.note_heard(pushed.batch.number);
                self.take(&pushed.batch)?;
            }
            Down::Committed { at, checkpoint } => {
                self.status.note_heard(at.batch);
                if at.batch > self.position.batch {
                    self.reader.read(self.position);
                }
                let (driver, applied) = (&mut self.driver, self.position.seq);
                self.changed
                    .covered(checkpoint, applied, || driver.take_changed());
            }
            Down::Answered { answers, at } => {
                let now = self.status.now();
                for (id, answer) in answers {
                    self.errands.answered(id, answer, at, now);
                }
            }
            Down::Now { id, at } => self.errands.now(id, at),
            Down::Tell { id, question } => {
                let (status, link) = (self.status.clone(), self.links.upstream.as_ref());
                if let Some(up) = link.map(|link| link.up.clone()) {
                    // Beside the loop: it may be much.
                    tokio::spawn(async move {
                        if let Some(told) = status.tell(&question) {
                            let _broken = up.send(Up::Told { id, told }).await;
                        }
                    });
                }
            }
            Down::Gathered { id, told } => self.hub.questions.told(id, told),
        }
        self.arrive();
        Ok(())
    }

    fn caught_up(&mut self, batches: &[Batch]) -> Result<(), JournalError> {
        for batch in batches {
            self.take(batch)?;
        }
        match batches.last() {
            // There may be more.
            Some(_) => self.reader.read(self.position),
            None => self.status.note_heard(self.position.batch),
        }
        self.arrive();
        Ok(())
    }

    /// Applies a batch, if it is the next one. After a hole the log is read.
    pub(super) fn take(&mut self, batch: &Batch) -> Result<(), JournalError> {
        if batch.follows(self.position) {
            self.driver.absorb(batch)?;
            self.position = batch.position();
            self.term = self.term.max(batch.term);
            self.status.set_applied(self.position);
        } else if batch.number > self.position.batch {
            // Whether it is a hole or another history, the log tells.
            self.reader.read(self.position);
        }
        Ok(())
    }

    pub(super) fn arrive(&mut self) {
        self.errands.arrive(self.driver.engine(), self.position);
        if self.errands.wants_beyond(self.position) && self.links.upstream.is_none() {
            self.reader.read(self.position);
        }
    }

    fn tick(&mut self) {
        self.errands.expire(self.status.now());
        if self.links.upstream.is_none() || self.errands.wants_beyond(self.position) {
            self.reader.read(self.position);
        }
        self.links.may_dial();
    }
}
