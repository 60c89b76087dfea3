//! What can be wrong in services.toml.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::EndpointError;

/// What is wrong, with the words and numbers that were found. Its text is the message of a
/// [`Diagnostic`](crate::Diagnostic).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiagnosticKind {
    /// The file is missing, a directory, or cannot be read.
    #[error("cannot be read: {reason}")]
    Unreadable {
        /// For control flow.
        kind: io::ErrorKind,
        /// The system's words.
        reason: String,
    },
    /// The file is larger than a services.toml may be.
    #[error("is larger than {max} bytes, the limit for a configuration")]
    TooLarge {
        /// Bytes allowed.
        max: usize,
    },
    /// The file is not UTF-8 from here on.
    #[error("not UTF-8; a TOML file is UTF-8 text")]
    NotUtf8,
    /// Not TOML, or a key or table defined twice.
    #[error("{message}")]
    Syntax {
        /// What the TOML parser says.
        message: String,
    },
    /// A file that includes itself.
    #[error("files include each other: {}", .path.join(" -> "))]
    IncludeCycle {
        /// From the file back to itself.
        path: Vec<Arc<str>>,
    },
    /// A file that includes one that includes one, and so on.
    #[error("files are included {max} deep at most")]
    IncludedTooDeep {
        /// How deep they may be.
        max: usize,
    },
    /// More files than one configuration has.
    #[error("a configuration has at most {max} files")]
    TooManyFiles {
        /// How many it may have.
        max: usize,
    },
    /// A text, which is in no directory, that includes a file.
    #[error("a text cannot include files; load it from a path")]
    IncludeInText,
    /// What one file says and an included one, too.
    #[error("`{key}` is in {file}:{line}, too")]
    DefinedTwice {
        /// The key.
        key: String,
        /// The file that had it first.
        file: Arc<str>,
        /// The line there, from 1.
        line: usize,
    },
    /// A variable that is not set.
    #[error("the variable `{name}` is not set")]
    UnknownVariable {
        /// Its name.
        name: String,
    },
    /// A variable whose value is no text.
    #[error("the variable `{name}` is not UTF-8")]
    VariableNotUtf8 {
        /// Its name.
        name: String,
    },
    /// A dollar sign that begins no variable.
    #[error("not a variable; write `${{NAME}}` or `${{NAME:-default}}`")]
    VariableSyntax,
    /// A text that is not what it must be with its variables expanded. What they are is not shown:
    /// it may be secret.
    #[error("`{written}` does not expand to {expected}")]
    Expanded {
        /// As it was written.
        written: String,
        /// What it must be.
        expected: String,
    },
    /// Two values of which one limits the other, where variables were expanded: what the values are
    /// is not shown.
    #[error("`{key}` does not fit `{other}`")]
    Misfit {
        /// One of them.
        key: &'static str,
        /// The other one.
        other: &'static str,
    },
    /// A key that must be there is not.
    #[error("missing `{key}`")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key that no table of the format has, or not this one.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// As it was written.
        key: String,
    },
    /// A key that belongs to another table.
    #[error("`{key}` does not belong here")]
    MisplacedKey {
        /// The key.
        key: &'static str,
        /// The table that has it.
        table: &'static str,
    },
    /// A value of the wrong type.
    #[error("`{key}` must be {expected}, not {found}")]
    WrongType {
        /// Whose value it is.
        key: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A word that is none of those allowed.
    #[error("unknown {key} `{value}`; known are {}", listed(.allowed))]
    UnknownValue {
        /// Whose value it is.
        key: &'static str,
        /// As it was written.
        value: String,
        /// The words that it may be.
        allowed: Vec<&'static str>,
    },
    /// A word of the format that this version cannot act on yet.
    #[error("{key} `{value}` is not supported by this version; supported is {}", listed(.supported))]
    NotSupported {
        /// Whose value it is.
        key: &'static str,
        /// The word.
        value: &'static str,
        /// The words that this version can act on.
        supported: Vec<&'static str>,
    },
    /// A key that means nothing beside the others of its service.
    #[error("`{key}` does not apply to {to}")]
    NotApplicable {
        /// The key.
        key: &'static str,
        /// What it was applied to.
        to: &'static str,
    },
    /// Two keys of which a table has one.
    #[error("`{key}` and `{other}` exclude each other")]
    Conflict {
        /// The one that is out of place.
        key: &'static str,
        /// The one that stays.
        other: &'static str,
    },
    /// The longest back-off is shorter than the first.
    #[error("backoff `max` ({max:?}) is below `initial` ({initial:?})")]
    MaxBelowInitial {
        /// `max`, written or by default.
        max: Duration,
        /// `initial`, written or by default.
        initial: Duration,
    },
    /// A size that another one limits.
    #[error("`{key}` ({bytes} bytes) is above `{other}` ({limit} bytes)")]
    Above {
        /// Whose size it is.
        key: &'static str,
        /// The size.
        bytes: u32,
        /// What limits it.
        other: &'static str,
        /// The limit, written or by default.
        limit: u32,
    },
    /// A number, size or duration outside its limits.
    #[error("`{key}` is {found}; it must be {allowed}")]
    OutOfRange {
        /// Whose value it is.
        key: &'static str,
        /// As it was written.
        found: String,
        /// The limits in words, both inclusive.
        allowed: &'static str,
    },
    /// A text that is no duration.
    #[error("`{value}` is not a duration")]
    InvalidDuration {
        /// Whose value it is.
        key: &'static str,
        /// As it was written.
        value: String,
    },
    /// A text that is no size in bytes.
    #[error("`{value}` is not a size")]
    InvalidSize {
        /// Whose value it is.
        key: &'static str,
        /// As it was written.
        value: String,
    },
    /// An endpoint that is none.
    #[error(transparent)]
    Endpoint(EndpointError),
    /// A service name that is empty, too long, or has control characters in it.
    #[error("a service name {why}")]
    InvalidName {
        /// What the name should be, in words.
        why: &'static str,
    },
    /// A composite over nothing.
    #[error("`targets` is empty; a composite needs at least one")]
    EmptyTargets,
    /// A target that is no service of the file.
    #[error("unknown service `{target}`")]
    UnknownTarget {
        /// As it was written.
        target: Arc<str>,
    },
    /// A service that one composite reaches twice.
    #[error("`{target}` is a target twice; a stack leads to each service once")]
    DuplicateTarget {
        /// Its name.
        target: Arc<str>,
    },
    /// Two targets of a fan-out that are the same place under two names.
    #[error("`{target}` has the endpoint of `{other}`, which would get each message twice")]
    SameEndpoint {
        /// The later one's name.
        target: Arc<str>,
        /// The earlier one's.
        other: Arc<str>,
    },
    /// A warning: two services that are the same place.
    #[error("`{other}` has the same endpoint")]
    DuplicateEndpoint {
        /// The earlier one's name.
        other: Arc<str>,
    },
    /// A composite all of whose targets have `enabled = false`.
    #[error("all of the targets are disabled")]
    AllDisabled,
    /// A warning: a target with `enabled = false`.
    #[error("`{target}` is disabled, and left out")]
    DisabledTarget {
        /// Its name.
        target: Arc<str>,
    },
    /// A warning: a composite that composes nothing.
    #[error("a composite over a single target")]
    OneTarget,
    /// A composite that leads back to itself.
    #[error("`targets` form a cycle: {}", .path.join(" -> "))]
    Cycle {
        /// From the service back to itself; of a long cycle the first 16 names and the last.
        path: Vec<Arc<str>>,
    },
    /// Composites over composites over composites, and so on.
    #[error(
        "composites are nested {} deep, at most {max} are allowed: {}",
        .path.len(),
        .path.join(" -> ")
    )]
    TooDeep {
        /// The composites from the top down.
        path: Vec<Arc<str>>,
        /// How many are allowed.
        max: usize,
    },
    /// A quorum of more than there are.
    #[error("the quorum is {quorum}, but only {targets} of the targets gate")]
    QuorumTooLarge {
        /// How many are to be waited for.
        quorum: u16,
        /// How many there are, those of nested fan-outs one by one.
        targets: usize,
    },
    /// A quorum within another fan-out.
    #[error("`{target}` waits for a quorum and cannot be a target")]
    NestedQuorum {
        /// Its name.
        target: Arc<str>,
    },
    /// Services that may take more than the file allows them.
    #[error("{}; the limit is {limit}", needs(.key, *.needed))]
    OverLimit {
        /// The key of `[limits]`.
        key: &'static str,
        /// What all services take at most, each as a shared sink.
        needed: u64,
        /// What they may take.
        limit: u64,
    },
    /// A composite over more endpoints than one stack drives.
    #[error("the composite reaches more than {max} endpoints")]
    TooManyTargets {
        /// How many are allowed.
        max: usize,
    },
}

fn needs(key: &str, needed: u64) -> String {
    match key {
        "services" => format!("there are {needed} services"),
        key => format!("the services take up to {needed} {key}"),
    }
}

pub(super) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
