//! Any stack as one type, so that the model is compiled once and not once per stack.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use torq_message_sink::{
    Encode, End, Event, LazyPolicy, MessageSink, Report, SinkError, SinkState, TryFeedError,
    forward_sink,
};

use super::message::Message;

/// A stack of any type. It forwards every call; messages are encoded on the way.
pub(super) struct AnySink(Box<dyn Erased>);

impl AnySink {
    pub(super) fn new(sink: impl MessageSink + 'static) -> Self {
        Self(Box::new(sink))
    }

    /// The stack's type.
    pub(super) fn name(&self) -> &'static str {
        self.0.name()
    }
}

impl MessageSink for AnySink {
    forward_sink! { 0:
        fits room try_ready poll_ready poll_flush poll_close poll_disconnect poll_connect hurry end
        state is_connected accepted_bytes outstanding_bytes report_into set_policy close_deadline
    }

    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        self.0.try_feed(&Message::copy_of(msg))
    }

    fn append<M: Encode + ?Sized>(&mut self, msg: &M, _: usize) -> bool {
        self.0.append(&Message::copy_of(msg))
    }

    fn accepts<M: Encode + ?Sized>(&mut self, msg: &M, _: usize) -> bool {
        self.0.accepts(&Message::copy_of(msg))
    }

    fn poll_feed<M: Encode + ?Sized>(&mut self, cx: &mut Context<'_>, msg: &M) -> Done {
        self.0.poll_feed(cx, &Message::copy_of(msg))
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.0.take_events(each);
    }
}

type Done = Poll<Result<(), SinkError>>;

/// `MessageSink` without its type parameters.
trait Erased {
    fn name(&self) -> &'static str;
    fn try_feed(&mut self, msg: &Message) -> Result<(), TryFeedError>;
    fn append(&mut self, msg: &Message) -> bool;
    fn accepts(&mut self, msg: &Message) -> bool;
    fn fits(&self, len: usize) -> bool;
    fn poll_feed(&mut self, cx: &mut Context<'_>, msg: &Message) -> Done;
    fn take_events(&mut self, each: &mut dyn FnMut(Event));
    fn room(&self, len: usize) -> bool;
    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError>;
    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Done;
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Done;
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Done;
    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Done;
    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Done;
    fn hurry(&mut self);
    fn end(&mut self, end: End);
    fn state(&self) -> SinkState;
    fn is_connected(&self) -> bool;
    fn accepted_bytes(&self) -> u64;
    fn outstanding_bytes(&self) -> u64;
    fn report_into(&self, report: &mut Report);
    fn set_policy(&mut self, policy: &Arc<LazyPolicy>);
    fn close_deadline(&self) -> Duration;
}

#[rustfmt::skip]
impl<S: MessageSink> Erased for S {
    fn name(&self) -> &'static str { std::any::type_name::<S>() }
    fn try_feed(&mut self, msg: &Message) -> Result<(), TryFeedError> { self.try_feed(msg) }
    fn append(&mut self, msg: &Message) -> bool { self.append(msg, msg.len()) }
    fn accepts(&mut self, msg: &Message) -> bool { self.accepts(msg, msg.len()) }
    fn fits(&self, len: usize) -> bool { self.fits(len) }
    fn poll_feed(&mut self, cx: &mut Context<'_>, msg: &Message) -> Done { self.poll_feed(cx, msg) }
    fn take_events(&mut self, mut each: &mut dyn FnMut(Event)) { self.take_events(&mut each); }
    fn room(&self, len: usize) -> bool { self.room(len) }
    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> { self.try_ready(len) }
    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Done { self.poll_ready(cx, len) }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Done { self.poll_flush(cx) }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Done { self.poll_close(cx) }
    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Done { self.poll_disconnect(cx) }
    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Done { self.poll_connect(cx) }
    fn hurry(&mut self) { self.hurry(); }
    fn end(&mut self, end: End) { self.end(end); }
    fn state(&self) -> SinkState { self.state() }
    fn is_connected(&self) -> bool { self.is_connected() }
    fn accepted_bytes(&self) -> u64 { self.accepted_bytes() }
    fn outstanding_bytes(&self) -> u64 { self.outstanding_bytes() }
    fn report_into(&self, report: &mut Report) { self.report_into(report); }
    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) { self.set_policy(policy); }
    fn close_deadline(&self) -> Duration { self.close_deadline() }
}
