//! Entries one after the other, as rows have them: what they hold is not ours to separate them by.

/// The length of each entry in four bytes, and the entries.
pub(super) fn pack(entries: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    let lengths = entries.iter().flat_map(|entry| {
        u32::try_from(entry.len())
            .expect("a request has a limit far below four gigabytes")
            .to_le_bytes()
    });
    (lengths.collect(), entries.concat())
}

/// The entries of those lengths; `None` if the lengths don't fit.
pub(super) fn unpack<'a>(lengths: &[u8], bodies: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let (lengths, rest) = lengths.as_chunks::<4>();
    let mut left = bodies;
    let entries: Option<Vec<_>> = lengths
        .iter()
        .map(|length| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (entry, after) = left.split_at_checked(length)?;
            left = after;
            Some(entry)
        })
        .collect();
    entries.filter(|_| rest.is_empty() && left.is_empty())
}
