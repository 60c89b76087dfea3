//! Sets of whole sinks that hand back.

use smallvec::{Array, SmallVec};

use crate::composite::SinkSet;
use crate::sink::{HandBack, HandedBack};

/// A set of whole sinks that hand back what nobody has seen: as [`SinkSet`], of children that are
/// [`HandBack`] ([`Buffered`](crate::Buffered), [`Lazy`](crate::Lazy), [`Deadline`](crate::Deadline) or
/// [`Conflate`](crate::Conflate) around it, a [`Failover`](crate::Failover) of such).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of sinks that hand back",
    label = "a failover cannot be made of this",
    note = "what a failed sink has accepted goes to the next one, so each must be `HandBack`: \
            `Buffered`, `Lazy` around it, or a sink of your own that implements it"
)]
pub trait HandBackSet: SinkSet {
    /// Whether one of them says [`HandBack::MARKED`].
    const MARKED: bool;

    /// Calls `each` with what child `index` hands back; see [`HandBack::hand_back`].
    fn hand_back_of<E: FnMut(HandedBack<'_>)>(&mut self, index: usize, each: &mut E);
}

macro_rules! tuples {
    ($($($name:ident)+;)+) => {$(
        impl<$($name: HandBack),+> HandBackSet for ($($name,)+) {
            const MARKED: bool = false $(|| $name::MARKED)+;

            fn hand_back_of<Each: FnMut(HandedBack<'_>)>(&mut self, index: usize, each: &mut Each) {
                #[expect(non_snake_case, reason = "the children are named as their types")]
                let ($($name,)+) = self;
                let mut index = index.wrapping_add(1);
                $(
                    index = index.wrapping_sub(1);
                    if index == 0 {
                        $name.hand_back(each);
                    }
                )+
            }
        }
    )+};
}

tuples! {
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
    A B C D E F G H I;
    A B C D E F G H I J;
    A B C D E F G H I J K;
    A B C D E F G H I J K L;
}

macro_rules! slices {
    ($([$($generics:tt)*] $holder:ty: $child:ty;)+) => {$(
        impl<$($generics)*> HandBackSet for $holder {
            const MARKED: bool = <$child>::MARKED;

            fn hand_back_of<E: FnMut(HandedBack<'_>)>(&mut self, index: usize, each: &mut E) {
                if let Some(child) = self.get_mut(index) {
                    child.hand_back(each);
                }
            }
        }
    )+};
}

slices! {
    [T: HandBack, const N: usize] [T; N]: T;
    [T: HandBack] Vec<T>: T;
    [T: Array<Item: HandBack>] SmallVec<T>: T::Item;
}
