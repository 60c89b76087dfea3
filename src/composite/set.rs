//! Several links, or several sinks, of different types as one: visited one by one, without `dyn`.

use smallvec::{Array, SmallVec};

use crate::link::Link;
use crate::sink::MessageSink;

/// A set of links: a tuple of two to twelve, an array, or a `Vec` or `SmallVec` of one type.
///
/// Tuples mix types; each link is visited with its own type, so the code is as direct as if it was
/// written out.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of links",
    label = "a composite of links cannot be made of this",
    note = "write the links as a tuple of two to twelve, as in `Fanout::new((tcp, unix))`, or as \
            an array or `Vec` of links of one type",
    note = "a single link needs no composite; more than twelve fit a `Vec`, or composites of \
            composites"
)]
pub trait LinkSet {
    /// Visits every link, in order.
    fn visit<V: VisitLink>(&self, visitor: &mut V);

    /// Visits every link, in order, to change it.
    fn visit_mut<V: VisitLinkMut>(&mut self, visitor: &mut V);
}

/// What is done with each link of a set.
pub trait VisitLink {
    /// Visits one link.
    fn visit<L: Link>(&mut self, link: &L);
}

/// What is done with each link of a set, when it changes the link.
pub trait VisitLinkMut {
    /// Visits one link.
    fn visit<L: Link>(&mut self, link: &mut L);
}

/// A set of whole sinks: a tuple of two to twelve, an array, or a `Vec` or `SmallVec` of one type.
///
/// As [`LinkSet`], for composites whose children have a buffer each.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of sinks",
    label = "a composite of sinks cannot be made of this",
    note = "write the sinks as a tuple of two to twelve, as in `Fanout::new((one, other))`, or as \
            an array or `Vec` of sinks of one type",
    note = "a single sink needs no composite; more than twelve fit a `Vec`, or composites of \
            composites"
)]
pub trait SinkSet {
    /// Visits every sink, in order.
    fn visit<V: VisitSink>(&self, visitor: &mut V);

    /// Visits every sink, in order, to change it.
    fn visit_mut<V: VisitSinkMut>(&mut self, visitor: &mut V);
}

/// What is done with each sink of a set.
pub trait VisitSink {
    /// Visits one sink.
    fn visit<S: MessageSink>(&mut self, sink: &S);
}

/// What is done with each sink of a set, when it changes the sink.
pub trait VisitSinkMut {
    /// Visits one sink.
    fn visit<S: MessageSink>(&mut self, sink: &mut S);
}

/// Makes sets of one kind of child of everything that can hold several.
macro_rules! sets {
    ($set:ident of $child:ident, $visit:ident, $visit_mut:ident) => {
        sets!(@tuple $set $child $visit $visit_mut: A B);
        sets!(@tuple $set $child $visit $visit_mut: A B C);
        sets!(@tuple $set $child $visit $visit_mut: A B C D);
        sets!(@tuple $set $child $visit $visit_mut: A B C D E);
        sets!(@tuple $set $child $visit $visit_mut: A B C D E F);
        sets!(@tuple $set $child $visit $visit_mut: A B C D E F G);
        sets!(@tuple $set $child $visit $visit_mut: A B C D E F G H);
        sets!(@tuple $set $child $visit $visit_mut: A B C D E F G H I);
        sets!(@tuple $set $child $visit $visit_mut: A B C D E F G H I J);
        sets!(@tuple $set $child $visit $visit_mut: A B C D E F G H I J K);
        sets!(@tuple $set $child $visit $visit_mut: A B C D E F G H I J K L);
        sets!(@slice $set $visit $visit_mut: [T: $child, const N: usize] [T; N]);
        sets!(@slice $set $visit $visit_mut: [T: $child] Vec<T>);
        sets!(@slice $set $visit $visit_mut: [T: Array<Item: $child>] SmallVec<T>);
    };
    (@tuple $set:ident $child:ident $visit:ident $visit_mut:ident: $($name:ident)+) => {
        impl<$($name: $child),+> $set for ($($name,)+) {
            #[inline(always)]
            fn visit<Visitor: $visit>(&self, visitor: &mut Visitor) {
                #[expect(non_snake_case, reason = "the children are named as their types")]
                let ($($name,)+) = self;
                $(visitor.visit($name);)+
            }

            #[inline(always)]
            fn visit_mut<Visitor: $visit_mut>(&mut self, visitor: &mut Visitor) {
                #[expect(non_snake_case, reason = "the children are named as their types")]
                let ($($name,)+) = self;
                $(visitor.visit($name);)+
            }
        }
    };
    (@slice $set:ident $visit:ident $visit_mut:ident: [$($generics:tt)*] $holder:ty) => {
        impl<$($generics)*> $set for $holder {
            #[inline]
            fn visit<V: $visit>(&self, visitor: &mut V) {
                self.iter().for_each(|child| visitor.visit(child));
            }

            #[inline]
            fn visit_mut<V: $visit_mut>(&mut self, visitor: &mut V) {
                self.iter_mut().for_each(|child| visitor.visit(child));
            }
        }
    };
}

sets!(LinkSet of Link, VisitLink, VisitLinkMut);
sets!(SinkSet of MessageSink, VisitSink, VisitSinkMut);

/// Makes `nth` and `nth_mut` for sets of one kind of child.
macro_rules! nth {
    ($set:ident of $child:ident, $visit:ident, $visit_mut:ident) => {
        /// Asks child `index`; answers the visitor with what it has found.
        #[inline(always)]
        pub(super) fn nth<T: $set, V: $visit>(children: &T, index: usize, visitor: V) -> V {
            let mut nth = Nth { index, at: 0, visitor };
            children.visit(&mut nth);
            nth.visitor
        }

        /// As [`nth`], for what changes the child.
        #[inline(always)]
        pub(super) fn nth_mut<T: $set, V: $visit_mut>(
            children: &mut T,
            index: usize,
            visitor: V,
        ) -> V {
            let mut nth = Nth { index, at: 0, visitor };
            children.visit_mut(&mut nth);
            nth.visitor
        }

        struct Nth<V> {
            index: usize,
            at: usize,
            visitor: V,
        }

        impl<V: $visit> $visit for Nth<V> {
            #[inline(always)]
            fn visit<C: $child>(&mut self, child: &C) {
                if self.at == self.index {
                    self.visitor.visit(child);
                }
                self.at += 1;
            }
        }

        impl<V: $visit_mut> $visit_mut for Nth<V> {
            #[inline(always)]
            fn visit<C: $child>(&mut self, child: &mut C) {
                if self.at == self.index {
                    self.visitor.visit(child);
                }
                self.at += 1;
            }
        }
    };
}

pub(super) use nth;
