//! `[defaults]`: what every service inherits, key by key.

use std::sync::Arc;

use super::buffer::BufferKeys;
use super::keys;
use super::options;
use super::report::Report;
use super::section::Section;
use crate::options::LinkOptions;
use crate::policy::{FailoverPolicy, LazyPolicy};

/// What a service has that says nothing of it.
pub(super) struct Defaults {
    pub(super) buffer: BufferKeys,
    pub(super) lazy: Arc<LazyPolicy>,
    /// `None` where no file says anything of it.
    pub(super) failover: Option<FailoverPolicy>,
    pub(super) tcp: Arc<LinkOptions>,
    pub(super) unix: Arc<LinkOptions>,
}

impl Defaults {
    /// Reads `[defaults]`, where there is such a table.
    pub(super) fn read(file: &Section<'_>, report: &mut Report) -> Self {
        let mut defaults = Self {
            buffer: BufferKeys::default(),
            lazy: LazyPolicy::shared_default(),
            failover: None,
            tcp: LinkOptions::shared_tcp(),
            unix: LinkOptions::shared_unix(),
        };
        let before = report.count();
        let Some(section) = file.table("defaults", &keys::DEFAULTS, report) else {
            return defaults;
        };
        defaults.buffer.read(&section, report);
        if let Some(lazy) = options::lazy(&section, &defaults.lazy, report) {
            defaults.lazy = Arc::new(lazy);
        }
        defaults.failover = options::failover(&section, None, report);
        if let Some(tcp) = options::tcp(&section, defaults.tcp.tcp(), report) {
            defaults.tcp = Arc::new(LinkOptions::Tcp(tcp));
        }
        if let Some(unix) = options::unix(&section, defaults.unix.unix(), report) {
            defaults.unix = Arc::new(LinkOptions::Unix(unix));
        }
        if report.count() > before {
            report.compare_no_more();
        }
        defaults
    }
}
