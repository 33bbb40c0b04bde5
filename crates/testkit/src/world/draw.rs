//! Random draws by a hash of what they are for.

use std::time::Duration;

/// A source of draws. Each draw names what it is for, so that those of one stream, one request or one step don't depend
/// on how many others there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The source of that part.
    pub(super) const fn of(self, part: u64) -> Self {
        Self(mix(self.0 ^ mix(part)))
    }

    /// The source of that part, by name.
    pub(super) fn named(self, part: &str) -> Self {
        part.bytes().fold(self, |draw, byte| draw.of(byte.into()))
    }

    /// A number below that, 0 for none.
    pub(super) const fn below(self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0 % end }
    }

    /// A number of that range.
    pub(super) const fn between(self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// Whether something happens that does so once in that number of cases.
    pub(super) const fn one_in(self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of them.
    pub(super) fn pick<T: Copy>(self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap_or_default()]
    }

    /// A span of that many milliseconds, each order of magnitude as likely as the next.
    pub(super) fn span(self, from_ms: u64, to_ms: u64) -> Duration {
        let (low, high) = ((from_ms as f64).ln(), (to_ms as f64).ln());
        let share = self.0 as f64 / u64::MAX as f64;
        Duration::from_micros(((low + (high - low) * share).exp() * 1_000.0) as u64)
    }
}

/// The finalizer of splitmix64.
const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
