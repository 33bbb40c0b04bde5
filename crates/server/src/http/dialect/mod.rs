//! Dialects: other systems' ways to ask for the same jobs.
//!
//! A dialect translates at the edge, both ways, and nothing behind it knows that dialects exist. It is a folder of
//! this one and a row in [`DIALECTS`]: it brings rows for the route table and [`Words`] for what the gate says on all
//! of them.
//!
//! The classic routes are at the root. A vendor's interface is mounted, below `/dialects/NAME` (see
//! [`mount`](super::mount)), and made of the same parts as every other vendor's:
//!
//! | part | what it is |
//! |---|---|
//! | [`thing`] | a sort of job of a vendor's: its kind, how its ids are written, how it is shown |
//! | [`job`] | create, read, stream, cancel and remove such a job |
//! | [`repeat`] | how a create that was sent before is known, and what it gives |
//! | [`list`] | its lists, page by page |
//! | [`files`] | the files that its results are |
//! | [`hook`] | endpoints that are registered, and signatures |
//! | [`id`] | ids in the vendor's form, each of which is a job's name written otherwise |
//! | [`directive`] | how a request says what shall happen to its job |
//! | [`vendor`] | its words: keys and errors |

/// The row of a read of the job whose id is `{id}` in the path.
macro_rules! read {
    ($path:literal, $thing:expr) => {
        Row::get($path, |state, call| {
            $crate::http::dialect::job::read(state, call, &$thing)
        })
        .reads(|_, call| $thing.subject(call))
    };
}

/// The same of a cancel, by that verb.
macro_rules! cancel {
    ($verb:ident $path:literal, $thing:expr) => {
        Row::$verb($path, |state, call| {
            $crate::http::dialect::job::cancel(state, call, &$thing)
        })
        .writes(|_, call| $thing.subject(call))
    };
}

mod assemblyai;
mod azure;
mod classic;
mod dashscope;
mod directive;
mod elevenlabs;
mod fal;
mod files;
mod google;
mod heygen;
mod hook;
mod job;
mod leonardo;
mod list;
mod luma;
mod openai;
mod repeat;
mod replicate;
mod runway;
mod syncso;
mod thing;
mod vendor;
mod xai;

use abide_engine::Job;

use super::door::Words;
use super::id;
use super::route::Row;
use crate::telling::{Telling, Told};

use vendor::Vendor;

pub(super) use files::FILES;

/// Another system's interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// Its name: its folder's, and the last part of its mount.
    pub name: &'static str,
    /// Its routes. The paths of one that is mounted come after its mount.
    pub rows: &'static [Row],
    /// How it says what every route may have to say.
    pub words: &'static dyn Words,
    /// For one at the root, the paths whose unknown sub-paths are answered in its words, too; `None` if it is mounted.
    pub trees: Option<&'static [&'static str]>,
    /// How it tells a native webhook event, for an endpoint that was registered with that form: its name, and after `/`
    /// or a space what it likes; `None` if it doesn't know the form, or has no words for the event.
    pub tell: fn(&Telling<'_>) -> Option<Told>,
    /// The names by which one of its jobs is found, as digests; see [`Board::find_by`](crate::board::Board::find_by).
    pub names: fn(&Job) -> Vec<u64>,
    /// The path below its mount and the header by which a client says what it asks for there, as it would ask the
    /// vendor; `None` if its clients can be given a base URL.
    pub proxy: Option<(&'static str, &'static str)>,
    /// The part of the description that its routes are; `None` if they aren't described.
    pub tag: Option<(&'static str, &'static str)>,
}

/// All of them.
pub(super) const DIALECTS: &[Dialect] = &[
    assemblyai::DIALECT,
    azure::DIALECT,
    classic::DIALECT,
    dashscope::DIALECT,
    elevenlabs::DIALECT,
    fal::DIALECT,
    google::DIALECT,
    heygen::DIALECT,
    leonardo::DIALECT,
    luma::DIALECT,
    openai::DIALECT,
    replicate::DIALECT,
    runway::DIALECT,
    syncso::DIALECT,
    xai::DIALECT,
];

impl Dialect {
    /// A vendor's interface, mounted and described in no part, which has no webhooks.
    const fn mounted(name: &'static str, rows: &'static [Row], words: &'static Vendor) -> Self {
        Self {
            name,
            rows,
            words,
            trees: None,
            tell: |_| None,
            names: |_| Vec::new(),
            proxy: None,
            tag: None,
        }
    }

    /// May be asked for by that header, below its mount and that path.
    const fn proxied(mut self, path: &'static str, header: &'static str) -> Self {
        self.proxy = Some((path, header));
        self
    }

    /// Tells events so.
    const fn tells(mut self, tell: fn(&Telling<'_>) -> Option<Told>) -> Self {
        self.tell = tell;
        self
    }

    /// Finds its jobs by those names.
    const fn finds(mut self, names: fn(&Job) -> Vec<u64>) -> Self {
        self.names = names;
        self
    }

    /// Whether it is mounted, rather than at the root.
    pub(super) const fn is_mounted(&self) -> bool {
        self.trees.is_none()
    }
}
