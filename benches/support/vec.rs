//! What a careful hand writes without `unsafe`: a `Vec` that is extended and never grows.

use std::io;

use super::{Feed, Flush, Outlets, TryFeed, payload::Tick, spin};

/// Frames gathered in a `Vec`, then written at once.
#[derive(Debug)]
pub(crate) struct ByVec<O> {
    buffer: Vec<u8>,
    outlets: O,
}

impl<O> ByVec<O> {
    pub(crate) fn new(capacity: usize, outlets: O) -> Self {
        Self { buffer: Vec::with_capacity(capacity), outlets }
    }
}

impl<O: Outlets> ByVec<O> {
    #[inline(always)]
    fn append(&mut self, msg: &[u8]) -> bool {
        if self.buffer.len() + 4 + msg.len() > self.buffer.capacity() {
            return false;
        }
        self.buffer.extend_from_slice(&(msg.len() as u32).to_be_bytes());
        self.buffer.extend_from_slice(msg);
        true
    }

    #[inline(always)]
    fn append_tick(&mut self, tick: &Tick) -> bool {
        if self.buffer.len() + 4 + Tick::LEN > self.buffer.capacity() {
            return false;
        }
        self.buffer.extend_from_slice(&(Tick::LEN as u32).to_be_bytes());
        for field in tick.fields {
            self.buffer.extend_from_slice(&field.to_le_bytes());
        }
        true
    }
}

impl<O: Outlets> Flush for ByVec<O> {
    type Error = io::Error;

    #[inline]
    async fn flush(&mut self) -> io::Result<()> {
        self.outlets.write(&self.buffer).await?;
        self.buffer.clear();
        Ok(())
    }
}

twin!(ByVec<O>, [u8], append);
twin!(ByVec<O>, Tick, append_tick);
