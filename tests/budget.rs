//! What `Registry::budget` promises, measured: memory by an allocator that takes a test of its own,
//! descriptors as the system lists them, tasks as the runtime counts them.

#![allow(unsafe_code, reason = "counting what is allocated takes a `GlobalAlloc`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::runtime::{Builder, Handle};
use tokio::task::yield_now;
use torq_message_sink::{Cost, MessageSink, Report, SinkFactory};

/// The system's allocator, counting per thread, so that receivers do not disturb.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    PEAK.set(PEAK.get().max(HELD.get()));
}

// SAFETY: every call is passed on unchanged to the system's allocator. The counters are constants
// without a destructor, so reaching them neither allocates nor fails.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps to the contract of `dealloc`, and `ptr` came from `System`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs a test by itself, runtime and all, since descriptors are the whole process's.
fn alone(test: impl Future<Output = Result<(), Box<dyn Error>>>) -> Result<(), Box<dyn Error>> {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Builder::new_current_thread().enable_all().build()?.block_on(test)
}

/// Every kind of stack. `quick` reads; what the kernels take of the others is little.
const FILE: &str = r#"
[services.direct]
type = "direct"
endpoint = "tcp://TCP"
buffer = { capacity = "32KiB" }
tcp = { send_buffer = "4KiB" }

[services.relay]
type = "relay"
endpoint = "unix://UNIX"
lazy = { idle_timeout = "5m", counting = true }
unix = { send_buffer = "4KiB" }

[services.other]
type = "direct"
endpoint = "tcp://TCP"
buffer = { capacity = "256KiB", when_full = "drop_oldest", high_water = "200KiB" }
tcp = { send_buffer = "4KiB" }

[services.quick]
type = "direct"
endpoint = "tcp://QUICK"
buffer = { when_full = "drop_newest" }

[services.all]
type = "composite"
pattern = "fanout"
targets = ["direct", "relay", "other"]
buffer = { capacity = "512KiB" }

[services.newest]
type = "composite"
pattern = "fanout"
targets = ["direct", "relay", "other"]
buffer = { capacity = "256KiB", when_full = "drop_oldest" }

[services.best]
type = "composite"
pattern = "fanout"
isolation = "best_effort"
targets = ["direct", "relay", "other"]
buffer = { capacity = "256KiB" }

[services.mixed]
type = "composite"
pattern = "fanout"
targets = ["quick", "best"]
buffer = { capacity = "256KiB", max_frame = "100KB" }

[services.some]
type = "composite"
pattern = "fanout"
isolation = { quorum = 1 }
targets = ["quick", "direct", "relay", "other"]
buffer = { capacity = "256KiB" }

[services.either]
type = "composite"
pattern = "failover"
targets = ["relay", "direct", "other"]
buffer = { capacity = "256KiB", when_full = "drop_oldest" }
"#;

/// What is at the endpoints of the file.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// Peers that accept and never read, but for `quick`.
    Stuck,
    /// Nobody.
    Dead,
    /// Peers whose queues are full, so that they do not even accept.
    Silent,
}

/// The peers, and a factory that leads to them. Those that do not read do not accept either: they
/// stay in their kernel's queue, so that descriptors that come are those of sinks, and of `quick`.
struct House {
    factory: SinkFactory,
    /// One word for each connection of `quick` that has come, and one when it has gone.
    quick: mpsc::Receiver<()>,
    _peers: (Vec<Socket>, Option<UnixListener>, Vec<TcpStream>),
    _dir: TempDir,
}

impl House {
    fn build(at: At) -> Result<Self, Box<dyn Error>> {
        let (mut file, mut peers, mut waiting) = (FILE.to_owned(), Vec::new(), Vec::new());
        let dir = TempDir::new()?;
        let path = dir.path().join("relay.sock");
        let unix = if at == At::Dead { None } else { Some(UnixListener::bind(&path)?) };
        file = file.replace("UNIX", path.to_str().ok_or("a path in UTF-8")?);
        while file.contains("TCP") {
            // Bound and not listening, it keeps its port and refuses.
            let peer = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            peer.set_recv_buffer_size(4096)?;
            peer.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
            let address = peer.local_addr()?.as_socket().ok_or("an IP address")?;
            file = file.replacen("TCP", &address.to_string(), 1);
            if at != At::Dead {
                peer.listen(if at == At::Silent { 0 } else { 64 })?;
            }
            if at == At::Silent {
                // There is room for one in its queue.
                waiting.push(TcpStream::connect(address)?);
            }
            peers.push(peer);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        file = file.replace("QUICK", &listener.local_addr()?.to_string());
        let factory = SinkFactory::from_str(&file)?;
        Ok(Self { factory, quick: reading(listener), _peers: (peers, unix, waiting), _dir: dir })
    }

    /// What was taken since `before`; of what `report` says, the other ends are not sinks'.
    fn taken(&self, before: Cost, report: impl FnOnce() -> Report) -> Cost {
        let mut taken = Cost::default();
        taken.bytes = (PEAK.get() as u64) - before.bytes;
        let quick = quick_connections(&report());
        (0..quick).for_each(|_| self.quick.recv().expect("it accepts"));
        taken.fds = descriptors() - before.fds - quick;
        taken.tasks = tasks() - before.tasks;
        taken
    }

    /// Waits until everything is as it was.
    async fn calm(&self, before: Cost, report: &Report) {
        (0..quick_connections(report)).for_each(|_| self.quick.recv().expect("it leaves"));
        for _ in 0..100_000 {
            if descriptors() == before.fds && tasks() == before.tasks {
                return;
            }
            yield_now().await;
        }
        panic!("{} descriptors and {} tasks for {before:?}", descriptors(), tasks());
    }
}

/// A peer that reads and discards. Its threads end with the process.
fn reading(listener: TcpListener) -> mpsc::Receiver<()> {
    let (says, heard) = mpsc::channel();
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let says = says.clone();
            let _ = says.send(());
            thread::spawn(move || {
                let mut scratch = [0; 64 * 1024];
                while let Ok(1..) = connection.read(&mut scratch) {}
                drop(connection);
                let _ = says.send(());
            });
        }
    });
    heard
}

fn quick_connections(report: &Report) -> u64 {
    let quick = report.leaves.iter().filter(|leaf| leaf.service.as_deref() == Some("quick"));
    quick.map(|leaf| u64::from(leaf.connections)).sum()
}

fn descriptors() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

fn tasks() -> u64 {
    Handle::current().metrics().num_alive_tasks() as u64
}

fn begin() -> Cost {
    PEAK.set(HELD.get());
    let mut before = Cost::default();
    (before.bytes, before.fds, before.tasks) = (HELD.get() as u64, descriptors(), tasks());
    before
}

/// Feeds more than the sink and the kernels take, and lets the runtime work in between.
async fn stuff(mut feed: impl FnMut()) {
    for round in 0..3_000 {
        if round % 20 == 0 {
            feed();
        }
        yield_now().await;
    }
}

/// What each service has taken, by a sink of its own and by a shared one.
async fn measured(at: At) -> Result<Vec<(Cost, Cost)>, Box<dyn Error>> {
    let house = House::build(at)?;
    let mut measured = Vec::new();
    // The first round is for what the runtime takes once.
    for service in house.factory.registry().services().chain(house.factory.registry().services()) {
        let buffer = service.buffer();
        let message = vec![b'm'; buffer.capacity().min(4 + buffer.max_frame()) - 4];
        let before = begin();
        let mut sink = Box::new(house.factory.create_sink(service.name())?);
        stuff(|| {
            let _ = sink.try_feed(&message);
        })
        .await;
        let own = house.taken(before, || sink.report());
        let report = sink.close_within(Duration::ZERO).await?;
        drop(sink);
        house.calm(before, &report).await;

        let before = begin();
        let sink = house.factory.shared_sink(service.name())?;
        stuff(|| {
            let _ = sink.try_feed(&message);
        })
        .await;
        let shared = house.taken(before, || sink.report());
        let report = sink.close_within(Duration::ZERO).await?;
        drop(sink);
        house.calm(before, &report).await;
        measured.push((own, shared));
    }
    Ok(measured.split_off(measured.len() / 2))
}

fn most(left: Cost, right: Cost) -> Cost {
    let mut most = left;
    most.bytes = left.bytes.max(right.bytes);
    most.fds = left.fds.max(right.fds);
    most.tasks = left.tasks.max(right.tasks);
    most
}

fn is_bound(what: &str, budget: Cost, measured: Cost) {
    let holds = measured.bytes <= budget.bytes
        && measured.fds <= budget.fds
        && measured.tasks <= budget.tasks;
    assert!(holds, "{what} took {measured:?}, more than {budget:?}");
}

/// Not more than twice of what was there.
fn is_near(what: &str, budget: Cost, measured: Cost) {
    let near = budget.bytes <= 2 * measured.bytes
        && budget.fds <= 2 * measured.fds
        && budget.tasks <= 2 * measured.tasks;
    assert!(near, "{what} took {measured:?}, and {budget:?} is more than twice of it");
}

/// Peers that never read, that refuse, that do not even answer; everything as full as it gets.
#[test]
fn every_stack_stays_within_its_budget_and_needs_half_of_it() -> Result<(), Box<dyn Error>> {
    alone(every_stack())
}

async fn every_stack() -> Result<(), Box<dyn Error>> {
    let house = House::build(At::Dead)?;
    let (registry, budget) = (house.factory.registry(), house.factory.registry().budget());
    let mut highest = vec![(Cost::default(), Cost::default()); budget.services().len()];
    for at in [At::Stuck, At::Dead, At::Silent] {
        for (highest, (own, shared)) in highest.iter_mut().zip(measured(at).await?) {
            *highest = (most(highest.0, own), most(highest.1, shared));
        }
    }
    println!("{budget}");
    for (service, (own, shared)) in registry.services().zip(&highest) {
        let name = &**service.name();
        let bound = budget.get(name).ok_or("each service has one")?;
        println!("{name:8} {own:?}, shared {shared:?}");
        is_bound(name, bound.sink, *own);
        is_bound(&format!("shared {name}"), bound.shared, *shared);
        // Of a failover all links are awake only while it probes those it prefers.
        if name != "either" {
            let quick = registry.leaves(service).iter().any(|leaf| &**leaf.name() == "quick");
            // Connected before one can look.
            let tasks = bound.sink.tasks - u64::from(quick);
            assert_eq!((own.fds, own.tasks), (bound.sink.fds, tasks), "{name}");
            assert_eq!(shared.tasks, tasks + 1, "{name}");
        }
    }
    let own: Cost = budget.services().map(|service| service.sink).sum();
    is_near("own sinks", own, highest.iter().map(|(own, _)| *own).sum());
    is_near("shared sinks", budget.total(), highest.iter().map(|(_, shared)| *shared).sum());
    Ok(())
}

/// A peer that hangs up on whoever comes, until it is told to end.
fn flapping() -> Result<(SocketAddr, thread::JoinHandle<()>), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let goes_on = |mut connection: TcpStream| {
        let mut word = [0; 3];
        connection.read_exact(&mut word).is_err() || word != *b"end"
    };
    Ok((
        listener.local_addr()?,
        thread::spawn(move || while listener.accept().is_ok_and(|(peer, _)| goes_on(peer)) {}),
    ))
}

/// What lies beside the buffers is mostly events: peers that come and go, and nobody who asks.
#[test]
fn events_that_nobody_asks_for_are_in_the_budget() -> Result<(), Box<dyn Error>> {
    alone(unread_events())
}

async fn unread_events() -> Result<(), Box<dyn Error>> {
    let mut file = String::from(
        r#"
        [services.either]
        type = "composite"
        pattern = "failover"
        targets = ["one", "two"]
        buffer = { capacity = "1KiB" }
        failover = { probes = 0 }
        lazy = { min_uptime = "0s", backoff = { initial = "1ms", max = "1ms" } }
        [services.one]
        type = "direct"
        endpoint = "tcp://ONE"
        buffer = { capacity = "1KiB" }
        lazy = { min_uptime = "0s", backoff = { initial = "1ms", max = "1ms" } }
        [services.two]
        type = "direct"
        endpoint = "tcp://TWO"
        "#,
    );
    let peers = [flapping()?, flapping()?];
    for (name, (address, _)) in ["ONE", "TWO"].into_iter().zip(&peers) {
        file = file.replace(name, &address.to_string());
    }
    let factory = SinkFactory::from_str(&file)?;
    let flap = async |name: &str| {
        let before = begin();
        let mut sink = Box::new(factory.create_sink(name)?);
        while sink.report().leaves.iter().any(|leaf| leaf.events_lost == 0) {
            // Whatever becomes of it: each loss is followed by an attempt.
            let _ = sink.send("tick").await;
        }
        let mut taken = factory.registry().budget().get(name).ok_or("it is there")?.sink;
        taken.bytes = PEAK.get() as u64 - before.bytes;
        Ok::<_, Box<dyn Error>>(taken)
    };
    flap("one").await?;
    for name in ["one", "either"] {
        let budget = factory.registry().budget().get(name).ok_or("it is there")?.sink;
        let taken = flap(name).await?;
        println!("{name}: {taken:?} of {budget:?}");
        is_bound(name, budget, taken);
        is_near(name, budget, taken);
    }
    for (address, thread) in peers {
        TcpStream::connect(address)?.write_all(b"end")?;
        thread.join().map_err(|_| "it has panicked")?;
    }
    Ok(())
}
