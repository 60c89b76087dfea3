//! The layers that decide which messages are still worth sending, and which first.

mod conflate;
mod deadline;
mod lanes;
mod model;
