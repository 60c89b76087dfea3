//! Who gets the messages of a sink under test.

use super::SinkPeer;
use crate::framing::{Framing, LengthPrefixed};
use crate::link::{MemoryPeer, MemoryStream};

/// Who gets a sink's messages: one receiver or several.
pub trait Receive {
    /// Every whole message so far, per receiver. Gives the sink room by the way.
    fn receive(&mut self) -> Vec<Vec<Vec<u8>>>;
}

/// The receivers behind the [`MemorySink`](crate::MemorySink)s of a stack. They read the frames of
/// any framing, by what it says of where a frame ends, without the library's decoder.
#[derive(Debug)]
pub struct MemoryReceivers<F = LengthPrefixed> {
    framing: F,
    receivers: Vec<MemoryReceiver>,
}

#[derive(Debug)]
struct MemoryReceiver {
    peer: MemoryPeer,
    streams: Vec<(MemoryStream, Vec<u8>)>,
}

impl MemoryReceivers {
    /// One receiver of [`LengthPrefixed`] frames per peer.
    pub fn new(peers: impl IntoIterator<Item = MemoryPeer>) -> Self {
        Self::with_framing(peers, LengthPrefixed::new())
    }
}

impl<F: Framing> MemoryReceivers<F> {
    /// One receiver per peer, of the frames of `framing`.
    pub fn with_framing(peers: impl IntoIterator<Item = MemoryPeer>, framing: F) -> Self {
        let receiver = |peer| MemoryReceiver { peer, streams: Vec::new() };
        Self { framing, receivers: peers.into_iter().map(receiver).collect() }
    }
}

impl<F: Framing> Receive for MemoryReceivers<F> {
    /// # Panics
    ///
    /// When what arrives is not a frame of this framing.
    fn receive(&mut self) -> Vec<Vec<Vec<u8>>> {
        let Self { framing, receivers } = self;
        receivers.iter_mut().map(|receiver| receiver.receive(framing)).collect()
    }
}

impl MemoryReceiver {
    fn receive(&mut self, framing: &impl Framing) -> Vec<Vec<u8>> {
        while let Some(stream) = self.peer.accept() {
            self.streams.push((stream, Vec::new()));
        }
        let mut messages = Vec::new();
        for (stream, bytes) in &mut self.streams {
            bytes.extend(stream.read());
            if stream.is_finished() {
                stream.shut();
            }
            let mut rest = bytes.as_slice();
            while let Some(len) = framing.frame_len(rest).expect("what arrives is a frame")
                && let Some((frame, behind)) = rest.split_at_checked(len)
            {
                messages.push(framing.payload(frame).to_vec());
                rest = behind;
            }
        }
        messages
    }
}

impl Receive for SinkPeer {
    fn receive(&mut self) -> Vec<Vec<Vec<u8>>> {
        self.set_room(16);
        vec![self.messages()]
    }
}
