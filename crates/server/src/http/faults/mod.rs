//! Faults: what the simulator does to answers.
//!
//! They are a step of the gate, around the handlers, which know nothing of it: a request for a job is an occasion,
//! occasions are [counted](super::ordinals), and [`abide_engine::fault`] says which faults meet this one. What it comes
//! to is one of three:
//!
//! - **instead of an answer**: a reset, or an error. A read isn't even carried out. A create is, so that a client
//!   that tries again without an idempotency key makes two jobs, as it would in life;
//! - **another answer**: the job as it was before its end, with a status of another word, without its result ([`job`]);
//! - **the answer, spoiled on its way**: late, stalled after the head, ended half way; a stream that is cut or falls
//!   silent ([`body`]).
//!
//! Each answer that was tampered with says how in `Sim-Decision`, but for the one that never comes.
//!
//! A server without faults pays for all this with one look at a flag.

mod body;
mod decisions;
mod job;
mod met;
mod play;

pub(super) use play::Play;
