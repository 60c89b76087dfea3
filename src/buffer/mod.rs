//! Bytes between feed and flush. No runtime, no clock, no socket.

mod append;
mod backlog;
mod pending;
mod when_full;

pub(crate) use self::append::{Refused, Store};
pub(crate) use self::backlog::{Backlog, Marks, Record};
pub use self::pending::Pending;
pub use self::when_full::WhenFull;
