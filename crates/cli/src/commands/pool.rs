//! The loop of a worker: it claims, works on what it gets, some of it at the same time, and ends in order.
//!
//! Whatever ends the claiming (a signal, a refusal, work that couldn't be ended as it should) leaves what is under way
//! alone: that goes on under its leases, and the loop ends after it.

use anyhow::Error;
use futures_util::future::OptionFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio_util::sync::CancellationToken;

/// How much a worker does.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The most that is worked on at the same time.
    pub(crate) at_once: usize,
    /// How much is claimed in all.
    pub(crate) count: u64,
    /// Cancelled when what is under way is to be given back.
    pub(crate) stop: CancellationToken,
}

impl Pool {
    /// Claims and works until `count` is reached or `heard` returns. A second `heard` cancels [`Pool::stop`]. `say`
    /// tells a person what the loop waits for.
    ///
    /// # Errors
    ///
    /// The first error of a claim or of the work. No more is claimed after it, and it is returned once what is under
    /// way has ended.
    pub(crate) async fn run<L>(
        &self,
        claim: impl AsyncFn() -> Result<Option<L>, Error>,
        work: impl AsyncFn(L) -> Result<(), Error>,
        mut heard: impl AsyncFnMut(),
        say: impl Fn(&str),
    ) -> Result<(), Error> {
        let mut left = self.count;
        let mut is_stopping = false;
        let mut failed: Option<Error> = None;
        let mut running = FuturesUnordered::new();
        let mut claiming = None;
        loop {
            let may_claim = !is_stopping && failed.is_none() && left > 0;
            if !may_claim {
                // Dropped, it takes no job.
                claiming = None;
            } else if claiming.is_none() && running.len() < self.at_once {
                claiming = Some(Box::pin(claim()));
            }
            if claiming.is_none() && running.is_empty() {
                return failed.map_or(Ok(()), Err);
            }
            let ended = tokio::select! {
                Some(claimed) = OptionFuture::from(claiming.as_mut()) => {
                    claiming = None;
                    claimed.map(|lease| running.extend(lease.map(|lease| {
                        left -= 1;
                        work(lease)
                    })))
                }
                Some(worked) = running.next() => worked,
                () = heard() => {
                    if is_stopping {
                        self.stop.cancel();
                    } else if !running.is_empty() {
                        say(&format!(
                            "{} of its commands still running; a second signal ends them and gives their jobs back",
                            running.len()
                        ));
                    }
                    is_stopping = true;
                    Ok(())
                }
            };
            match ended {
                Ok(()) => {}
                Err(error) if failed.is_some() => say(&error.to_string()),
                Err(error) => {
                    if !running.is_empty() {
                        say(&format!(
                            "{error}; no more jobs are claimed, and {} of its commands still running",
                            running.len()
                        ));
                    }
                    failed = Some(error);
                }
            }
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the time is that of the test's runtime"
)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    use anyhow::anyhow;
    use tokio::time::{Instant, sleep, sleep_until};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pool(at_once: usize, count: u64) -> Pool {
        Pool {
            at_once,
            count,
            stop: CancellationToken::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_claim_lets_what_runs_end_and_is_the_error_then() {
        let (claims, ended, said) = (Cell::new(0), Cell::new(0), RefCell::new(Vec::new()));
        let begun = Instant::now();
        let pool = pool(5, 100);
        let ran = pool.run(
            async || {
                claims.set(claims.get() + 1);
                sleep(SECOND).await;
                match claims.get() {
                    3 => Err(anyhow!("refused")),
                    n => Ok(Some(n * 10)),
                }
            },
            async |seconds| {
                sleep(SECOND * seconds).await;
                ended.set(ended.get() + 1);
                Ok(())
            },
            async || std::future::pending().await,
            |text| said.borrow_mut().push(text.to_owned()),
        );
        assert_eq!(ran.await.unwrap_err().to_string(), "refused");
        // The second was claimed after 2 s and took 20.
        assert_eq!(begun.elapsed(), 22 * SECOND);
        assert_eq!((claims.get(), ended.get()), (3, 2));
        assert_eq!(
            *said.borrow(),
            ["refused; no more jobs are claimed, and 2 of its commands still running"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_fails_lets_the_rest_end_and_a_first_signal_too() {
        let ended = Cell::new(0);
        for signal in [false, true] {
            let (claims, begun) = (Cell::new(0), Instant::now());
            let pool = pool(3, 100);
            let ran = pool.run(
                async || {
                    claims.set(claims.get() + 1);
                    Ok(Some(claims.get()))
                },
                async |n| {
                    sleep(SECOND * n).await;
                    ended.set(ended.get() + 1);
                    match n {
                        1 if !signal => Err(anyhow!("no such program")),
                        _ => Ok(()),
                    }
                },
                async || match signal && begun.elapsed() < SECOND / 2 {
                    true => sleep_until(begun + SECOND / 2).await,
                    false => std::future::pending().await,
                },
                |_: &str| {},
            );
            assert_eq!(ran.await.is_err(), !signal);
            assert_eq!((claims.get(), ended.take()), (3, 3));
            assert!(!pool.stop.is_cancelled());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_claimed_than_may_run_and_than_is_wanted() {
        let (running, most, claims) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let pool = pool(2, 7);
        let ran = pool.run(
            async || {
                claims.set(claims.get() + 1);
                Ok((claims.get() % 2 == 0).then_some(()))
            },
            async |()| {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                sleep(SECOND).await;
                running.set(running.get() - 1);
                Ok(())
            },
            async || std::future::pending().await,
            |_: &str| {},
        );
        ran.await.unwrap();
        assert_eq!((most.get(), claims.get()), (2, 14));
    }
}
