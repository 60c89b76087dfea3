//! One stack for many producers.

mod chaos;
mod closing;
mod delay;
mod driving;
mod events;
mod failing;
mod feeding;
mod sockets;
mod support;
