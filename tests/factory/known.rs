//! A program's own set of stacks, by name.

use std::error::Error;

use torq_message_sink::testing::ScriptedSink;
use torq_message_sink::testing::conformance::forwards_every_method;
use torq_message_sink::{
    Buffered, ErrorKind, Fanout, FromService, Lazy, MessageSink, Registry, Service, Shared,
    SinkError, SinkState, TcpSink, UnixSink, forward_sink, known_stacks,
};

use super::{frame, house};

known_stacks! {
    /// Stacks to the services of the house.
    #[derive(Debug)]
    enum Stacks {
        /// To one.
        Strategy("strategy_a"): Lazy<Buffered<TcpSink>>,
        Relay("relay"): Buffered<UnixSink>,
        MarketData("market_data"): Lazy<Buffered<Fanout<(TcpSink, UnixSink)>>>,
        Swapped("all"): Lazy<Buffered<Fanout<(UnixSink, TcpSink)>>>,
        Absent("strategy_c"): Lazy<Buffered<TcpSink>>,
    }
}

#[tokio::test]
async fn each_name_has_its_own_stack() -> Result<(), Box<dyn Error>> {
    let house = house().await?;
    for name in ["strategy_a", "relay", "market_data"] {
        let mut sink = Stacks::create(&house.factory, name)?;
        assert_eq!((sink.service(), sink.state()), (name, SinkState::Asleep));
        sink.send(name).await?;
        assert!(sink.is_connected());
        let leaves = sink.report().leaves;
        assert!(leaves.iter().all(|leaf| leaf.written.bytes == 4 + name.len() as u64));
        match sink {
            Stacks::Strategy(_) => {
                assert_eq!(frame(&mut house.tcp.accept().await?.0).await?, name.as_bytes());
            }
            Stacks::Relay(_) => {
                assert_eq!(frame(&mut house.unix.accept().await?.0).await?, name.as_bytes());
            }
            Stacks::MarketData(_) => {
                assert_eq!(frame(&mut house.tcp.accept().await?.0).await?, name.as_bytes());
                assert_eq!(frame(&mut house.unix.accept().await?.0).await?, name.as_bytes());
            }
            sink => panic!("{sink:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn names_and_shapes_that_do_not_fit_are_errors() -> Result<(), Box<dyn Error>> {
    let house = house().await?;
    assert_eq!(Stacks::NAMES, ["strategy_a", "relay", "market_data", "all", "strategy_c"]);
    for (name, kind, words) in [
        ("market_date", ErrorKind::UnknownService, "did you mean `market_data`?"),
        // The configuration has it, this program has not.
        ("either", ErrorKind::UnknownService, "this program knows `strategy_a`, `relay`, "),
        // The other way round.
        ("strategy_c", ErrorKind::UnknownService, "did you mean `strategy_a`?"),
        ("all", ErrorKind::Mismatch, "the type is for `fanout(unix, tcp)`"),
    ] {
        let error = Stacks::create(&house.factory, name).expect_err(name);
        assert_eq!((error.kind(), error.service()), (kind, Some(name)));
        assert!(error.to_string().contains(words), "{error}");
    }
    Ok(())
}

/// A sink of one's own, which no configuration leads to.
struct Scripted(ScriptedSink);

impl MessageSink for Scripted {
    forward_sink! { 0:
        try_feed append fits accepts room try_ready poll_ready poll_feed poll_flush poll_close
        poll_disconnect poll_connect hurry end state is_connected accepted_bytes outstanding_bytes
        report_into take_events set_policy due close_deadline
    }
}

impl FromService for Scripted {
    fn shape() -> String {
        "a script".to_owned()
    }

    fn from_service(_: &Service, _: &Registry) -> Result<Self, SinkError> {
        Err(ErrorKind::Mismatch.into())
    }
}

known_stacks! {
    enum Either {
        Scripted("strategy_a"): Scripted,
        Real("relay"): Buffered<UnixSink>,
    }
}

#[test]
fn set_of_stacks_forwards_every_method() {
    forwards_every_method(|sink| Either::Scripted(Scripted(sink)), &[]);
}

#[tokio::test]
async fn set_of_stacks_can_be_shared() -> Result<(), Box<dyn Error>> {
    let house = house().await?;
    let sink = Shared::new(Stacks::create(&house.factory, "relay")?);
    sink.send("from a task").await?;
    assert_eq!(frame(&mut house.unix.accept().await?.0).await?, b"from a task");
    Ok(())
}
