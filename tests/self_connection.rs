//! Connecting to oneself. In a process of its own: it takes ports that other tests are bound to.

use std::net::TcpListener;
use std::time::Duration;

use torq_message_sink::{Connect, SinkError, TcpSink};

/// Connecting to a free port of the ephemeral range again and again ends up connected to itself,
/// unless somebody looks.
#[tokio::test]
async fn tcp_link_never_connects_to_itself() -> Result<(), SinkError> {
    let bound = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = bound.local_addr().expect("bound");
    // Linux gives ports of one parity to who binds, and of the other to who connects.
    let port = address.port() ^ 1;
    let connector = TcpSink::new(format!("127.0.0.1:{port}"))?.connector().clone();
    for _ in 0..40_000 {
        let connected = connector.connect(Duration::from_secs(1)).await;
        assert!(connected.is_err(), "there is nobody to connect to");
    }
    Ok(())
}
