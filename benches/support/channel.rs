//! The twin of a shared sink: a channel of messages, and a task that writes them in batches.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc};

/// A handle to the writer task, which ends with the last one. `M` is what stands in the channel: an
/// array, which suits messages of one length only, or a vector, an allocation per message.
#[derive(Debug)]
pub(crate) struct ByChannel<M> {
    items: mpsc::Sender<Item<M>>,
    /// Tells this handle's task that what it waits for is written. Kept, where a oneshot channel
    /// would be an allocation per message; so one handle waits for one thing at a time.
    written: Arc<Notify>,
}

impl<M> Clone for ByChannel<M> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), written: Arc::default() }
    }
}

#[derive(Debug)]
enum Item<M> {
    Message(M),
    /// A message whose sender waits until it is written.
    Awaited(M, Arc<Notify>),
    Flush(Arc<Notify>),
}

impl<M> ByChannel<M>
where
    M: From<[u8; 64]> + AsRef<[u8]> + std::fmt::Debug + Send + 'static,
{
    /// Buffers as many messages as `capacity` bytes of frames, in the channel and in the task.
    pub(crate) fn new(stream: UnixStream, capacity: usize) -> Self {
        let messages = capacity / 68;
        let (items, receiver) = mpsc::channel(messages);
        tokio::spawn(write(stream, receiver, messages));
        Self { items, written: Arc::default() }
    }

    /// Accepts a message.
    pub(crate) async fn feed(&self, msg: &[u8; 64]) {
        self.items.send(Item::Message((*msg).into())).await.expect("the task lives");
    }

    /// Accepts a message and waits until it is written.
    pub(crate) async fn send(&self, msg: &[u8; 64]) {
        let item = Item::Awaited((*msg).into(), self.written.clone());
        self.items.send(item).await.expect("the task lives");
        self.written.notified().await;
    }

    /// Waits until everything is written.
    pub(crate) async fn flush(&self) {
        self.items.send(Item::Flush(self.written.clone())).await.expect("the task lives");
        self.written.notified().await;
    }
}

/// Takes what is there, writes it as one, and tells those who wait.
async fn write<M: AsRef<[u8]>>(
    mut stream: UnixStream,
    mut receiver: mpsc::Receiver<Item<M>>,
    messages: usize,
) {
    let (mut items, mut waiting) = (Vec::with_capacity(messages), Vec::new());
    let mut bytes = Vec::with_capacity(messages * 68);
    while receiver.recv_many(&mut items, messages).await > 0 {
        for item in items.drain(..) {
            let msg = match item {
                Item::Message(msg) => msg,
                Item::Awaited(msg, written) => {
                    waiting.push(written);
                    msg
                }
                Item::Flush(written) => {
                    waiting.push(written);
                    continue;
                }
            };
            let msg = msg.as_ref();
            bytes.extend_from_slice(&(msg.len() as u32).to_be_bytes());
            bytes.extend_from_slice(msg);
        }
        stream.write_all(&bytes).await.expect("the receiver reads");
        bytes.clear();
        waiting.drain(..).for_each(|written: Arc<Notify>| written.notify_one());
    }
}
