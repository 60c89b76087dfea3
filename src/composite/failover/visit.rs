//! What only the failover asks of its links.

use std::task::{Context, Poll};

use tokio::time::Instant;

use super::duty::Duty;
use crate::buffer::Pending;
use crate::composite::visit::nothing;
use crate::composite::{VisitLink, VisitLinkMut};
use crate::error::SinkError;
use crate::framing::{Framing, LengthPrefixed};
use crate::link::{Link, Skip};
use crate::sink::Report;

pub(super) struct WakeOne(pub(super) Result<(), SinkError>);

impl VisitLinkMut for WakeOne {
    fn visit<L: Link>(&mut self, link: &mut L) {
        self.0 = link.wake();
    }
}

pub(super) struct PollConnectOne<'cx, 'w> {
    pub(super) cx: &'cx mut Context<'w>,
    pub(super) done: Poll<Result<(), SinkError>>,
}

impl VisitLinkMut for PollConnectOne<'_, '_> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        self.done = link.poll_connect(self.cx);
    }
}

/// Ends a connection in good order. Everything is written.
pub(super) struct LeaveOne<'a, 'cx, 'w, F> {
    pub(super) cx: &'cx mut Context<'w>,
    pub(super) framing: &'a F,
    pub(super) done: Poll<Result<(), SinkError>>,
}

impl<F: Framing> VisitLinkMut for LeaveOne<'_, '_, '_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        self.done = link.poll_shutdown(self.cx, nothing(link, self.framing));
    }
}

/// Connects to the children before the active one, or finds them connected.
pub(super) struct ProbePreferred<'a, 'cx, 'w, F> {
    pub(super) cx: &'cx mut Context<'w>,
    pub(super) position: u64,
    pub(super) framing: &'a F,
    pub(super) now: Instant,
    pub(super) at: usize,
    pub(super) duty: &'a mut Duty,
}

impl<F: Framing> VisitLinkMut for ProbePreferred<'_, '_, '_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        if self.at < self.duty.active {
            // So that its connection begins where it would go on.
            let passed = Pending::new(&[], self.position, self.framing);
            link.skip(passed, self.position, Skip::Elsewhere);
            let good = matches!(link.poll_connect(self.cx), Poll::Ready(Ok(())));
            self.duty.probed(self.at, good, self.now);
        }
        self.at += 1;
    }
}

/// The report of one child to which nothing is left to write.
pub(super) struct ReportOne(pub(super) Report);

impl VisitLink for ReportOne {
    fn visit<L: Link>(&mut self, link: &L) {
        link.report_into(nothing(link, &LengthPrefixed::new()), &mut self.0);
    }
}
