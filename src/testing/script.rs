//! A connector whose connections misbehave as told.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use super::lock;
use crate::endpoint::Endpoint;
use crate::link::{Connect, Io};

/// Wraps a connector: its attempts and connections follow a [`Script`], and behave once the script
/// has nothing more to say.
///
/// # Examples
///
/// ```
/// use torq_message_sink::testing::{Scripted, Step};
/// use torq_message_sink::{Buffered, MemorySink, MessageSink, StreamLink};
///
/// # tokio_test::block_on(async {
/// let (memory, peer) = MemorySink::pair(1024);
/// let (connector, script) = Scripted::new(memory.connector().clone());
/// script.push(Step::ShortWrite(3));
/// script.push(Step::FailWrite(std::io::ErrorKind::ConnectionReset));
/// let mut sink = Buffered::new(StreamLink::with_connector(connector));
/// sink.send("tick").await?;
/// assert_eq!(peer.accept().expect("the first connection").read(), b"\0\0\0");
/// assert_eq!(peer.accept().expect("the second one").read(), b"\0\0\0\x04tick");
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Scripted<C> {
    inner: C,
    script: Script,
}

/// What shall go wrong, in order, apart for attempts to connect, writes, reads and readiness. A
/// handle: clones are the same script.
#[derive(Clone, Debug, Default)]
pub struct Script(Arc<Mutex<Steps>>);

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// An attempt to connect fails.
    FailConnect(io::ErrorKind),
    /// An attempt to connect is never answered.
    StallConnect,
    /// An attempt to connect panics.
    PanicConnect,
    /// A write takes at most this many bytes (at least one).
    ShortWrite(usize),
    /// A write fails: [`WouldBlock`](io::ErrorKind::WouldBlock) although there is room,
    /// [`Interrupted`](io::ErrorKind::Interrupted), or for good.
    FailWrite(io::ErrorKind),
    /// A write takes nothing and says so: `Ok(0)`.
    ZeroWrite,
    /// A read fails.
    FailRead(io::ErrorKind),
    /// A read finds the peer's end.
    EndRead,
    /// The connection says that it is ready to be written, whether it is or not.
    SpuriousWriteReady,
    /// The connection says that it is ready to be read, whether it is or not.
    SpuriousReadReady,
}

/// A connection that follows a [`Script`]; made by [`Scripted`].
#[derive(Debug)]
pub struct ScriptedIo<I> {
    inner: I,
    script: Script,
}

#[derive(Debug, Default)]
struct Steps {
    connects: VecDeque<Step>,
    writes: VecDeque<Step>,
    reads: VecDeque<Step>,
    write_readiness: usize,
    read_readiness: usize,
}

impl Script {
    /// Adds a step behind those of its kind.
    pub fn push(&self, step: Step) {
        let mut steps = lock(&self.0);
        match step {
            Step::FailConnect(_) | Step::StallConnect | Step::PanicConnect => {
                steps.connects.push_back(step);
            }
            Step::ShortWrite(_) | Step::FailWrite(_) | Step::ZeroWrite => {
                steps.writes.push_back(step);
            }
            Step::FailRead(_) | Step::EndRead => steps.reads.push_back(step),
            Step::SpuriousWriteReady => steps.write_readiness += 1,
            Step::SpuriousReadReady => steps.read_readiness += 1,
        }
    }

    /// Forgets all steps: from now on everything behaves.
    pub fn clear(&self) {
        *lock(&self.0) = Steps::default();
    }
}

impl<C: Connect> Scripted<C> {
    /// Wraps `inner`, with an empty script.
    pub fn new(inner: C) -> (Self, Script) {
        let script = Script::default();
        (Self { inner, script: script.clone() }, script)
    }
}

impl<C: Connect> Connect for Scripted<C> {
    type Io = ScriptedIo<C::Io>;

    fn connect(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = io::Result<Self::Io>> + Send + 'static {
        let Self { inner, script } = self.clone();
        async move {
            let step = lock(&script.0).connects.pop_front();
            match step {
                Some(Step::FailConnect(kind)) => Err(kind.into()),
                Some(Step::StallConnect) => std::future::pending().await,
                Some(Step::PanicConnect) => panic!("a scripted panic"),
                _ => Ok(ScriptedIo { inner: inner.connect(timeout).await?, script }),
            }
        }
    }

    fn endpoint(&self) -> Endpoint {
        self.inner.endpoint()
    }

    fn write_size(&self) -> usize {
        self.inner.write_size()
    }
}

impl<I: Io> Io for ScriptedIo<I> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let step = lock(&self.script.0).reads.pop_front();
        match step {
            Some(Step::FailRead(kind)) => Err(kind.into()),
            Some(Step::EndRead) => Ok(0),
            _ => self.inner.try_read(buf),
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let step = lock(&self.script.0).writes.pop_front();
        match step {
            Some(Step::FailWrite(kind)) => Err(kind.into()),
            Some(Step::ZeroWrite) => Ok(0),
            Some(Step::ShortWrite(len)) => {
                self.inner.try_write(bytes.get(..len.max(1)).unwrap_or(bytes))
            }
            _ => self.inner.try_write(bytes),
        }
    }

    /// As one write of both, so that a step says how much of them is taken.
    fn try_write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.try_write(&[first, second].concat())
    }

    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if take_one(&mut lock(&self.script.0).read_readiness) {
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_read_ready(cx)
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if take_one(&mut lock(&self.script.0).write_readiness) {
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_write_ready(cx)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.inner.shutdown()
    }
}

fn take_one(count: &mut usize) -> bool {
    let some = *count > 0;
    *count -= usize::from(some);
    some
}
