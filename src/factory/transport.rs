//! The transports that services.toml can name, as one connector: the link above is compiled once.

use std::future::Future;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::link::{Connect, Io, TcpConnector, TcpIo, UnixConnector, UnixIo};

/// Makes connections to an endpoint of services.toml.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    Tcp(TcpConnector),
    Unix(UnixConnector),
}

/// A connection over any of them.
#[derive(Debug)]
pub(crate) enum TransportIo {
    Tcp(TcpIo),
    Unix(UnixIo),
}

impl Connect for Transport {
    type Io = TransportIo;

    fn connect(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = io::Result<TransportIo>> + Send + 'static {
        let transport = self.clone();
        async move {
            match transport {
                Self::Tcp(tcp) => tcp.connect(timeout).await.map(TransportIo::Tcp),
                Self::Unix(unix) => unix.connect(timeout).await.map(TransportIo::Unix),
            }
        }
    }

    fn endpoint(&self) -> Endpoint {
        match self {
            Self::Tcp(tcp) => tcp.endpoint(),
            Self::Unix(unix) => unix.endpoint(),
        }
    }

    #[inline]
    fn write_size(&self) -> usize {
        match self {
            Self::Tcp(tcp) => tcp.write_size(),
            Self::Unix(unix) => unix.write_size(),
        }
    }
}

impl Io for TransportIo {
    #[inline]
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(io) => io.try_read(buf),
            Self::Unix(io) => io.try_read(buf),
        }
    }

    #[inline]
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(io) => io.try_write(bytes),
            Self::Unix(io) => io.try_write(bytes),
        }
    }

    fn try_write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(io) => io.try_write_both(first, second),
            Self::Unix(io) => io.try_write_both(first, second),
        }
    }

    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(io) => io.poll_read_ready(cx),
            Self::Unix(io) => io.poll_read_ready(cx),
        }
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(io) => io.poll_write_ready(cx),
            Self::Unix(io) => io.poll_write_ready(cx),
        }
    }

    fn keeps_unsent(&self) -> bool {
        match self {
            Self::Tcp(io) => io.keeps_unsent(),
            Self::Unix(io) => io.keeps_unsent(),
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(io) => io.shutdown(),
            Self::Unix(io) => io.shutdown(),
        }
    }
}
