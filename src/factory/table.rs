//! One shared sink per name.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::error::SinkError;
use crate::factory::SinkStack;
use crate::layer::Shared;
use crate::layer::shared::WeakShared;

/// The shared sinks that are in use, by name. It keeps none alive: the last handle that is dropped
/// closes its stack.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<HashMap<Box<str>, WeakShared<SinkStack>>>);

impl Table {
    /// The sink of that name; `create` makes it if there is none, or if it was closed.
    pub(super) fn get(
        &self,
        name: &str,
        create: impl FnOnce() -> Result<Shared<SinkStack>, SinkError>,
    ) -> Result<Shared<SinkStack>, SinkError> {
        // Held while a stack is put together, so that of many who ask at once one makes it. Nothing
        // is connected by that.
        let mut sinks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = sinks.get(name).and_then(WeakShared::upgrade) {
            return Ok(sink);
        }
        let sink = create()?;
        sinks.insert(name.into(), sink.downgrade());
        Ok(sink)
    }
}
