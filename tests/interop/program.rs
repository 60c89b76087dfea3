//! Programs on the other end: a few lines of Python, socat, netcat.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use torq_message_sink::{LengthPrefixed, MessageSink, NewlineDelimited, TcpSink, UnixSink};

use crate::message::{BINARY, MESSAGES, TEXT};
use crate::process::Process;
use crate::sender::{close, notice, send, sink};

#[tokio::test]
async fn fifteen_lines_of_python_read_all() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/receivers/reader.py");
    let Some(mut reader) = Process::start(Command::new("python3").arg(path)) else { return };
    let port = reader.line().await;
    let link = TcpSink::new(format!("127.0.0.1:{port}")).expect("an address");
    let mut sink = sink(link, LengthPrefixed::new());
    let sending = async {
        send(&mut sink, 0..MESSAGES / 2, BINARY).await;
        sink.disconnect().await.expect("asleep");
        send(&mut sink, MESSAGES / 2..MESSAGES, BINARY).await;
        close(&mut sink).await;
    };
    tokio::join!(sending, reader.reads(0..MESSAGES));
}

#[tokio::test]
async fn socat_reads_all_lines_over_tcp() {
    let mut socat = Command::new("socat");
    socat.args(["-d", "-d", "-u", "TCP-LISTEN:0,bind=127.0.0.1", "STDOUT"]);
    let Some(mut receiver) = Process::start(socat.stderr(Stdio::piped())) else { return };
    // "... listening on AF=2 127.0.0.1:PORT"; it has more to say, and must have somewhere to.
    let mut notices = BufReader::new(receiver.errors()).lines().map(|line| line.expect("text"));
    let listening = notices.find(|line| line.contains("listening")).expect("a notice");
    let address = listening.rsplit(' ').next().expect("an address");
    let mut sink = sink(TcpSink::new(address).expect("an address"), NewlineDelimited::new());
    let sending = async {
        send(&mut sink, 0..MESSAGES, TEXT).await;
        close(&mut sink).await;
    };
    tokio::join!(sending, receiver.reads(0..MESSAGES));
}

#[tokio::test]
async fn socat_that_is_started_again_misses_no_line() {
    restarted_program_misses_no_line(|path| {
        let mut socat = Command::new("socat");
        socat.arg("-u").arg(format!("UNIX-LISTEN:{}", path.display())).arg("STDOUT");
        socat
    })
    .await;
}

#[tokio::test]
async fn netcat_that_is_started_again_misses_no_line() {
    restarted_program_misses_no_line(|path| {
        let mut netcat = Command::new("nc");
        netcat.arg("-dlU").arg(path);
        netcat
    })
    .await;
}

/// The program is killed when it has half of the lines, and started again when the sink knows.
async fn restarted_program_misses_no_line(command: impl Fn(&Path) -> Command) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("receiver.sock");
    let Some(mut receiver) = Process::start(&mut command(&path)) else { return };
    let mut sink = sink(UnixSink::new(&path).expect("a path"), NewlineDelimited::new());
    let (first, second) = (0..MESSAGES / 2, MESSAGES / 2..MESSAGES);
    tokio::join!(send(&mut sink, first.clone(), TEXT), receiver.reads(first));
    drop(receiver);
    std::fs::remove_file(&path).expect("left behind by the process");
    notice(&mut sink).await;
    let mut receiver = Process::start(&mut command(&path)).expect("installed");
    let sending = async {
        send(&mut sink, second.clone(), TEXT).await;
        close(&mut sink).await;
    };
    tokio::join!(sending, receiver.reads(second.clone()));
}
