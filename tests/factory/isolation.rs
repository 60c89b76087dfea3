//! Fan-outs by name, of which some targets are away.

use std::error::Error;

use tokio::net::TcpListener;
use torq_message_sink::{LeafReport, MessageSink, SinkFactory, SinkStack};

use crate::frame;

/// Two endpoints where somebody listens and one where nobody does, and what can be made of them.
fn factory(one: &TcpListener, other: &TcpListener) -> Result<SinkFactory, Box<dyn Error>> {
    let file = format!(
        r#"
        [services]
        one = {{ type = "direct", endpoint = "tcp://{}" }}
        other = {{ type = "direct", endpoint = "tcp://{}" }}
        nobody = {{ type = "direct", endpoint = "tcp://127.0.0.1:1" }}
        [services.loose]
        type = "composite"
        pattern = "fanout"
        targets = ["nobody", "other"]
        isolation = "best_effort"
        lazy.counting = true
        [services.mixed]
        type = "composite"
        pattern = "fanout"
        targets = ["one", "loose"]
        lazy.counting = true
        [services.quorum]
        type = "composite"
        pattern = "fanout"
        targets = ["one", "nobody", "other"]
        isolation = {{ quorum = 2 }}
        lazy.counting = true
        "#,
        one.local_addr()?,
        other.local_addr()?
    );
    Ok(SinkFactory::from_str(&file)?)
}

fn gating(sink: &SinkStack) -> Vec<bool> {
    sink.report().leaves.iter().map(|leaf| leaf.gates).collect()
}

#[tokio::test]
async fn target_that_is_away_holds_up_nobody() -> Result<(), Box<dyn Error>> {
    let (one, other) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let factory = factory(&one, &other)?;
    for (name, gates) in [("mixed", vec![true, false, false]), ("quorum", vec![true, true, true])] {
        let mut sink = factory.create_sink(name)?;
        assert_eq!(gating(&sink), gates, "{name}");
        sink.connect().await?;
        assert!(sink.is_connected(), "{name}");
        let mut stream = one.accept().await?.0;
        for _ in 0..3 {
            sink.send("m").await?;
            assert_eq!(frame(&mut stream).await?, b"m", "{name}");
        }
        drop(stream);
        let report = sink.close().await?;
        assert!(report.leaves.iter().all(LeafReport::is_conserved));
        let lost = report.leaves.iter().find(|leaf| leaf.service.as_deref() == Some("nobody"));
        let lost = lost.expect("a leaf for each target");
        assert_eq!(lost.dropped.total().messages, Some(3), "{name}: {report}");
        assert!(lost.error.is_some(), "and why");
    }
    Ok(())
}

#[tokio::test]
async fn best_effort_alone_delivers_what_it_can_before_it_closes() -> Result<(), Box<dyn Error>> {
    let (one, other) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let mut sink = factory(&one, &other)?.create_sink("loose")?;
    assert_eq!(gating(&sink), [false, false]);
    sink.send("m").await?;
    let reads = async {
        let mut stream = other.accept().await?.0;
        frame(&mut stream).await
    };
    let (report, got) = tokio::join!(sink.close(), reads);
    assert_eq!(got?, b"m");
    assert_eq!(report?.leaves[1].written.messages, Some(1));
    Ok(())
}
