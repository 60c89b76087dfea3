//! What waits above a sink, in an order that each layer has of its own.

use std::time::Instant;

use crate::buffer::{Backlog, Marks, Record};
use crate::encode::Encode;
use crate::layer::hold::Below;
use crate::sink::{Count, Dropped};

/// Messages that wait above a sink of type `S`, in an order of their own.
pub(in crate::layer) trait Queue<S> {
    /// The marks of a message that is new; none when it comes too late.
    fn admit<M: Encode + ?Sized>(&self, msg: &M) -> Option<Marks>;

    /// Whether marks have to be known still when their message comes back from below.
    fn remembers(&self, marks: &Marks) -> bool;

    /// Whether something below must come back before more is written.
    fn is_stale(&self, below: &Below) -> bool;

    /// Whether what was accepted last makes something below worth nothing.
    fn outdates(&self) -> bool;

    /// Takes back from below what nobody has seen, before what waits here. Answers how many came.
    fn take_back(&mut self, inner: &mut S, below: &mut Below, dropped: &mut Dropped) -> usize;

    /// Takes its memory, unless it has it. None when there is none.
    fn allocate(&mut self) -> Option<()>;

    /// Whether there is room for any message of `len` bytes.
    fn fits(&self, len: usize) -> bool;

    /// Whether there is room for a message of `len` bytes with these marks, or with any; drops
    /// what is worth nothing any more if that makes some.
    fn makes_room(&mut self, len: usize, marks: Option<&Marks>, dropped: &mut Dropped) -> bool;

    /// Takes a message, room or not.
    fn push<M: Encode + ?Sized>(
        &mut self,
        msg: &M,
        len: usize,
        marks: Marks,
        dropped: &mut Dropped,
    );

    /// The message whose turn it is, once those that are worth nothing any more are dropped.
    fn front(&mut self, dropped: &mut Dropped) -> Option<Record<'_>>;

    /// Removes the message that `front` has answered.
    fn pop(&mut self);

    /// What waits.
    fn held(&self) -> Count;

    /// When something that waits is worth nothing any more, and so makes room. Default: never.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Messages that wait.
    fn len(&self) -> usize;

    /// Forgets everything, and gives the memory back.
    fn clear(&mut self);
}

/// What waits in `backlog`, as it is counted here.
pub(in crate::layer) fn held(backlog: &Backlog) -> Count {
    let messages = backlog.len() as u64;
    let bytes = backlog.payload_bytes() as u64 + count(0).bytes * messages;
    Count { bytes, messages: Some(messages) }
}

/// A message of `len` bytes as it is counted here: as a frame of the default framing.
pub(in crate::layer) fn count(len: usize) -> Count {
    Count { bytes: len as u64 + 4, messages: Some(1) }
}
