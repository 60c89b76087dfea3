//! One connection in use: writing, noticing its end, reading it to its end.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::link::Io;
use crate::sink::EndCause;
use crate::timer::Alarm;

/// A connection in use.
pub(super) struct Live<I> {
    io: I,
    since: Instant,
    /// Whether the peer has ever sent anything.
    talks: bool,
}

/// How long a peer that has never said anything is waited for.
#[derive(Default)]
pub(super) struct Linger {
    /// Set when the waiting begins.
    until: Option<Instant>,
    alarm: Alarm,
}

/// What one step has come to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Everything is written.
    Done,
    /// There was nothing to write.
    Nothing,
    /// The frames begin behind the link's place: it was added to a stream that had begun.
    Behind,
    /// Some of it is written; there may be room for more.
    Some,
    /// The socket takes nothing more for now.
    Full,
    /// There is no connection.
    Unconnected,
    /// The connection has ended.
    Lost(EndCause),
}

impl Step {
    #[cold]
    fn failed(kind: io::ErrorKind) -> Self {
        match kind {
            // Interrupted: tried again when asked again, so that no stream can hold us in a loop.
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Self::Full,
            kind => Self::Lost(EndCause::Failed(kind)),
        }
    }
}

impl<I: Io> Live<I> {
    pub(super) fn new(io: I) -> Self {
        Self { io, since: Instant::now(), talks: false }
    }

    /// How long it has been up.
    pub(super) fn uptime(&self) -> Duration {
        self.since.elapsed()
    }

    /// Writes once from `rest`, which begins at position `written`.
    #[inline(always)]
    pub(super) fn write(&mut self, written: &mut u64, rest: &[u8]) -> Step {
        // A peer that has closed must not cost the frames that it would never read.
        let mut probe = [0; 16];
        match self.io.try_read(&mut probe) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => {
                if let Err(cause) = self.heard(read) {
                    return Step::Lost(cause);
                }
            }
        }
        match self.io.try_write(rest) {
            Ok(len) if len == rest.len() => {
                *written += len as u64;
                Step::Done
            }
            Ok(0) => Step::Lost(EndCause::Failed(io::ErrorKind::WriteZero)),
            Ok(len) => {
                *written += len as u64;
                Step::Some
            }
            Err(error) => Step::failed(error.kind()),
        }
    }

    /// Writes a frame in two pieces from its first byte on, as far as it goes.
    #[cold]
    pub(super) fn write_both(&mut self, written: &mut u64, frame: [&[u8]; 2]) -> Step {
        // As in `write`: a peer that has closed must not cost the frame.
        if let Some(cause) = self.discard() {
            return Step::Lost(cause);
        }
        let [mut first, mut second] = frame;
        while !(first.is_empty() && second.is_empty()) {
            match self.io.try_write_both(first, second) {
                Ok(0) => return Step::Lost(EndCause::Failed(io::ErrorKind::WriteZero)),
                Ok(len) => {
                    let len = len.min(first.len() + second.len());
                    *written += len as u64;
                    let of_first = len.min(first.len());
                    first = first.get(of_first..).unwrap_or_default();
                    second = second.get(len - of_first..).unwrap_or_default();
                }
                Err(error) => return Step::failed(error.kind()),
            }
        }
        Step::Done
    }

    /// The socket is full: asks to be called again when there is room, or when the peer closes.
    #[cold]
    pub(super) fn wait_for_room(&mut self, cx: &mut Context<'_>) -> Result<(), EndCause> {
        let room = self.io.poll_write_ready(cx);
        // A peer that closes while we wait shows as readable.
        let said = self.io.poll_read_ready(cx);
        if room.is_ready() || said.is_ready() {
            // Not a loop: a stream that is always ready and never moves must not hang us.
            cx.waker().wake_by_ref();
        }
        match (room, said) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => {
                Err(EndCause::Failed(error.kind()))
            }
            _ => Ok(()),
        }
    }

    /// Shuts down our side; says why the connection has ended, if it had before.
    pub(super) fn shut_down(&mut self) -> Option<EndCause> {
        // An end of the peer's that is older than ours says nothing about the last frames.
        let ended = match self.io.shutdown() {
            Ok(()) => None,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Some(EndCause::PeerClosed),
            Err(error) => Some(EndCause::Failed(error.kind())),
        };
        // The kernel resets a connection that is closed with bytes unread, and destroys what it has
        // not sent yet; so what the peer has said is read in any case.
        let found = self.discard();
        ended.or(found)
    }

    /// The peer said something, or is gone.
    #[cold]
    fn heard(&mut self, read: io::Result<usize>) -> Result<(), EndCause> {
        match read {
            Ok(0) => Err(EndCause::PeerClosed),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(EndCause::Failed(error.kind()))
            }
            _ => {
                self.talks = true;
                self.discard().map_or(Ok(()), Err)
            }
        }
    }

    /// Reads until the peer has closed. One that has never said anything is waited for only
    /// [`LINGER`] where nothing of the `written` bytes can be destroyed: a receiver that just holds
    /// its connection open must not hold up a close.
    pub(super) fn poll_drain(
        &mut self,
        linger: &mut Linger,
        written: u64,
        cx: &mut Context<'_>,
    ) -> Poll<EndCause> {
        match self.listen(Some(cx)) {
            Some(EndCause::PeerClosed) => return Poll::Ready(EndCause::Drained),
            Some(cause) => return Poll::Ready(cause),
            None => {}
        }
        if self.talks || (self.io.keeps_unsent() && written > WINDOW) {
            return Poll::Pending;
        }
        let until = *linger.until.get_or_insert_with(|| Instant::now() + LINGER);
        // Where there are no timers nobody can wait for one.
        let _ = ready!(linger.alarm.poll(cx, until));
        Poll::Ready(EndCause::HungUp)
    }

    /// Reads what the peer has said, and asks to be called when it says more or closes; says why
    /// the connection has ended, if it has.
    pub(super) fn listen(&mut self, cx: Option<&mut Context<'_>>) -> Option<EndCause> {
        let ended = self.discard();
        if let (None, Some(cx)) = (ended, cx) {
            match self.io.poll_read_ready(cx) {
                // More than one call reads.
                Poll::Ready(Ok(())) => cx.waker().wake_by_ref(),
                Poll::Ready(Err(error)) => return Some(EndCause::Failed(error.kind())),
                Poll::Pending => {}
            }
        }
        ended
    }

    /// Reads and throws away what is there, up to a bound; says why the connection ended, if it
    /// did.
    #[cold]
    pub(super) fn discard(&mut self) -> Option<EndCause> {
        let mut scratch = [0; 16 * 1024];
        for _ in 0..MAX_DISCARDED_READS {
            match self.io.try_read(&mut scratch) {
                Ok(0) => return Some(EndCause::PeerClosed),
                Ok(_) => self.talks = true,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return None,
                    io::ErrorKind::Interrupted => {}
                    kind => return Some(EndCause::Failed(kind)),
                },
            }
        }
        None
    }
}

/// Reads of 16 KiB that one call throws away at most, so that a talkative peer cannot hold it.
const MAX_DISCARDED_READS: usize = 64;

/// Bytes that a peer's kernel takes whether the peer reads or not: the receive window that Linux
/// opens with by default (half of the 128 KiB of `net.ipv4.tcp_rmem`, tcp(7)).
const WINDOW: u64 = 64 * 1024;

/// How long a peer that has never said anything is given to read to the end and close, where what
/// it has not read cannot be destroyed any more. Long enough for it to confirm everything by
/// closing.
const LINGER: Duration = Duration::from_millis(250);
