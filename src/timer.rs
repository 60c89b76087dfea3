//! Timers, where the runtime has them.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
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
pub(crate) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    /// Whose timer it is.
    runtime: Option<Id>,
}

impl Alarm {
    /// Waits until `at`.
    #[cold]
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        at: Instant,
    ) -> Poll<Result<(), SinkError>> {
        // Tokio panics where a timer is polled whose runtime has ended; so on another one it is made
        // anew. Outside of any it may still be there, or not.
        let here = Handle::try_current().ok().map(|runtime| runtime.id());
        for _ in 0..2 {
            let foreign = here.is_some() && here != self.runtime;
            if foreign || self.timer.as_ref().is_none_or(|timer| timer.deadline() != at) {
                let timer = sleep_until(at).ok_or(ErrorKind::NoRuntime)?;
                self.runtime = here;
                match &mut self.timer {
                    Some(place) => place.set(timer),
                    place => *place = Some(Box::pin(timer)),
                }
            }
            let Some(timer) = &mut self.timer else { break };
            match catch_unwind(AssertUnwindSafe(|| timer.as_mut().poll(cx))) {
                Ok(over) => return over.map(Ok),
                Err(_) => self.timer = None,
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
