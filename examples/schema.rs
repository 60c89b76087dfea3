//! Prints the JSON Schema of services.toml:
//! `cargo run --features schema --example schema > docs/services.schema.json`.

use torq_message_sink::Registry;

fn main() {
    print!("{}", Registry::json_schema());
}
