//! The switch of a circuit: when it opens and closes, from what it is told of failures and probes.

use std::time::Duration;

use tokio::time::Instant;

use crate::policy::Backoff;
use crate::sink::Circuit;

#[derive(Debug)]
pub(super) struct Switch {
    pub(super) position: Position,
    pub(super) max_failures: u32,
    pub(super) open_time: Backoff,
    /// Probes that must go well.
    pub(super) probes: u32,
    /// In a row, while closed.
    pub(super) failures: u32,
    /// Openings since it was last closed.
    reopened: u32,
    pub(super) openings: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        /// Probes that went well.
        probes: u32,
        /// Whether a message was let through of which nothing is known yet.
        probing: bool,
    },
}

impl Switch {
    /// Opens after 5 failures for 1 s, and closes after one probe.
    pub(super) const fn new() -> Self {
        Self {
            position: Position::Closed,
            max_failures: 5,
            open_time: Backoff::new().with_initial(Duration::from_secs(1)),
            probes: 1,
            failures: 0,
            reopened: 0,
            openings: 0,
        }
    }

    pub(super) fn circuit(&self) -> Circuit {
        match self.position {
            Position::Closed => Circuit::Closed,
            Position::Open { .. } => Circuit::Open,
            Position::HalfOpen { .. } => Circuit::HalfOpen,
        }
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.position == Position::Closed
    }

    /// Whether a message of whose probe nothing is known yet is on its way.
    pub(super) fn is_probing(&self) -> bool {
        matches!(self.position, Position::HalfOpen { probing: true, .. })
    }

    /// Whether it refuses everything, for its time is not over.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.position, Position::Open { until } if Instant::now() < until)
    }

    /// Half-opens it if its time is over; whether a message is let through now.
    pub(super) fn try_pass(&mut self) -> bool {
        if self.is_open() || self.is_probing() {
            return false;
        }
        if let Position::Open { .. } = self.position {
            self.position = Position::HalfOpen { probes: 0, probing: false };
        }
        true
    }

    /// A message was let through.
    #[inline]
    pub(super) fn accepted(&mut self) {
        if let Position::HalfOpen { probing, .. } = &mut self.position {
            *probing = true;
        }
    }

    /// A flush is done that proves that the peer is there, or a connection is made.
    #[cold]
    pub(super) fn succeed(&mut self) {
        match &mut self.position {
            Position::Closed => self.failures = 0,
            Position::Open { .. } => {}
            Position::HalfOpen { probes, probing } => {
                (*probes, *probing) = (*probes + 1, false);
                if *probes >= self.probes {
                    (self.position, self.reopened) = (Position::Closed, 0);
                }
            }
        }
    }

    /// The peer was not reached.
    #[cold]
    pub(super) fn fail(&mut self) {
        match self.position {
            Position::Closed => {
                self.failures += 1;
                if self.failures >= self.max_failures {
                    self.open();
                }
            }
            Position::Open { .. } => {}
            Position::HalfOpen { .. } => self.open(),
        }
    }

    fn open(&mut self) {
        self.openings += 1;
        self.reopened = self.reopened.saturating_add(1);
        self.failures = 0;
        self.position = Position::Open { until: Instant::now() + self.next_open_time() };
    }

    /// How long it is open, if it is.
    pub(super) fn time_open(&self) -> Option<Duration> {
        matches!(self.position, Position::Open { .. }).then(|| self.next_open_time())
    }

    /// How long it is open after so many openings.
    fn next_open_time(&self) -> Duration {
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        self.open_time.ceiling(self.reopened).min(century)
    }
}
