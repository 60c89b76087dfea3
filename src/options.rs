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
    /// The defaults, once for all links that have no options of their own.
    pub(crate) fn shared_default() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<TcpOptions>> = LazyLock::new(Arc::default);
        DEFAULT.clone()
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self { nodelay: true, keepalive: None, user_timeout: None, send_buffer: None }
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
    /// The defaults, once for all links that have no options of their own.
    pub(crate) fn shared_default() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<UnixOptions>> = LazyLock::new(Arc::default);
        DEFAULT.clone()
    }
}
