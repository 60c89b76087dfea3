//! What a configured sink weighs that nobody has used yet: counted by an allocator, in a process of
//! its own, with the registry that it comes from.

#![allow(unsafe_code, reason = "counting what is allocated takes a `GlobalAlloc`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use torq_message_sink::{SinkFactory, SinkStack};

/// The system's allocator, counting the bytes that are out.
struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of `dealloc`, and `ptr` came from `System`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        HELD.fetch_add(new_size as isize - layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of `realloc`, and `ptr` came from `System`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Services of each file.
const SERVICES: usize = 1000;

/// Bytes that a sink to one or two places may weigh, its share of the registry included.
const LIMIT: usize = 512;

/// Bytes that each place beyond the second may add.
const PLACE: usize = 88;

/// Bytes that socket options may add which no other service of the file has.
const OPTIONS: usize = 96;

/// One fact (a configured sink weighs at most 512 bytes with its share of the registry) in a process
/// without a harness, whose threads allocate meanwhile: that would be counted too.
fn main() {
    // What is made once per process (defaults that are shared) is made before the counting.
    let factory = SinkFactory::from_str(&(tcp(0) + &unix(1))).expect("a valid file");
    drop((factory.create_sink("market_data_0000"), factory));

    let services = names("market_data");
    for (kind, limit, service) in [
        ("tcp", LIMIT, tcp as fn(usize) -> String),
        ("tcp, by host name", LIMIT, tcp_by_name),
        ("unix", LIMIT, unix),
        ("tcp, with tables of its own that no other has", LIMIT, tcp_with_tables),
        ("tcp, by host name, with every table", LIMIT + OPTIONS, tcp_by_name_with_every_table),
    ] {
        let weight = weigh(&(0..SERVICES).map(service).collect::<String>(), &services);
        println!("{kind}: {weight} bytes");
        assert!(weight <= limit, "{kind}: {weight} bytes");
    }

    // A sink for each service: targets, and as many fan-outs to some of them.
    for targets in [2, 3, 6] {
        let fanout = |number| tcp(number) + &fanout(number, targets);
        let file: String = (0..SERVICES).map(fanout).collect();
        let both = weigh(&file, &[services.clone(), names("fanout")].concat());
        let plain = weigh(&(0..SERVICES).map(tcp).collect::<String>(), &services);
        let weight = 2 * both - plain;
        println!("fan-out to {targets}: {weight} bytes");
        assert!(weight <= LIMIT + (targets - 2) * PLACE, "fan-out to {targets}: {weight} bytes");
    }
}

/// Bytes per sink of the file's registry and one sink for each name.
fn weigh(file: &str, names: &[String]) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    let factory = SinkFactory::from_str(file).expect("a valid file");
    let sinks: Vec<SinkStack> =
        names.iter().map(|name| factory.create_sink(name).expect("configured")).collect();
    let held = HELD.load(Ordering::Relaxed) - before;
    drop((factory, sinks));
    assert_eq!(HELD.load(Ordering::Relaxed), before, "and all of it is given back");
    usize::try_from(held).expect("more than before").div_ceil(names.len())
}

fn names(prefix: &str) -> Vec<String> {
    (0..SERVICES).map(|number| format!("{prefix}_{number:04}")).collect()
}

fn tcp(number: usize) -> String {
    let port = 9001 + number;
    format!(
        "[services.market_data_{number:04}]\ntype = \"direct\"\n\
         endpoint = \"tcp://127.0.0.1:{port}\"\n"
    )
}

fn tcp_by_name(number: usize) -> String {
    format!(
        "[services.market_data_{number:04}]\ntype = \"direct\"\n\
         endpoint = \"tcp://feed-{number:04}.example.net:9001\"\n"
    )
}

fn unix(number: usize) -> String {
    format!(
        "[services.market_data_{number:04}]\ntype = \"relay\"\n\
         endpoint = \"unix:///run/torq/market_data_{number:04}.sock\"\n"
    )
}

fn tcp_with_tables(number: usize) -> String {
    let (service, capacity, timeout) = (tcp(number), 65_536 + number, 1000 + number);
    format!(
        "{service}[services.market_data_{number:04}.buffer]\ncapacity = {capacity}\n\
         [services.market_data_{number:04}.lazy]\nconnect_timeout = \"{timeout}ms\"\n\
         backoff = {{ initial = \"50ms\", max = \"10s\", multiplier = 2.0 }}\n"
    )
}

fn tcp_by_name_with_every_table(number: usize) -> String {
    let tables = tcp_with_tables(number).replacen("127.0.0.1", "feed-0001.example.net", 1);
    let buffer = 65_536 + number;
    tables + &format!("[services.market_data_{number:04}.tcp]\nsend_buffer = {buffer}\n")
}

fn fanout(number: usize, targets: usize) -> String {
    let targets: Vec<_> = (number..number + targets)
        .map(|target| format!("\"market_data_{:04}\"", target % SERVICES))
        .collect();
    format!(
        "[services.fanout_{number:04}]\ntype = \"composite\"\npattern = \"fanout\"\n\
         targets = [{}]\n",
        targets.join(", ")
    )
}
