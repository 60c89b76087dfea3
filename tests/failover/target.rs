//! A receiver that comes and goes, and the truth about each connection that was made to it.

use torq_message_sink::{MemoryPeer, MemorySink, MemoryStream};

use crate::numbered::frame;

/// One target of a failover.
pub(crate) struct Target {
    peer: MemoryPeer,
    streams: Vec<Stream>,
    pub(crate) is_away: bool,
    /// It reads nothing.
    pub(crate) is_stuck: bool,
}

/// The target's end of a connection.
struct Stream {
    /// None when the target has ended it.
    io: Option<MemoryStream>,
    got: Vec<u8>,
    /// Everything that the sink has written, read or not.
    written: u64,
}

/// What a receiver misses of a connection: nothing, or a suffix of it.
#[derive(Debug)]
pub(crate) struct Run {
    /// The frames that were written whole.
    pub(crate) written: std::ops::Range<usize>,
    /// How many of them, from the first on, were read.
    pub(crate) read: usize,
}

impl Target {
    /// A link that holds `capacity` bytes unread, and where it leads.
    pub(crate) fn link(capacity: usize) -> (MemorySink, Self) {
        let (link, peer) = MemorySink::pair(capacity);
        (link, Self { peer, streams: Vec::new(), is_away: false, is_stuck: false })
    }

    /// Takes over new connections, and reads at most `len` bytes of each.
    pub(crate) fn read(&mut self, len: usize) {
        while let Some(io) = self.peer.accept() {
            self.streams.push(Stream { io: Some(io), got: Vec::new(), written: 0 });
        }
        for stream in self.streams.iter_mut().filter(|_| !self.is_stuck) {
            stream.read(len);
            if stream.io.as_ref().is_some_and(MemoryStream::is_finished) && len == usize::MAX {
                stream.end(false);
            }
        }
    }

    /// Its process dies. What it has not read is lost, but for the first frame of each connection.
    pub(crate) fn kill(&mut self, by_reset: bool) {
        self.is_away = true;
        self.peer.refuse(true);
        self.read(0);
        for stream in &mut self.streams {
            while frame(&stream.got).is_none() && stream.read(1) {}
            stream.end(by_reset);
        }
    }

    pub(crate) fn restart(&mut self) {
        (self.is_away, self.is_stuck) = (false, false);
        self.peer.refuse(false);
        self.peer.stall(false);
    }

    /// It leaves new connections unanswered.
    pub(crate) fn stall(&self) {
        self.peer.stall(true);
    }

    /// What became of each connection that has carried a whole frame, given the bytes of all
    /// frames there are.
    pub(crate) fn runs(&self, sizes: &[usize]) -> Vec<Run> {
        self.streams.iter().filter_map(|stream| stream.run(sizes)).collect()
    }
}

impl Stream {
    fn read(&mut self, len: usize) -> bool {
        let Some(io) = &self.io else { return false };
        let bytes = io.read_at_most(len);
        self.got.extend(&bytes);
        !bytes.is_empty()
    }

    fn end(&mut self, by_reset: bool) {
        let Some(io) = self.io.take() else { return };
        self.written = io.written_bytes();
        if by_reset {
            io.reset();
        }
    }

    fn run(&self, sizes: &[usize]) -> Option<Run> {
        let mut rest = self.got.as_slice();
        let (first, _) = frame(rest)?;
        let mut read = 0;
        while let Some((number, behind)) = frame(rest) {
            assert_eq!(number, first + read, "on one connection each frame follows the last");
            (rest, read) = (behind, read + 1);
        }
        let mut left = self.io.as_ref().map_or(self.written, MemoryStream::written_bytes);
        let mut end = first;
        while let Some(rest) = sizes.get(end).and_then(|size| left.checked_sub(*size as u64)) {
            (left, end) = (rest, end + 1);
        }
        Some(Run { written: first..end, read })
    }
}

/// Each message was written whole to one target on one connection, in order per target; what a
/// receiver misses is a suffix of what was written on a connection that has ended.
pub(crate) fn check(targets: &[Target], sizes: &[usize]) {
    let mut all = Vec::new();
    for target in targets {
        let runs = target.runs(sizes);
        let in_order = runs.windows(2).all(|pair| pair[0].written.end <= pair[1].written.start);
        assert!(in_order, "0 duplicated, 0 reordered per receiver: {runs:?}");
        for (run, stream) in
            runs.iter().zip(target.streams.iter().filter(|s| s.run(sizes).is_some()))
        {
            let lost = run.written.len() - run.read;
            assert!(lost == 0 || stream.io.is_none(), "only ends cost frames: {run:?}");
        }
        all.extend(runs);
    }
    all.sort_by_key(|run| run.written.start);
    let mut next = 0;
    for run in &all {
        assert_eq!(run.written.start, next, "every frame is written once, to one target: {all:?}");
        next = run.written.end;
    }
    assert_eq!(next, sizes.len(), "everything is written: {all:?}");
}
