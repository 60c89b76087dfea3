//! A receiver that is a process.

use std::io::ErrorKind;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, Command, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;

use crate::message::TEXT;

/// A process whose output is read line by line; ended when this goes.
pub(crate) struct Process {
    child: Child,
    output: Lines<BufReader<pipe::Receiver>>,
}

impl Process {
    /// Starts a program, unless it is not installed.
    ///
    /// # Panics
    ///
    /// When it is not installed although the environment says that it is.
    pub(crate) fn start(command: &mut Command) -> Option<Self> {
        let mut child = match command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let all = std::env::var("INTEROP_RECEIVERS").is_ok_and(|which| which == "all");
                assert!(!all, "{command:?}: not installed");
                return None;
            }
            spawned => spawned.expect("started"),
        };
        let output = OwnedFd::from(child.stdout.take().expect("piped"));
        let output = pipe::Receiver::from_owned_fd(output).expect("a pipe");
        Some(Self { child, output: BufReader::new(output).lines() })
    }

    /// What it says besides, where that is piped.
    pub(crate) fn errors(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("piped")
    }

    pub(crate) async fn line(&mut self) -> String {
        self.output.next_line().await.expect("read").expect("the process goes on")
    }

    /// Reads the numbers that are due, a message in hex digits on each line.
    pub(crate) async fn reads(&mut self, numbers: Range<u64>) {
        for due in numbers {
            assert_eq!((TEXT.number)(self.line().await.as_bytes()), due);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
