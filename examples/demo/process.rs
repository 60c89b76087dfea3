//! Child processes: this program again, in another role, tied to the parent by three pipes.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use crate::protocol::Line;

/// What the parent hears.
#[derive(Debug)]
pub enum News {
    /// The process with that number said something.
    Said(usize, Line),
    /// It said something that is no line of the protocol.
    Babbled(usize, String),
    /// Its standard output has ended, all of which was heard before.
    Silent(usize),
    /// The user wants it to end.
    Interrupted,
}

/// A child process. It ends with its parent, however that ends: dropped, it is killed, and without
/// its parent it finds its standard input closed and exits.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: ChildStdin,
}

impl Process {
    /// Starts this program with other arguments; what it says goes to `news` under `number`.
    pub fn start(number: usize, words: Vec<OsString>, news: Sender<News>) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().expect("piped above");
        let stdout = child.stdout.take().expect("piped above");
        thread::spawn(move || listen(number, BufReader::new(stdout), &news));
        Ok(Self { child, stdin })
    }

    /// Tells it something.
    pub fn command(&mut self, command: &str) -> io::Result<()> {
        writeln!(self.stdin, "{command}")
    }

    /// `kill -9`; returns when it is dead.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Waits for its end; whether it ended well.
    pub fn wait(&mut self) -> io::Result<bool> {
        self.child.wait().map(|status| status.success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.kill();
    }
}

fn listen(number: usize, mut stdout: impl BufRead, news: &Sender<News>) {
    let mut text = String::new();
    // A killed process may leave half a line: that is not heard.
    while stdout.read_line(&mut text).is_ok_and(|_| text.ends_with('\n')) {
        let said = match serde_json::from_str(&text) {
            Ok(line) => News::Said(number, line),
            Err(_) => News::Babbled(number, text.trim_end().to_owned()),
        };
        if news.send(said).is_err() {
            return;
        }
        text.clear();
    }
    // Nobody listens when the parent is on its way out.
    let _ = news.send(News::Silent(number));
}

/// In a child: calls `each` for every command of the parent, and exits when there is no parent.
pub fn on_command(mut each: impl FnMut(&str) + Send + 'static) {
    thread::spawn(move || {
        for line in io::stdin().lines() {
            match line {
                Ok(line) => each(&line),
                Err(_) => break,
            }
        }
        std::process::exit(1);
    });
}

/// In the parent: ctrl-c and SIGTERM become news, so that it can clean up.
pub fn on_interrupt(news: Sender<News>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                pressed = tokio::signal::ctrl_c() => pressed?,
                _ = terminate.recv() => {}
            }
            let _ = news.send(News::Interrupted);
            io::Result::Ok(())
        })
    });
    Ok(())
}
