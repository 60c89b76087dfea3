//! The model: random operations on random stacks over links that misbehave, against a byte log as
//! the truth.

mod drive;
mod ending;
mod feeding;
mod log;
mod receiver;
mod sequence;
mod stacks;
mod stream;
mod world;

pub(crate) use self::stacks::run;
