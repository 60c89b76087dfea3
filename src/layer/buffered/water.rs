//! The water marks: when a buffer counts as filling up, and when no longer. The high mark is an end
//! of the window, so that nothing is compared where messages are appended.

use std::sync::Arc;

use super::Buffered;
use crate::endpoint::Endpoint;
use crate::framing::Framing;
use crate::link::Link;
use crate::sink::{Event, EventQueue, Report};

/// The marks, and on which side of them the buffer is.
#[derive(Debug)]
pub(super) struct Water {
    pub(super) high: usize,
    low: usize,
    pub(super) is_above: bool,
    /// The link that lagged most when the high mark was passed.
    slowest: Option<(Option<Arc<str>>, Endpoint)>,
    pub(super) events: EventQueue,
}

impl Water {
    pub(super) fn new(high: usize, low: usize) -> Self {
        let (low, events) = (low.min(high), EventQueue::new());
        Self { high, low, is_above: false, slowest: None, events }
    }

    fn rise(&mut self, slowest: Option<(Option<Arc<str>>, Endpoint)>, buffered_bytes: u64) {
        (self.is_above, self.slowest) = (true, slowest);
        if let Some((service, endpoint)) = self.slowest.clone() {
            self.events.push(Event::HighWater { service, endpoint, buffered_bytes });
        }
    }

    fn fall(&mut self, buffered_bytes: u64) {
        self.is_above = false;
        if let Some((service, endpoint)) = self.slowest.take() {
            self.events.push(Event::LowWater { service, endpoint, buffered_bytes });
        }
    }
}

impl<L: Link, F: Framing> Buffered<L, F> {
    /// The marks, where there are any.
    pub(super) fn water(&self) -> Option<&Water> {
        self.extra.as_ref()?.water.as_ref()
    }

    pub(super) fn water_mut(&mut self) -> Option<&mut Water> {
        self.extra.as_mut()?.water.as_mut()
    }

    /// Bytes that may be pending before somebody has to look: the capacity, or the high mark while
    /// it is below.
    pub(super) fn level(&self) -> usize {
        match self.water() {
            Some(water) if !water.is_above => water.high.min(self.capacity),
            _ => self.capacity,
        }
    }

    /// A frame comes in, after an attempt to write: notes if it passes the high mark. As long as
    /// the link takes everything there is nothing to note, however large the frame.
    pub(super) fn rise(&mut self, frame: usize) {
        let bytes = self.store.len() + frame;
        if !self.lagging || bytes <= self.level() {
            return;
        }
        let mut report = Report::default();
        self.link.report_into(self.pending(), &mut report);
        let slowest = report.leaves.into_iter().max_by_key(|leaf| leaf.buffered.bytes);
        if let Some(water) = self.water_mut() {
            water.rise(slowest.map(|leaf| (leaf.service, leaf.endpoint)), bytes as u64);
        }
    }

    /// Something has left the buffer: notes if that reaches the low mark.
    pub(super) fn fall(&mut self) {
        let bytes = self.store.len();
        if let Some(water) = self.water_mut()
            && water.is_above
            && bytes <= water.low
        {
            water.fall(bytes as u64);
        }
    }
}
