//! What becomes of a message for which there is no room: plain data.

/// What becomes of a message for which the buffer has no room, also after an attempt to write.
///
/// Back-pressure is the default. What drops is chosen, drops whole frames, and counts them in each
/// leaf's report as [`DropReason::Overflow`](crate::DropReason::Overflow).
///
/// | | `feed` | `try_feed` | a slow or absent peer gets |
/// |---|---|---|---|
/// | `Wait` | waits for room | refuses: full | everything, late |
/// | `Error` | fails with [`ErrorKind::Full`](crate::ErrorKind::Full) | refuses: full | what was accepted |
/// | `DropNewest` | accepts and drops the message | the same | the oldest messages of an outage |
/// | `DropOldest` | accepts; the oldest frames make way | the same | the newest messages of an outage |
///
/// With a dropping policy a sink is always ready for a message that fits its capacity. What can
/// never be sent is refused as ever, and so is everything once the sink is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// `feed` waits for room and `try_feed` refuses (the default).
    #[default]
    Wait,
    /// The message is accepted and dropped.
    DropNewest,
    /// The oldest frames are dropped until it fits and a sixteenth of the capacity is free, so that
    /// what stays is moved once per sixteenth and not once per message. Below a fan-out of links
    /// the frames are dropped for those links that have not written them yet.
    DropOldest,
    /// `feed` fails instead of waiting, and `try_feed` refuses.
    Error,
}

impl WhenFull {
    /// Whether it drops rather than refuse.
    pub(crate) const fn drops(self) -> bool {
        matches!(self, Self::DropNewest | Self::DropOldest)
    }
}
