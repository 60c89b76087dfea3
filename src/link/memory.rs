//! A link within the process, for tests: bounded pipes whose other ends are in the test's hands.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::link::{Connect, Io, StreamLink};

/// A link whose connections are pipes in memory. For tests: no sockets, no timing of a kernel.
///
/// # Examples
///
/// ```
/// use torq_message_sink::{Buffered, MemorySink, MessageSink};
///
/// # tokio_test::block_on(async {
/// let (link, peer) = MemorySink::pair(1024);
/// let mut sink = Buffered::new(link);
/// sink.send("tick").await?;
/// let stream = peer.accept().expect("the message has woken the sink");
/// assert_eq!(stream.read(), b"\0\0\0\x04tick");
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
pub type MemorySink = StreamLink<MemoryConnector>;

impl MemorySink {
    /// A link, and the peer that its connections lead to. Each connection holds at most `capacity`
    /// bytes that the peer has not read.
    #[must_use]
    pub fn pair(capacity: usize) -> (Self, MemoryPeer) {
        let shared = Arc::new(Mutex::new(Listener { capacity, ..Listener::default() }));
        (Self::with_connector(MemoryConnector(shared.clone())), MemoryPeer(shared))
    }
}

/// Makes connections within the process; part of a [`MemorySink`].
#[derive(Clone, Debug)]
pub struct MemoryConnector(Arc<Mutex<Listener>>);

/// The peer of a [`MemorySink`]: it accepts the sink's connections, or refuses them.
#[derive(Debug)]
pub struct MemoryPeer(Arc<Mutex<Listener>>);

/// The sink's end of a connection; part of a [`MemorySink`].
#[derive(Debug)]
pub struct MemoryIo(Arc<Mutex<Pipe>>);

/// The peer's end of a connection. Dropped, it closes.
#[derive(Debug)]
pub struct MemoryStream(Arc<Mutex<Pipe>>);

#[derive(Debug, Default)]
struct Listener {
    capacity: usize,
    refusing: bool,
    stalled: Vec<Waker>,
    stalling: bool,
    attempts: u64,
    accepted: VecDeque<MemoryStream>,
}

/// Both directions of one connection.
#[derive(Debug, Default)]
struct Pipe {
    /// Written by the sink, not yet read by the peer.
    bytes: VecDeque<u8>,
    /// How many bytes the sink has ever written.
    written: u64,
    capacity: usize,
    /// Bytes that the peer has sent and the sink has not read.
    said: usize,
    /// The most that one write takes; 0 is no limit.
    max_write: usize,
    sink_shut: bool,
    sink_gone: bool,
    peer_shut: bool,
    peer_gone: bool,
    reset: bool,
    read_waker: Option<Waker>,
    write_waker: Option<Waker>,
}

impl MemoryPeer {
    /// The oldest connection that was made and not yet accepted.
    #[must_use]
    pub fn accept(&self) -> Option<MemoryStream> {
        lock(&self.0).accepted.pop_front()
    }

    /// Refuses connections from now on, or no longer.
    pub fn refuse(&self, refusing: bool) {
        lock(&self.0).refusing = refusing;
    }

    /// Leaves connections unanswered from now on, or no longer.
    pub fn stall(&self, stalling: bool) {
        let mut listener = lock(&self.0);
        listener.stalling = stalling;
        listener.stalled.drain(..).for_each(Waker::wake);
    }

    /// How many connections were tried so far.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        lock(&self.0).attempts
    }
}

impl MemoryStream {
    /// Takes all bytes that the sink has written and nobody has read.
    #[must_use]
    pub fn read(&self) -> Vec<u8> {
        self.read_at_most(usize::MAX)
    }

    /// Takes at most `len` of the bytes that nobody has read.
    #[must_use]
    pub fn read_at_most(&self, len: usize) -> Vec<u8> {
        let mut pipe = lock(&self.0);
        let len = len.min(pipe.bytes.len());
        let bytes = pipe.bytes.drain(..len).collect();
        wake(&mut pipe.write_waker);
        bytes
    }

    /// Sends `len` bytes to the sink, which has no use for them.
    pub fn say(&self, len: usize) {
        let mut pipe = lock(&self.0);
        pipe.said += len;
        wake(&mut pipe.read_waker);
    }

    /// Closes the sending half: the sink reads its end, and what it has written can still be read.
    pub fn shut(&self) {
        let mut pipe = lock(&self.0);
        pipe.peer_shut = true;
        wake(&mut pipe.read_waker);
    }

    /// How many bytes the sink has written on this connection, read or not.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        lock(&self.0).written
    }

    /// Whether this connection was reset, by either side: what was not read is gone.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        lock(&self.0).reset
    }

    /// Whether the sink has shut down this connection or dropped it. What it wrote before can
    /// still be read.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let pipe = lock(&self.0);
        pipe.sink_shut || pipe.sink_gone
    }

    /// Limits a single write to `len` bytes from now on; 0 is no limit.
    pub fn set_max_write(&self, len: usize) {
        lock(&self.0).max_write = len;
    }

    /// Changes how many bytes the connection holds unread.
    pub fn set_capacity(&self, capacity: usize) {
        let mut pipe = lock(&self.0);
        pipe.capacity = capacity;
        wake(&mut pipe.write_waker);
    }

    /// Breaks the connection, as a reset does: what was not read is gone.
    pub fn reset(self) {
        lock(&self.0).reset();
    }
}

impl Pipe {
    fn reset(&mut self) {
        self.reset = true;
        self.bytes.clear();
    }
}

/// Closes the connection: the sink reads its end.
impl Drop for MemoryStream {
    fn drop(&mut self) {
        let mut pipe = lock(&self.0);
        pipe.peer_gone = true;
        wake(&mut pipe.read_waker);
        wake(&mut pipe.write_waker);
    }
}

impl Connect for MemoryConnector {
    type Io = MemoryIo;

    fn connect(&self, _: Duration) -> impl Future<Output = io::Result<MemoryIo>> + Send + 'static {
        let listener = self.0.clone();
        lock(&listener).attempts += 1;
        std::future::poll_fn(move |cx| {
            let mut listener = lock(&listener);
            if listener.stalling {
                listener.stalled.push(cx.waker().clone());
                return Poll::Pending;
            }
            if listener.refusing {
                return Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()));
            }
            let capacity = listener.capacity;
            let pipe = Arc::new(Mutex::new(Pipe { capacity, ..Pipe::default() }));
            listener.accepted.push_back(MemoryStream(pipe.clone()));
            Poll::Ready(Ok(MemoryIo(pipe)))
        })
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Other("memory".into())
    }
}

impl Io for MemoryIo {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut pipe = lock(&self.0);
        let len = pipe.said.min(buf.len());
        if pipe.reset {
            Err(io::ErrorKind::ConnectionReset.into())
        } else if len > 0 {
            pipe.said -= len;
            Ok(len)
        } else if pipe.peer_gone || pipe.peer_shut {
            Ok(0)
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = lock(&self.0);
        if pipe.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if pipe.peer_gone || pipe.sink_shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = pipe.capacity.saturating_sub(pipe.bytes.len());
        let most = if pipe.max_write == 0 { usize::MAX } else { pipe.max_write };
        let len = bytes.len().min(room).min(most);
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        pipe.bytes.extend(bytes.iter().take(len));
        pipe.written += len as u64;
        Ok(len)
    }

    fn try_write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.try_write(&[first, second].concat())
    }

    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.0);
        if pipe.said > 0 || pipe.peer_shut || pipe.peer_gone || pipe.reset {
            return Poll::Ready(Ok(()));
        }
        pipe.read_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.0);
        if pipe.bytes.len() < pipe.capacity || pipe.peer_gone || pipe.reset {
            return Poll::Ready(Ok(()));
        }
        pipe.write_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn keeps_unsent(&self) -> bool {
        false
    }

    fn shutdown(&mut self) -> io::Result<()> {
        let mut pipe = lock(&self.0);
        pipe.sink_shut = true;
        let closed = pipe.peer_gone || pipe.peer_shut;
        if closed { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }
}

/// Closes the connection. As with a socket, what the peer has said and nobody has read turns that
/// into a reset, which destroys what the peer has not read.
impl Drop for MemoryIo {
    fn drop(&mut self) {
        let mut pipe = lock(&self.0);
        pipe.sink_gone = true;
        if pipe.said > 0 {
            pipe.reset();
        }
    }
}

/// A test that panicked while it held the lock has left nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
