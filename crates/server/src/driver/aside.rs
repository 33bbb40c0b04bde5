//! Reads what a restart finds on threads of their own, and hands it on in order.
//!
//! Most of a restart is reading the JSON of a million jobs. One thread takes them from the disk and puts them into the
//! state, which has to be done in order; what lies between needs no state, and is done by as many threads as there are
//! processors.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::journal::{EachPart, JournalError};

/// Bytes of records that are handed to a thread at once, about.
const BATCH_BYTES: usize = 128 * 1024;
/// Batches that a thread has before it at most.
const AHEAD: usize = 4;
/// More threads than this have nothing to do: records come from the disk one by one.
const READERS_MAX: usize = 8;

/// Records, one after the other.
#[derive(Debug, Default)]
struct Batch {
    names: String,
    bodies: Vec<u8>,
    /// Where each one's name and body end.
    ends: Vec<(usize, usize)>,
}

/// A thread that reads: where batches go, and where what it read comes from.
type Reader<T> = (Sender<Batch>, Receiver<Vec<T>>);

/// The threads, which have batches in turns.
struct Readers<'a, T> {
    threads: Vec<Reader<T>>,
    filling: Batch,
    /// How many batches were handed out, and how many of them have come back.
    sent: usize,
    taken: usize,
    take: &'a mut dyn FnMut(T) -> Result<(), JournalError>,
}

/// How many threads read: none on a single processor, else one for each, and [`READERS_MAX`] at most.
pub(super) fn readers() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    if processors == 1 {
        0
    } else {
        processors.min(READERS_MAX)
    }
}

/// Has each record that `records` gives, a name and a body, read on one of that many threads, and calls `take` with
/// what was read, in order. Each thread reads with what `reader` makes. Without threads it is all done here.
///
/// # Errors
///
/// Those of `records` and of `take`, which end it.
pub(super) fn read_aside<T: Send, R, A>(
    threads: usize,
    mut reader: impl FnMut() -> R,
    records: impl FnOnce(&mut EachPart<'_>) -> Result<A, JournalError>,
    mut take: impl FnMut(T) -> Result<(), JournalError>,
) -> Result<A, JournalError>
where
    R: FnMut(&str, &[u8]) -> T + Send,
{
    thread::scope(|scope| {
        let begin = |_| {
            let (batches, waiting) = channel::<Batch>();
            let (done, read) = channel();
            let mut reader = reader();
            let work = move || {
                for batch in waiting {
                    // Who waited for it may have gone.
                    let _gone = done.send(batch.read(&mut reader));
                }
            };
            let thread = thread::Builder::new().name("restore".to_owned());
            thread.spawn_scoped(scope, work).ok()?;
            Some((batches, read))
        };
        let threads: Vec<Reader<T>> = (0..threads).map_while(begin).collect();
        if threads.is_empty() {
            let mut reader = reader();
            return records(&mut |name, body| take(reader(name, body)));
        }
        let mut readers = Readers {
            threads,
            filling: Batch::default(),
            sent: 0,
            taken: 0,
            take: &mut take,
        };
        let answer = records(&mut |name, body| readers.add(name, body))?;
        readers.finish()?;
        Ok(answer)
    })
}

impl<T> Readers<'_, T> {
    fn add(&mut self, name: &str, body: &[u8]) -> Result<(), JournalError> {
        self.filling.add(name, body);
        if self.filling.bodies.len() >= BATCH_BYTES {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), JournalError> {
        if self.sent - self.taken == self.threads.len() * AHEAD {
            self.take_next()?;
        }
        let (batches, _) = &self.threads[self.sent % self.threads.len()];
        // A thread is gone only if it panicked, and then so does the scope.
        let _gone = batches.send(std::mem::take(&mut self.filling));
        self.sent += 1;
        Ok(())
    }

    fn take_next(&mut self) -> Result<(), JournalError> {
        let (_, read) = &self.threads[self.taken % self.threads.len()];
        self.taken += 1;
        read.recv()
            .into_iter()
            .flatten()
            .try_for_each(&mut *self.take)
    }

    fn finish(mut self) -> Result<(), JournalError> {
        self.send()?;
        while self.taken < self.sent {
            self.take_next()?;
        }
        Ok(())
    }
}

impl Batch {
    fn add(&mut self, name: &str, body: &[u8]) {
        self.names += name;
        self.bodies.extend_from_slice(body);
        self.ends.push((self.names.len(), self.bodies.len()));
    }

    fn read<T>(&self, reader: &mut impl FnMut(&str, &[u8]) -> T) -> Vec<T> {
        let starts = [(0, 0)].into_iter().chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|((name, body), ends)| {
                reader(&self.names[name..ends.0], &self.bodies[body..ends.1])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that were taken, with their bodies and how many the same reader had read before.
    type Taken = Vec<(String, usize, usize)>;

    fn reader() -> impl FnMut(&str, &[u8]) -> (String, usize, usize) + Send {
        let mut before = 0;
        move |name, body| {
            before += 1;
            (name.to_owned(), body.len(), before - 1)
        }
    }

    fn records(count: usize, each: &mut EachPart<'_>) -> Result<usize, JournalError> {
        for n in 0..count {
            each(&n.to_string(), &vec![b'x'; n * 7_919 % 5_000])?;
        }
        Ok(count)
    }

    #[test]
    fn what_several_threads_read_comes_in_order() {
        for (threads, count) in [(0, 10), (1, 0), (1, 3_000), (3, 1), (3, 3_000)] {
            let mut taken = Taken::new();
            let take = |read| {
                taken.push(read);
                Ok(())
            };
            let answer = read_aside(threads, reader, |each| records(count, each), take).unwrap();
            assert_eq!((answer, taken.len()), (count, count));
            for (n, (name, length, _)) in taken.iter().enumerate() {
                assert_eq!((name, *length), (&n.to_string(), n * 7_919 % 5_000));
            }
            let readers = taken.iter().filter(|(_, _, before)| *before == 0).count();
            assert_eq!(readers, threads.max(1).min(count));
        }
    }

    #[test]
    fn an_error_on_either_side_ends_the_reading() {
        let failed = || JournalError::Unreadable {
            what: "a test".to_owned(),
            detail: String::new(),
        };
        for threads in [0, 2] {
            let mut taken = 0;
            let take = |_| {
                taken += 1;
                if taken == 100 { Err(failed()) } else { Ok(()) }
            };
            let ended = read_aside(threads, reader, |each| records(3_000, each), take);
            assert!(ended.is_err());
            assert_eq!(taken, 100);
            let cut = |each: &mut EachPart<'_>| {
                records(500, each)?;
                Err::<usize, _>(failed())
            };
            assert!(read_aside(threads, reader, cut, |_| Ok(())).is_err());
        }
    }
}
