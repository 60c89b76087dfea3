//! Receivers that read and discard, each connection in a thread of its own; and the sockets to
//! them.

use std::future::poll_fn;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread;

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

/// A TCP and a unix receiver.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) tcp: SocketAddr,
    pub(crate) unix: PathBuf,
    received: Arc<AtomicU64>,
}

impl Peers {
    /// Listens on a free port of the loopback interface and in the directory for temporary files.
    pub(crate) fn listen() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("torq-bench-{}-{number}.sock", std::process::id());
        let unix = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&unix);
        let received = Arc::new(AtomicU64::new(0));
        let by_tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let by_unix = UnixListener::bind(&unix).expect("a new path");
        let tcp = by_tcp.local_addr().expect("it is bound");
        let (to_tcp, to_unix) = (received.clone(), received.clone());
        thread::spawn(move || {
            by_tcp.incoming().flatten().for_each(|peer| discard(peer, to_tcp.clone()));
        });
        thread::spawn(move || {
            by_unix.incoming().flatten().for_each(|peer| discard(peer, to_unix.clone()));
        });
        Self { tcp, unix, received }
    }

    /// Bytes that have arrived, on all connections together.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// Waits until `bytes` have arrived.
    pub(crate) fn wait_for(&self, bytes: u64) {
        while self.received() < bytes {
            thread::yield_now();
        }
        assert_eq!(self.received(), bytes, "more arrived than was sent");
    }

    /// A connection to the TCP receiver.
    pub(crate) async fn connect_tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.tcp).await.expect("the receiver listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
    }

    /// A connection to the unix receiver.
    pub(crate) async fn connect_unix(&self) -> UnixStream {
        UnixStream::connect(&self.unix).await.expect("the receiver listens")
    }

    /// A connection to each, with a send buffer that takes a full buffer in one write.
    pub(crate) async fn connect_both(&self) -> (TcpStream, UnixStream) {
        let (tcp, unix) = (self.connect_tcp().await, self.connect_unix().await);
        SockRef::from(&unix).set_send_buffer_size(SEND_BUFFER).expect("a socket");
        (tcp, unix)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.unix);
    }
}

/// Reads `peer` to its end, in a thread.
fn discard(mut peer: impl Read + AsFd + Send + 'static, received: Arc<AtomicU64>) {
    thread::spawn(move || {
        let mut scratch = vec![0; 256 * 1024];
        while let Ok(len @ 1..) = peer.read(&mut scratch) {
            received.fetch_add(len as u64, Ordering::Release);
        }
    });
}

/// `SO_SNDBUF` where a write must be taken whole; the kernel doubles it.
pub(crate) const SEND_BUFFER: usize = 208 * 1024;

/// A tokio stream, TCP or unix.
pub(crate) trait Stream {
    /// Writes what the socket takes.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until the socket takes something.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

macro_rules! stream {
    ($type:ty) => {
        impl Stream for $type {
            #[inline]
            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                <$type>::try_write(self, bytes)
            }

            #[inline]
            fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }
        }
    };
}

stream!(TcpStream);
stream!(UnixStream);

/// Where a twin writes to: one stream, or two that get the same bytes.
pub(crate) trait Outlets {
    /// Writes `bytes` to each. Tries at once, then waits for whoever has room first.
    fn write(&self, bytes: &[u8]) -> impl Future<Output = io::Result<()>>;
}

impl<S: Stream> Outlets for S {
    #[inline]
    async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut at = 0;
        loop {
            at += write_some(self, &bytes[at..])?;
            if at == bytes.len() {
                return Ok(());
            }
            poll_fn(|cx| self.poll_room(cx)).await?;
        }
    }
}

impl<A: Stream, B: Stream> Outlets for (A, B) {
    #[inline]
    async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let (mut a, mut b) = (0, 0);
        loop {
            if a < bytes.len() {
                a += write_some(&self.0, &bytes[a..])?;
            }
            if b < bytes.len() {
                b += write_some(&self.1, &bytes[b..])?;
            }
            if a == bytes.len() && b == bytes.len() {
                return Ok(());
            }
            poll_fn(|cx| {
                if a < bytes.len() && self.0.poll_room(cx)?.is_ready() {
                    return Poll::Ready(Ok(()));
                }
                if b < bytes.len() && self.1.poll_room(cx)?.is_ready() {
                    return Poll::Ready(Ok(()));
                }
                Poll::<io::Result<()>>::Pending
            })
            .await?;
        }
    }
}

/// One write; a socket without room takes nothing.
#[inline]
fn write_some<S: Stream>(stream: &S, bytes: &[u8]) -> io::Result<usize> {
    match stream.try_write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
