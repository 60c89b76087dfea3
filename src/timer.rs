//! Timers, where the runtime has them.

use std::panic::catch_unwind;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Sleep;

/// A timer of the current runtime; none outside of one, or when its time is not enabled.
#[cold]
pub(crate) fn sleep(duration: Duration) -> Option<Sleep> {
    // Tokio cannot be asked whether time is enabled: it panics, with a message that says what to do.
    Handle::try_current().ok().and_then(|_| catch_unwind(|| tokio::time::sleep(duration)).ok())
}

/// The current runtime, if it has timers.
#[cold]
pub(crate) fn runtime() -> Option<Handle> {
    sleep(Duration::ZERO).and_then(|_| Handle::try_current().ok())
}
