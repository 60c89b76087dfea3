//! One stack for many producers.

mod chaos;
mod closing;
mod driving;
mod failing;
mod feeding;
mod sockets;
mod support;
