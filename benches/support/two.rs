//! The best that can be written by hand for two receivers with a buffer each.

#![allow(unsafe_code, reason = "the twin that shows what unsafe code can reach at most")]

use std::io;

use super::{Best, Feed, Flush, Outlets, TryFeed, payload::Tick, spin};

/// Two buffers, each written to an outlet of its own. A message goes into both or into none.
#[derive(Debug)]
pub(crate) struct Two<A, B> {
    one: Best<A>,
    other: Best<B>,
}

impl<A, B> Two<A, B> {
    pub(crate) fn new(capacity: usize, (one, other): (A, B)) -> Self {
        Self { one: Best::new(capacity, one), other: Best::new(capacity, other) }
    }

    #[inline(always)]
    fn append(&mut self, msg: &[u8]) -> bool {
        let Some(one) = self.one.behind(msg.len()) else { return false };
        let Some(other) = self.other.behind(msg.len()) else { return false };
        // SAFETY: both were asked for this length just now.
        unsafe {
            self.one.put(msg, one);
            self.other.put(msg, other);
        }
        true
    }

    #[inline(always)]
    fn append_tick(&mut self, tick: &Tick) -> bool {
        let Some(one) = self.one.behind(Tick::LEN) else { return false };
        let Some(other) = self.other.behind(Tick::LEN) else { return false };
        // SAFETY: both were asked for this length just now.
        unsafe {
            self.one.put_tick(tick, one);
            self.other.put_tick(tick, other);
        }
        true
    }
}

impl<A: Outlets, B: Outlets> Flush for Two<A, B> {
    type Error = io::Error;

    #[inline]
    async fn flush(&mut self) -> io::Result<()> {
        self.one.flush().await?;
        self.other.flush().await
    }
}

twin!(Two<A, B>, [u8], append);
twin!(Two<A, B>, Tick, append_tick);
