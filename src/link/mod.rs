//! The ends of stacks: a link moves encoded bytes over connections and knows how to make them.

mod connect;
mod cursor;
mod description;
mod line;
mod live;
mod lookup;
mod memory;
mod not_a_sink;
mod stream;
mod tcp;
mod trace;
mod unix;

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::Socket;

pub use self::memory::{MemoryConnector, MemoryIo, MemoryPeer, MemorySink, MemoryStream};
pub use self::stream::StreamLink;
pub use self::tcp::{TcpConnector, TcpIo, TcpSink};
pub use self::unix::{UnixConnector, UnixIo, UnixSink};
use crate::buffer::Pending;
use crate::endpoint::Endpoint;
use crate::error::SinkError;
use crate::framing::Framing;
use crate::policy::LazyPolicy;
use crate::sink::{DropReason, End, Event, Report, SinkState};

/// Moves frames over connections, and makes the connections: the end of a stack.
///
/// A link becomes a sink under [`Buffered`](crate::Buffered). Composites such as
/// [`Fanout`](crate::Fanout) are links over links. A link of one's own is usually a [`Connect`]
/// with its [`Io`], which [`StreamLink`] turns into a link with back-off,
/// resending, close detection, draining.
///
/// # Implementer notes
///
/// A link keeps its own place in the stream of frames (a position, see [`Pending`]) and never looks
/// back behind what it has [`taken`](Self::taken); the buffer never releases what it has not. Data
/// wakes it: a write to a link that sleeps starts a connection.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a link",
    label = "no frames can be written to this",
    note = "links are `TcpSink`, `UnixSink`, a `Fanout` of links, a `StreamLink` over your own \
            `Connect`, or your own `Link`",
    note = "an address becomes a link by `TcpSink::new(\"host:port\")?`, where `?` takes it out of \
            the `Result`",
    note = "whole sinks go above a buffer, not below it: `Lazy` around `Buffered`, and a `Fanout` \
            of whole sinks without a `Buffered` around it"
)]
pub trait Link {
    /// Starts to connect, unless there is a connection or an attempt already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime) outside a tokio runtime.
    fn wake(&mut self) -> Result<(), SinkError>;

    /// Writes what can be written without waiting. Touches no waker, so that it can be called
    /// between the polls of somebody who waits. What it did shows in [`taken`](Self::taken).
    ///
    /// # Errors
    ///
    /// [`SinkError`] when the attempts to connect are used up. All frames are kept.
    fn try_write<F: Framing>(&mut self, pending: Pending<'_, F>) -> Result<(), SinkError>;

    /// Writes one whole frame that is not in the buffer, from where it lies, as much of it as can be
    /// written without waiting. Called only when nothing is pending; `start` is the position that
    /// the frame begins at. What it did shows in [`taken`](Self::taken), as with `try_write`:
    /// unless all of the frame is taken, it is in the next `pending`.
    ///
    /// False says that nothing was tried. Default: never tried.
    fn try_write_around(&mut self, start: u64, frame: [&[u8]; 2]) -> bool {
        let _ = (start, frame);
        false
    }

    /// Writes until every frame is taken. What it did shows in [`taken`](Self::taken), also while
    /// it is pending.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    fn poll_write<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>>;

    /// Position up to which frames need not be kept any longer: kernels have taken them whole.
    /// Always a frame boundary; never moves back.
    fn taken(&self) -> u64;

    /// Whether it gates: whether a flush, a connect and the room in the buffer wait for it. Default:
    /// yes.
    #[inline]
    fn gates(&self) -> bool {
        true
    }

    /// Position up to which those that gate have taken everything: what [`taken`](Self::taken) is
    /// behind by, only links keep that do not. Of a link that does not gate, it is no limit:
    /// `u64::MAX`. Default: what was taken.
    #[inline]
    fn required(&self) -> u64 {
        self.taken()
    }

    /// Makes those links that do not gate leave out what they have not taken up to `to`, a frame
    /// boundary: all of them where the room is `needed`, otherwise those whose peer is away.
    /// Default: nothing, since a link gates.
    #[inline]
    fn give_way<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, needed: bool) {
        let _ = (pending, to, needed);
    }

    /// Position behind the last byte that a connection which is up has taken: what comes from here
    /// on nobody has seen. Back at [`taken`](Self::taken) when the connection has ended; of a
    /// composite, the furthest of its children.
    fn reached(&self) -> u64;

    /// Leaves out the frames up to `to`, which is a frame boundary: [`taken`](Self::taken) is `to`
    /// at least, afterwards. What was taken already is left alone. A frame that a connection has
    /// begun is finished all the same, from memory of the link's own: one frame at most, in the
    /// middle of which frames were left out. Should that connection end before, it is dropped.
    fn skip<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, skip: Skip);

    /// Wakes and waits until connected.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write) and [`wake`](Self::wake).
    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>>;

    /// Writes what is left, then ends the connection in good order: shuts down the write side and
    /// reads on until the peer has closed in turn, so that nothing that was written is destroyed.
    /// Then it sleeps. Each child of a composite does so by itself, as soon as it has written
    /// everything.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    fn poll_shutdown<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>>;

    /// Ends the connection or the attempt now. By [`End::Close`] the link gives up `pending` and
    /// counts it as dropped.
    fn end<F: Framing>(&mut self, end: End, pending: Pending<'_, F>);

    /// Cuts a running back-off short, if there are frames to write: one attempt at once.
    fn hurry<F: Framing>(&mut self, pending: Pending<'_, F>);

    /// What the link is doing about its connection, as of the last call.
    fn state(&self) -> SinkState;

    /// How many bytes one write should have, where the link has a choice; found by measurement.
    fn write_size(&self) -> usize;

    /// Hands down the policy that the link runs by.
    fn set_policy(&mut self, policy: &Arc<LazyPolicy>);

    /// How long a shutdown goes on trying, by that policy. Default: as long as by default.
    fn close_deadline(&self) -> Duration {
        LazyPolicy::new().close_deadline
    }

    /// Adds one entry per leaf to `report`; `pending` is what the buffer still holds.
    fn report_into<F: Framing>(&self, pending: Pending<'_, F>, report: &mut Report);

    /// Hands over the events since the last call; see
    /// [`MessageSink::take_events`](crate::MessageSink::take_events).
    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E);
}

/// Why a link leaves frames out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Another link writes them: they count as never accepted by this one.
    Elsewhere,
    /// They are given up, and counted as dropped.
    Dropped(DropReason),
}

/// Makes connections to one place: what a transport has to know to be a link.
///
/// # Examples
///
/// A link of one's own is this and an [`Io`]; see [`StreamLink`] for a complete one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know how to connect",
    label = "no connections can be made by this",
    note = "implement `Connect` for it: `connect`, which returns an `Io`, and `endpoint`"
)]
pub trait Connect: Clone + Send + Sync + 'static {
    /// The connections it makes.
    type Io: Io;

    /// Makes one connection. Runs in a task of its own; `timeout` is how long it will be waited
    /// for, so that several addresses can share it.
    fn connect(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = io::Result<Self::Io>> + Send + 'static;

    /// Where it connects to, for errors and reports.
    fn endpoint(&self) -> Endpoint;

    /// How many bytes one write should have. Default: 64 KiB.
    fn write_size(&self) -> usize {
        64 * 1024
    }
}

/// One connection: non-blocking reads and writes, and readiness.
///
/// The `try_` methods never wait and touch no waker; they answer
/// [`WouldBlock`](io::ErrorKind::WouldBlock) instead, after which the matching `poll_` method waits
/// for a change. (`tokio::net::TcpStream` is made like this.)
pub trait Io: Send + Unpin + 'static {
    /// Reads what is there. `Ok(0)` with a non-empty buffer: the peer has closed.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is there; any other ends the connection.
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes what fits.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing fits; any other ends the connection.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes what fits of two pieces, one behind the other. Default: of the first that is not
    /// empty.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    fn try_write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.try_write(if first.is_empty() { second } else { first })
    }

    /// Waits until a read may succeed.
    ///
    /// # Errors
    ///
    /// Any ends the connection.
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Waits until a write may succeed.
    ///
    /// # Errors
    ///
    /// Any ends the connection.
    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether what was written may still be on our side, where a reset destroys it: if the peer
    /// talks after we have closed, say. Then a shutdown waits until the peer has closed, if more
    /// was written than the peer's kernel takes in any case (64 KiB); otherwise it does not wait
    /// long for a peer that has never said anything. Default: yes.
    fn keeps_unsent(&self) -> bool {
        true
    }

    /// Shuts down the write side: the peer reads to the end and then sees it.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) when the peer has closed already, as far as
    /// can be known without waiting: then its end does not mean that it has read to ours. Any other
    /// when the connection has failed.
    fn shutdown(&mut self) -> io::Result<()>;
}

/// [`Io::shutdown`] of a socket. It asks the kernel whether the peer has closed: the runtime may
/// not have turned since.
fn shut_down(socket: &Socket) -> io::Result<()> {
    let closed = matches!(socket.peek(&mut [MaybeUninit::uninit()]), Ok(0));
    socket.shutdown(Shutdown::Write)?;
    if closed { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
}

/// Implements [`Io`] for a newtype around a tokio stream.
macro_rules! io_over_tokio {
    ($io:ty, keeps_unsent: $keeps_unsent:expr) => {
        impl $crate::link::Io for $io {
            fn keeps_unsent(&self) -> bool {
                $keeps_unsent
            }

            #[inline]
            fn try_read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.0.try_read(buf)
            }

            #[inline]
            fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.try_write(bytes)
            }

            fn try_write_both(&mut self, first: &[u8], second: &[u8]) -> std::io::Result<usize> {
                let pieces = [first, second].map(std::io::IoSlice::new);
                self.0.try_write_vectored(&pieces)
            }

            fn poll_read_ready(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.0.poll_read_ready(cx)
            }

            fn poll_write_ready(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.0.poll_write_ready(cx)
            }

            fn shutdown(&mut self) -> std::io::Result<()> {
                $crate::link::shut_down(&socket2::SockRef::from(&self.0))
            }
        }
    };
}
use io_over_tokio;
pub(crate) use not_a_sink::not_a_sink;
