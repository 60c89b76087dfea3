//! What only the round-robin asks of its links.

use std::task::{Context, Poll};

use super::links::DONE;
use super::round::Round;
use crate::buffer::Pending;
use crate::composite::each::gather;
use crate::composite::visit::{JoinOne, WriteOne, nothing};
use crate::composite::{VisitLink, VisitLinkMut};
use crate::error::SinkError;
use crate::framing::Framing;
use crate::link::Link;
use crate::sink::SinkState;

/// How one child stands.
pub(super) struct Stands {
    pub(super) state: SinkState,
    pub(super) reached: u64,
    pub(super) required: u64,
}

impl Stands {
    pub(super) fn is_asleep(&self) -> bool {
        self.state == SinkState::Asleep
    }
}

impl VisitLink for Stands {
    fn visit<L: Link>(&mut self, link: &L) {
        *self = Self { state: link.state(), reached: link.reached(), required: link.required() };
    }
}

pub(super) struct Write<'a, 'cx, 'w, F> {
    pub(super) cx: Option<&'cx mut Context<'w>>,
    pub(super) pending: Pending<'a, F>,
    /// The child that is to write; none, and all of them have nothing to write.
    pub(super) only: Option<usize>,
    pub(super) at: usize,
    pub(super) taken: u64,
    pub(super) all: Poll<Result<(), SinkError>>,
}

impl<F: Framing> VisitLinkMut for Write<'_, '_, '_, F> {
    #[inline]
    fn visit<L: Link>(&mut self, link: &mut L) {
        let at = self.at;
        self.at += 1;
        let pending = match self.only {
            Some(only) if only == at => self.pending,
            Some(_) => return,
            None => nothing(link, self.pending.framing()),
        };
        let cx = self.cx.as_deref_mut();
        let mut one = WriteOne { cx, pending, done: DONE, taken: self.taken };
        one.visit(link);
        gather(&mut self.all, one.done);
        self.taken = one.taken;
    }
}

pub(super) struct ConnectOthers<'a, 'cx, 'w> {
    /// Without one they are only looked at.
    pub(super) cx: Option<&'cx mut Context<'w>>,
    pub(super) next: usize,
    pub(super) round: &'a mut Round,
    pub(super) end: u64,
    pub(super) at: usize,
    pub(super) connected: bool,
}

impl VisitLinkMut for ConnectOthers<'_, '_, '_> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        let at = self.at;
        self.at += 1;
        if at == self.next {
            return;
        }
        if let Some(cx) = &mut self.cx
            && !self.round.rests(at)
            && !self.round.has_given_up(at, self.end)
        {
            // So that its connection begins where it would go on.
            JoinOne(self.round.taken).visit(link);
            if let Poll::Ready(Err(_)) = link.poll_connect(cx) {
                self.round.give_up(at, self.end);
            }
        }
        self.connected |= link.state() == SinkState::Connected;
    }
}

pub(super) struct WakeAny {
    pub(super) woken: bool,
    pub(super) error: Option<SinkError>,
}

impl VisitLinkMut for WakeAny {
    fn visit<L: Link>(&mut self, link: &mut L) {
        match link.wake() {
            Ok(()) => self.woken = true,
            Err(error) => self.error = Some(error),
        }
    }
}

/// The first that is connected will do; then whoever is on the way.
pub(super) struct PollConnectAny<'cx, 'w> {
    pub(super) cx: &'cx mut Context<'w>,
    pub(super) any: Option<Poll<Result<(), SinkError>>>,
}

impl VisitLinkMut for PollConnectAny<'_, '_> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        let one = link.poll_connect(self.cx);
        match (&self.any, &one) {
            (Some(Poll::Ready(Ok(()))), _) | (Some(Poll::Pending), Poll::Ready(Err(_))) => {}
            _ => self.any = Some(one),
        }
    }
}

pub(super) struct PollShutdown<'a, 'cx, 'w, F> {
    pub(super) cx: &'cx mut Context<'w>,
    pub(super) framing: &'a F,
    pub(super) all: Poll<Result<(), SinkError>>,
}

impl<F: Framing> VisitLinkMut for PollShutdown<'_, '_, '_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        gather(&mut self.all, link.poll_shutdown(self.cx, nothing(link, self.framing)));
    }
}

pub(super) struct Best(pub(super) SinkState);

impl VisitLink for Best {
    fn visit<L: Link>(&mut self, link: &L) {
        self.0 = match (self.0, link.state()) {
            (SinkState::Asleep, state) | (state, SinkState::Asleep) => state,
            (one, other) => one.min(other),
        };
    }
}
