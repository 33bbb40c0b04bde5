//! What a node does from the moment at which it is to lead until another one does.

use std::time::Duration;

use abide_engine::SetSeed;
use abide_engine::entry::{LEVEL, LEVEL_WRITTEN_FROM};
use tokio::sync::watch;

use super::errands::Errands;
use super::heart::Pulse;
use super::node::{Beginning, Node, Promoted};
use super::serve::serve;
use super::status::{Role, Status};
use crate::driver::{Driver, DriverError, Led, Request};
use crate::journal::{Batch, JournalError, Position};

/// How long to wait before a call that the database didn't take is made again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

impl Node {
    /// Reads the log to its end and appends the mark. What clients ask meanwhile waits for a leader as it does at a
    /// follower.
    pub(super) async fn promote(&mut self, term: u64) -> Result<Promoted, DriverError> {
        self.links.drop_all();
        if self.pulse.borrow().won != term {
            // The lead was moved here from a leader that lives, or that may live and has this node's name. It finds out
            // with its next beat, and then writes no more; until this is over it may count on its lead in what it
            // answers.
            let pause = tokio::time::sleep(self.status.lease * 3 / 4);
            if meanwhile(&mut self.driver, &mut self.errands, &self.status, pause)
                .await
                .is_none()
            {
                return Ok(Promoted::Ended);
            }
        }
        loop {
            self.reader.read(self.position);
            let read = self.reader.done();
            let read = meanwhile(&mut self.driver, &mut self.errands, &self.status, read).await;
            let Some(read) = read else {
                return Ok(Promoted::Ended);
            };
            let is_again = match read? {
                Ok(batches) if batches.is_empty() => {
                    match self.driver.mark(self.position, term).await? {
                        Ok(after) => {
                            self.begin(term, after);
                            return Ok(Promoted::Leads);
                        }
                        // The old leader was quicker.
                        Err(JournalError::Superseded { .. }) => false,
                        Err(error) if error.is_retryable() => true,
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(batches) => {
                    for batch in &batches {
                        self.take(batch)?;
                    }
                    false
                }
                Err(error) if error.is_retryable() => true,
                Err(error) => return Err(error.into()),
            };
            let pulse = self.pulse.borrow().clone();
            if self.term > term || pulse.leading.term > term || pulse.is_refused {
                return Ok(Promoted::Superseded);
            }
            let pause = tokio::time::sleep(AGAIN_AFTER);
            if is_again
                && meanwhile(&mut self.driver, &mut self.errands, &self.status, pause)
                    .await
                    .is_none()
            {
                return Ok(Promoted::Ended);
            }
        }
    }

    fn begin(&mut self, term: u64, after: Position) {
        let before = self.position;
        self.hub.push(after, || {
            let mark = Batch {
                number: after.batch,
                term,
                nonce: after.nonce,
                before: before.nonce,
                first: before.seq + 1,
                entries: Vec::new(),
            };
            mark.into()
        });
        (self.position, self.term) = (after, term);
        self.driver.put_changed(self.changed.take());
        self.status.set_applied(after);
        self.status.set_role(Role::Leader { term });
        // What waits for a state that is here now.
        self.arrive();
        tracing::info!(term, "this node leads");
    }

    /// Decides until another node leads or there will be no more commands.
    pub(super) async fn lead(&mut self, term: u64) -> Result<Led, DriverError> {
        let since = self.status.now();
        let Beginning {
            seed,
            secret,
            mut configure,
        } = self.beginning.clone();
        let allowed = self.pulse.borrow().level;
        configure.level = allowed.clamp(LEVEL_WRITTEN_FROM, LEVEL);
        let jobs = self.driver.engine().jobs();
        let is_new = jobs.made() == 0 && jobs.rng().seed() == 0;
        let mut requests = Vec::new();
        requests.extend(is_new.then(|| Request::of(SetSeed(seed), since)));
        requests.push(Request::of(secret, since));
        requests.push(Request::of(configure, since));
        requests.extend(self.errands.take_over());
        let deposed = deposed(self.pulse.clone(), term);
        tokio::select! {
            led = self.driver.lead(requests, deposed) => led,
            () = serve(&mut self.incoming, &self.hub, &self.commands, &self.status) => {
                unreachable!("links are served for ever")
            }
        }
    }
}

/// What that comes to. Requests that come meanwhile wait for a leader, and are refused when that takes too long. `None`
/// if there will be no more of them.
async fn meanwhile<T>(
    driver: &mut Driver,
    errands: &mut Errands,
    status: &Status,
    what: impl Future<Output = T>,
) -> Option<T> {
    let mut what = std::pin::pin!(what);
    let mut tick = tokio::time::interval(AGAIN_AFTER);
    loop {
        tokio::select! {
            biased;
            done = &mut what => return Some(done),
            request = driver.request(), if errands.has_room() => {
                errands.add(request?, status.now(), None);
            }
            _ = tick.tick() => errands.expire(status.now()),
        }
    }
}

/// Returns once another node leads, or this one must end.
async fn deposed(mut pulse: watch::Receiver<Pulse>, term: u64) {
    let is_over = |pulse: &Pulse| {
        let confirmed = pulse
            .confirmed
            .is_some_and(|(confirmed, _)| confirmed > term);
        confirmed || pulse.leading.term > term || pulse.is_refused
    };
    // Without a heart nothing deposes it but the fence.
    if pulse.wait_for(is_over).await.is_err() {
        std::future::pending::<()>().await;
    }
}
