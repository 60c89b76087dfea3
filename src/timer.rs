//! Timers, where the runtime has them.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

use crate::error::{ErrorKind, SinkError};

/// A timer of the current runtime; none outside of one, or when its time is not enabled.
#[cold]
pub(crate) fn sleep(duration: Duration) -> Option<Sleep> {
    // Tokio cannot be asked whether time is enabled: it panics, with a message that says what to
    // do.
    Handle::try_current().ok().and_then(|_| catch_unwind(|| tokio::time::sleep(duration)).ok())
}

/// The current runtime, if it has timers.
#[cold]
pub(crate) fn runtime() -> Option<Handle> {
    sleep(Duration::ZERO).and_then(|_| Handle::try_current().ok())
}

/// Wakes whoever waits for a moment. It is made when somebody first does, and used again after
/// that.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Waits until `at`.
    #[cold]
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        at: Instant,
    ) -> Poll<Result<(), SinkError>> {
        // Tokio panics where a timer is polled whose runtime has ended; then it takes one of the
        // runtime that there is now.
        for _ in 0..2 {
            if self.0.as_ref().is_none_or(|timer| timer.deadline() != at) {
                let timer = sleep_until(at).ok_or(ErrorKind::NoRuntime)?;
                match &mut self.0 {
                    Some(place) => place.set(timer),
                    place => *place = Some(Box::pin(timer)),
                }
            }
            let Some(timer) = &mut self.0 else { break };
            match catch_unwind(AssertUnwindSafe(|| timer.as_mut().poll(cx))) {
                Ok(over) => return over.map(Ok),
                Err(_) => self.0 = None,
            }
        }
        Poll::Ready(Err(ErrorKind::NoRuntime.into()))
    }
}

/// As [`sleep`], until a moment.
#[cold]
fn sleep_until(at: Instant) -> Option<Sleep> {
    let timer = || tokio::time::sleep_until(at);
    Handle::try_current().ok().and_then(|_| catch_unwind(timer).ok())
}
