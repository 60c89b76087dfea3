//! The contract: what users write, compiled and run. A change here breaks programs elsewhere.

use std::error::Error;
use std::time::Duration;

use torq_message_sink::{
    Buffered, Encode, ErrorKind, Fanout, Lazy, MessageSink, SinkError, SinkFactory, TcpSink,
    UnixSink,
};

struct Trade {
    price: u64,
    size: u64,
}

impl Encode for Trade {
    fn encoded_len(&self) -> usize {
        16
    }

    fn encode(&self, buf: &mut [u8]) {
        buf[..8].copy_from_slice(&self.price.to_le_bytes());
        buf[8..].copy_from_slice(&self.size.to_le_bytes());
    }
}

#[tokio::test]
async fn typed_stack_composed_in_code() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("market_data.sock");
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let unix = tokio::net::UnixListener::bind(&path)?;
    let trade = Trade { price: 1, size: 2 };
    let trades = [Trade { price: 3, size: 4 }, Trade { price: 5, size: 6 }];

    let mut sink: Lazy<Buffered<Fanout<(TcpSink, UnixSink)>>> = Lazy::new(Buffered::new(
        Fanout::new((TcpSink::new(tcp.local_addr()?.to_string())?, UnixSink::new(&path)?)),
    ));
    sink.feed(&trade).await?;
    sink.flush().await?;
    sink.send(b"one message".as_slice()).await?;
    sink.send_batch(trades.iter()).await?;
    match sink.try_feed(&trade) {
        Ok(()) => {}
        Err(e) if e.is_full() => {}
        Err(e) => return Err(e.into()),
    }
    sink.connect().await?;
    assert!(sink.is_connected());
    assert_eq!(sink.state().to_string(), "connected");
    sink.disconnect().await?;
    assert!(!sink.is_connected());
    let report = sink.close().await?;
    assert!(report.is_complete());

    let expected = 5 * 4 + 4 * 16 + 11;
    for receiver in
        [read_to_end(tcp.accept().await?.0).await?, read_to_end(unix.accept().await?.0).await?]
    {
        assert_eq!(receiver.len(), expected);
        assert_eq!(receiver[..5], [0, 0, 0, 16, 1]);
    }
    Ok(())
}

#[tokio::test]
async fn stack_by_name() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("market_data.sock");
    let (tcp, unix) = (
        tokio::net::TcpListener::bind("127.0.0.1:0").await?,
        tokio::net::UnixListener::bind(&path)?,
    );
    let services = format!(
        r#"
        [services.strategy_a]
        type = "direct"
        endpoint = "tcp://{}"
        [services.market_data_relay]
        type = "relay"
        endpoint = "unix://{}"
        [services.market_data]
        type = "composite"
        pattern = "fanout"
        targets = ["strategy_a", "market_data_relay"]
        "#,
        tcp.local_addr()?,
        path.display()
    );
    let file = dir.path().join("services.toml");
    std::fs::write(&file, &services)?;

    for factory in [SinkFactory::from_path(&file)?, SinkFactory::from_str(&services)?] {
        let mut sink = factory.create_sink("market_data")?;
        assert_eq!(sink.state().to_string(), "asleep");
        sink.feed(&Trade { price: 1, size: 2 }).await?;
        sink.send("one message").await?;
        assert!(sink.close().await?.is_complete());
        for received in
            [read_to_end(tcp.accept().await?.0).await?, read_to_end(unix.accept().await?.0).await?]
        {
            assert_eq!(received.len(), 4 + 16 + 4 + 11);
        }
        let error = factory.create_sink("market_dat").expect_err("no such service");
        assert_eq!(error.kind(), ErrorKind::UnknownService);
    }
    Ok(())
}

#[tokio::test]
async fn stack_by_name_and_type() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("market_data.sock");
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let unix = tokio::net::UnixListener::bind(&path)?;
    let services = format!(
        "[services.strategy_a]\ntype = \"direct\"\nendpoint = \"tcp://{}\"\n\
         [services.market_data_relay]\ntype = \"relay\"\nendpoint = \"unix://{}\"\n\
         [services.market_data]\ntype = \"composite\"\npattern = \"fanout\"\n\
         targets = [\"strategy_a\", \"market_data_relay\"]",
        tcp.local_addr()?,
        path.display()
    );
    let factory = SinkFactory::from_str(&services)?;
    let mut sink =
        factory.create_typed::<Lazy<Buffered<Fanout<(TcpSink, UnixSink)>>>>("market_data")?;
    sink.send(&Trade { price: 1, size: 2 }).await?;
    assert!(sink.close().await?.is_complete());
    for received in
        [read_to_end(tcp.accept().await?.0).await?, read_to_end(unix.accept().await?.0).await?]
    {
        assert_eq!(received.len(), 4 + 16);
    }
    let error = factory.create_typed::<Lazy<Buffered<TcpSink>>>("market_data").err();
    assert_eq!(error.ok_or("no link")?.kind(), ErrorKind::Mismatch);
    Ok(())
}

#[tokio::test]
async fn shared_by_many_tasks() -> Result<(), Box<dyn Error>> {
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let services = format!(
        "[services.market_data]\ntype = \"direct\"\nendpoint = \"tcp://{}\"",
        tcp.local_addr()?
    );
    let factory = SinkFactory::from_str(&services)?;
    let sink = factory.shared_sink("market_data")?;
    let tasks: Vec<_> = (0..4)
        .map(|price| {
            let (sink, other) = (sink.clone(), factory.shared_sink("market_data"));
            tokio::spawn(async move {
                sink.feed(&Trade { price, size: 1 }).await?;
                sink.flush().await?;
                sink.send(b"one message".as_slice()).await?;
                sink.send_batch([Trade { price, size: 2 }, Trade { price, size: 3 }]).await?;
                match other?.try_feed(&Trade { price, size: 4 }) {
                    Err(e) if !e.is_full() => Err(e.into()),
                    _ => Ok::<_, SinkError>(()),
                }
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    sink.connect().await?;
    assert!(sink.is_connected());
    assert_eq!(sink.state().to_string(), "connected");
    assert!(sink.close().await?.is_complete());
    let received = read_to_end(tcp.accept().await?.0).await?;
    assert_eq!(received.len(), 4 * (4 * (4 + 16) + 4 + 11));
    Ok(())
}

#[tokio::test]
async fn refusals_say_why() -> Result<(), Box<dyn Error>> {
    let mut sink = Buffered::with_capacity(TcpSink::new("127.0.0.1:9")?, 8);
    assert!(sink.try_feed("12345").is_err_and(|e| e.is_too_large()));
    sink.try_feed("1234")?;
    assert!(sink.try_feed("").is_err_and(|e| e.is_full()));
    sink.close_within(Duration::ZERO).await?;
    assert!(sink.try_feed("").is_err_and(|e| e.is_closed()));
    Ok(())
}

#[tokio::test]
async fn futures_can_be_named_and_sent_to_other_tasks() -> Result<(), Box<dyn Error>> {
    let (link, peer) = torq_message_sink::MemorySink::pair(1024);
    let mut sink = Buffered::new(link);
    tokio::spawn(async move { sink.send("tick").await }).await??;
    assert_eq!(peer.accept().ok_or("connected")?.read(), b"\0\0\0\x04tick");
    Ok(())
}

async fn read_to_end(mut from: impl tokio::io::AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut from, &mut bytes).await?;
    Ok(bytes)
}
