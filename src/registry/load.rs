//! From files to a registry: reads them, puts them together, and has them checked as one.

use std::fs::{self, File as FsFile};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Registry;
use super::diagnostic::ConfigError;
use super::files::{File, Files};
use super::kind::DiagnosticKind as Kind;
use super::parse::{self, syntax_errors};
use super::report::Report;
use super::section::type_name;
use super::tree::{self, Merge};
use super::variables::{Expansion, Variables};

/// Reads a [`Registry`] from more than one file: a base, and overlays that say what is different in
/// one environment.
///
/// What an overlay says wins over what was said before it, key by key; arrays are replaced as a
/// whole, and services that are new are added. Each of the files may `include` others and use
/// variables. docs/CONFIG.md has the details.
///
/// # Examples
///
/// ```no_run
/// use torq_message_sink::{RegistryLoader, SinkFactory};
///
/// let registry = RegistryLoader::new()
///     .with_overlay("services.production.toml")
///     .load("services.toml")?;
/// let factory = SinkFactory::new(registry);
/// # Ok::<(), torq_message_sink::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct RegistryLoader<'v> {
    overlays: Vec<PathBuf>,
    variables: Variables<'v>,
}

impl<'v> RegistryLoader<'v> {
    /// Without overlays, and with the variables of the process.
    #[must_use]
    pub const fn new() -> Self {
        Self { overlays: Vec::new(), variables: Variables::Environment }
    }

    /// Adds a file that wins over the base and the overlays before it.
    #[must_use]
    pub fn with_overlay(mut self, path: impl Into<PathBuf>) -> Self {
        self.overlays.push(path.into());
        self
    }

    /// Asks `variable` for what `${NAME}` is, instead of the process's environment.
    ///
    /// # Examples
    ///
    /// ```
    /// use torq_message_sink::RegistryLoader;
    ///
    /// let loader = RegistryLoader::new()
    ///     .with_variables(|name| (name == "HOST").then(|| "10.0.0.1".to_owned()));
    /// let registry = loader.load_str(
    ///     r#"
    ///     [services.orders]
    ///     type = "direct"
    ///     endpoint = "tcp://${HOST}:${PORT:-9001}"
    ///     "#,
    /// )?;
    /// # Ok::<(), torq_message_sink::ConfigError>(())
    /// ```
    #[must_use]
    pub fn with_variables(
        mut self,
        variable: impl Fn(&str) -> Option<String> + Send + Sync + 'v,
    ) -> Self {
        self.variables = Variables::Given(Box::new(variable));
        self
    }

    /// Reads and checks the file at `base`, with the overlays above it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong in any of the files: what cannot be read, has
    /// together more than [`Registry::MAX_BYTES`], is not UTF-8, not TOML, or does not say what it
    /// must. At most `MAX_BYTES + 1` bytes of each are read, whatever it is.
    pub fn load(&self, base: impl AsRef<Path>) -> Result<Registry, ConfigError> {
        let base = base.as_ref();
        self.load_from(shown(base), |load| load.path(base, None))
    }

    /// Checks a text, with the overlays above it; errors name it `<string>`. It cannot include
    /// files, since there is no place that their names would start from.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_str(&self, text: &str) -> Result<Registry, ConfigError> {
        let name: Arc<str> = "<string>".into();
        self.load_from(name.clone(), |load| load.text(name, text, None, None))
    }

    fn load_from(
        &self,
        name: Arc<str>,
        base: impl for<'a> FnOnce(&mut Load<'a, '_>) -> Option<DeTable<'a>>,
    ) -> Result<Registry, ConfigError> {
        let files = Files::new();
        let mut load = Load {
            files: &files,
            expansion: Expansion::new(&self.variables, Registry::MAX_BYTES),
            report: Report::new(),
            read: Vec::new(),
            open: Vec::new(),
        };
        let mut root = base(&mut load);
        for overlay in &self.overlays {
            let overlay = load.path(overlay, None);
            if let (Some(root), Some(overlay)) = (&mut root, overlay) {
                tree::merge(root, overlay, Merge::Overlay, &files, &mut load.report);
            }
        }
        let mut report = load.report;
        let registry = root.map(|root| parse::registry(&root, &mut report));
        let is_refused = report.count() > 0;
        let findings = report.finish(&files);
        match registry {
            Some(mut registry) if !is_refused => {
                registry.warnings = findings.warnings.into();
                Ok(registry)
            }
            _ => {
                Err(ConfigError { file: name, errors: findings.errors, omitted: findings.omitted })
            }
        }
    }
}

impl Default for RegistryLoader<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// The reading of one configuration.
struct Load<'f, 'v> {
    files: &'f Files,
    expansion: Expansion<'v>,
    report: Report,
    /// Files that were read, by their real paths: each is taken once.
    read: Vec<PathBuf>,
    /// Those on the way from the base to the file that is being read, and how they are shown.
    open: Vec<(PathBuf, Arc<str>)>,
}

impl<'f> Load<'f, '_> {
    /// Reads a file that is included at `at`, if it is. `None` where there is nothing to add.
    fn path(&mut self, path: &Path, at: Option<Range<usize>>) -> Option<DeTable<'f>> {
        let name = shown(path);
        // What has no real path, as a pipe, is itself.
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if let Some(start) = self.open.iter().position(|(open, _)| *open == real) {
            let path = self.open[start..].iter().map(|(_, name)| name.clone());
            let path = path.chain([name.clone()]).collect();
            return self.refuse(name, at, Kind::IncludeCycle { path });
        }
        if self.read.contains(&real) {
            return None;
        }
        if self.open.len() == MAX_DEPTH {
            return self.refuse(name, at, Kind::IncludedTooDeep { max: MAX_DEPTH });
        }
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let kind = Kind::Unreadable { kind: error.kind(), reason: error.to_string() };
                return self.refuse(name, at, kind);
            }
        };
        if !self.has_room(bytes.len()) {
            return self.refuse(name, at, Kind::TooLarge { max: Registry::MAX_BYTES });
        }
        self.read.push(real.clone());
        self.open.push((real, name.clone()));
        let table = match String::from_utf8(bytes) {
            Ok(text) => self.text(name, &text, path.parent(), at),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes());
                if let Some(file) = self.files.add(name, &text) {
                    let place = file.start + valid;
                    self.report.file_is_missing();
                    self.report.error(place..place + 1, Kind::NotUtf8);
                }
                None
            }
        };
        self.open.pop();
        table
    }

    /// What a text says, with what it includes.
    fn text(
        &mut self,
        name: Arc<str>,
        text: &str,
        directory: Option<&Path>,
        at: Option<Range<usize>>,
    ) -> Option<DeTable<'f>> {
        if !self.has_room(text.len()) {
            return self.refuse(name, at, Kind::TooLarge { max: Registry::MAX_BYTES });
        }
        let Some(file) = self.files.add(name.clone(), text) else {
            return self.refuse(name, at, Kind::TooManyFiles { max: Files::MAX });
        };
        let (root, errors) = DeTable::parse_recoverable(&file.text);
        syntax_errors(&errors, file.start, &mut self.report);
        let mut root = root.into_inner();
        if file.start > 0 {
            tree::shift(&mut root, file.start);
        }
        self.expansion.expand(&mut root, file, &mut self.report);
        if let Some(include) = root.remove("include") {
            self.include(&mut root, &include, directory);
        }
        Some(root)
    }

    /// Adds the files that `include` names to what includes them.
    fn include(
        &mut self,
        into: &mut DeTable<'f>,
        include: &Spanned<DeValue<'_>>,
        directory: Option<&Path>,
    ) {
        let expected = "an array of paths";
        let wrong = |value: &Spanned<DeValue<'_>>| Kind::WrongType {
            key: "include".into(),
            expected,
            found: type_name(value),
        };
        let Some(paths) = include.get_ref().as_array() else {
            return self.report.error(include.span(), wrong(include));
        };
        let Some(directory) = directory else {
            return self.report.error(include.span(), Kind::IncludeInText);
        };
        for value in paths.iter() {
            let Some(path) = value.get_ref().as_str() else {
                self.report.error(value.span(), wrong(value));
                continue;
            };
            if self.report.is_spoilt(&value.span()) {
                self.report.file_is_missing();
            } else if let Some(part) = self.path(&directory.join(path), Some(value.span())) {
                tree::merge(into, part, Merge::Part, self.files, &mut self.report);
            }
        }
    }

    /// Whether so many bytes more are not too many, all files together.
    fn has_room(&self, bytes: usize) -> bool {
        self.files.bytes() + bytes <= Registry::MAX_BYTES
    }

    /// Reports a file as a whole, at the place that includes it where there is one.
    fn refuse(
        &mut self,
        name: Arc<str>,
        at: Option<Range<usize>>,
        kind: Kind,
    ) -> Option<DeTable<'f>> {
        let span = at.or_else(|| {
            // So that the error has a file to name.
            let file: &File = self.files.add(name, "")?;
            Some(file.start..file.start)
        });
        self.report.file_is_missing();
        self.report.error(span.unwrap_or(0..0), kind);
        None
    }
}

fn shown(path: &Path) -> Arc<str> {
    path.display().to_string().into()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = FsFile::open(path)?;
    // Opening a directory succeeds; say what it is instead of what reading it gives.
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    let mut bytes = Vec::new();
    file.take(Registry::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Files from the base down to an included one.
const MAX_DEPTH: usize = 8;
