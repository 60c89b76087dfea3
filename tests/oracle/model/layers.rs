//! The layers and composites of mixed stacks, and what each promises.

use std::time::Duration;

use torq_message_sink::{
    Backoff, CircuitBreaker, Conflate, Deadline, Failover, FailoverPolicy, HandBack, Lanes, Lazy,
    MessageSink, Rate, RateLimit,
};

use super::parts::{One, Parts};

impl Parts<'_> {
    /// One link with a buffer.
    pub(super) fn one(&self) -> One {
        self.buffered(self.link())
    }

    pub(super) fn lazy_one(&self) -> Lazy<One> {
        self.lazy(self.one())
    }

    /// Children, links or sinks, of which the first that works gets everything.
    pub(super) fn failover<T>(&self, children: T) -> Failover<T> {
        let choices = &mut **self.choices.borrow_mut();
        let millis = Duration::from_millis;
        let policy = FailoverPolicy::new()
            .with_attempts(choices.below(3) as u32)
            .with_stall_timeout(choices.of(&[None, Some(millis(50)), Some(millis(200))]))
            .with_probes(choices.below(4) as u32)
            .with_probe_interval(millis(10))
            .with_hold(millis(choices.of(&[0, 30])));
        // Where each has failed, whoever waits may hear of it.
        self.limited.set(true);
        Failover::with_policy(children, policy)
    }

    pub(super) fn deadline<S: HandBack>(&self, inner: S) -> Deadline<S> {
        let capacity = self.waiting();
        let choices = &mut **self.choices.borrow_mut();
        let mut promise = self.promise.borrow_mut();
        // One for all.
        let is_first = !std::mem::replace(&mut promise.expires, true);
        if is_first && choices.once_in(2) {
            promise.max_age = Some(Duration::from_millis(20 + choices.below(60) as u64));
        }
        let deadline = Deadline::with_capacity(inner, capacity);
        match promise.max_age {
            Some(age) => deadline.with_max_age(age),
            None => deadline,
        }
    }

    pub(super) fn conflate<S: HandBack>(&self, inner: S) -> Conflate<S> {
        let capacity = self.waiting();
        let choices = &mut **self.choices.borrow_mut();
        let mut promise = self.promise.borrow_mut();
        promise.conflates = true;
        promise.keys = choices.of(&[1, 3, 12]);
        Conflate::with_capacity(inner, capacity)
    }

    pub(super) fn lanes<S: MessageSink>(&self, inner: S) -> Lanes<S, 3> {
        let capacity = self.waiting();
        let choices = &mut **self.choices.borrow_mut();
        let mut promise = self.promise.borrow_mut();
        promise.lanes = 3;
        // Each lane has a capacity of its own.
        promise.waiting_bytes += 2 * capacity;
        let lanes = Lanes::with_capacity(inner, capacity);
        match choices.below(3) {
            0 => lanes,
            1 => lanes.strict(),
            _ => lanes.with_weights([0, 2, 1]),
        }
    }

    /// Bytes for a queue above a buffer.
    fn waiting(&self) -> usize {
        let capacity = self.choices.borrow_mut().of(&[0, 200, 1000, 5000]);
        let mut promise = self.promise.borrow_mut();
        promise.waiting_bytes += capacity;
        promise.waiting = true;
        capacity
    }

    pub(super) fn limited<S>(&self, inner: S) -> RateLimit<S> {
        let choices = &mut **self.choices.borrow_mut();
        let millisecond = Duration::from_millis(1);
        let bytes = Rate::new(20, millisecond).with_burst(choices.of(&[1, 50, 400]));
        RateLimit::new(inner)
            .with_messages(Rate::new(3, millisecond).with_burst(choices.of(&[1, 7, 40])))
            .with_bytes(bytes)
    }

    pub(super) fn breaker<S>(&self, inner: S) -> CircuitBreaker<S> {
        let choices = &mut **self.choices.borrow_mut();
        let millis = Duration::from_millis;
        self.promise.borrow_mut().breaks = true;
        // A stall is an error like any other.
        self.limited.set(true);
        CircuitBreaker::new(inner)
            .with_failures(1 + choices.below(2) as u32)
            .with_open_time(Backoff::new().with_initial(millis(10)).with_max(millis(40)))
            .with_probes(1 + choices.below(2) as u32)
            .with_stall_timeout(choices.of(&[None, Some(millis(30))]))
            .with_waiting(choices.once_in(2))
    }
}
