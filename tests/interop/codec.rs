//! tokio-util's codecs on accepted connections, TCP and unix.

use std::fmt::Debug;

use tokio::io::AsyncRead;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::StreamExt;
use tokio_util::codec::{AnyDelimiterCodec, Decoder, FramedRead, LengthDelimitedCodec, LinesCodec};
use torq_message_sink::prefix::{U16Be, U16Le, U32Be, U32Le, U64Be, U64Le};
use torq_message_sink::{Framing, Link, NewlineDelimited, Prefixed, TcpSink, UnixSink};

use crate::message::{BINARY, Form, MESSAGES, TEXT};
use crate::sender::{close, notice, send, sink};

/// The codec for lengths of this integer, in the order that `$order` sets.
macro_rules! lengths {
    ($int:ident $order:ident) => {
        || LengthDelimitedCodec::builder().length_field_type::<$int>().$order().new_codec()
    };
}

macro_rules! read_all {
    ($($codec:ident: $framing:expr, $make:expr, $form:ident;)*) => { $(
        mod $codec {
            use super::*;

            #[tokio::test]
            async fn reads_all_over_tcp() {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
                let address = listener.local_addr().expect("an address");
                let link = TcpSink::new(address.to_string()).expect("an address");
                reads_all(listener, link, $framing, $make, $form).await;
            }

            #[tokio::test]
            async fn reads_all_over_unix() {
                let dir = tempfile::tempdir().expect("a directory");
                let path = dir.path().join("receiver.sock");
                let listener = UnixListener::bind(&path).expect("bound");
                let link = UnixSink::new(path).expect("a path");
                reads_all(listener, link, $framing, $make, $form).await;
            }
        }
    )* };
}

read_all! {
    u16_be: Prefixed::<U16Be>::new(), lengths!(u16 big_endian), BINARY;
    u16_le: Prefixed::<U16Le>::new(), lengths!(u16 little_endian), BINARY;
    u32_be: Prefixed::<U32Be>::new(), LengthDelimitedCodec::new, BINARY;
    u32_le: Prefixed::<U32Le>::new(), lengths!(u32 little_endian), BINARY;
    u64_be: Prefixed::<U64Be>::new(), lengths!(u64 big_endian), BINARY;
    u64_le: Prefixed::<U64Le>::new(), lengths!(u64 little_endian), BINARY;
    lines: NewlineDelimited::new(), LinesCodec::new, TEXT;
    line_feeds: NewlineDelimited::new(), line_feeds, TEXT;
}

fn line_feeds() -> AnyDelimiterCodec {
    AnyDelimiterCodec::new(b"\n".to_vec(), b"\n".to_vec())
}

/// The receiver takes half of the messages, closes the connection, and takes the other half from
/// the next one.
async fn reads_all<C>(
    listener: impl Accept,
    link: impl Link,
    framing: impl Framing,
    codec: impl Fn() -> C,
    form: Form,
) where
    C: Decoder<Item: AsRef<[u8]>, Error: Debug>,
{
    let mut sink = sink(link, framing);
    let sending = async {
        send(&mut sink, 0..MESSAGES / 2, form).await;
        notice(&mut sink).await;
        send(&mut sink, MESSAGES / 2..MESSAGES, form).await;
        close(&mut sink).await;
    };
    let receiving = async {
        let mut first = FramedRead::new(listener.accept().await, codec());
        for due in 0..MESSAGES / 2 {
            let frame = first.next().await.expect("the stream goes on").expect("a frame");
            assert_eq!((form.number)(frame.as_ref()), due);
        }
        drop(first);
        let mut second = FramedRead::new(listener.accept().await, codec());
        for due in MESSAGES / 2..MESSAGES {
            let frame = second.next().await.expect("the stream goes on").expect("a frame");
            assert_eq!((form.number)(frame.as_ref()), due);
        }
        assert!(second.next().await.is_none(), "nothing comes after the last message");
    };
    tokio::join!(sending, receiving);
}

trait Accept {
    async fn accept(&self) -> impl AsyncRead + Unpin;
}

impl Accept for TcpListener {
    async fn accept(&self) -> impl AsyncRead + Unpin {
        self.accept().await.expect("connected").0
    }
}

impl Accept for UnixListener {
    async fn accept(&self) -> impl AsyncRead + Unpin {
        self.accept().await.expect("connected").0
    }
}
