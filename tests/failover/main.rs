//! The failover, over links and over whole sinks: what each receiver gets, and by which rules the
//! target changes.

mod fresh;
#[path = "../numbered/mod.rs"]
mod numbered;
mod rules;
mod schedules;
mod sockets;
mod target;
