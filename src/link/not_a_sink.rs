//! What the compiler says to those who take a link for a sink.

/// Gives a link the methods that feed a sink. None can be called, since no link is a sink; but the
/// compiler finds them, and says that a buffer is missing. Without them it finds nothing, and
/// guesses at methods with similar names.
macro_rules! not_a_sink {
    ([$($generics:tt)*] $link:ty) => {
        #[doc(hidden)]
        impl<$($generics)*> $link {
            pub fn try_feed<M: $crate::Encode + ?Sized>(
                &mut self,
                msg: &M,
            ) -> Result<(), $crate::TryFeedError>
            where
                Self: $crate::MessageSink,
            {
                $crate::MessageSink::try_feed(self, msg)
            }

            pub fn feed<'a, M: $crate::Encode + ?Sized>(
                &'a mut self,
                msg: &'a M,
            ) -> $crate::future::Feed<'a, Self, M>
            where
                Self: $crate::MessageSink,
            {
                $crate::MessageSink::feed(self, msg)
            }

            pub fn send<'a, M: $crate::Encode + ?Sized>(
                &'a mut self,
                msg: &'a M,
            ) -> $crate::future::Send<'a, Self, M>
            where
                Self: $crate::MessageSink,
            {
                $crate::MessageSink::send(self, msg)
            }

            pub fn send_batch<I: IntoIterator<Item: $crate::Encode>>(
                &mut self,
                msgs: I,
            ) -> $crate::future::SendBatch<'_, Self, I::IntoIter>
            where
                Self: $crate::MessageSink,
            {
                $crate::MessageSink::send_batch(self, msgs)
            }
        }
    };
}
pub(crate) use not_a_sink;

use crate::link::{Connect, StreamLink};

not_a_sink!([C: Connect] StreamLink<C>);
