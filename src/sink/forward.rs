//! Forwarding, method by method: layers name what they pass on, and write out what they change.

/// Within `impl MessageSink` of a layer, defines the named methods as calls of the same method of
/// the sink in a field: `forward_sink! { inner: try_feed append room ... }`.
///
/// Name every method of [`MessageSink`](crate::MessageSink) that has no body of its own there,
/// except the ones that make futures: a forgotten one falls back to the default of a sink without a
/// connection. A layer that changes `poll_ready` leaves out `poll_feed`, whose default asks it.
///
/// # Examples
///
/// A layer that lets no message in for which it would have to wait:
///
/// ```
/// use std::task::{Context, Poll};
/// use torq_message_sink::{ErrorKind, MessageSink, SinkError, forward_sink};
///
/// struct Impatient<S> {
///     inner: S,
/// }
///
/// impl<S: MessageSink> MessageSink for Impatient<S> {
///     fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
///         match self.inner.poll_ready(cx, len) {
///             Poll::Pending => Poll::Ready(Err(ErrorKind::Full.into())),
///             ready => ready,
///         }
///     }
///
///     forward_sink! { inner:
///         try_feed append fits accepts room try_ready poll_flush poll_close poll_disconnect
///         poll_connect hurry end state is_connected accepted_bytes outstanding_bytes report_into
///         take_events set_policy due close_deadline
///     }
/// }
/// ```
#[macro_export]
macro_rules! forward_sink {
    ($inner:tt: $($method:ident)+) => { $($crate::forward_sink!(@$method $inner);)+ };
    (@try_feed $inner:tt) => {
        #[inline]
        fn try_feed<M: $crate::Encode + ?Sized>(
            &mut self,
            msg: &M,
        ) -> Result<(), $crate::TryFeedError> {
            $crate::forward_sink!(@inner self $inner).try_feed(msg)
        }
    };
    (@append $inner:tt) => {
        #[inline]
        fn append<M: $crate::Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
            $crate::forward_sink!(@inner self $inner).append(msg, len)
        }
    };
    (@fits $inner:tt) => {
        #[inline]
        fn fits(&self, len: usize) -> bool {
            $crate::forward_sink!(@inner self $inner).fits(len)
        }
    };
    (@accepts $inner:tt) => {
        #[inline]
        fn accepts<M: $crate::Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
            $crate::forward_sink!(@inner self $inner).accepts(msg, len)
        }
    };
    (@room $inner:tt) => {
        #[inline]
        fn room(&self, len: usize) -> bool {
            $crate::forward_sink!(@inner self $inner).room(len)
        }
    };
    (@inner $self:ident *) => { (**$self) };
    (@inner $self:ident $inner:tt) => { $self.$inner };
    (@poll_feed $inner:tt) => {
        #[inline]
        fn poll_feed<M: $crate::Encode + ?Sized>(
            &mut self,
            cx: &mut std::task::Context<'_>,
            msg: &M,
        ) -> std::task::Poll<Result<(), $crate::SinkError>> {
            $crate::forward_sink!(@inner self $inner).poll_feed(cx, msg)
        }
    };
    (@try_ready $inner:tt) => {
        #[inline]
        fn try_ready(&mut self, len: usize) -> Result<(), $crate::TryFeedError> {
            $crate::forward_sink!(@inner self $inner).try_ready(len)
        }
    };
    (@poll_ready $inner:tt) => {
        #[inline]
        fn poll_ready(
            &mut self,
            cx: &mut std::task::Context<'_>,
            len: usize,
        ) -> std::task::Poll<Result<(), $crate::SinkError>> {
            $crate::forward_sink!(@inner self $inner).poll_ready(cx, len)
        }
    };
    (@poll_flush $inner:tt) => { $crate::forward_sink!(@@ poll_flush $inner); };
    (@poll_close $inner:tt) => { $crate::forward_sink!(@@ poll_close $inner); };
    (@poll_disconnect $inner:tt) => {
        $crate::forward_sink!(@@ poll_disconnect $inner);
    };
    (@poll_connect $inner:tt) => { $crate::forward_sink!(@@ poll_connect $inner); };
    (@@ $poll:ident $inner:tt) => {
        #[inline]
        fn $poll(
            &mut self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), $crate::SinkError>> {
            $crate::forward_sink!(@inner self $inner).$poll(cx)
        }
    };
    (@hurry $inner:tt) => {
        fn hurry(&mut self) {
            $crate::forward_sink!(@inner self $inner).hurry();
        }
    };
    (@end $inner:tt) => {
        fn end(&mut self, end: $crate::End) {
            $crate::forward_sink!(@inner self $inner).end(end);
        }
    };
    (@state $inner:tt) => {
        fn state(&self) -> $crate::SinkState {
            $crate::forward_sink!(@inner self $inner).state()
        }
    };
    (@is_connected $inner:tt) => {
        fn is_connected(&self) -> bool {
            $crate::forward_sink!(@inner self $inner).is_connected()
        }
    };
    (@accepted_bytes $inner:tt) => {
        fn accepted_bytes(&self) -> u64 {
            $crate::forward_sink!(@inner self $inner).accepted_bytes()
        }
    };
    (@outstanding_bytes $inner:tt) => {
        #[inline]
        fn outstanding_bytes(&self) -> u64 {
            $crate::forward_sink!(@inner self $inner).outstanding_bytes()
        }
    };
    (@report_into $inner:tt) => {
        fn report_into(&self, report: &mut $crate::Report) {
            $crate::forward_sink!(@inner self $inner).report_into(report);
        }
    };
    (@take_events $inner:tt) => {
        fn take_events<E: FnMut($crate::Event)>(&mut self, each: &mut E) {
            $crate::forward_sink!(@inner self $inner).take_events(each);
        }
    };
    (@set_policy $inner:tt) => {
        fn set_policy(&mut self, policy: &std::sync::Arc<$crate::LazyPolicy>) {
            $crate::forward_sink!(@inner self $inner).set_policy(policy);
        }
    };
    (@due $inner:tt) => {
        fn due(&self) -> Option<std::time::Instant> {
            $crate::forward_sink!(@inner self $inner).due()
        }
    };
    (@close_deadline $inner:tt) => {
        fn close_deadline(&self) -> std::time::Duration {
            $crate::forward_sink!(@inner self $inner).close_deadline()
        }
    };
}

use crate::sink::MessageSink;

/// Makes a pointer to a sink a sink.
macro_rules! sink_by_pointer {
    ($($pointer:ty),*) => {
        $(impl<S: MessageSink + ?Sized> MessageSink for $pointer {
            forward_sink! { *:
                try_feed append fits accepts room try_ready poll_ready poll_feed poll_flush
                poll_close poll_disconnect poll_connect hurry end state is_connected accepted_bytes
                outstanding_bytes report_into take_events set_policy due close_deadline
            }
        })*
    };
}

sink_by_pointer!(&mut S, Box<S>);
