//! Composites: links over several links, and sinks over several sinks.

mod fanout;
mod set;

pub use self::fanout::Fanout;
pub use self::set::{LinkSet, SinkSet, VisitLink, VisitLinkMut, VisitSink, VisitSinkMut};
