//! Composites: links over several links.

mod fanout;
mod set;

pub use self::fanout::Fanout;
pub use self::set::{LinkSet, VisitLink, VisitLinkMut};
