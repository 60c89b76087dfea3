//! The stacks that sequences run on, and their policies.

use std::sync::Arc;
use std::time::Duration;

use torq_message_sink::testing::Scripted;
use torq_message_sink::{
    Backoff, Buffered, Fanout, Lazy, LazyPolicy, LengthPrefixed, Link, MemoryConnector, MemorySink,
    MessageSink, Reconnect, StreamLink,
};

use super::receiver::Receiver;
use super::sequence::{OPERATIONS, Sequence, Setting};
use super::world::choose;

type Leaf = StreamLink<Scripted<MemoryConnector>>;

/// Runs the sequence of `seed`; answers the number of operations.
pub(crate) async fn run(seed: u64, trace: bool) -> u64 {
    // The library draws its jitter from the thread's own generator.
    fastrand::seed(seed);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut operations = 0;
    while operations < OPERATIONS {
        operations += life(&mut rng, OPERATIONS - operations, trace).await;
    }
    operations
}

/// The life of one sink, to its end.
async fn life(rng: &mut fastrand::Rng, most: u64, trace: bool) -> u64 {
    let setting = setting(rng);
    if trace {
        println!("{setting:?}");
    }
    let mut receivers = Vec::new();
    let pipe = *choose(rng, &[1, 7, 40, 300]);
    let leaf = |receivers: &mut Vec<Receiver>| {
        let (link, peer) = MemorySink::pair(pipe);
        let (connector, script) = Scripted::new(link.connector().clone());
        receivers.push(Receiver::new(peer, script));
        StreamLink::with_connector(connector).with_service((receivers.len() - 1).to_string())
    };
    let mut next = || leaf(&mut receivers);
    match rng.u8(..9) {
        0 => bare(next(), setting, receivers, rng, most, trace).await,
        1 | 2 => lazy(next(), setting, receivers, rng, most, trace).await,
        3 => {
            let links = (next(), next());
            bare(Fanout::new(links), setting, receivers, rng, most, trace).await
        }
        4 | 5 => {
            let links = (next(), next());
            lazy(Fanout::new(links), setting, receivers, rng, most, trace).await
        }
        6 => {
            let links = (next(), next(), next());
            lazy(Fanout::new(links), setting, receivers, rng, most, trace).await
        }
        7 => {
            let links = (next(), Fanout::new((next(), next())));
            lazy(Fanout::new(links), setting, receivers, rng, most, trace).await
        }
        _ => {
            let links: [Leaf; 4] = [next(), next(), next(), next()];
            lazy(Fanout::new(links), setting, receivers, rng, most, trace).await
        }
    }
}

async fn bare<L: Link>(
    link: L,
    setting: Setting,
    receivers: Vec<Receiver>,
    rng: &mut fastrand::Rng,
    most: u64,
    trace: bool,
) -> u64 {
    let mut sink = buffered(link, &setting);
    sink.set_policy(&Arc::new(setting.policy.clone()));
    Sequence::new(sink, setting, receivers, rng, trace).run(most).await
}

async fn lazy<L: Link>(
    link: L,
    setting: Setting,
    receivers: Vec<Receiver>,
    rng: &mut fastrand::Rng,
    most: u64,
    trace: bool,
) -> u64 {
    let sink = Lazy::with_policy(buffered(link, &setting), setting.policy.clone());
    Sequence::new(sink, setting, receivers, rng, trace).run(most).await
}

fn buffered<L: Link>(link: L, setting: &Setting) -> Buffered<L> {
    let framing = LengthPrefixed::with_max_frame(setting.max_frame);
    Buffered::with_framing(link, setting.capacity, framing)
}

fn setting(rng: &mut fastrand::Rng) -> Setting {
    let millis = Duration::from_millis;
    let backoff = Backoff::new()
        .with_initial(millis(*choose(rng, &[0, 1, 20])))
        .with_max(millis(*choose(rng, &[20, 300])));
    let policy = LazyPolicy::new()
        .with_connect_timeout(millis(50))
        .with_backoff(backoff)
        .with_max_attempts(*choose(rng, &[0, 0, 1, 3]))
        .with_min_uptime(millis(*choose(rng, &[0, 30])))
        .with_idle_timeout(choose(rng, &[None, None, Some(millis(40))]).as_ref().copied())
        .with_close_deadline(millis(*choose(rng, &[0, 100, 1000])))
        .with_reconnect(if rng.u8(..4) == 0 { Reconnect::Eager } else { Reconnect::OnData })
        .with_counting(rng.bool());
    let capacity = *choose(rng, &[16, 40, 128, 500]);
    let max_frame = if rng.u8(..4) == 0 { capacity / 2 } else { 1000 };
    Setting { capacity, max_frame, policy }
}
