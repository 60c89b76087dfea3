//! The errors and warnings of a services.toml, each with its place.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::kind::DiagnosticKind;
use super::source::{self, Picture};
use crate::error::{ErrorKind, SinkError};

/// Everything that is wrong with a configuration, in the order of the file.
///
/// Its text shows every error with place, source line and, where there is one, what was probably
/// meant:
///
/// ```text
/// services.toml:6:1: error: unknown key `bufer`
///  6 | bufer = { capacity = "64KiB" }
///    | ^^^^^
///    = help: did you mean `buffer`?
/// ```
#[derive(Debug)]
pub struct ConfigError {
    pub(super) file: Arc<str>,
    pub(super) errors: Vec<Diagnostic>,
    pub(super) omitted: usize,
}

impl ConfigError {
    /// The path of the file that was to be read, as it was given, or `<string>`.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The errors by file and position: at least one, and all there are up to 1000.
    #[must_use]
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }

    /// How many errors there were beyond those of [`errors`](Self::errors).
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }
}

/// One error of a configuration, or one warning, and its place.
///
/// An error of a file as a whole (missing, too large) stands at line 1, column 1 with an empty
/// span.
///
/// Its text is line, column and message; `{:#}` is the whole picture, as [`ConfigError`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub(super) kind: DiagnosticKind,
    pub(super) file: Arc<str>,
    pub(super) span: Range<usize>,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) help: Option<String>,
    pub(super) picture: Picture,
    pub(super) is_warning: bool,
}

impl Diagnostic {
    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &DiagnosticKind {
        &self.kind
    }

    /// The path of the file that it is in, or `<string>`.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, from 1; one past the line's last character where something is
    /// missing at its end.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    /// The bytes of the file that are wrong, counted after a byte order mark; empty where something
    /// is missing.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// What is wrong, in words: one line without control characters.
    #[must_use]
    pub fn message(&self) -> String {
        source::printable(&self.kind.to_string(), MESSAGE_CHARS)
    }

    /// What to do: the nearest valid spelling, or where to put it.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Whether the configuration holds in spite of it: a [warning](crate::Registry::warnings).
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.is_warning
    }

    /// Whether there is nothing in the file to point at.
    fn is_about_the_file(&self) -> bool {
        use DiagnosticKind::{TooLarge, Unreadable};
        self.span.is_empty() && matches!(self.kind, Unreadable { .. } | TooLarge { .. })
    }

    fn fmt_picture(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.is_about_the_file() { ": " } else { ":" };
        write!(f, "{}{separator}{self}", self.file)?;
        let gutter = self.line.to_string().len();
        if !self.is_about_the_file() {
            let Picture { line, carets } = &self.picture;
            write!(f, "\n {} | {line}", self.line)?;
            write!(f, "\n {:gutter$} | {carets}", "")?;
        }
        match &self.help {
            Some(help) => write!(f, "\n {:gutter$} = help: {help}", ""),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return self.fmt_picture(f);
        }
        if !self.is_about_the_file() {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        let level = if self.is_warning { "warning" } else { "error" };
        write!(f, "{level}: {}", self.message())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error:#}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n{}: and {} more errors", self.file, self.omitted)?;
        }
        Ok(())
    }
}

impl Error for ConfigError {}

impl From<ConfigError> for SinkError {
    #[cold]
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorKind::Config).with_source(error)
    }
}

/// Longest message: it quotes what was found, which may be a page.
const MESSAGE_CHARS: usize = 400;
