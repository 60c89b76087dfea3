//! A user's own closed set of stacks, by name: an enum, matched per message.

use crate::error::{ErrorKind, SinkError};
use crate::registry::nearest;

/// Declares an enum of stacks, one for each service that a program knows by name, which is a sink
/// by static dispatch.
///
/// Each variant says the service and the stack that its messages go through. `create(&factory,
/// name)` makes the one of that name, checked against the configuration as
/// [`create_typed`](crate::SinkFactory::create_typed) does, asleep; `NAMES` are the services in
/// their order; `service()` is the one that a sink belongs to. Everything else is
/// [`MessageSink`](crate::MessageSink).
///
/// A [`SinkStack`](crate::SinkStack) follows whatever the file says; these follow what the program
/// says, and the file has to agree. Stacks of any type that is [`FromService`](crate::FromService)
/// can be in the set, with layers of one's own around them.
///
/// # Errors
///
/// Of `create`: [`ErrorKind::UnknownService`](crate::ErrorKind::UnknownService) for a name that is
/// not in the set, with the nearest one that is, or for one that is not in the configuration;
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) where the configuration leads elsewhere than
/// the type, with both shapes. A name that stands twice in the set does not compile.
///
/// # Cost
///
/// Which stack it is, is asked per message: five instructions more than the stack alone (64 bytes,
/// three stacks; `benches/instr_known.rs`), and none where the program matches on the variant
/// itself and feeds what is in it. A sink is as large as the largest of the stacks. Each variant is
/// a copy of the append and the flush path in the program.
///
/// # Examples
///
/// ```
/// use torq_message_sink::{
///     Buffered, Fanout, Lazy, MessageSink, SinkFactory, SinkState, TcpSink, UnixSink,
///     known_stacks,
/// };
///
/// known_stacks! {
///     /// The destinations of this adapter.
///     #[derive(Debug)]
///     pub enum Destination {
///         /// Quotes, to strategies and the relay.
///         MarketData("market_data"): Lazy<Buffered<Fanout<(TcpSink, UnixSink)>>>,
///         /// Orders, to one gateway.
///         Orders("orders"): Lazy<Buffered<TcpSink>>,
///     }
/// }
///
/// let factory = SinkFactory::from_str(
///     r#"
///     services.orders = { type = "direct", endpoint = "tcp://127.0.0.1:9001" }
///     services.relay = { type = "relay", endpoint = "unix:///run/torq/market_data.sock" }
///     [services.market_data]
///     type = "composite"
///     pattern = "fanout"
///     targets = ["orders", "relay"]
///     "#,
/// )?;
/// // All of them, so that what is wrong shows at the start.
/// let all = Destination::NAMES.iter().map(|name| Destination::create(&factory, name));
/// let sinks = all.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(sinks[1].service(), "orders");
/// assert_eq!(sinks[1].state(), SinkState::Asleep);
///
/// let error = Destination::create(&factory, "market_date").unwrap_err();
/// assert!(error.to_string().ends_with("did you mean `market_data`?"), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! known_stacks {
    (
        $(#[$outer:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$inner:meta])* $variant:ident($service:literal): $stack:ty),+ $(,)?
        }
    ) => {
        $(#[$outer])*
        #[must_use = "a sink does nothing unless it is fed"]
        // With a tag of its own, which is cheaper to tell apart than one that hides in a variant.
        #[repr(u8)]
        $visibility enum $name {
            $($(#[$inner])* $variant($stack),)+
        }

        const _: () = ::core::assert!(
            $crate::__known::are_distinct($name::NAMES),
            "a service stands twice in the set",
        );

        impl $name {
            /// The services of the set.
            $visibility const NAMES: &'static [&'static str] = &[$($service),+];

            /// The stack to the service of that name, asleep.
            ///
            /// # Errors
            ///
            /// The name is not in the set or not in the configuration, or that leads elsewhere than
            /// the type.
            $visibility fn create(
                factory: &$crate::SinkFactory,
                name: &str,
            ) -> ::core::result::Result<Self, $crate::SinkError> {
                match name {
                    $($service => factory.create_typed::<$stack>(name).map(Self::$variant),)+
                    _ => ::core::result::Result::Err($crate::__known::unknown(name, Self::NAMES)),
                }
            }

            /// The service that it leads to.
            $visibility const fn service(&self) -> &'static str {
                match self { $(Self::$variant(_) => $service,)+ }
            }
        }

        $crate::__sink_by_match!($name: $($variant)+);
    };
}

/// Makes a sink of an enum of sinks: each method matches, and calls the sink's.
#[doc(hidden)]
#[macro_export]
macro_rules! __sink_by_match {
    ($name:ident: $($variant:ident)+) => {
        impl $crate::MessageSink for $name {
            #[inline]
            fn try_feed<M: $crate::Encode + ?Sized>(
                &mut self,
                msg: &M,
            ) -> ::core::result::Result<(), $crate::TryFeedError> {
                match self { $(Self::$variant(sink) => sink.try_feed(msg),)+ }
            }

            #[inline]
            fn append<M: $crate::Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
                match self { $(Self::$variant(sink) => sink.append(msg, len),)+ }
            }

            #[inline]
            fn fits(&self, len: usize) -> bool {
                match self { $(Self::$variant(sink) => sink.fits(len),)+ }
            }

            #[inline]
            fn accepts<M: $crate::Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
                match self { $(Self::$variant(sink) => sink.accepts(msg, len),)+ }
            }

            #[inline]
            fn room(&self, len: usize) -> bool {
                match self { $(Self::$variant(sink) => sink.room(len),)+ }
            }

            #[inline]
            fn try_ready(
                &mut self,
                len: usize,
            ) -> ::core::result::Result<(), $crate::TryFeedError> {
                match self { $(Self::$variant(sink) => sink.try_ready(len),)+ }
            }

            #[inline]
            fn poll_ready(
                &mut self,
                cx: &mut ::core::task::Context<'_>,
                len: usize,
            ) -> ::core::task::Poll<::core::result::Result<(), $crate::SinkError>> {
                match self { $(Self::$variant(sink) => sink.poll_ready(cx, len),)+ }
            }

            #[inline]
            fn poll_feed<M: $crate::Encode + ?Sized>(
                &mut self,
                cx: &mut ::core::task::Context<'_>,
                msg: &M,
            ) -> ::core::task::Poll<::core::result::Result<(), $crate::SinkError>> {
                match self { $(Self::$variant(sink) => sink.poll_feed(cx, msg),)+ }
            }

            #[inline]
            fn poll_flush(
                &mut self,
                cx: &mut ::core::task::Context<'_>,
            ) -> ::core::task::Poll<::core::result::Result<(), $crate::SinkError>> {
                match self { $(Self::$variant(sink) => sink.poll_flush(cx),)+ }
            }

            #[inline]
            fn poll_close(
                &mut self,
                cx: &mut ::core::task::Context<'_>,
            ) -> ::core::task::Poll<::core::result::Result<(), $crate::SinkError>> {
                match self { $(Self::$variant(sink) => sink.poll_close(cx),)+ }
            }

            #[inline]
            fn poll_disconnect(
                &mut self,
                cx: &mut ::core::task::Context<'_>,
            ) -> ::core::task::Poll<::core::result::Result<(), $crate::SinkError>> {
                match self { $(Self::$variant(sink) => sink.poll_disconnect(cx),)+ }
            }

            #[inline]
            fn poll_connect(
                &mut self,
                cx: &mut ::core::task::Context<'_>,
            ) -> ::core::task::Poll<::core::result::Result<(), $crate::SinkError>> {
                match self { $(Self::$variant(sink) => sink.poll_connect(cx),)+ }
            }

            fn hurry(&mut self) {
                match self { $(Self::$variant(sink) => sink.hurry(),)+ }
            }

            fn end(&mut self, end: $crate::End) {
                match self { $(Self::$variant(sink) => sink.end(end),)+ }
            }

            fn state(&self) -> $crate::SinkState {
                match self { $(Self::$variant(sink) => sink.state(),)+ }
            }

            fn is_connected(&self) -> bool {
                match self { $(Self::$variant(sink) => sink.is_connected(),)+ }
            }

            fn accepted_bytes(&self) -> u64 {
                match self { $(Self::$variant(sink) => sink.accepted_bytes(),)+ }
            }

            #[inline]
            fn outstanding_bytes(&self) -> u64 {
                match self { $(Self::$variant(sink) => sink.outstanding_bytes(),)+ }
            }

            fn report_into(&self, report: &mut $crate::Report) {
                match self { $(Self::$variant(sink) => sink.report_into(report),)+ }
            }

            fn take_events<E: ::core::ops::FnMut($crate::Event)>(&mut self, each: &mut E) {
                match self { $(Self::$variant(sink) => sink.take_events(each),)+ }
            }

            fn set_policy(&mut self, policy: &::std::sync::Arc<$crate::LazyPolicy>) {
                match self { $(Self::$variant(sink) => sink.set_policy(policy),)+ }
            }

            fn due(&self) -> ::core::option::Option<::std::time::Instant> {
                match self { $(Self::$variant(sink) => sink.due(),)+ }
            }

            fn close_deadline(&self) -> ::core::time::Duration {
                match self { $(Self::$variant(sink) => sink.close_deadline(),)+ }
            }
        }
    };
}

/// Why a name has no stack in a set.
#[cold]
#[must_use]
pub fn unknown(name: &str, names: &[&str]) -> SinkError {
    let help = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let known: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("this program knows {}", known.join(", "))
        }
    };
    SinkError::new(ErrorKind::UnknownService).with_service(name).with_help(help)
}

/// Whether no name stands twice; at compile time.
#[must_use]
pub const fn are_distinct(names: &[&str]) -> bool {
    let mut at = 0;
    while at < names.len() {
        let mut other = 0;
        while other < at {
            if is_same(names[at].as_bytes(), names[other].as_bytes()) {
                return false;
            }
            other += 1;
        }
        at += 1;
    }
    true
}

const fn is_same(left: &[u8], right: &[u8]) -> bool {
    let mut same = left.len() == right.len();
    let mut at = 0;
    while same && at < left.len() {
        same = left[at] == right[at];
        at += 1;
    }
    same
}
