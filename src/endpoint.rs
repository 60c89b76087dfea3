//! Where a peer is, as it is written in code and in services.toml.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{ErrorKind, SinkError};

/// Where a peer is: `tcp://host:port` or `unix:///path`. Checked when it is made, so one that
/// exists can be tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A host, by name or address (IPv6 without brackets), and its port.
    Tcp {
        /// Name or address.
        host: Arc<str>,
        /// 1 to 65535.
        port: u16,
    },
    /// The path of a unix socket.
    Unix {
        /// At most 107 bytes, without NUL.
        path: Arc<Path>,
    },
    /// What a link of another kind calls its place.
    Other(Arc<str>),
}

impl Endpoint {
    /// Longest path of a unix socket in bytes: `sun_path` holds 108 with its end on Linux
    /// (unix(7)), 104 on macOS and the BSDs.
    pub const MAX_UNIX_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

    /// `host:port`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    ///
    /// [`EndpointError`] for an empty host, a missing or impossible port, or a bare IPv6 address.
    pub fn tcp(address: &str) -> Result<Self, EndpointError> {
        let (host, port) =
            address.rsplit_once(':').ok_or_else(|| EndpointError::MissingPort(address.into()))?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .filter(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
                .ok_or_else(|| EndpointError::InvalidHost(host.into()))?,
            None if host.contains(':') => return Err(EndpointError::BareIpv6(address.into())),
            None => host,
        };
        if host.is_empty() {
            return Err(EndpointError::EmptyHost(address.into()));
        }
        if host.contains(|c: char| c.is_whitespace() || c.is_control() || "/@[]?#".contains(c)) {
            return Err(EndpointError::InvalidHost(host.into()));
        }
        match port.parse::<u16>() {
            Ok(number) if number > 0 && !port.starts_with('+') => {
                Ok(Self::Tcp { host: host.into(), port: number })
            }
            _ if port.is_empty() => Err(EndpointError::MissingPort(address.into())),
            _ => Err(EndpointError::InvalidPort(port.into())),
        }
    }

    /// The path of a unix socket. It need not exist yet.
    ///
    /// # Errors
    ///
    /// [`EndpointError`] for a path that is empty, has a NUL byte, or more than
    /// [`MAX_UNIX_PATH`](Self::MAX_UNIX_PATH) bytes.
    pub fn unix(path: impl AsRef<Path>) -> Result<Self, EndpointError> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_encoded_bytes();
        if bytes.is_empty() {
            return Err(EndpointError::EmptyPath);
        }
        if bytes.contains(&0) {
            return Err(EndpointError::NulInPath(path.into()));
        }
        if bytes.len() > Self::MAX_UNIX_PATH {
            return Err(EndpointError::PathTooLong { path: path.into(), len: bytes.len() });
        }
        Ok(Self::Unix { path: path.into() })
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// Reads `tcp://host:port` or `unix:///absolute/path`.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| EndpointError::MissingScheme(text.into()))?;
        match scheme {
            "tcp" => Self::tcp(rest),
            "unix" if !rest.is_empty() && !rest.starts_with('/') => {
                Err(EndpointError::RelativePath(rest.into()))
            }
            "unix" => Self::unix(rest),
            _ => Err(EndpointError::UnknownScheme(scheme.into())),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Unix { path } => write!(f, "unix://{}", path.display()),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// What is wrong with an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// No `://`.
    #[error("`{0}` has no scheme; write `tcp://host:port` or `unix:///path`")]
    MissingScheme(String),
    /// Neither `tcp` nor `unix`.
    #[error("unknown scheme `{0}`; known are `tcp` and `unix`")]
    UnknownScheme(String),
    /// Nothing before the port.
    #[error("`{0}` has no host; write `host:port`")]
    EmptyHost(String),
    /// A host with characters that no name or address has.
    #[error("`{0}` is not a host name or address")]
    InvalidHost(String),
    /// An IPv6 address whose port cannot be told from it.
    #[error("`{0}` is ambiguous; write an IPv6 address in brackets: `[::1]:9001`")]
    BareIpv6(String),
    /// No port.
    #[error("`{0}` has no port; write `host:port`")]
    MissingPort(String),
    /// Not a number from 1 to 65535.
    #[error("`{0}` is not a port; it must be a number from 1 to 65535")]
    InvalidPort(String),
    /// An empty path.
    #[error("the path of the unix socket is empty")]
    EmptyPath,
    /// A path that depends on where the process was started.
    #[error("`{0}` is a relative path; write `unix:///absolute/path`")]
    RelativePath(String),
    /// A NUL byte, which no path has.
    #[error("`{}` has a NUL byte in it", .0.display())]
    NulInPath(PathBuf),
    /// Longer than a socket address holds.
    #[error(
        "`{}` is {len} bytes long; a unix socket's path has at most {}",
        .path.display(),
        Endpoint::MAX_UNIX_PATH
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        len: usize,
    },
}

impl From<EndpointError> for SinkError {
    fn from(error: EndpointError) -> Self {
        Self::new(ErrorKind::InvalidEndpoint).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_endpoints_read_back_as_written() {
        for text in
            ["tcp://127.0.0.1:9001", "tcp://[::1]:9001", "tcp://localhost:1", "unix:///run/a.sock"]
        {
            assert_eq!(text.parse::<Endpoint>().map(|e| e.to_string()).as_deref(), Ok(text));
        }
        assert!(Endpoint::unix("relative.sock").is_ok());
        assert!(Endpoint::unix("x".repeat(107)).is_ok());
    }

    #[test]
    fn each_bad_endpoint_has_its_error() {
        use EndpointError as E;
        let parse = |text: &str| text.parse::<Endpoint>().expect_err(text);
        assert_eq!(parse("127.0.0.1:1"), E::MissingScheme("127.0.0.1:1".into()));
        assert_eq!(parse("tpc://a:1"), E::UnknownScheme("tpc".into()));
        assert_eq!(parse("tcp://:1"), E::EmptyHost(":1".into()));
        assert_eq!(parse("tcp://a"), E::MissingPort("a".into()));
        assert_eq!(parse("tcp://a:"), E::MissingPort("a:".into()));
        for port in ["0", "65536", "-1", "+1", "x", " 1", "1 "] {
            assert_eq!(parse(&format!("tcp://a:{port}")), E::InvalidPort(port.into()));
        }
        assert_eq!(parse("tcp://::1:9001"), E::BareIpv6("::1:9001".into()));
        assert_eq!(parse("tcp://[::x]:1"), E::InvalidHost("[::x]".into()));
        assert_eq!(parse("tcp://a b:1"), E::InvalidHost("a b".into()));
        assert_eq!(parse("unix://"), E::EmptyPath);
        assert_eq!(parse("unix://a/b"), E::RelativePath("a/b".into()));
        assert!(matches!(parse("unix:///a\0b"), E::NulInPath(_)));
        assert!(matches!(parse(&format!("unix:///{}", "x".repeat(107))), E::PathTooLong { .. }));
    }
}
