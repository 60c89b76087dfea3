//! Sinks by name, over real sockets on loopback.

mod conforming;
mod isolation;
mod known;
mod layered;
mod shared;
mod typed;

use std::error::Error;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UnixListener};
use torq_message_sink::{
    ErrorKind, Event, MessageSink, SinkFactory, SinkStack, SinkState, SwitchCause,
};

const FILE: &str = r#"
[services.strategy_a]
type = "direct"
endpoint = "tcp://TCP"
[services.strategy_a.tcp]
keepalive = "10s"
user_timeout = "30s"
send_buffer = "64KiB"

[services.relay]
type = "relay"
endpoint = "unix://UNIX"
[services.relay.unix]
send_buffer = "64KiB"

[services.market_data]
type = "composite"
pattern = "fanout"
targets = ["strategy_a", "relay"]

[services.all]
type = "composite"
pattern = "fanout"
targets = ["market_data", "strategy_b"]
[services.all.buffer]
capacity = "1KiB"
max_frame = "100B"
[services.all.lazy]
max_attempts = 1
counting = true

[services.either]
type = "composite"
pattern = "failover"
targets = ["strategy_b", "relay", "strategy_a"]
[services.either.failover]
stall_timeout = "off"
probe_interval = "1s"

[services.turns]
type = "composite"
pattern = "round_robin"
targets = ["strategy_b", "relay", "strategy_a"]

[services.strategy_b]
type = "direct"
endpoint = "tcp://127.0.0.1:1"
"#;

/// Two receivers, and a factory that knows them.
struct House {
    tcp: TcpListener,
    unix: UnixListener,
    factory: SinkFactory,
    _dir: tempfile::TempDir,
}

async fn house() -> Result<House, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("relay.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").await?;
    let file = FILE
        .replace("TCP", &tcp.local_addr()?.to_string())
        .replace("UNIX", path.to_str().ok_or("a path in UTF-8")?);
    let unix = UnixListener::bind(&path)?;
    Ok(House { tcp, unix, factory: SinkFactory::from_str(&file)?, _dir: dir })
}

async fn frame(stream: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let len = stream.read_u32().await?;
    let mut payload = vec![0; len as usize];
    stream.read_exact(&mut payload).await?;
    Ok(payload)
}

#[tokio::test]
async fn each_kind_of_service_delivers() -> Result<(), Box<dyn Error>> {
    let house = house().await?;
    let mut direct = house.factory.create_sink("strategy_a")?;
    direct.send("direct").await?;
    assert_eq!(frame(&mut house.tcp.accept().await?.0).await?, b"direct");

    let mut relay = house.factory.create_sink("relay")?;
    relay.send("relay").await?;
    assert_eq!(frame(&mut house.unix.accept().await?.0).await?, b"relay");

    let mut both = house.factory.create_sink("market_data")?;
    both.send("both").await?;
    assert_eq!(frame(&mut house.tcp.accept().await?.0).await?, b"both");
    assert_eq!(frame(&mut house.unix.accept().await?.0).await?, b"both");
    Ok(())
}

#[tokio::test]
async fn nested_fanouts_are_one_stack_with_its_own_settings() -> Result<(), Box<dyn Error>> {
    let house = house().await?;
    let mut all = house.factory.create_sink("all")?;
    assert!(all.room(100) && !all.room(101), "max_frame");
    let error = all.send("m").await.expect_err("nobody listens on port 1, once is enough");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(error.service(), Some("strategy_b"));
    assert_eq!(error.endpoint(), Some("tcp://127.0.0.1:1"));
    assert_eq!(error.attempt(), 1);
    assert!(error.source().is_some_and(|source| source.to_string().contains("refused")));

    // The others are not held up by the one that fails.
    assert_eq!(frame(&mut house.tcp.accept().await?.0).await?, b"m");
    assert_eq!(frame(&mut house.unix.accept().await?.0).await?, b"m");
    let report = all.report();
    let names: Vec<_> = report.leaves.iter().filter_map(|leaf| leaf.service.as_deref()).collect();
    assert_eq!(names, ["strategy_a", "relay", "strategy_b"]);
    let buffered: Vec<_> = report.leaves.iter().map(|leaf| leaf.buffered.messages).collect();
    assert_eq!(buffered, [Some(0), Some(0), Some(1)]);
    Ok(())
}

#[tokio::test]
async fn sinks_of_one_name_have_connections_of_their_own() -> Result<(), Box<dyn Error>> {
    let house = house().await?;
    let mut one = house.factory.create_sink("strategy_a")?;
    let mut two = house.factory.create_sink("strategy_a")?;
    one.send("1").await?;
    two.send("2").await?;
    assert_eq!(frame(&mut house.tcp.accept().await?.0).await?, b"1");
    assert_eq!(frame(&mut house.tcp.accept().await?.0).await?, b"2");
    Ok(())
}

#[tokio::test]
async fn failover_goes_to_the_first_target_that_is_there() -> Result<(), Box<dyn Error>> {
    let house = house().await?;
    let mut sink = house.factory.create_sink("either")?;
    sink.send("whoever").await?;
    assert_eq!(frame(&mut house.unix.accept().await?.0).await?, b"whoever");
    let mut switched = Vec::new();
    sink.take_events(&mut |event| {
        if let Event::Switched { service, from, to, cause, .. } = event {
            switched.push((service, from, to, cause));
        }
    });
    assert_eq!(switched, [(Some("relay".into()), 0, 1, SwitchCause::Unreachable)]);
    Ok(())
}

#[tokio::test]
async fn round_robin_goes_past_those_that_are_not_there() -> Result<(), Box<dyn Error>> {
    let house = house().await?;
    let mut sink = house.factory.create_sink("turns")?;
    for message in ["1", "2", "3", "4"] {
        sink.send(message).await?;
    }
    sink.close().await?;
    let (mut to_unix, mut to_tcp) = (Vec::new(), Vec::new());
    house.unix.accept().await?.0.read_to_end(&mut to_unix).await?;
    house.tcp.accept().await?.0.read_to_end(&mut to_tcp).await?;
    let frames = [&to_unix[..], &to_tcp[..]].map(|bytes| bytes.chunks(5).map(|frame| frame[4]));
    let mut all: Vec<_> = frames.into_iter().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, *b"1234", "each of them once");
    Ok(())
}

#[tokio::test]
async fn many_sinks_close_under_one_deadline() -> Result<(), Box<dyn Error>> {
    let house = house().await?;
    let mut sinks: Vec<SinkStack> = (0..8)
        .map(|_| house.factory.create_sink("strategy_b"))
        .chain([house.factory.create_sink("relay")])
        .collect::<Result<_, _>>()?;
    for sink in &mut sinks {
        sink.feed("last words").await?;
    }
    let deadline = Duration::from_millis(20);
    let outcomes = house.factory.close_all(&mut sinks, deadline).await;
    assert_eq!(outcomes.len(), 9);
    for outcome in &outcomes[..8] {
        let report = outcome.as_ref().expect("an unreachable peer is no error of a close");
        assert!(!report.is_complete());
        assert_eq!(report.leaves[0].dropped.total().bytes, 14);
        let error = report.error.as_ref().expect("why it could not be written");
        assert!(error.source().is_some_and(|source| source.to_string().contains("refused")));
    }
    assert!(outcomes[8].as_ref().is_ok_and(|report| report.is_complete()));
    assert!(sinks.iter().all(|sink| sink.state() == SinkState::Closed));
    Ok(())
}

#[test]
fn unknown_service_is_an_error_with_the_nearest_name() -> Result<(), Box<dyn Error>> {
    let factory = SinkFactory::from_path(concat!(env!("CARGO_MANIFEST_DIR"), "/services.toml"))?;
    let error = factory.create_sink("market_dat").expect_err("no such service");
    assert_eq!(error.kind(), ErrorKind::UnknownService);
    assert!(error.to_string().contains("did you mean `market_data`?"), "{error}");
    let error = factory.create_sink("").expect_err("no such service");
    assert_eq!(error.kind(), ErrorKind::UnknownService);
    Ok(())
}

#[test]
fn every_service_of_the_sample_builds_asleep() -> Result<(), Box<dyn Error>> {
    let factory = SinkFactory::from_path(concat!(env!("CARGO_MANIFEST_DIR"), "/services.toml"))?;
    for service in factory.registry().services() {
        assert_eq!(factory.create_sink(service.name())?.state(), SinkState::Asleep);
    }
    Ok(())
}

#[test]
fn broken_file_is_one_error_with_its_places() {
    let error = SinkFactory::from_str("[services.a]\ntype = 'direct'\nendpoint = 'tpc://a:1'")
        .expect_err("unknown scheme");
    assert_eq!((error.errors()[0].line(), error.errors()[0].column()), (3, 13));
    let error = torq_message_sink::SinkError::from(error);
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn disabled_service_is_an_error_of_its_own() -> Result<(), Box<dyn Error>> {
    let text = r#"
        services.orders = { enabled = false, type = "direct", endpoint = "tcp://127.0.0.1:1" }
    "#;
    let factory = SinkFactory::from_str(text)?;
    let typed = factory.create_typed::<torq_message_sink::TcpSink>("orders").map(drop);
    let shared = factory.shared_sink("orders").map(drop);
    for outcome in [factory.create_sink("orders").map(drop), typed, shared] {
        let error = outcome.expect_err("disabled");
        assert_eq!(error.kind(), ErrorKind::DisabledService);
        assert_eq!(error.service(), Some("orders"));
        assert!(error.to_string().contains("`enabled = false`"), "{error}");
    }
    Ok(())
}
