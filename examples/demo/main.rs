//! The whole of it on one machine: an adapter, two strategies, and a `kill -9` in mid-stream.
//!
//! ```text
//! cargo run --release --example demo
//! ```
//!
//! starts this program again in three roles. The **adapter** starts first, when nobody is there to
//! listen; it reads a services.toml and sends every message to `market_data`, a fan-out over a TCP
//! and a unix socket. The two **strategies** start late and in the wrong order. One of them hangs
//! in mid-stream, is killed and started again. Then it adds up what was sent and what arrived, and
//! says whether the guarantees held: nothing duplicated, reordered or torn, and nothing lost but a
//! suffix of what was written on the connection that died.
//!
//! To read it as an example of the library, begin with `adapter.rs` (the sending side) and
//! `strategy.rs` (the receiving side); the others start processes, make input and check.

#![allow(unreachable_pub, reason = "nothing of a program is reachable; plain `pub` reads better")]

mod adapter;
mod args;
mod check;
mod input;
mod message;
mod process;
mod protocol;
mod scenario;
mod services;
mod strategy;
mod summary;

use std::error::Error;
use std::process::ExitCode;

use crate::args::{Args, Role};

fn main() -> ExitCode {
    let args = match Args::from_env() {
        Ok(args) => args,
        Err(complaint) => {
            eprintln!("demo: {complaint}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays the role that the arguments ask for; false when a guarantee did not hold.
fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    match &args.role {
        Role::Help => print!("{}", args::HELP),
        Role::Adapter { services } => adapter::run(services, &args.options)?,
        Role::Strategy { endpoint } => strategy::run(endpoint)?,
        Role::Parent => {
            let summary = scenario::play(&args.options)?;
            summary.print();
            if args.options.json {
                println!("{}", serde_json::to_string(&summary)?);
            }
            return Ok(summary.ok);
        }
    }
    Ok(true)
}
