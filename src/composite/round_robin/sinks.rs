//! The round-robin over whole sinks: each message to one child, in turn.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::RoundRobin;
use crate::composite::SinkSet;
use crate::composite::each::each_child;
use crate::composite::pick::{self, any_child};
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, MessageSink, Report, SinkState};

impl<T: SinkSet> MessageSink for RoundRobin<T> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.append(msg, len) {
            return Ok(());
        }
        let promised = std::mem::take(&mut self.promised);
        let (index, children) = pick::feed(&mut self.children, self.next, msg, len, promised)?;
        self.count(index, children);
        Ok(())
    }

    /// Only by the child whose turn it is, and only if that is connected.
    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let Some(children) = pick::append(&mut self.children, self.next, msg, len) else {
            return false;
        };
        self.count(self.next, children);
        true
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        pick::fits(&self.children, self.next, len)
    }

    any_child! { room try_ready poll_ready poll_connect state is_connected }

    each_child! {
        accepts poll_flush poll_close poll_disconnect hurry end accepted_bytes outstanding_bytes
        report_into take_events set_policy due close_deadline
    }
}
