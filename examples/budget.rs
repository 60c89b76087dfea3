//! What a services.toml takes at most, as a table: `cargo run --example budget -- services.toml`.

use std::env;
use std::process::ExitCode;

use torq_message_sink::Registry;

fn main() -> ExitCode {
    let path = env::args().nth(1).unwrap_or_else(|| "services.toml".to_owned());
    match Registry::from_path(path) {
        Ok(registry) => {
            println!("{}", registry.budget());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
