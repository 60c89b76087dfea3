//! Which target is on duty, and what is known of it and of those that are preferred to it. Knows
//! neither links nor sinks.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use crate::error::{ErrorKind, SinkError};
use crate::policy::{FailoverPolicy, LazyPolicy};
use crate::sink::{Event, EventQueue, LeafReport, Report, SinkState, SwitchCause, first_link};
use crate::timer::Alarm;

/// Which target is active, how it does, and how the preferred ones do.
#[derive(Debug)]
pub(super) struct Duty {
    policy: FailoverPolicy,
    /// What stands above, or the default.
    lazy: Arc<LazyPolicy>,
    /// Whether the children know by which policy they run.
    handed_down: bool,
    pub(super) active: usize,
    /// Since when the active one was seen connected.
    up: Option<Instant>,
    /// Targets that have failed one after the other, none of them connected for long in between.
    failed: usize,
    /// Where the active one stands while there is something left for it, and since when.
    stuck: Option<(u64, Instant)>,
    switched: Option<Instant>,
    next_probe: Option<Instant>,
    /// Good probes in a row, of each preferred target.
    good: SmallVec<[u32; 4]>,
    /// The preferred target that is well again.
    returning: Option<usize>,
    /// The target that was left in good order, until it has said goodbye or its time is up.
    pub(super) leaving: Option<(usize, Option<Instant>)>,
    alarm: Alarm,
    events: EventQueue,
}

impl Duty {
    pub(super) fn new(policy: FailoverPolicy) -> Self {
        Self {
            policy,
            lazy: LazyPolicy::shared_default(),
            handed_down: false,
            active: 0,
            up: None,
            failed: 0,
            stuck: None,
            switched: None,
            next_probe: None,
            good: SmallVec::new(),
            returning: None,
            leaving: None,
            alarm: Alarm::default(),
            events: EventQueue::new(),
        }
    }

    pub(super) const fn policy(&self) -> &FailoverPolicy {
        &self.policy
    }

    /// The policy of the children: the one from above, but they give up sooner.
    pub(super) fn hand_down(&mut self, lazy: &Arc<LazyPolicy>) -> Arc<LazyPolicy> {
        (self.lazy, self.handed_down) = (lazy.clone(), true);
        Arc::new(LazyPolicy::clone(lazy).with_max_attempts(self.policy.attempts()))
    }

    /// The policy of children that nobody has given one.
    pub(super) fn default_to_hand_down(&mut self) -> Option<Arc<LazyPolicy>> {
        (!self.handed_down).then(|| self.hand_down(&LazyPolicy::shared_default()))
    }

    /// Whether all is well and there is nothing to look at but the active target.
    pub(super) fn is_settled(&self) -> bool {
        let probes = self.active > 0 && self.policy.probes > 0;
        self.up.is_some() && self.stuck.is_none() && self.leaving.is_none() && !probes
    }

    /// Whether the active target has failed, judged by what a call to it came to and how it stands
    /// since: its state, and its `place`, which moves with every byte it takes.
    pub(super) fn judge(
        &mut self,
        done: &Poll<Result<(), SinkError>>,
        state: SinkState,
        place: u64,
        now: Instant,
    ) -> Option<SwitchCause> {
        let lost = self.up.is_some() && state != SinkState::Connected;
        if self.up.is_some_and(|up| now.duration_since(up) >= self.lazy.min_uptime) {
            self.failed = 0;
        }
        match done {
            Poll::Ready(Err(error)) => {
                let fails = matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Other);
                return fails.then_some(SwitchCause::Unreachable);
            }
            Poll::Pending if lost => return Some(SwitchCause::Lost),
            Poll::Pending if self.is_stuck(place, now) => return Some(SwitchCause::Stalled),
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.stuck = None,
        }
        self.up = match state {
            SinkState::Connected => self.up.or(Some(now)),
            _ => None,
        };
        None
    }

    fn is_stuck(&mut self, place: u64, now: Instant) -> bool {
        let Some(timeout) = self.stall_timeout() else { return false };
        match self.stuck {
            Some((at, since)) if at == place => now.duration_since(since) >= timeout,
            _ => {
                self.stuck = Some((place, now));
                false
            }
        }
    }

    /// Where the active target was when it last moved, unless that is so long ago that one has to
    /// look.
    pub(super) fn known_place(&self, now: Instant) -> Option<u64> {
        let (place, since) = self.stuck.unwrap_or((0, now));
        let looks = self.stall_timeout().is_some_and(|t| now.duration_since(since) >= t);
        (!looks).then_some(place)
    }

    /// The active target has failed; says which one is next.
    pub(super) fn fail(&mut self, targets: usize) -> usize {
        self.failed = self.failed.saturating_add(1);
        if self.active + 1 < targets { self.active + 1 } else { 0 }
    }

    /// Whether the next target's turn may begin at once, back-off or not. Once per target and
    /// outage: connections that do not last are no reason to make more of them.
    pub(super) fn is_first_round(&self, targets: usize) -> bool {
        self.failed < targets
    }

    /// Whether as many attempts have failed as the policy from above allows each target. Then they
    /// start anew.
    pub(super) fn is_used_up(&mut self, targets: usize) -> bool {
        let each = (self.lazy.max_attempts as usize).div_ceil(self.policy.attempts() as usize);
        let used_up = each != 0 && self.failed >= each.saturating_mul(targets);
        if used_up {
            self.failed = 0;
        }
        used_up
    }

    /// Another target is on duty from now on.
    pub(super) fn switch(&mut self, to: usize, now: Instant) {
        self.active = to;
        (self.up, self.stuck, self.switched) = (None, None, Some(now));
        (self.returning, self.next_probe) = (None, None);
        self.good.clear();
    }

    /// The active target is left in good order, for which it has as long as a close.
    pub(super) fn leave(&mut self, now: Instant) {
        self.leaving = Some((self.active, now.checked_add(self.lazy.close_deadline)));
    }

    /// The preferred target that is well again, if there is one.
    pub(super) fn returning(&self) -> Option<usize> {
        self.returning
    }

    /// Whether it is time to probe the preferred targets.
    pub(super) fn is_probe_due(&mut self, now: Instant) -> bool {
        let probes = self.active > 0 && self.policy.probes > 0 && self.up.is_some();
        if !probes {
            self.next_probe = None;
            return false;
        }
        let interval = self.policy.probe_interval.max(TICK);
        let due = *self.next_probe.get_or_insert(now) <= now;
        if due {
            // Too far ahead for the clock is never.
            self.next_probe = Some(now.checked_add(interval).unwrap_or(now + YEAR));
        }
        due
    }

    /// A probe of target `index` came to this.
    pub(super) fn probed(&mut self, index: usize, good: bool, now: Instant) {
        if self.good.len() <= index {
            self.good.resize(index + 1, 0);
        }
        self.good[index] = if good { self.good[index].saturating_add(1) } else { 0 };
        let held = self.switched.is_none_or(|at| now.duration_since(at) >= self.policy.hold);
        let well = held && self.good[index] >= self.policy.probes;
        match self.returning {
            // It was well at the last probe, and is not any more.
            Some(returning) if returning == index && !well => self.returning = None,
            None if well => self.returning = Some(index),
            _ => {}
        }
    }

    /// Asks to be called again when there is something to look at.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) {
        let left = self.leaving.and_then(|(_, until)| until);
        let at = [self.stall_at(), left, self.next_probe].into_iter().flatten().min();
        self.wait_until(at, cx);
    }

    /// Asks to be called again when the active target has taken nothing for too long.
    pub(super) fn wait_for_progress(&mut self, cx: &mut Context<'_>) {
        self.wait_until(self.stall_at(), cx);
    }

    fn stall_at(&self) -> Option<Instant> {
        let (timeout, (_, since)) = self.stall_timeout().zip(self.stuck)?;
        since.checked_add(timeout)
    }

    fn stall_timeout(&self) -> Option<Duration> {
        self.policy.stall_timeout.map(|timeout| timeout.max(TICK))
    }

    fn wait_until(&mut self, at: Option<Instant>, cx: &mut Context<'_>) {
        let Some(at) = at else {
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
        (self.up, self.stuck, self.leaving) = (None, None, None);
        self.alarm = Alarm::default();
        (self.returning, self.next_probe) = (None, None);
        self.good.clear();
    }

    /// Tells of a switch to the target whose report this is.
    pub(super) fn tell(&mut self, from: usize, to: Report, cause: SwitchCause, position: u64) {
        let (service, endpoint) = first_link(to);
        self.events.push(Event::Switched {
            service,
            endpoint,
            from,
            to: self.active,
            cause,
            position,
        });
    }

    pub(super) fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.events.take(each);
    }

    /// Counts lost events with the first leaf's.
    pub(super) fn report_into(&self, leaf: Option<&mut LeafReport>) {
        if let Some(leaf) = leaf {
            leaf.events_lost += self.events.lost();
        }
    }
}

/// The runtime's timers count milliseconds; anything shorter would have us look without a pause.
const TICK: Duration = Duration::from_millis(1);

const YEAR: Duration = Duration::from_secs(8760 * 3600);
