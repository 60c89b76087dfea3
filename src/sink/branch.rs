//! What became of the messages, branch by branch: the leaves of a report in one word each.

use crate::error::SinkError;
use crate::sink::{Count, LeafReport, Report};

/// One link of a stack, and what became of the messages for it: from [`Report::branches`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Branch<'a> {
    /// Which link it is, whether it [gates](LeafReport::gates), and all that is known of it.
    pub leaf: &'a LeafReport,
    /// What became of its messages.
    pub outcome: BranchOutcome<'a>,
}

/// What became of the messages for one link.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum BranchOutcome<'a> {
    /// Kernels have taken everything that was for it, be that nothing at all.
    Delivered,
    /// It has not got everything yet; as far as is known its peer is there.
    #[non_exhaustive]
    Behind {
        /// What is left.
        buffered: Count,
    },
    /// Some of it was given up, for a reason that [`LeafReport::dropped`] tells: it never gets that.
    #[non_exhaustive]
    Missed {
        /// What it misses.
        missed: Count,
        /// What is left besides.
        buffered: Count,
    },
    /// It has not got everything, and its peer cannot be reached.
    #[non_exhaustive]
    Failed {
        /// Why the last attempt to connect failed.
        error: &'a SinkError,
        /// What it misses for good.
        missed: Count,
        /// What is kept for it, and goes out when it can be reached.
        buffered: Count,
    },
}

impl Report {
    /// What became of everything accepted so far, in a word per link, in the stack's order: links
    /// below one buffer and whole sinks alike, however they are nested.
    ///
    /// The result of a `send` or `flush` is that of all it waits for together. Which child of a
    /// [`Fanout`](crate::Fanout) or [`Quorum`](crate::Quorum) has failed, and what became of those
    /// that nobody waits for, stands here. What still waits or was dropped above the links does
    /// not: see [`unfed`](Self::unfed) and [`dropped`](Self::dropped).
    ///
    /// # Examples
    ///
    /// A flush has failed: whose fault is it, and who has got the message?
    ///
    /// ```
    /// use torq_message_sink::{BranchOutcome, Buffered, Fanout, Lazy, MemorySink, MessageSink};
    ///
    /// # tokio_test::block_on(async {
    /// let ((strategy, there), (journal, away)) = (MemorySink::pair(64), MemorySink::pair(64));
    /// away.refuse(true);
    /// let targets = (strategy.with_service("strategy"), journal.with_service("journal"));
    /// let mut sink = Lazy::new(Buffered::new(Fanout::new(targets))).with_max_attempts(1);
    /// assert!(sink.send("tick").await.is_err());
    ///
    /// let report = sink.report();
    /// let told = report.branches().map(|branch| match branch.outcome {
    ///     BranchOutcome::Delivered => "has it".to_owned(),
    ///     BranchOutcome::Failed { error, buffered, .. } => {
    ///         assert_eq!(error.service(), Some("journal"));
    ///         format!("gets {} bytes later", buffered.bytes)
    ///     }
    ///     other => unreachable!("{other:?}"),
    /// });
    /// assert_eq!(told.collect::<Vec<_>>(), ["has it", "gets 8 bytes later"]);
    /// # drop(there);
    /// # });
    /// ```
    pub fn branches(&self) -> impl Iterator<Item = Branch<'_>> {
        self.leaves.iter().map(|leaf| Branch { leaf, outcome: outcome(leaf, leaf.dropped.total()) })
    }

    /// As [`branches`](Self::branches), but what a link had missed when `earlier` was made, a report
    /// of the same sink, is left out: for what came of one send, or of the last minute.
    pub fn branches_since<'a>(
        &'a self,
        earlier: &'a Self,
    ) -> impl Iterator<Item = Branch<'a>> + use<'a> {
        self.leaves.iter().enumerate().map(|(index, leaf)| {
            let (all, before) = (leaf.dropped.total(), earlier.leaves.get(index));
            let missed = before.map_or(all, |before| all.minus(before.dropped.total()));
            Branch { leaf, outcome: outcome(leaf, missed) }
        })
    }
}

fn outcome(leaf: &LeafReport, missed: Count) -> BranchOutcome<'_> {
    let (buffered, misses) = (leaf.buffered, !missed.is_none());
    match &leaf.error {
        _ if buffered.is_none() && !misses => BranchOutcome::Delivered,
        Some(error) => BranchOutcome::Failed { error, missed, buffered },
        None if misses => BranchOutcome::Missed { missed, buffered },
        None => BranchOutcome::Behind { buffered },
    }
}
