//! TCP: names resolved and all addresses tried per attempt, socket options, no self-connection.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{self, Instant};

use crate::endpoint::Endpoint;
use crate::error::SinkError;
use crate::link::lookup::Lookup;
use crate::link::{Connect, StreamLink, io_over_tokio};
use crate::options::{LinkOptions, TcpOptions};

/// A link over TCP.
///
/// `TCP_NODELAY` is on by default, since a sink batches by itself. Names are resolved in each
/// attempt, off the sender's path, and all addresses are tried.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use torq_message_sink::TcpSink;
///
/// let link = TcpSink::new("[::1]:9001")?
///     .with_keepalive(Some(Duration::from_secs(10)))
///     .with_user_timeout(Some(Duration::from_secs(30)));
/// # Ok::<(), torq_message_sink::SinkError>(())
/// ```
pub type TcpSink = StreamLink<TcpConnector>;

impl TcpSink {
    /// A link to `host:port`; the host is a name or an address, IPv6 in brackets. Nothing is
    /// resolved or opened yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEndpoint`](crate::ErrorKind::InvalidEndpoint) when that is no address.
    pub fn new(address: impl AsRef<str>) -> Result<Self, SinkError> {
        let Endpoint::Tcp { host, port } = Endpoint::tcp(address.as_ref())? else {
            unreachable!("`Endpoint::tcp` answers no other endpoint")
        };
        let connector = TcpConnector::new(host, port, LinkOptions::shared_tcp());
        Ok(Self::with_connector(connector))
    }

    /// Whether small writes go out at once (`TCP_NODELAY`). Default: yes.
    #[must_use]
    pub fn with_nodelay(self, nodelay: bool) -> Self {
        self.change(|options| options.nodelay = nodelay)
    }

    /// Probes an idle connection after `idle`, and as often again (`SO_KEEPALIVE`), in whole
    /// seconds from 1 to 32,767 (what is beyond is brought within); `None`, the default, never.
    /// Finds a vanished host, not a hung process.
    #[must_use]
    pub fn with_keepalive(self, idle: Option<Duration>) -> Self {
        self.change(|options| options.keepalive = idle)
    }

    /// How long written bytes may stay unacknowledged before the connection is given up
    /// (`TCP_USER_TIMEOUT`, Linux only, in milliseconds, at most 2^31 - 1 of them); `None`, the
    /// default, leaves it to the kernel (about 15 minutes). It also ends the connection to a peer
    /// that is merely slow to read, and never fires while nothing is written.
    #[must_use]
    pub fn with_user_timeout(self, timeout: Option<Duration>) -> Self {
        self.change(|options| options.user_timeout = timeout)
    }

    /// Size of the kernel's send buffer in bytes (`SO_SNDBUF`); `None`, the default, leaves it to
    /// the kernel. It bounds our kernel's share of what a dead connection can lose.
    #[must_use]
    pub fn with_send_buffer(self, bytes: Option<usize>) -> Self {
        self.change(|options| options.send_buffer = bytes)
    }

    fn change(mut self, change: impl FnOnce(&mut TcpOptions)) -> Self {
        let connector = self.connector_mut();
        let mut options = connector.options.tcp().clone();
        change(&mut options);
        connector.options = Arc::new(LinkOptions::Tcp(options));
        self
    }
}

/// Makes TCP connections; part of a [`TcpSink`].
#[derive(Clone, Debug)]
pub struct TcpConnector {
    host: Arc<str>,
    port: u16,
    options: Arc<LinkOptions>,
    /// None where the host is an address.
    lookup: Option<Lookup>,
}

/// A TCP connection; part of a [`TcpSink`].
#[derive(Debug)]
pub struct TcpIo(TcpStream);

io_over_tokio!(TcpIo, keeps_unsent: true);

impl Connect for TcpConnector {
    type Io = TcpIo;

    fn connect(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = io::Result<TcpIo>> + Send + 'static {
        self.clone().connect_any(timeout)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Tcp { host: self.host.clone(), port: self.port }
    }

    fn write_size(&self) -> usize {
        WRITE_SIZE
    }
}

impl TcpConnector {
    pub(crate) fn new(host: Arc<str>, port: u16, options: Arc<LinkOptions>) -> Self {
        // An address is not looked up.
        let lookup = host.parse::<IpAddr>().is_err().then(Lookup::default);
        Self { host, port, options, lookup }
    }

    /// Tries all addresses of the host, each for its share of the time that is left.
    async fn connect_any(self, timeout: Duration) -> io::Result<TcpIo> {
        let deadline = Instant::now().checked_add(timeout);
        let addresses = match &self.lookup {
            Some(lookup) => lookup.ask(&self.host, self.port).await?,
            None => self
                .host
                .parse::<IpAddr>()
                .map(|address| SocketAddr::new(address, self.port))
                .into_iter()
                .collect(),
        };
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host name has no addresses");
        for (tried, address) in addresses.iter().enumerate() {
            let untried = (addresses.len() - tried) as u32;
            let left = deadline.map_or(timeout, |deadline| deadline - Instant::now());
            match time::timeout(left / untried, self.connect_to(*address)).await {
                Ok(Ok(io)) => return Ok(io),
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed)
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpIo> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        let options = self.options.tcp();
        if let Some(bytes) = options.send_buffer {
            // Before connecting: the window scale is agreed on in the handshake.
            socket.set_send_buffer_size(bytes.try_into().unwrap_or(u32::MAX))?;
        }
        let stream = socket.connect(address).await?;
        // A port of the ephemeral range on which nobody listens can be given to the connecting
        // socket itself, which TCP then connects to itself (simultaneous open).
        if stream.local_addr()? == stream.peer_addr()? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        stream.set_nodelay(options.nodelay)?;
        let socket = SockRef::from(&stream);
        if let Some(idle) = options.keepalive {
            let idle = idle.clamp(Duration::from_secs(1), MAX_KEEPALIVE);
            let keepalive = TcpKeepalive::new().with_time(idle);
            #[cfg(target_os = "linux")]
            let keepalive = keepalive.with_interval(idle).with_retries(3);
            socket.set_tcp_keepalive(&keepalive)?;
        }
        #[cfg(target_os = "linux")]
        if let Some(timeout) = options.user_timeout {
            socket.set_tcp_user_timeout(Some(timeout.min(MAX_USER_TIMEOUT)))?;
        }
        Ok(TcpIo(stream))
    }
}

/// The longest that the kernel takes for the idle time before a probe (tcp(7): `MAX_TCP_KEEPIDLE`).
const MAX_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// The longest user timeout that the kernel takes: milliseconds in an `int`.
#[cfg(target_os = "linux")]
const MAX_USER_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// Bytes of one write: below the 65,483 that one loopback segment carries (a write of 64 KiB goes
/// out as two); see docs/BENCHMARKS.md for the sweep.
const WRITE_SIZE: usize = 60 * 1024;
