//! What most people write: an async fn, a `Vec`, tokio's `write_all` when it is full.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Feed, Flush};

/// Frames gathered in a `Vec`; written to both streams, one after the other.
#[derive(Debug)]
pub(crate) struct Idiomatic<A, B> {
    buffer: Vec<u8>,
    streams: (A, B),
}

impl<A, B> Idiomatic<A, B> {
    pub(crate) fn new(capacity: usize, streams: (A, B)) -> Self {
        Self { buffer: Vec::with_capacity(capacity), streams }
    }
}

impl<A: AsyncWrite + Unpin, B: AsyncWrite + Unpin> Idiomatic<A, B> {
    async fn send(&mut self, msg: &[u8]) -> io::Result<()> {
        if self.buffer.len() + 4 + msg.len() > self.buffer.capacity() {
            self.write().await?;
        }
        self.buffer.extend_from_slice(&(msg.len() as u32).to_be_bytes());
        self.buffer.extend_from_slice(msg);
        Ok(())
    }

    async fn write(&mut self) -> io::Result<()> {
        self.streams.0.write_all(&self.buffer).await?;
        self.streams.1.write_all(&self.buffer).await?;
        self.buffer.clear();
        Ok(())
    }
}

impl<A: AsyncWrite + Unpin, B: AsyncWrite + Unpin> Feed<[u8]> for Idiomatic<A, B> {
    #[inline]
    fn feed<'a>(&'a mut self, msg: &'a [u8]) -> impl Future<Output = io::Result<()>> {
        self.send(msg)
    }
}

impl<A: AsyncWrite + Unpin, B: AsyncWrite + Unpin> Flush for Idiomatic<A, B> {
    type Error = io::Error;

    async fn flush(&mut self) -> io::Result<()> {
        self.write().await
    }
}
