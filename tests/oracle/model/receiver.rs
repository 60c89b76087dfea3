//! One receiver: what it may see of what was accepted, and what the sink may say of it.

use std::io;
use std::ops::Range;

use torq_message_sink::testing::{Script, Step};
use torq_message_sink::{
    Count, EndCause, Event, LeafReport, MemoryPeer, MemoryStream, SinkState, WhenFull,
};

use super::choices::Choices;
use super::holes::Holes;
use super::log::Log;
use super::stream::Stream;

/// One receiver: its end of every connection that was made to it, and what the sink says of each.
pub(super) struct Receiver {
    /// Which log it gets.
    pub(super) log: usize,
    pub(super) peer: MemoryPeer,
    pub(super) script: Script,
    pub(super) streams: Vec<Stream>,
    pub(super) connections: Vec<Connection>,
    /// The state that its link's events have led to.
    told: SinkState,
    /// Frames that were dropped as the oldest, before any of them was begun.
    holes: Holes,
    /// Bytes and number of frames that were dropped after they were begun: their connection ended.
    lost: (u64, u64),
    /// A read was made to say that the peer has closed, or that it failed.
    read_faults: bool,
    /// An attempt to connect was made to panic.
    pub(super) panics: bool,
    pub(super) refusing: bool,
    pub(super) stalling: bool,
    pub(super) scripted: bool,
    /// Whether the sink waits for it; otherwise it misses messages.
    pub(super) gates: bool,
    /// Up to which frame it was matched, where it does not gate.
    pub(super) matched: usize,
}

/// One connection as the sink's events tell it.
pub(super) struct Connection {
    pub(super) first: u64,
    pub(super) end: Option<(u64, u64, EndCause)>,
    pub(super) stream: Option<usize>,
    /// Holes that there were when it ended.
    pub(super) known: Option<usize>,
}

impl Receiver {
    pub(super) fn new(log: usize, peer: MemoryPeer, script: Script) -> Self {
        Self {
            log,
            peer,
            script,
            streams: Vec::new(),
            connections: Vec::new(),
            told: SinkState::Asleep,
            holes: Holes::default(),
            lost: (0, 0),
            read_faults: false,
            panics: false,
            refusing: false,
            stalling: false,
            scripted: false,
            gates: true,
            matched: 0,
        }
    }

    /// Takes over the connections made since the last call. To be called whenever tasks have run.
    pub(super) fn accept(&mut self) {
        while let Some(io) = self.peer.accept() {
            self.streams.push(Stream::new(io));
        }
    }

    /// Remembers how much has been written by now: the clock is about to move.
    pub(super) fn note_progress(&mut self) {
        self.accept();
        self.streams.iter_mut().for_each(Stream::note_progress);
    }

    pub(super) fn is_well(&self) -> bool {
        !self.refusing && !self.stalling && !self.scripted
    }

    pub(super) fn behave(&mut self) {
        self.script.clear();
        self.peer.refuse(false);
        self.peer.stall(false);
        (self.refusing, self.stalling, self.scripted) = (false, false, false);
        for io in self.streams.iter().filter_map(|stream| stream.io.as_ref()) {
            io.set_max_write(0);
        }
    }

    pub(super) fn refuse(&mut self, refusing: bool) {
        self.refusing = refusing;
        self.peer.refuse(refusing);
    }

    pub(super) fn stall(&mut self, stalling: bool) {
        self.stalling = stalling;
        self.peer.stall(stalling);
    }

    pub(super) fn push(&mut self, step: Step) {
        self.scripted = true;
        self.panics |= step == Step::PanicConnect;
        self.read_faults |= matches!(step, Step::EndRead)
            || matches!(step, Step::FailRead(kind) if kind != io::ErrorKind::Interrupted);
        self.script.push(step);
    }

    /// The peer's end of a random connection that the peer has not ended, most likely the last.
    pub(super) fn open_stream(&mut self, choices: &mut dyn Choices) -> Option<&mut Stream> {
        let mut open: Vec<_> = self.streams.iter_mut().filter(|s| s.io.is_some()).collect();
        let last = open.len().checked_sub(1)?;
        let index = if choices.once_in(4) { choices.below(last + 1) } else { last };
        Some(open.swap_remove(index))
    }

    /// Reads everything there is, and closes what the sink has finished.
    pub(super) fn read_all(&mut self) -> bool {
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
    pub(super) fn read_all_open(&mut self) -> bool {
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
    pub(super) fn observe(&mut self, event: &Event, log: &Log) {
        self.told = event.state().unwrap_or(self.told);
        if !self.gates {
            return self.observe_lagging(event, log);
        }
        let previous = self.connections.last();
        match event {
            Event::Connected { connection, first, .. } => {
                assert!(previous.is_none_or(|c| c.end.is_some()), "one connection at a time");
                let next = self.holes.behind(previous.and_then(|c| c.end).map_or(0, |end| end.0));
                assert_eq!(first.bytes, next, "a connection begins where the last one ended");
                check_messages(*first, log);
                let first = first.bytes;
                self.connections.push(Connection { first, end: None, stream: None, known: None });
                assert_eq!(*connection as usize, self.connections.len());
            }
            Event::Ended(end) => {
                assert_eq!(end.connection as usize, self.connections.len());
                let index = self.connections.len() - 1;
                // What was dropped before anything was written on it is no part of it.
                let first = self.holes.behind(self.connections[index].first);
                assert_eq!(end.first.bytes, first, "it begins where it was begun");
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
                self.connections[index].stream = stream;
                if let Some(stream) = stream {
                    self.streams[stream].connection = Some(index);
                    let (boundary, cut) = self.reached(index, log);
                    let behind = self.holes.behind(boundary);
                    if cut > 0 && end.end.bytes != boundary {
                        // The frames behind were dropped while this one was under way.
                        assert_eq!(log.when_full, WhenFull::DropOldest);
                        let behind = log.frame_behind(boundary);
                        assert_eq!(end.end.bytes, self.holes.behind(behind), "a lost frame is one");
                        assert_eq!(end.cut_bytes, 0, "what is lost is not written again");
                        self.lost = (self.lost.0 + behind - boundary, self.lost.1 + 1);
                    } else {
                        assert_eq!(end.end.bytes, behind, "an end is the last whole frame's");
                        assert_eq!(end.cut_bytes, cut, "what was written is known");
                    }
                }
                self.connections[index].end = Some((end.end.bytes, end.cut_bytes, end.cause));
                self.connections[index].known = Some(self.holes.count());
            }
            _ => {}
        }
    }

    /// After the events: finds the stream of the connection that is up.
    pub(super) fn locate(&mut self) {
        if !self.gates {
            return;
        }
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
    }

    /// The last frame boundary that a connection has written, and how many bytes of one more frame
    /// it has.
    fn reached(&self, index: usize, log: &Log) -> (u64, u64) {
        let connection = &self.connections[index];
        let Some(stream) = connection.stream else { return (connection.first, 0) };
        let pieces = self.pieces(connection, self.streams[stream].written());
        let at = pieces.last().map_or(connection.first, |piece| piece.end);
        let (boundary, _) = log.boundary(at);
        (boundary, at - boundary)
    }

    /// What `len` bytes of a connection are, in positions of the log.
    fn pieces(&self, connection: &Connection, len: u64) -> Vec<Range<u64>> {
        let known = connection.known.unwrap_or_else(|| self.holes.count());
        self.holes.pieces(connection.first, len, known)
    }

    /// A message has come into a full buffer, and `dropped` bytes made way for it here. Answers up
    /// to where.
    pub(super) fn drop_oldest(&mut self, dropped: u64, log: &Log) -> u64 {
        let from = match self.connections.last() {
            None => 0,
            Some(Connection { end: Some((end, ..)), .. }) => *end,
            Some(_) => match self.reached(self.connections.len() - 1, log) {
                (boundary, 0) => boundary,
                (boundary, _) => log.frame_behind(boundary),
            },
        };
        let from = self.holes.behind(from);
        assert_eq!(log.boundary(from + dropped).0, from + dropped, "drops are of whole frames");
        self.holes.push(from..from + dropped);
        from + dropped
    }

    /// Bytes and number of the messages that were dropped for want of room.
    pub(super) fn overflow(&self, log: &Log) -> (u64, u64) {
        let holes = self.holes.messages_from(0, |position| log.boundary(position).1);
        let bytes = log.overflow.0 + self.holes.bytes_from(0) + self.lost.0;
        (bytes, log.overflow.1 + holes + self.lost.1)
    }

    /// After the events of a step: checks the sink's report against the truth.
    pub(super) fn check(&mut self, leaf: &LeafReport, log: &Log) {
        assert_eq!(leaf.gates, self.gates);
        assert_eq!(leaf.state, self.told, "each change of state is an event");
        if !self.gates {
            assert!(leaf.is_conserved(), "nothing disappears: {leaf:?}");
            return self.check_lagging(leaf, log);
        }
        self.verify(log);
        let last = self.connections.last();
        let at = match last {
            None => 0,
            Some(Connection { end: Some((end, ..)), .. }) => *end,
            Some(_) => self.reached(self.connections.len() - 1, log).0,
        };
        let whole = |index: usize| {
            let stream = self.connections[index].stream;
            let written = stream.map_or(0, |stream| self.streams[stream].written());
            written - self.reached(index, log).1
        };
        let written: u64 = (0..self.connections.len()).map(whole).sum();
        let overflow = self.overflow(log);
        assert_eq!(leaf.accepted.bytes, log.len() + log.overflow.0, "accepted is accepted");
        assert_eq!(leaf.written.bytes, written, "written is what was written whole");
        assert_eq!(leaf.dropped.overflow.bytes, overflow.0, "every drop is counted");
        let left = log.len() - at - self.holes.bytes_from(at);
        assert_eq!(leaf.buffered.bytes + leaf.dropped.closed.bytes, left, "nothing disappears");
        assert!(leaf.is_conserved(), "nothing disappears: {leaf:?}");
        if let Some(accepted) = leaf.accepted.messages {
            assert_eq!(accepted, log.ends.len() as u64 + log.overflow.1);
            assert_eq!(leaf.dropped.overflow.messages, Some(overflow.1));
            let left = leaf.buffered.plus(leaf.dropped.closed).messages;
            let holes = self.holes.messages_from(at, |position| log.boundary(position).1);
            assert_eq!(left, Some(log.ends.len() as u64 - log.boundary(at).1 - holes));
        }
        let ended = || self.connections.iter().enumerate().filter_map(|(i, c)| Some((i, c.end?)));
        // What an end has cut off is written again on the next connection, if there is one and the
        // frame was not dropped before it.
        let again = |(index, (end, cut, _)): (usize, (u64, u64, EndCause))| {
            let next = self.connections.get(index + 1)?;
            Some(if next.first == end { cut } else { 0 })
        };
        let rewritten: u64 = ended().filter_map(again).sum();
        assert_eq!(leaf.rewritten_bytes, rewritten);
        let unconfirmed: u64 = ended()
            .filter(|(_, (.., cause))| *cause != EndCause::Drained)
            .map(|(index, _)| whole(index))
            .sum();
        assert_eq!(leaf.unconfirmed.bytes, unconfirmed);
        assert_eq!(leaf.connections as usize, self.connections.len());
        assert_eq!(leaf.events_lost, 0);
        if leaf.state == SinkState::Connected {
            assert!(last.is_some_and(|c| c.end.is_none()), "connected means a connection");
        }
    }

    /// What came on each connection is what was accepted.
    fn verify(&mut self, log: &Log) {
        for index in 0..self.streams.len() {
            let stream = &self.streams[index];
            let of = stream.connection.filter(|_| stream.has_news());
            let got = stream.got.len() as u64;
            let pieces = of.map(|of| self.pieces(&self.connections[of], got));
            self.streams[index].verify(pieces.as_deref(), log);
        }
    }

    /// At the end: nothing was destroyed but by the peer or by a failure.
    pub(super) fn check_end(&mut self, log: &Log) {
        self.read_all();
        if !self.gates {
            return self.match_frames(log);
        }
        self.verify(log);
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
    pub(super) fn has_last_of(&self, log: &Log) -> bool {
        if !self.gates {
            return true;
        }
        let Some(last) = self.connections.iter().rev().find(|c| c.stream.is_some()) else {
            return log.len() == 0;
        };
        if self.read_faults && last.end.is_some() {
            return true;
        }
        let stream = last.stream.map(|index| &self.streams[index]);
        stream.is_some_and(|s| {
            let pieces = self.pieces(last, s.got.len() as u64);
            let at = pieces.last().map_or(last.first, |piece| piece.end);
            s.ended_by_peer || self.holes.behind(at) >= log.len()
        })
    }
}

pub(super) fn check_messages(position: Count, log: &Log) {
    let (boundary, count) = log.boundary(position.bytes);
    assert_eq!(boundary, position.bytes, "positions are frame boundaries");
    if let Some(messages) = position.messages {
        assert_eq!(messages, count, "bytes and messages agree");
    }
}
