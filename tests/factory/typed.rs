//! Stacks of a type that the program names, checked against services.toml.

use std::error::Error;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UnixListener};
use torq_message_sink::{
    Buffered, ErrorKind, Event, Failover, Fanout, FromService, Lazy, MessageSink, RoundRobin,
    SinkFactory, TcpSink, UnixSink,
};

const FILE: &str = r#"
[services.tcp]
type = "direct"
endpoint = "tcp://TCP"
[services.tcp.buffer]
capacity = "2KiB"
[services.tcp.lazy]
close_deadline = "2s"

[services.unix]
type = "relay"
endpoint = "unix://UNIX"
[services.unix.buffer]
capacity = "3KiB"
max_frame = "100B"

[services.both]
type = "composite"
pattern = "fanout"
targets = ["tcp", "unix"]
[services.both.buffer]
capacity = "1KiB"
[services.both.lazy]
close_deadline = "3s"

[services.nested]
type = "composite"
pattern = "fanout"
targets = ["both", "tcp_2"]

[services.tcp_2]
type = "direct"
endpoint = "tcp://127.0.0.1:1"

[services.spared]
type = "composite"
pattern = "fanout"
isolation = "best_effort"
targets = ["tcp", "unix"]

[services.turns]
type = "composite"
pattern = "round_robin"
targets = ["tcp", "unix"]

[services.either]
type = "composite"
pattern = "failover"
targets = ["tcp_2", "unix", "tcp"]
failover.attempts = 2

[services.alike]
type = "composite"
pattern = "fanout"
targets = ["tcp", "tcp_2"]
"#;

type Link = Lazy<Buffered<TcpSink>>;
type Both = Lazy<Buffered<Fanout<(TcpSink, UnixSink)>>>;

/// Two receivers, and a factory that knows them.
async fn house()
-> Result<(TcpListener, UnixListener, SinkFactory, tempfile::TempDir), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("relay.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").await?;
    let file = FILE
        .replace("TCP", &tcp.local_addr()?.to_string())
        .replace("UNIX", path.to_str().ok_or("a path in UTF-8")?);
    Ok((tcp, UnixListener::bind(&path)?, SinkFactory::from_str(&file)?, dir))
}

#[tokio::test]
async fn typed_stacks_deliver_to_each_target() -> Result<(), Box<dyn Error>> {
    let (tcp, unix, factory, _dir) = house().await?;
    let mut sink = factory.create_typed::<Both>("both")?;
    sink.send("links").await?;
    type Sinks = Lazy<Fanout<(Link, Buffered<UnixSink>)>>;
    let mut sinks = factory.create_typed::<Sinks>("both")?;
    sinks.send("sinks").await?;
    for expected in [b"\0\0\0\x05links", b"\0\0\0\x05sinks"] {
        let mut frame = [0; 9];
        tcp.accept().await?.0.read_exact(&mut frame).await?;
        assert_eq!(&frame, expected);
        unix.accept().await?.0.read_exact(&mut frame).await?;
        assert_eq!(&frame, expected);
    }
    let report = sink.report();
    let names: Vec<_> = report.leaves.iter().filter_map(|leaf| leaf.service.as_deref()).collect();
    assert_eq!(names, ["tcp", "unix"]);
    Ok(())
}

#[tokio::test]
async fn typed_round_robin_writes_to_one_after_the_other() -> Result<(), Box<dyn Error>> {
    let (tcp, unix, factory, _dir) = house().await?;
    type Turns = Lazy<Buffered<RoundRobin<(TcpSink, UnixSink)>>>;
    let mut sink = factory.create_typed::<Turns>("turns")?;
    sink.connect().await?;
    for message in ["1", "2", "3", "4"] {
        sink.send(message).await?;
    }
    sink.close().await?;
    let (mut to_tcp, mut to_unix) = (Vec::new(), Vec::new());
    tcp.accept().await?.0.read_to_end(&mut to_tcp).await?;
    unix.accept().await?.0.read_to_end(&mut to_unix).await?;
    assert_eq!((to_tcp.len(), to_unix.len()), (10, 10), "{to_tcp:?} {to_unix:?}");
    assert_eq!(sink.get_ref().get_ref().distribution(), [2, 2]);
    Ok(())
}

#[tokio::test]
async fn typed_failover_has_the_policy_of_its_service() -> Result<(), Box<dyn Error>> {
    let (_tcp, unix, factory, _dir) = house().await?;
    type Either = Lazy<Buffered<Failover<(TcpSink, UnixSink, TcpSink)>>>;
    let mut sink = factory.create_typed::<Either>("either")?;
    sink.send("links").await?;
    let mut frame = [0; 9];
    unix.accept().await?.0.read_exact(&mut frame).await?;
    assert_eq!(&frame, b"\0\0\0\x05links");
    let (mut attempts, mut switches) = (0, 0);
    sink.take_events(&mut |event| match event {
        Event::Connecting { service: Some(service), .. } if &*service == "tcp_2" => attempts += 1,
        Event::Switched { .. } => switches += 1,
        _ => {}
    });
    assert_eq!((attempts, switches), (2, 1));
    Ok(())
}

#[tokio::test]
async fn buffer_and_policy_are_those_of_the_service_they_stand_for() -> Result<(), Box<dyn Error>> {
    let (_tcp, _unix, factory, _dir) = house().await?;
    let above = factory.create_typed::<Both>("both")?;
    assert_eq!(above.get_ref().capacity_bytes(), 1024);
    assert_eq!(above.close_deadline(), Duration::from_secs(3));
    let below = factory.create_typed::<Fanout<(Link, Buffered<UnixSink>)>>("both")?;
    let (tcp, unix) = below.get_ref();
    assert_eq!((tcp.get_ref().capacity_bytes(), unix.capacity_bytes()), (2048, 3072));
    assert_eq!(tcp.close_deadline(), Duration::from_secs(2));
    assert!(unix.room(100) && !unix.room(101), "max_frame");
    let alone = factory.create_typed::<Buffered<TcpSink>>("tcp")?;
    assert_eq!(alone.close_deadline(), Duration::from_secs(2), "also without a `Lazy`");
    let inner =
        factory.create_typed::<Lazy<Fanout<(Buffered<TcpSink>, Buffered<UnixSink>)>>>("both")?;
    assert_eq!(
        inner.get_ref().close_deadline(),
        Duration::from_secs(3),
        "as in code: the nearest wins"
    );
    Ok(())
}

#[tokio::test]
async fn every_set_of_children_is_checked_in_order_and_number() -> Result<(), Box<dyn Error>> {
    let (_tcp, _unix, factory, _dir) = house().await?;
    assert_eq!(factory.create_typed::<Fanout<Vec<TcpSink>>>("alike")?.get_ref().len(), 2);
    factory.create_typed::<Fanout<[TcpSink; 2]>>("alike")?;
    factory.create_typed::<Fanout<smallvec::SmallVec<[TcpSink; 1]>>>("alike")?;
    let _ = factory
        .create_typed::<Buffered<Fanout<(Fanout<(TcpSink, UnixSink)>, TcpSink)>>>("nested")?;
    let mismatches = [
        refused::<Both>(&factory, "alike"),
        refused::<Fanout<(UnixSink, TcpSink)>>(&factory, "both"),
        refused::<Fanout<(TcpSink, UnixSink, TcpSink)>>(&factory, "both"),
        refused::<Fanout<[TcpSink; 3]>>(&factory, "alike"),
        refused::<Fanout<[TcpSink; 1]>>(&factory, "alike"),
        refused::<Fanout<Vec<TcpSink>>>(&factory, "both"),
        refused::<Fanout<(TcpSink, UnixSink, TcpSink)>>(&factory, "nested"),
        refused::<Fanout<Vec<TcpSink>>>(&factory, "tcp"),
        refused::<Both>(&factory, "spared"),
        refused::<Both>(&factory, "turns"),
        refused::<RoundRobin<(TcpSink, UnixSink)>>(&factory, "both"),
        refused::<Failover<Vec<TcpSink>>>(&factory, "either"),
        refused::<Link>(&factory, "alike"),
        refused::<Link>(&factory, "unix"),
        refused::<Buffered<UnixSink>>(&factory, "tcp"),
    ];
    let expected = [
        "`fanout(tcp, unix)`, the configuration says `fanout(tcp, tcp)`, and they part at `tcp_2`",
        "`fanout(unix, tcp)`, the configuration says `fanout(tcp, unix)`, and they part at `tcp`",
        "`fanout(tcp, unix, tcp)`, the configuration says `fanout(tcp, unix)`",
        "`fanout(tcp, tcp, tcp)`, the configuration says `fanout(tcp, tcp)`",
        "`fanout(tcp)`, the configuration says `fanout(tcp, tcp)`",
        "`fanout(tcp, ..)`, the configuration says `fanout(tcp, unix)`, and they part at `unix`",
        "`fanout(tcp, unix, tcp)`, the configuration says `fanout(fanout(tcp, unix), tcp)`, and \
         they part at `both`",
        "`fanout(tcp, ..)`, the configuration says `tcp`",
        "`fanout(tcp, unix)`, the configuration says `best_effort fanout(tcp, unix)`",
        "`fanout(tcp, unix)`, the configuration says `round_robin(tcp, unix)`",
        "`round_robin(tcp, unix)`, the configuration says `fanout(tcp, unix)`",
        "`failover(tcp, ..)`, the configuration says `failover(tcp, unix, tcp)`, and they part at \
         `unix`",
        "`tcp`, the configuration says `fanout(tcp, tcp)`",
        "`tcp`, the configuration says `unix`",
        "`unix`, the configuration says `tcp`",
    ];
    for (error, expected) in mismatches.into_iter().zip(expected) {
        assert!(error.ends_with(&format!("the type is for {expected}")), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn unknown_name_is_an_error_with_the_nearest_one() -> Result<(), Box<dyn Error>> {
    let (_tcp, _unix, factory, _dir) = house().await?;
    let error = factory.create_typed::<Link>("tpc").err().ok_or("unknown")?;
    assert_eq!(error.kind(), ErrorKind::UnknownService);
    assert!(error.to_string().contains("`tcp`"), "{error}");
    Ok(())
}

fn refused<T: FromService>(factory: &SinkFactory, name: &str) -> String {
    let Err(error) = factory.create_typed::<T>(name) else { panic!("{name} is none") };
    assert_eq!((error.kind(), error.service()), (ErrorKind::Mismatch, Some(name)));
    error.to_string()
}
