//! Three processes, an adapter and two receivers, started in every order; and one of them killed in
//! mid-stream. The processes are this very test, started again with a role.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use torq_message_sink::{
    Backoff, Buffered, Event, Fanout, Lazy, LazyPolicy, MessageSink, UnixSink,
};

const MESSAGES: u64 = 20_000;

/// Bytes of a message: its number, and as many bytes again as make it worth a frame.
const LEN: usize = 200;

#[test]
fn data_wakes_in_every_start_order() {
    const ORDERS: [[&str; 3]; 6] = [
        ["adapter", "a", "b"],
        ["adapter", "b", "a"],
        ["a", "adapter", "b"],
        ["b", "adapter", "a"],
        ["a", "b", "adapter"],
        ["b", "a", "adapter"],
    ];
    for order in ORDERS {
        let dir = tempfile::tempdir().expect("a directory");
        let mut processes: Vec<_> = order
            .into_iter()
            .map(|role| {
                let mut process = Process::start(role, dir.path());
                // The next one starts when this one says that it runs.
                process.wait_for("up");
                (role, process)
            })
            .collect();
        for (role, process) in &mut processes {
            let line = process.wait_for(if *role == "adapter" { "done" } else { "got" });
            match *role {
                "adapter" => assert!(line.contains("complete true"), "{order:?}: {line}"),
                _ => assert_eq!(line, format!("got 0 {MESSAGES} end"), "{order:?}"),
            }
        }
    }
}

#[test]
fn killed_receiver_misses_only_a_suffix_of_one_connection() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut killed = Process::start_with("a", dir.path(), ("STOP_AT", "5001"));
    let mut other = Process::start("b", dir.path());
    killed.wait_for("up");
    other.wait_for("up");
    let mut adapter = Process::start("adapter", dir.path());
    // It reads no further, so that it dies in mid-stream, with messages in its socket.
    killed.wait_for("some 5001");
    killed.child.kill().expect("killed");
    killed.child.wait().expect("dead");

    let mut again = Process::start("a", dir.path());
    let line = again.wait_for("got");
    let mut words = line.split(' ').skip(1).map(|word| word.parse::<u64>().unwrap_or(0));
    let (first, end) = (words.next().expect("first"), words.next().expect("end"));
    assert_eq!(end, MESSAGES, "the new process has everything to the end: {line}");
    assert!(first >= 5001, "nothing comes twice: {first}");
    assert_eq!(other.wait_for("got"), format!("got 0 {MESSAGES} end"), "the other misses nothing");
    let done = adapter.wait_for("done");
    assert!(done.contains("complete true"), "{done}");
    // The new process began where the adapter says that a connection of "a" began.
    assert!(done.contains(&format!(" a:{first};")), "{first} begins a connection: {done}");
}

/// What a process does; not a test of its own.
#[test]
fn role() {
    let Ok(role) = std::env::var("ROLE") else { return };
    let dir = std::env::var("ROLE_DIR").expect("a directory");
    let dir = Path::new(&dir);
    match role.as_str() {
        "adapter" => adapter(dir),
        name => receiver(dir, name),
    }
}

fn adapter(dir: &Path) {
    let soon = Duration::from_millis(5);
    let policy = LazyPolicy::new()
        .with_counting(true)
        .with_close_deadline(Duration::from_secs(60))
        .with_backoff(Backoff::new().with_initial(soon).with_max(soon));
    let link = |name| UnixSink::new(dir.join(name)).expect("a path").with_service(name);
    let stack = Buffered::with_capacity(Fanout::new((link("a"), link("b"))), 16 * 1024);
    let mut sink = Lazy::with_policy(stack, policy);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        say("up");
        let mut firsts = String::new();
        for number in 0..MESSAGES {
            sink.feed(&message(number)).await.expect("fed");
            if number % 100 == 0 || number == MESSAGES - 1 {
                sink.flush().await.expect("flushed");
            }
            sink.take_events(&mut |event| {
                if let Event::Connected { service, first, .. } = event {
                    let service = service.expect("named");
                    firsts += &format!(" {service}:{};", first.messages.expect("counted"));
                }
            });
        }
        let report = sink.close().await.expect("closed");
        for leaf in &report.leaves {
            assert_eq!(leaf.accepted.messages, Some(MESSAGES));
            assert_eq!(leaf.accepted.bytes, leaf.written.bytes + leaf.dropped.total().bytes);
        }
        say(&format!("done complete {}{firsts}", report.is_complete()));
    });
}

/// Reads connection after connection until the last message; every message must be the one that
/// is due, or, at a connection's beginning, a later one.
fn receiver(dir: &Path, name: &str) {
    let path = dir.join(name);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(path).expect("bound");
    say("up");
    let (mut first, mut due) = (None, 0);
    while due < MESSAGES {
        let mut stream = BufReader::new(listener.accept().expect("connected").0);
        let mut beginning = true;
        while let Some(number) = read_message(&mut stream) {
            let expected = if beginning { number >= due } else { number == due };
            assert!(expected, "{number} came, {due} was due");
            first.get_or_insert(number);
            (beginning, due) = (false, number + 1);
            if due % 1000 == 1 {
                say(&format!("some {due}"));
                while std::env::var("STOP_AT").is_ok_and(|stop| stop == due.to_string()) {
                    std::thread::park();
                }
            }
        }
    }
    say(&format!("got {} {due} end", first.expect("a message")));
}

fn message(number: u64) -> [u8; LEN] {
    let mut message = [number as u8; LEN];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}

/// The number of the next whole message; none at the end, also in mid-frame.
fn read_message(stream: &mut impl Read) -> Option<u64> {
    let (mut header, mut payload) = ([0; 4], [0; LEN]);
    stream.read_exact(&mut header).ok()?;
    assert_eq!(u32::from_be_bytes(header) as usize, LEN, "a frame is torn");
    stream.read_exact(&mut payload).ok()?;
    let number = u64::from_be_bytes(*payload.first_chunk().expect("eight bytes"));
    assert_eq!(payload, message(number), "a message is torn");
    Some(number)
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("said");
}

/// A process, ended when this goes.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(role: &str, dir: &Path) -> Self {
        Self::start_with(role, dir, ("ROLE", role))
    }

    fn start_with(role: &str, dir: &Path, (name, value): (&str, &str)) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["--exact", "role", "--nocapture", "-q"]);
        command.env("ROLE", role).env("ROLE_DIR", dir).env(name, value).stdout(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, output }
    }

    /// The next line that begins with `word`.
    fn wait_for(&mut self, word: &str) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).expect("read") > 0 {
            if line.starts_with(word) {
                return line.trim_end().to_owned();
            }
            line.clear();
        }
        panic!("the process ended without saying `{word}`");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
