//! The keys of a service, each with values that are right, among them the least and the greatest,
//! and with values that are not, among them the ones beyond.

pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) scope: Scope,
    pub(crate) values: Values,
}

/// The services that a key is for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scope {
    All,
    Tcp,
    Unix,
    Fanout,
    RoundRobin,
    Failover,
}

pub(crate) struct Values {
    right: &'static [&'static str],
    wrong: &'static [&'static str],
}

impl Values {
    /// One of them, and whether it is right; most are.
    pub(crate) fn pick(&self, number: u8) -> (&'static str, bool) {
        let right = number < 224;
        let from = if right { self.right } else { self.wrong };
        (from[usize::from(number) % from.len()], right)
    }
}

pub(crate) const PORTS: Values =
    Values { right: &["1", "65535", "9001"], wrong: &["0", "65536", "", "-1", "x"] };

const fn key(
    name: &'static str,
    scope: Scope,
    right: &'static [&'static str],
    wrong: &'static [&'static str],
) -> Key {
    Key { name, scope, values: Values { right, wrong } }
}

use Scope::{All, Failover, Fanout, Tcp, Unix};

#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("buffer.capacity", All, &["64", "'64B'", "'64KiB'", "1073741824", "'1GiB'"],
        // The last of them are within the limits in a multiplication that wraps around.
        &["63", "'63B'", "1073741825", "'2GiB'", "-1", "'64'", "64.0", "'17179869185GiB'",
            "'18446744073709551615GiB'", "18446744073709551680"]),
    key("buffer.max_frame", All, &["1", "'1B'", "'1GB'", "1073741824"],
        &["0", "'0B'", "1073741825", "'1 MiB'", "true"]),
    key("buffer.when_full", All, &["'wait'", "'drop_newest'", "'drop_oldest'", "'error'"],
        &["'drop'", "'never'", "1"]),
    key("lazy.connect_timeout", All, &["'1ms'", "'1000us'", "'5s'", "'8760h'"],
        &["'999us'", "'0s'", "'8761h'", "'off'", "5", "'5'", "'5124095577h'"]),
    key("lazy.backoff", All,
        &["{}", "{ initial = '1ms', max = '1ms' }", "{ max = '8760h', multiplier = 1 }", "{ multiplier = 1000 }"],
        &["{ initial = '2ms', max = '1ms' }", "{ initial = '0s' }", "{ multiplier = 0.99 }",
            "{ multiplier = 1000.1 }", "{ multiplier = nan }", "{ min = '1s' }", "{ initial = '31s' }"]),
    key("lazy.max_attempts", All, &["0", "4294967295"], &["-1", "4294967296", "'1'", "1.0"]),
    key("lazy.idle_timeout", All, &["'off'", "'1ms'", "'5m'"], &["'999us'", "'8761h'", "'on'", "false"]),
    key("lazy.min_uptime", All, &["'0s'", "'8760h'"], &["'31536000001ms'", "'-1s'", "0"]),
    key("lazy.close_deadline", All, &["'0s'", "'8760h'"], &["'31536001s'", "'1d'", "[]"]),
    key("lazy.reconnect", All, &["'on_data'", "'eager'"], &["'lazy'", "true"]),
    key("lazy.counting", All, &["true", "false"], &["1", "'true'"]),
    key("tcp.nodelay", Tcp, &["true", "false"], &["0"]),
    key("tcp.keepalive", Tcp, &["'1s'", "'32767s'", "'off'"], &["'999ms'", "'32768s'", "'0s'"]),
    key("tcp.user_timeout", Tcp, &["'1ms'", "'596h'", "'off'"], &["'999us'", "'597h'"]),
    key("tcp.send_buffer", Tcp, &["4096", "'1GiB'", "'auto'"], &["4095", "1073741825", "'none'"]),
    key("unix.send_buffer", Unix, &["'4KiB'", "1073741824", "'auto'"], &["'4KB'", "'4095B'"]),
    key("isolation", Fanout, &["'all'", "'best_effort'", "{ quorum = 1 }", "{ quorum = 2 }"],
        &["'quorum'", "'none'", "{}", "{ quorum = 0 }", "{ quorum = 513 }", "{ quorum = '1' }", "{ of = 1 }", "1"]),
    key("failover.attempts", Failover, &["1", "4294967295"], &["0", "4294967296", "'1'"]),
    key("failover.stall_timeout", Failover, &["'off'", "'1ms'", "'8760h'"], &["'0s'", "30"]),
    key("failover.probes", Failover, &["0", "3"], &["-1", "'off'"]),
    key("failover.probe_interval", Failover, &["'1ms'", "'5s'"], &["'off'", "'0s'"]),
    key("failover.hold", Failover, &["'0s'", "'8760h'"], &["'8761h'", "0"]),
    key("preamble", Unix, &["'none'"], &["'torq'", "0"]),
    key("buffer.high_water", All, &["1", "'64B'", "64", "'off'"], &["0", "1073741825", "'on'"]),
    // Below every high one; right only beside one.
    key("buffer.low_water", All, &["0", "'1B'"], &["-1", "'2GiB'"]),
    key("buffer.max_delay", All, &["'1ms'", "'8760h'", "'off'"], &["'999us'", "'0s'", "5"]),
    // One of these two at most.
    key("buffer.deadline", All, &["'1ms'", "'8760h'", "'off'"], &["'999us'", "250"]),
    key("buffer.priority", All, &["'weighted'", "'strict'", "'off'"], &["'on'", "1"]),
    // Right only beside a delay.
    key("buffer.flush_at", All, &["1", "'64B'"], &["0", "1073741825", "'off'"]),
];
