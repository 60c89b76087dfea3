//! One receiver: what it may see of what was accepted, and what the sink may say of it.

use std::io;

use torq_message_sink::testing::{Script, Step};
use torq_message_sink::{Count, EndCause, Event, LeafReport, MemoryPeer, MemoryStream, SinkState};

use super::choices::Choices;
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
}

impl Receiver {
    pub(super) fn new(log: usize, peer: MemoryPeer, script: Script) -> Self {
        Self {
            log,
            peer,
            script,
            streams: Vec::new(),
            connections: Vec::new(),
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
        if !self.gates {
            return self.observe_lagging(event, log);
        }
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
    pub(super) fn check(&mut self, leaf: &LeafReport, log: &Log) {
        assert!(leaf.is_conserved(), "nothing disappears");
        assert_eq!(leaf.gates, self.gates);
        if !self.gates {
            return self.check_lagging(leaf, log);
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
            let of = |count: Count| count.messages.expect("counting is on");
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
    pub(super) fn check_end(&mut self, log: &Log) {
        self.read_all();
        if !self.gates {
            return self.match_frames(log);
        }
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
        stream.is_some_and(|s| s.ended_by_peer || last.first + s.got.len() as u64 >= log.len())
    }
}

pub(super) fn check_messages(position: Count, log: &Log) {
    let (boundary, count) = log.boundary(position.bytes);
    assert_eq!(boundary, position.bytes, "positions are frame boundaries");
    if let Some(messages) = position.messages {
        assert_eq!(messages, count, "bytes and messages agree");
    }
}
