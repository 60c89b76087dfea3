//! A receiver that comes and goes, and everything that was written to it.

use torq_message_sink::{MemoryPeer, MemorySink, MemoryStream};

use crate::numbered::frame;

/// One child's peer.
pub(crate) struct Receiver {
    peer: MemoryPeer,
    streams: Vec<Stream>,
    /// It reads nothing.
    pub(crate) is_stuck: bool,
}

/// The receiver's end of a connection.
struct Stream {
    /// None when the receiver has ended it.
    io: Option<MemoryStream>,
    /// Everything that the sink has written, what the receiver's end has cost included.
    got: Vec<u8>,
}

impl Receiver {
    /// A link that holds `capacity` bytes unread, and where it leads.
    pub(crate) fn link(capacity: usize) -> (MemorySink, Self) {
        let (link, peer) = MemorySink::pair(capacity);
        (link, Self { peer, streams: Vec::new(), is_stuck: false })
    }

    /// Takes over new connections, and reads at most `len` bytes of each.
    pub(crate) fn read(&mut self, len: usize) {
        while let Some(io) = self.peer.accept() {
            self.streams.push(Stream { io: Some(io), got: Vec::new() });
        }
        for stream in self.streams.iter_mut().filter(|_| !self.is_stuck) {
            stream.read(len);
            if stream.io.as_ref().is_some_and(MemoryStream::is_finished) && len == usize::MAX {
                stream.io = None;
            }
        }
    }

    /// Its process dies. What it has not read is lost, and only this test knows of it.
    pub(crate) fn kill(&mut self, by_reset: bool) {
        self.is_stuck = false;
        self.peer.refuse(true);
        self.read(usize::MAX);
        for stream in &mut self.streams {
            if let (Some(io), true) = (stream.io.take(), by_reset) {
                io.reset();
            }
        }
    }

    pub(crate) fn restart(&mut self) {
        self.is_stuck = false;
        self.peer.refuse(false);
        self.peer.stall(false);
    }

    /// It leaves new connections unanswered.
    pub(crate) fn stall(&self) {
        self.peer.stall(true);
    }

    /// Its connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.streams.len()
    }

    /// Whether the sink has ended all of them.
    pub(crate) fn has_ended(&self) -> bool {
        let ended = |stream: &Stream| stream.io.as_ref().is_none_or(MemoryStream::is_finished);
        self.streams.iter().all(ended)
    }

    /// The numbers of the frames that were written whole to it, which are in order.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        let mut numbers = Vec::new();
        for stream in &self.streams {
            let mut rest = stream.got.as_slice();
            while let Some((number, behind)) = frame(rest) {
                numbers.push(number);
                rest = behind;
            }
        }
        let in_order = numbers.is_sorted_by(|one, next| one < next);
        assert!(in_order, "0 duplicated, 0 reordered per receiver: {numbers:?}");
        numbers
    }
}

impl Stream {
    fn read(&mut self, len: usize) {
        if let Some(io) = &self.io {
            self.got.extend(io.read_at_most(len));
        }
    }
}
