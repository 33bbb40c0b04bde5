//! What reads bytes from elsewhere, each as a function of bytes that panics where a promise is broken.
//!
//! `checks/fuzz.sh` drives them by libFuzzer; a test of `abide-testkit` runs the files that they begin with. Each
//! target comes through a public seam, and says of an input more than that nothing panics: the same bytes in pieces
//! give the same, what was written can be read again, what was refused changed nothing.
//!
//! | module | targets |
//! |---|---|
//! | `server` | `connection`, `router`: requests, as bytes on a socket and as scripts |
//! | `client` | `stream`, `remote`, `tokens`: what a server may answer, and what users hand in |
//! | `stored` | `entries`, `parts`, `journal`: what was stored, and perhaps damaged |
//! | `texts` | `texts`, `webhook`, `scenario`, `configuration`: what people and other programs write |

mod client;
mod server;
mod stored;
mod texts;

/// A function of bytes, under a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Its name, as `targets.txt` has it.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) run: fn(&[u8]),
}

/// All targets, by name.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "configuration",
        run: texts::configuration,
    },
    Target {
        name: "connection",
        run: server::connection,
    },
    Target {
        name: "entries",
        run: stored::entries,
    },
    Target {
        name: "journal",
        run: stored::journal,
    },
    Target {
        name: "parts",
        run: stored::parts,
    },
    Target {
        name: "remote",
        run: client::remote,
    },
    Target {
        name: "router",
        run: server::router,
    },
    Target {
        name: "scenario",
        run: texts::scenario,
    },
    Target {
        name: "stream",
        run: client::stream,
    },
    Target {
        name: "texts",
        run: texts::texts,
    },
    Target {
        name: "tokens",
        run: client::tokens,
    },
    Target {
        name: "webhook",
        run: texts::webhook,
    },
];

/// Runs something on a time of its own that skips ahead wherever nothing else is left to do.
fn in_time<T>(of: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime
        .expect("a runtime without I/O needs little")
        .block_on(of)
}

/// Cuts bytes into pieces, whose lengths those bytes decide.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    let mut state = bytes.len();
    while !rest.is_empty() {
        state = state.wrapping_mul(31).wrapping_add(rest[0].into());
        let length = (state % 13 + 1).min(rest.len());
        let (piece, others) = rest.split_at(length);
        pieces.push(piece);
        rest = others;
    }
    pieces
}
