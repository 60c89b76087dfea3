//! Several links of different types as one: visited one by one, without `dyn`.

use smallvec::{Array, SmallVec};

use crate::link::Link;

/// A set of links: a tuple of two to twelve, an array, or a `Vec` or `SmallVec` of one type.
///
/// Tuples mix types; each link is visited with its own type, so the code is as direct as if it was
/// written out.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of links",
    label = "a composite of links cannot be made of this",
    note = "write the links as a tuple of two to twelve, as in `Fanout::new((tcp, unix))`, or as \
            an array or `Vec` of links of one type",
    note = "a whole sink (`Lazy`, `Buffered`) is not a link: buffer above the composite, once"
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

macro_rules! link_set_for_tuple {
    ($($link:ident)+) => {
        impl<$($link: Link),+> LinkSet for ($($link,)+) {
            #[inline]
            fn visit<Visitor: VisitLink>(&self, visitor: &mut Visitor) {
                #[expect(non_snake_case, reason = "the links are named as their types")]
                let ($($link,)+) = self;
                $(visitor.visit($link);)+
            }

            #[inline]
            fn visit_mut<Visitor: VisitLinkMut>(&mut self, visitor: &mut Visitor) {
                #[expect(non_snake_case, reason = "the links are named as their types")]
                let ($($link,)+) = self;
                $(visitor.visit($link);)+
            }
        }
    };
}

link_set_for_tuple!(A B);
link_set_for_tuple!(A B C);
link_set_for_tuple!(A B C D);
link_set_for_tuple!(A B C D E);
link_set_for_tuple!(A B C D E F);
link_set_for_tuple!(A B C D E F G);
link_set_for_tuple!(A B C D E F G H);
link_set_for_tuple!(A B C D E F G H I);
link_set_for_tuple!(A B C D E F G H I J);
link_set_for_tuple!(A B C D E F G H I J K);
link_set_for_tuple!(A B C D E F G H I J K L);

macro_rules! link_set_for_slice {
    ([$($generics:tt)*] $set:ty) => {
        impl<$($generics)*> LinkSet for $set {
            #[inline]
            fn visit<V: VisitLink>(&self, visitor: &mut V) {
                self.iter().for_each(|link| visitor.visit(link));
            }

            #[inline]
            fn visit_mut<V: VisitLinkMut>(&mut self, visitor: &mut V) {
                self.iter_mut().for_each(|link| visitor.visit(link));
            }
        }
    };
}

link_set_for_slice!([T: Link, const N: usize] [T; N]);
link_set_for_slice!([T: Link] Vec<T>);
link_set_for_slice!([T: Array<Item: Link>] SmallVec<T>);
