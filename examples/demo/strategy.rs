//! A receiver: blocking sockets of the standard library and the library's decoder, no runtime.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use socket2::{Domain, Socket, Type};
use torq_message_sink::{Decoder, Endpoint, LengthPrefixed};

use crate::message;
use crate::process;
use crate::protocol::{Line, command, say};

/// Receives one connection after the other at `endpoint`, and reports what comes.
///
/// It keeps nothing that a `kill -9` could take with it: what it has decoded it reports at once,
/// chunk by chunk. What it had received but not yet reported when it was killed counts as lost; it
/// is the end of what came on that connection, so the loss is a suffix still.
pub fn run(endpoint: &Endpoint) -> io::Result<()> {
    let listener = Listener::bind(endpoint)?;
    let orders = Arc::new(Orders::default());
    process::on_command({
        let (orders, endpoint) = (orders.clone(), endpoint.clone());
        move |command| match command {
            command::HANG => orders.hang.store(true, Ordering::SeqCst),
            // The adapter has ended. What it has connected is accepted or waits in the queue; a
            // connection of our own behind it ends the waiting for more.
            _ => {
                orders.finish.store(true, Ordering::SeqCst);
                let _ = connect(&endpoint);
            }
        }
    });
    say(&Line::Listening);
    loop {
        match listener.accept() {
            Ok(stream) => receive(stream, &orders),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        if orders.finish.load(Ordering::SeqCst) {
            listener.set_nonblocking()?;
        }
    }
}

/// What the parent has told us.
#[derive(Default)]
struct Orders {
    hang: AtomicBool,
    finish: AtomicBool,
}

/// Reads one connection to its end.
fn receive(mut stream: Box<dyn Read>, orders: &Orders) {
    let mut decoder = Decoder::new(LengthPrefixed::new());
    let mut chunk = vec![0; CHUNK];
    let mut accepted = false;
    let mut next = None;
    loop {
        while orders.hang.load(Ordering::SeqCst) {
            // For ever: this process is going to be killed.
            thread::park();
        }
        let len = match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // Reset: an end as good as any.
            Err(_) => break,
        };
        if !std::mem::replace(&mut accepted, true) {
            say(&Line::Accepted);
        }
        let mut run: Option<(u64, u64)> = None;
        let mut unreadable = false;
        for payload in decoder.decode(&chunk[..len]) {
            unreadable = payload.is_err();
            let Some(message) = payload.ok().and_then(message::decode) else {
                say(&Line::Torn);
                continue;
            };
            match &mut run {
                Some((_, last)) if *last + 1 == message.sequence => *last = message.sequence,
                _ => {
                    if let Some((first, last)) = run.replace((message.sequence, message.sequence)) {
                        say(&Line::Run(first, last));
                    }
                }
            }
        }
        if let Some((first, last)) = run {
            say(&Line::Run(first, last));
            next = Some(last + 1);
        }
        if unreadable {
            return;
        }
    }
    if decoder.finish().is_err() {
        say(&Line::Cut(next));
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp { host, port } => bind_tcp(host, *port).map(Self::Tcp),
            Endpoint::Unix { path } => bind_unix(path).map(Self::Unix),
            _ => Err(ErrorKind::Unsupported.into()),
        }
    }

    fn accept(&self) -> io::Result<Box<dyn Read>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                Ok(Box::new(stream))
            }
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true),
            Self::Unix(listener) => listener.set_nonblocking(true),
        }
    }
}

/// Beside the parent's reservation of the port (see `services.rs`), which does not listen.
fn bind_tcp(host: &str, port: u16) -> io::Result<TcpListener> {
    let address: SocketAddr = format!("{host}:{port}").parse().map_err(io::Error::other)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    // The file of a socket outlives its process.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

fn connect(endpoint: &Endpoint) -> io::Result<()> {
    match endpoint {
        Endpoint::Tcp { host, port } => TcpStream::connect((&**host, *port)).map(drop),
        Endpoint::Unix { path } => UnixStream::connect(path).map(drop),
        _ => Err(ErrorKind::Unsupported.into()),
    }
}

/// Bytes of one read.
const CHUNK: usize = 64 * 1024;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
