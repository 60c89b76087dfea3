//! For tests of your own links, layers and composites: a sink and a link that follow a script, and
//! the conformance suite that every sink here passes.
//!
//! - [`Scripted`] wraps any [`Connect`](crate::Connect) and makes its connections misbehave;
//!   [`MemorySink`](crate::MemorySink) is the link to wrap when no socket is wanted.
//! - [`ScriptedSink`] stands below a layer and records what reaches it.
//! - [`conformance`] checks what users rely on.

pub mod conformance;
mod receive;
mod script;
mod sink;

pub use self::script::{Script, Scripted, ScriptedIo, Step};
pub use self::sink::{ScriptedSink, SinkPeer};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test that panicked while it held the lock has left nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
