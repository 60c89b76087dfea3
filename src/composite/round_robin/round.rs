//! What a round-robin over links knows of its children: who is passed over, and who is stuck. Knows
//! no link.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::timer::Alarm;

/// How far a round-robin over links has come, and how its children do.
#[derive(Debug)]
pub(super) struct Round {
    /// What the children together have taken.
    pub(super) taken: u64,
    pub(super) stall_timeout: Option<Duration>,
    /// Whether a child may have to finish a frame that was left out after it was begun.
    pub(super) owes: bool,
    /// Of each child, as far as there is something to say.
    seats: Vec<Seat>,
    /// Where the child stands that is in the middle of a frame, and since when.
    stuck: Option<(u64, Instant)>,
    alarm: Alarm,
}

/// What is known of one child.
#[derive(Clone, Debug, Default)]
struct Seat {
    /// What had been accepted when its attempts to connect were used up: only new data sets it
    /// going again.
    gave_up: Option<u64>,
    /// Until when it is passed over.
    rests: Option<Instant>,
}

impl Default for Round {
    fn default() -> Self {
        Self {
            taken: 0,
            stall_timeout: Some(STALL_TIMEOUT),
            owes: false,
            seats: Vec::new(),
            stuck: None,
            alarm: Alarm::default(),
        }
    }
}

impl Round {
    /// The attempts to connect to child `index` are used up.
    pub(super) fn give_up(&mut self, index: usize, accepted: u64) {
        self.seat(index).gave_up = Some(accepted);
    }

    /// Whether the attempts to connect to child `index` were used up, and nothing has been accepted
    /// since.
    pub(super) fn has_given_up(&self, index: usize, accepted: u64) -> bool {
        self.seats.get(index).is_some_and(|seat| seat.gave_up == Some(accepted))
    }

    /// Child `index` is passed over no longer.
    pub(super) fn try_again(&mut self, index: usize) {
        if let Some(seat) = self.seats.get_mut(index) {
            *seat = Seat::default();
        }
    }

    /// Whoever has given up may try again.
    pub(super) fn begin_anew(&mut self) {
        self.seats.iter_mut().for_each(|seat| seat.gave_up = None);
    }

    /// Whether child `index` is passed over while another is connected.
    pub(super) fn rests(&mut self, index: usize) -> bool {
        let Some(seat) = self.seats.get_mut(index) else { return false };
        if seat.rests.is_some_and(|until| Instant::now() >= until) {
            seat.rests = None;
        }
        seat.rests.is_some()
    }

    /// The child whose turn it is stands at `place`, in the middle of a frame. Whether it has stood
    /// there for too long.
    pub(super) fn is_stuck(&mut self, place: u64) -> bool {
        let Some(timeout) = self.timeout() else { return false };
        let now = Instant::now();
        match self.stuck {
            Some((at, since)) if at == place => now.duration_since(since) >= timeout,
            _ => {
                self.stuck = Some((place, now));
                false
            }
        }
    }

    /// Child `index` was stuck, and is passed over for a while.
    pub(super) fn send_to_rest(&mut self, index: usize) {
        let rest = self.timeout().and_then(|timeout| timeout.checked_mul(REST));
        self.seat(index).rests = rest.and_then(|rest| Instant::now().checked_add(rest));
    }

    /// The turn passes to the next child.
    pub(super) fn pass(&mut self) {
        self.stuck = None;
    }

    /// Asks to be called again when a child need not be passed over any longer, or is stuck for too
    /// long, if there is `another` to go on.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>, another: bool) {
        let stuck = self.stuck.zip(self.timeout()).filter(|_| another);
        let stuck = stuck.and_then(|((_, since), timeout)| since.checked_add(timeout));
        let rests = self.seats.iter().filter_map(|seat| seat.rests);
        let Some(at) = rests.chain(stuck).min() else {
            self.alarm = Alarm::default();
            return;
        };
        // Without timers one looks in calls only.
        if let Poll::Ready(Ok(())) = self.alarm.poll(cx, at) {
            cx.waker().wake_by_ref();
        }
    }

    /// Nothing is connected any more.
    pub(super) fn rest(&mut self) {
        (self.stuck, self.owes) = (None, false);
        self.seats.clear();
        self.alarm = Alarm::default();
    }

    /// The runtime's timers count milliseconds.
    fn timeout(&self) -> Option<Duration> {
        self.stall_timeout.map(|timeout| timeout.max(Duration::from_millis(1)))
    }

    fn seat(&mut self, index: usize) -> &mut Seat {
        if self.seats.len() <= index {
            self.seats.resize(index + 1, Seat::default());
        }
        &mut self.seats[index]
    }
}

/// How long a peer may take nothing in the middle of a frame.
const STALL_TIMEOUT: Duration = Duration::from_secs(1);

/// How many times as long it is passed over then: what others lose to a peer that never goes on is a
/// small part of the time.
const REST: u32 = 10;
