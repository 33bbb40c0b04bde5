//! A job API that isn't ours: its description, and how it is spoken.

mod describe;
mod speak;

pub use self::describe::Remote;
