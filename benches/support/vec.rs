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

macro_rules! twin {
    ($message:ty, $append:ident) => {
        impl<O: Outlets> TryFeed<$message> for ByVec<O> {
            #[inline(always)]
            fn try_feed(&mut self, msg: &$message) -> bool {
                self.$append(msg)
            }

            #[cold]
            #[inline(never)]
            fn refused(&mut self, msg: &$message) {
                spin(self.flush()).expect("the receivers read");
                assert!(self.$append(msg));
            }
        }

        impl<O: Outlets> Feed<$message> for ByVec<O> {
            #[inline]
            async fn feed<'a>(&'a mut self, msg: &'a $message) -> io::Result<()> {
                if !self.$append(msg) {
                    self.flush().await?;
                    self.$append(msg);
                }
                Ok(())
            }
        }
    };
}

twin!([u8], append);
twin!(Tick, append_tick);
