//! What an error says of a value that came from a variable: everything but the value.

use super::kind::{DiagnosticKind as Kind, listed};
use crate::endpoint::EndpointError;

impl Kind {
    /// Whether one value is right and another is, but not both.
    pub(super) fn compares(&self) -> bool {
        matches!(self, Self::MaxBelowInitial { .. } | Self::Above { .. })
    }

    /// The same without the values, where a file has any variables: either may be of one.
    pub(super) fn without_values(self) -> Self {
        match self {
            Self::MaxBelowInitial { .. } => Self::Misfit { key: "max", other: "initial" },
            Self::Above { key, other, .. } => Self::Misfit { key, other },
            other => other,
        }
    }

    /// The same for a value that was `written` with variables. What is not known to be without the
    /// value is said in general.
    pub(super) fn of_expanded(self, written: &str) -> Self {
        let expected = match self {
            // These have nothing of it in them.
            Self::WrongType { .. }
            | Self::Misfit { .. }
            | Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::TooManyFiles { .. }
            | Self::IncludedTooDeep { .. }
            | Self::IncludeInText
            | Self::IncludeCycle { .. }
            | Self::DuplicateEndpoint { .. }
            | Self::TooDeep { .. }
            | Self::Cycle { .. } => return self,
            Self::UnknownValue { allowed, .. } => format!("one of {}", listed(&allowed)),
            Self::NotSupported { supported, .. } => format!("one of {}", listed(&supported)),
            Self::OutOfRange { key, allowed, .. } => format!("a `{key}` of {allowed}"),
            Self::InvalidDuration { .. } => "a duration like `5s`".to_owned(),
            Self::InvalidSize { .. } => "a size like `64KiB`".to_owned(),
            Self::Endpoint(error) => format!("an endpoint: {}", flaw(&error)),
            Self::OverLimit { key, .. } => format!("a limit of `{key}` that the services keep"),
            Self::UnknownTarget { .. } => "the name of a service".to_owned(),
            _ => "what can stand here".to_owned(),
        };
        Self::Expanded { written: written.to_owned(), expected }
    }
}

/// What is wrong with an endpoint, without it.
fn flaw(error: &EndpointError) -> &'static str {
    match error {
        EndpointError::MissingScheme(_) => "it does not begin with `tcp://` or `unix://`",
        EndpointError::UnknownScheme(_) => "its scheme is neither `tcp` nor `unix`",
        EndpointError::EmptyHost(_) => "it has no host",
        EndpointError::InvalidHost(_) => "its host is no name or address",
        EndpointError::BareIpv6(_) => "its IPv6 address stands in no brackets",
        EndpointError::MissingPort(_) => "it has no port",
        EndpointError::InvalidPort(_) => "its port is no number from 1 to 65535",
        EndpointError::EmptyPath => "its path is empty",
        EndpointError::RelativePath(_) => "its path is relative",
        EndpointError::NulInPath(_) => "its path has a NUL byte in it",
        EndpointError::PathTooLong { .. } => "its path is too long for a unix socket",
    }
}
