//! How long what was only fed may wait for more.

use std::time::Duration;

use tokio::time::Instant;

use super::{Front, NEVER};

/// When the driver takes what was fed and nobody waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delay {
    max: Duration,
    /// Bytes of records that do not wait for more, at most the capacity.
    flush_at: usize,
}

impl Front {
    /// Lets what is fed from now on wait for so long, or until that many bytes stand there.
    pub(in crate::layer::shared) fn set_delay(&mut self, max: Duration, flush_at: usize) {
        self.delay = Some(Delay { max, flush_at: flush_at.min(self.capacity) });
    }

    /// Looks at what was appended where the window had not let it in: the first of a batch always
    /// comes there, and so does the one that makes it full.
    pub(super) fn look_at_delay(&mut self, was_empty: bool) {
        let Some(delay) = self.delay else { return };
        if was_empty {
            self.held_until = Some(Instant::now() + delay.max.min(NEVER));
        }
        if self.records.len() >= delay.flush_at || !self.door.is_idle() {
            self.hurry();
        }
    }

    /// Nothing of what stands there waits any longer. Who says so rouses the driver.
    pub(in crate::layer::shared) fn hurry(&mut self) {
        self.held_until = None;
    }

    /// Until when the driver leaves what stands there; none when it is to take it now.
    pub(in crate::layer::shared) fn held_until(&self) -> Option<Instant> {
        self.held_until.filter(|until| *until > Instant::now())
    }

    /// Bytes of records up to which an append has nobody to wake.
    pub(super) fn quiet(&self) -> usize {
        match (self.held_until, self.delay) {
            (Some(_), Some(delay)) => delay.flush_at.saturating_sub(1),
            _ => usize::MAX,
        }
    }
}
