//! A token bucket: how much may pass now, as plain arithmetic over the moments it is given.

use std::time::Duration;

use tokio::time::Instant;

/// So much per time, and so much at once: of messages or of bytes, see
/// [`RateLimit`](crate::RateLimit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    amount: u64,
    per_nanos: u64,
    burst: u64,
}

impl Rate {
    /// `amount` per second, with bursts of a second's worth.
    #[must_use]
    pub const fn per_second(amount: u64) -> Self {
        Self::new(amount, Duration::from_secs(1))
    }

    /// `amount` per `time`, with bursts of as much. Either counts as 1 (of nanoseconds) if it is
    /// zero; a time of more than 584 years counts as that.
    #[must_use]
    pub const fn new(amount: u64, time: Duration) -> Self {
        let (amount, nanos) = (if amount == 0 { 1 } else { amount }, time.as_nanos());
        let per_nanos = match nanos {
            0 => 1,
            _ if nanos > u64::MAX as u128 => u64::MAX,
            _ => nanos as u64,
        };
        Self { amount, per_nanos, burst: amount }
    }

    /// How much may pass at once, at most, after a while in which less passed; from 8 on it may be
    /// an eighth less, for the sake of speed. 0 counts as 1.
    #[must_use]
    pub const fn with_burst(mut self, burst: u64) -> Self {
        self.burst = if burst == 0 { 1 } else { burst };
        self
    }

    /// The time in which `amount` comes together, in nanoseconds, rounded up: never above the rate.
    fn nanos(&self, amount: u64) -> u64 {
        let nanos = (u128::from(amount) * u128::from(self.per_nanos)).div_ceil(self.amount.into());
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// What comes together in so much time.
    fn amount(&self, nanos: u64) -> u64 {
        let amount = u128::from(nanos) * u128::from(self.amount) / u128::from(self.per_nanos);
        u64::try_from(amount).unwrap_or(u64::MAX)
    }
}

/// What has passed is owed as the time in which the rate allows it, which goes by by itself. So
/// there is nothing to refill, and a message of any size can be let in and paid off.
#[derive(Debug)]
pub(super) struct Bucket {
    /// What is paid for and has not yet passed.
    pub(super) left: u64,
    limit: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    rate: Rate,
    /// What is paid for ahead, to read the clock less often.
    ahead: u64,
    /// The most time that may be owed, in nanoseconds. Together with what is paid for ahead it is
    /// the burst, so that a burst is never exceeded, however long what is left lies there.
    most_owed: u64,
    /// Nanoseconds that were owed when the clock was last read.
    owed: u64,
    read: Instant,
}

impl Bucket {
    pub(super) const fn unlimited() -> Self {
        Self { left: u64::MAX, limit: None }
    }

    pub(super) fn full(rate: Rate) -> Self {
        let ahead = rate.burst / 8;
        let most_owed = rate.nanos(rate.burst - ahead);
        let limit = Limit { rate, ahead, most_owed, owed: 0, read: Instant::now() };
        Self { left: ahead, limit: Some(limit) }
    }

    /// How long from `now` until `amount` can be paid for, in nanoseconds.
    pub(super) fn wait(&self, amount: u64, now: Instant) -> u64 {
        let missing = amount.saturating_sub(self.left);
        self.limit.as_ref().map_or(0, |limit| limit.wait(missing, now))
    }

    /// Pays for `amount`, or says when that can be done.
    pub(super) fn pay(&mut self, amount: u64, now: Instant) -> Result<(), Instant> {
        let Some(limit) = &mut self.limit else {
            self.left = u64::MAX;
            return Ok(());
        };
        let missing = amount.saturating_sub(self.left);
        if missing == 0 {
            return Ok(());
        }
        let wait = limit.wait(missing, now);
        if wait > 0 {
            let century = Duration::from_secs(100 * 365 * 24 * 3600);
            return Err(now + Duration::from_nanos(wait).min(century));
        }
        (limit.owed, limit.read) = (limit.owed(now).saturating_add(limit.rate.nanos(missing)), now);
        let ahead = limit.rate.amount(limit.most_owed.saturating_sub(limit.owed)).min(limit.ahead);
        limit.owed += limit.rate.nanos(ahead);
        self.left = amount.saturating_add(ahead);
        Ok(())
    }

    /// What was paid for will not pass: no more is kept than what is paid for ahead.
    pub(super) fn give_back(&mut self) {
        if let Some(limit) = &mut self.limit {
            let excess = self.left.saturating_sub(limit.ahead);
            limit.owed = limit.owed.saturating_sub(limit.rate.nanos(excess));
            self.left -= excess;
        }
    }
}

impl Limit {
    /// Nanoseconds that are owed at `now`.
    fn owed(&self, now: Instant) -> u64 {
        let gone = now.saturating_duration_since(self.read).as_nanos();
        self.owed.saturating_sub(u64::try_from(gone).unwrap_or(u64::MAX))
    }

    /// How long until `missing` can be paid for. What is more than may be owed waits until nothing
    /// is.
    fn wait(&self, missing: u64, now: Instant) -> u64 {
        if missing == 0 {
            return 0;
        }
        let needed = self.rate.nanos(missing).min(self.most_owed);
        let wait =
            (u128::from(self.owed(now)) + u128::from(needed)).saturating_sub(self.most_owed.into());
        u64::try_from(wait).unwrap_or(u64::MAX)
    }
}
