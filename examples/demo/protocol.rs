//! What the processes tell the parent: one JSON object a line, on their standard output.

use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::check::{Connection, Leaf};

/// One line.
#[derive(Debug, Deserialize, Serialize)]
pub enum Line {
    // The adapter's.
    /// The input was read.
    Input {
        messages: u64,
        payload_bytes: u64,
    },
    /// All targets have refused a connection.
    NobodyThere,
    /// Messages fed so far; now and then, as a sign of life.
    Fed(u64),
    /// A connection was made, or has ended (then it has an end).
    Connection {
        service: String,
        connection: Connection,
    },
    /// The conservation law did not hold.
    LawBroken(String),
    /// For a while there has been no room for the next message, or no end of a flush.
    Stalled,
    /// The first half is flushed; it goes on at the parent's word.
    Half,
    /// All is flushed and closed.
    Done {
        seconds: f64,
        law_checks: u64,
        leaves: Vec<Leaf>,
    },

    // A strategy's.
    Listening,
    /// A connection was accepted.
    Accepted,
    /// Messages came, whole and with sequence numbers from the first to the last without a gap.
    Run(u64, u64),
    /// Something else came.
    Torn,
    /// A connection ended inside a frame, where the given message should have come next (if any
    /// came before).
    Cut(Option<u64>),
}

/// What the parent tells a process, as one line on its standard input.
pub mod command {
    /// To the adapter: send the second half.
    pub const GO_ON: &str = "go on";
    /// To a strategy: stop reading, as a program does that hangs.
    pub const HANG: &str = "hang";
    /// To a strategy: read what has been sent, then end.
    pub const FINISH: &str = "finish";
}

/// Tells the parent.
pub fn say(line: &Line) {
    let mut text = serde_json::to_string(line).expect("numbers and texts only");
    text.push('\n');
    // In one write, so that a kill does not leave half a line. If nobody listens any more, the
    // end of the standard input ends this process.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
