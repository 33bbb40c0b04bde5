//! A test against each of the faults that were seen in other clients.
