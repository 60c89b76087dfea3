//! Options of links: plain data, set in code or read from services.toml.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Options of a TCP link (`[services.NAME.tcp]`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpOptions {
    /// `TCP_NODELAY`: small writes leave at once. Default: true.
    pub nodelay: bool,
    /// `SO_KEEPALIVE` after this long without data, 1 s to 32767 s; `None`, the default, is off.
    pub keepalive: Option<Duration>,
    /// `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged before the connection is
    /// given up, 1 ms to 596 h; `None`, the default, leaves it to the kernel.
    pub user_timeout: Option<Duration>,
    /// `SO_SNDBUF` in bytes, 4 KiB to 1 GiB; `None`, the default, leaves it to the kernel.
    pub send_buffer: Option<usize>,
}

impl TcpOptions {
    const DEFAULT: Self =
        Self { nodelay: true, keepalive: None, user_timeout: None, send_buffer: None };
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Options of a unix link (`[services.NAME.unix]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnixOptions {
    /// `SO_SNDBUF` in bytes, 4 KiB to 1 GiB; `None`, the default, leaves it to the kernel.
    pub send_buffer: Option<usize>,
}

impl UnixOptions {
    const DEFAULT: Self = Self { send_buffer: None };
}

/// The options of a link, of whichever kind it is: a service has one link and one place for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkOptions {
    Tcp(TcpOptions),
    Unix(UnixOptions),
}

impl LinkOptions {
    /// The defaults of a TCP link, once for all that have no options of their own.
    pub(crate) fn shared_tcp() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<LinkOptions>> =
            LazyLock::new(|| Arc::new(LinkOptions::Tcp(TcpOptions::DEFAULT)));
        DEFAULT.clone()
    }

    /// The same of a unix link.
    pub(crate) fn shared_unix() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<LinkOptions>> =
            LazyLock::new(|| Arc::new(LinkOptions::Unix(UnixOptions::DEFAULT)));
        DEFAULT.clone()
    }

    /// Those of a TCP link; the defaults where it is none.
    pub(crate) fn tcp(&self) -> &TcpOptions {
        match self {
            Self::Tcp(options) => options,
            Self::Unix(_) => &TcpOptions::DEFAULT,
        }
    }

    /// Those of a unix link; the defaults where it is none.
    pub(crate) fn unix(&self) -> &UnixOptions {
        match self {
            Self::Unix(options) => options,
            Self::Tcp(_) => &UnixOptions::DEFAULT,
        }
    }
}
