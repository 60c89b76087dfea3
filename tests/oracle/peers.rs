//! The truth: what was accepted, and what each receiver may see of it.

use std::io;

use torq_message_sink::testing::{Script, Step};
use torq_message_sink::{EndCause, Event, LeafReport, MemoryPeer, MemoryStream, SinkState};

/// Everything that the sink has accepted, as it must stand on the wire.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) bytes: Vec<u8>,
    /// Where each frame ends.
    pub(crate) ends: Vec<u64>,
}

impl Log {
    pub(crate) fn push(&mut self, payload: &[u8]) {
        self.bytes.extend((payload.len() as u32).to_be_bytes());
        self.bytes.extend(payload);
        self.ends.push(self.len());
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The last frame boundary at or before `position`, and how many frames end before it.
    pub(crate) fn boundary(&self, position: u64) -> (u64, u64) {
        let count = self.ends.partition_point(|end| *end <= position);
        (count.checked_sub(1).map_or(0, |last| self.ends[last]), count as u64)
    }
}

/// One receiver: its end of every connection that was made to it, and what the sink says of each.
pub(crate) struct Receiver {
    pub(crate) peer: MemoryPeer,
    pub(crate) script: Script,
    pub(crate) streams: Vec<Stream>,
    connections: Vec<Connection>,
    /// A read was made to say that the peer has closed, or that it failed.
    read_faults: bool,
    /// An attempt to connect was made to panic.
    pub(crate) panics: bool,
    pub(crate) refusing: bool,
    pub(crate) stalling: bool,
    pub(crate) scripted: bool,
}

/// The receiver's end of one connection.
pub(crate) struct Stream {
    io: Option<MemoryStream>,
    got: Vec<u8>,
    verified: usize,
    connection: Option<usize>,
    /// Bytes that the sink had written when the peer closed its sending half.
    written_at_shut: Option<u64>,
    written: u64,
    ended_by_peer: bool,
}

/// One connection as the sink's events tell it.
struct Connection {
    first: u64,
    end: Option<(u64, u64, EndCause)>,
    stream: Option<usize>,
}

impl Receiver {
    pub(crate) fn new(peer: MemoryPeer, script: Script) -> Self {
        Self {
            peer,
            script,
            streams: Vec::new(),
            connections: Vec::new(),
            read_faults: false,
            panics: false,
            refusing: false,
            stalling: false,
            scripted: false,
        }
    }

    /// Takes over the connections made since the last call. To be called whenever tasks have run.
    pub(crate) fn accept(&mut self) {
        while let Some(io) = self.peer.accept() {
            self.streams.push(Stream {
                io: Some(io),
                got: Vec::new(),
                verified: 0,
                connection: None,
                written_at_shut: None,
                written: 0,
                ended_by_peer: false,
            });
        }
    }

    pub(crate) fn is_well(&self) -> bool {
        !self.refusing && !self.stalling && !self.scripted
    }

    pub(crate) fn behave(&mut self) {
        self.script.clear();
        self.peer.refuse(false);
        self.peer.stall(false);
        (self.refusing, self.stalling, self.scripted) = (false, false, false);
        for io in self.streams.iter().filter_map(|stream| stream.io.as_ref()) {
            io.set_max_write(0);
        }
    }

    pub(crate) fn refuse(&mut self, refusing: bool) {
        self.refusing = refusing;
        self.peer.refuse(refusing);
    }

    pub(crate) fn stall(&mut self, stalling: bool) {
        self.stalling = stalling;
        self.peer.stall(stalling);
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.scripted = true;
        self.panics |= step == Step::PanicConnect;
        self.read_faults |= matches!(step, Step::EndRead)
            || matches!(step, Step::FailRead(kind) if kind != io::ErrorKind::Interrupted);
        self.script.push(step);
    }

    /// The peer's end of a random connection that the peer has not ended, most likely the last.
    pub(crate) fn open_stream(&mut self, rng: &mut fastrand::Rng) -> Option<&mut Stream> {
        let mut open: Vec<_> = self.streams.iter_mut().filter(|s| s.io.is_some()).collect();
        let last = open.len().checked_sub(1)?;
        let index = if rng.u8(..4) == 0 { rng.usize(..=last) } else { last };
        Some(open.swap_remove(index))
    }

    /// Reads everything there is, and closes what the sink has finished.
    pub(crate) fn read_all(&mut self) -> bool {
        let mut moved = false;
        for stream in &mut self.streams {
            moved |= stream.read(usize::MAX);
            if stream.io.as_ref().is_some_and(MemoryStream::is_finished) {
                stream.close();
            }
        }
        moved
    }

    /// Reads everything, but from connections that the peer has half closed and the sink holds on
    /// to: the sink has to find that out without being given room.
    pub(crate) fn read_all_open(&mut self) -> bool {
        let mut moved = false;
        for stream in &mut self.streams {
            let Some(io) = &stream.io else { continue };
            if stream.written_at_shut.is_none() || io.is_finished() {
                moved |= stream.read(usize::MAX);
            }
            if stream.io.as_ref().is_some_and(MemoryStream::is_finished) {
                stream.close();
            }
        }
        moved
    }

    /// An event of this receiver's link.
    pub(crate) fn observe(&mut self, event: &Event, log: &Log) {
        let previous = self.connections.last();
        match event {
            Event::Connected { connection, first, .. } => {
                assert!(previous.is_none_or(|c| c.end.is_some()), "one connection at a time");
                let next = previous.and_then(|c| c.end).map_or(0, |end| end.0);
                assert_eq!(first.bytes, next, "a connection begins where the last one ended");
                check_messages(*first, log);
                self.connections.push(Connection { first: first.bytes, end: None, stream: None });
                assert_eq!(*connection as usize, self.connections.len());
            }
            Event::Ended(end) => {
                assert_eq!(end.connection as usize, self.connections.len());
                let index = self.connections.len() - 1;
                assert_eq!(end.first.bytes, self.connections[index].first);
                assert_eq!(end.next, end.end, "the next connection goes on where this one ended");
                check_messages(end.end, log);
                let total = end.end.bytes - end.first.bytes + end.cut_bytes;
                let stream = self.connections[index].stream.or_else(|| {
                    // Connections that carried nothing leave no trace to be found by.
                    (total > 0).then(|| {
                        let carried = |s: &Stream| s.connection.is_none() && s.written() > 0;
                        self.streams.iter().position(carried).expect("bytes went somewhere")
                    })
                });
                if let Some(stream) = stream {
                    self.streams[stream].connection = Some(index);
                    assert_eq!(self.streams[stream].written(), total, "what was written is known");
                    let (boundary, _) = log.boundary(end.first.bytes + total);
                    assert_eq!(end.end.bytes, boundary, "an end is the last whole frame's");
                }
                self.connections[index].stream = stream;
                self.connections[index].end = Some((end.end.bytes, end.cut_bytes, end.cause));
            }
            _ => unreachable!("no other events exist"),
        }
    }

    /// After the events of a step: checks the sink's report against the truth.
    pub(crate) fn check(&mut self, leaf: &LeafReport, log: &Log) {
        if let Some(index) = self.connections.len().checked_sub(1)
            && let live = &mut self.connections[index]
            && live.end.is_none()
            && live.stream.is_none()
        {
            let newest = self.streams.len() - 1;
            assert!(self.streams[newest].connection.is_none());
            self.streams[newest].connection = Some(index);
            live.stream = Some(newest);
        }
        self.streams.iter_mut().for_each(|stream| stream.verify(&self.connections, log));

        let last = self.connections.last();
        let taken = match last {
            None => 0,
            Some(Connection { end: Some((end, ..)), .. }) => *end,
            Some(Connection { first, stream, .. }) => {
                let written = stream.map_or(0, |stream| self.streams[stream].written());
                log.boundary(first + written).0
            }
        };
        assert_eq!(leaf.accepted.bytes, log.len(), "accepted is what was accepted");
        assert_eq!(leaf.written.bytes, taken, "written is what was written whole");
        let kept = leaf.buffered.bytes + leaf.dropped.total().bytes;
        assert_eq!(leaf.accepted.bytes, taken + kept, "nothing disappears");
        check_messages(leaf.accepted, log);
        check_messages(leaf.written, log);
        if let Some(accepted) = leaf.accepted.messages {
            let of = |count: torq_message_sink::Count| count.messages.expect("counting is on");
            let sum = of(leaf.written) + of(leaf.buffered) + of(leaf.dropped.total());
            assert_eq!(accepted, sum, "nothing disappears");
            assert_eq!(accepted, log.ends.len() as u64);
        }
        let ended = || self.connections.iter().filter_map(|c| Some((c.first, c.end?)));
        // What an end has cut off is written again on the next connection, if there is one.
        let repeated = self.connections.len().saturating_sub(1);
        let rewritten: u64 = self
            .connections
            .iter()
            .take(repeated)
            .filter_map(|c| c.end)
            .map(|(_, cut, _)| cut)
            .sum();
        assert_eq!(leaf.rewritten_bytes, rewritten);
        let unconfirmed: u64 = ended()
            .filter(|(_, (.., cause))| *cause != EndCause::Drained)
            .map(|(first, (end, ..))| end - first)
            .sum();
        assert_eq!(leaf.unconfirmed.bytes, unconfirmed);
        assert_eq!(leaf.connections as usize, self.connections.len());
        assert_eq!(leaf.events_lost, 0);
        if leaf.state == SinkState::Connected {
            assert!(last.is_some_and(|c| c.end.is_none()), "connected means a connection");
        }
    }

    /// At the end: nothing was destroyed but by the peer or by a failure.
    pub(crate) fn check_end(&mut self, log: &Log) {
        self.read_all();
        self.streams.iter_mut().for_each(|stream| stream.verify(&self.connections, log));
        for stream in &self.streams {
            let Some(connection) = stream.connection.map(|index| &self.connections[index]) else {
                assert_eq!(stream.written(), 0, "nothing is written that no report knows of");
                continue;
            };
            if stream.ended_by_peer {
                continue;
            }
            let failed = matches!(connection.end, Some((.., EndCause::Failed(_))));
            if !failed && !self.read_faults {
                let all = stream.written();
                assert_eq!(stream.got.len() as u64, all, "only peers and failures destroy bytes");
            }
        }
    }

    /// Whether the receiver has everything that was accepted, but for what ends have cost it.
    pub(crate) fn has_last_of(&self, log: &Log) -> bool {
        let Some(last) = self.connections.iter().rev().find(|c| c.stream.is_some()) else {
            return log.len() == 0;
        };
        if self.read_faults && last.end.is_some() {
            return true;
        }
        let stream = last.stream.map(|index| &self.streams[index]);
        stream.is_some_and(|s| s.ended_by_peer || last.first + s.got.len() as u64 >= log.len())
    }
}

impl Stream {
    pub(crate) fn read(&mut self, len: usize) -> bool {
        let Some(io) = &self.io else { return false };
        let bytes = io.read_at_most(len);
        self.got.extend(&bytes);
        !bytes.is_empty()
    }

    pub(crate) fn say(&self, len: usize) {
        if let Some(io) = &self.io {
            io.say(len);
        }
    }

    pub(crate) fn shut(&mut self) {
        if let Some(io) = &self.io {
            io.shut();
            self.written_at_shut.get_or_insert_with(|| io.written_bytes());
        }
    }

    pub(crate) fn limit(&self, len: usize) {
        if let Some(io) = &self.io {
            io.set_max_write(len);
        }
    }

    pub(crate) fn set_capacity(&self, capacity: usize) {
        if let Some(io) = &self.io {
            io.set_capacity(capacity);
        }
    }

    /// The peer closes; what it has not read is lost.
    pub(crate) fn close(&mut self) {
        self.written = self.written();
        let Some(io) = self.io.take() else { return };
        self.got.extend(io.read());
        self.ended_by_peer |= !io.is_finished();
    }

    /// The peer vanishes, with what it has not read.
    pub(crate) fn reset(&mut self) {
        self.written = self.written();
        self.ended_by_peer = true;
        if let Some(io) = self.io.take() {
            io.reset();
        }
    }

    fn written(&self) -> u64 {
        self.io.as_ref().map_or(self.written, MemoryStream::written_bytes)
    }

    /// What came is what was accepted, from the connection's first frame on: nothing twice, torn or
    /// out of order, and what is missing is missing at the end.
    fn verify(&mut self, connections: &[Connection], log: &Log) {
        if let Some(written) = self.written_at_shut {
            assert_eq!(self.written(), written, "a closed peer is noticed before the next write");
        }
        let Some(connection) = self.connection.map(|index| &connections[index]) else { return };
        let new = &self.got[self.verified..];
        let from = connection.first as usize + self.verified;
        assert_eq!(log.bytes.get(from..from + new.len()), Some(new), "bytes at {from}");
        self.verified = self.got.len();
    }
}

fn check_messages(position: torq_message_sink::Count, log: &Log) {
    let (boundary, count) = log.boundary(position.bytes);
    assert_eq!(boundary, position.bytes, "positions are frame boundaries");
    if let Some(messages) = position.messages {
        assert_eq!(messages, count, "bytes and messages agree");
    }
}
