//! Bytes between feed and flush. No runtime, no clock, no socket.

mod append;
mod pending;

pub(crate) use self::append::{Refused, Store};
pub use self::pending::Pending;
