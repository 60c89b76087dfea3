//! The round-robin over links: what each receiver gets, whose turn it is, and who is passed over.
//! That over whole sinks is in one_of_many.rs.

#[path = "../numbered/mod.rs"]
mod numbered;
mod receiver;
mod schedules;
mod sockets;
mod turns;
