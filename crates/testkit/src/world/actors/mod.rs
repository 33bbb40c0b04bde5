//! What those outside of the server do.
//!
//! | module | what it has |
//! |---|---|
//! | `cast` | who there is, and what they know of each other |
//! | `clients` | clients make jobs, wait for them and end them |
//! | `readers` | what clients read |
//! | `owners` | what each owner's own network does, which never fails: its endpoint, its feed, its audit |
//! | `workers` | those who work on external jobs |

mod cast;
mod clients;
mod owners;
mod readers;
mod workers;

pub(super) use cast::{Actors, owner_of};
