//! A message and its flush as one writes them by hand: one tokio write per message.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{CAPACITY, Feed, Flush};

/// Frames gathered in a `Vec`, written by `write_all`.
#[derive(Debug)]
pub(crate) struct ByHand<S> {
    frame: Vec<u8>,
    stream: S,
}

impl<S> ByHand<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { frame: Vec::with_capacity(CAPACITY), stream }
    }
}

impl<S: AsyncWrite + Unpin> Flush for ByHand<S> {
    type Error = io::Error;

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.frame).await?;
        self.frame.clear();
        Ok(())
    }
}

impl<S: AsyncWrite + Unpin> Feed<[u8]> for ByHand<S> {
    async fn feed<'a>(&'a mut self, msg: &'a [u8]) -> io::Result<()> {
        self.frame.extend_from_slice(&(msg.len() as u32).to_be_bytes());
        self.frame.extend_from_slice(msg);
        Ok(())
    }
}
