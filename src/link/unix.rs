//! Unix stream sockets.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::UnixStream;

use crate::endpoint::Endpoint;
use crate::error::SinkError;
use crate::link::{Connect, StreamLink, io_over_tokio};
use crate::options::{LinkOptions, UnixOptions};

/// A link over a unix stream socket.
///
/// # Examples
///
/// ```
/// use torq_message_sink::UnixSink;
///
/// let link = UnixSink::new("/run/torq/market_data.sock")?.with_send_buffer(Some(256 * 1024));
/// # Ok::<(), torq_message_sink::SinkError>(())
/// ```
pub type UnixSink = StreamLink<UnixConnector>;

impl UnixSink {
    /// A link to the socket at `path`, which need not exist yet. Nothing is opened.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEndpoint`](crate::ErrorKind::InvalidEndpoint) for a path that no socket
    /// can have: empty, with a NUL byte, or longer than 107 bytes.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, SinkError> {
        let Endpoint::Unix { path } = Endpoint::unix(path)? else {
            unreachable!("`Endpoint::unix` answers no other endpoint")
        };
        let connector = UnixConnector::new(path, LinkOptions::shared_unix());
        Ok(Self::with_connector(connector))
    }

    /// Size of the kernel's send buffer in bytes (`SO_SNDBUF`); `None`, the default, leaves it to
    /// the kernel. It bounds what a dead connection can lose.
    #[must_use]
    pub fn with_send_buffer(mut self, bytes: Option<usize>) -> Self {
        let options = UnixOptions { send_buffer: bytes };
        self.connector_mut().options = Arc::new(LinkOptions::Unix(options));
        self
    }
}

/// Makes connections to a unix socket; part of a [`UnixSink`].
#[derive(Clone, Debug)]
pub struct UnixConnector {
    path: Arc<Path>,
    options: Arc<LinkOptions>,
}

impl UnixConnector {
    pub(crate) fn new(path: Arc<Path>, options: Arc<LinkOptions>) -> Self {
        Self { path, options }
    }
}

/// A connection over a unix socket; part of a [`UnixSink`].
#[derive(Debug)]
pub struct UnixIo(UnixStream);

// What is written to a unix socket stands in the peer's queue at once.
io_over_tokio!(UnixIo, keeps_unsent: false);

impl Connect for UnixConnector {
    type Io = UnixIo;

    fn connect(&self, _: Duration) -> impl Future<Output = io::Result<UnixIo>> + Send + 'static {
        let Self { path, options } = self.clone();
        async move {
            let stream = UnixStream::connect(path).await?;
            if let Some(bytes) = options.unix().send_buffer {
                SockRef::from(&stream).set_send_buffer_size(bytes)?;
            }
            Ok(UnixIo(stream))
        }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Unix { path: self.path.clone() }
    }

    fn write_size(&self) -> usize {
        WRITE_SIZE
    }
}

/// Bytes of one write; see docs/BENCHMARKS.md for the sweep.
const WRITE_SIZE: usize = 64 * 1024;
