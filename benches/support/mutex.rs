//! What a careful hand writes for many producers: a `Vec` behind a lock, to be written by whoever
//! flushes.

use std::io;
use std::sync::Mutex;

use super::{Flush, Outlets, TryFeed, payload::Tick};

/// Frames gathered in a `Vec` under a lock, then written at once.
#[derive(Debug)]
pub(crate) struct ByMutex<O> {
    buffer: Mutex<Vec<u8>>,
    outlets: O,
}

impl<O> ByMutex<O> {
    pub(crate) fn new(capacity: usize, outlets: O) -> Self {
        Self { buffer: Mutex::new(Vec::with_capacity(capacity)), outlets }
    }
}

impl<O> TryFeed<[u8]> for ByMutex<O> {
    #[inline(always)]
    fn try_feed(&mut self, msg: &[u8]) -> bool {
        // By a shared reference, as producers have it.
        let buffer = &self.buffer;
        let mut buffer = buffer.lock().expect("nobody has panicked");
        if buffer.len() + 4 + msg.len() > buffer.capacity() {
            return false;
        }
        buffer.extend_from_slice(&(msg.len() as u32).to_be_bytes());
        buffer.extend_from_slice(msg);
        true
    }

    #[cold]
    #[inline(never)]
    fn refused(&mut self, _: &[u8]) {
        unreachable!("what is counted fits the buffer")
    }
}

impl<O> TryFeed<Tick> for ByMutex<O> {
    #[inline(always)]
    fn try_feed(&mut self, tick: &Tick) -> bool {
        let buffer = &self.buffer;
        let mut buffer = buffer.lock().expect("nobody has panicked");
        if buffer.len() + 4 + Tick::LEN > buffer.capacity() {
            return false;
        }
        buffer.extend_from_slice(&(Tick::LEN as u32).to_be_bytes());
        for field in tick.fields {
            buffer.extend_from_slice(&field.to_le_bytes());
        }
        true
    }

    #[cold]
    #[inline(never)]
    fn refused(&mut self, _: &Tick) {
        unreachable!("what is counted fits the buffer")
    }
}

impl<O: Outlets> Flush for ByMutex<O> {
    type Error = io::Error;

    async fn flush(&mut self) -> io::Result<()> {
        let buffer = self.buffer.get_mut().expect("nobody has panicked");
        self.outlets.write(buffer).await?;
        buffer.clear();
        Ok(())
    }
}
