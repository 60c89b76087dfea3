//! What happens around the sink: peers act, tasks run, time passes.

use std::io::ErrorKind as Io;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::advance;
use torq_message_sink::LeafReport;
use torq_message_sink::testing::Step;

use super::choices::Choices;
use super::ledger::{Ledger, Read};
use super::log::Log;
use super::receiver::Receiver;

/// Everything that is not the sink: can be used while a future borrows the sink.
pub(super) struct World<'a> {
    /// One per buffer of the stack. Each message goes to all of them.
    pub(super) logs: Vec<Log>,
    /// In the order of the stack's links.
    pub(super) receivers: Vec<Receiver>,
    pub(super) choices: &'a mut dyn Choices,
    /// Where not everybody gets everything.
    pub(super) ledger: Option<Ledger>,
}

impl World<'_> {
    /// Bytes that all buffers together have accepted.
    pub(super) fn accepted_bytes(&self) -> u64 {
        if let Some(ledger) = &self.ledger {
            return ledger.bytes;
        }
        self.logs.iter().map(|log| log.len() + log.overflow.0).sum()
    }

    /// What has come to the receivers, if there is a ledger. They read everything.
    pub(super) fn read_ledger(&mut self) -> Option<Read> {
        let ledger = self.ledger.as_ref()?;
        for receiver in &mut self.receivers {
            receiver.accept();
            receiver.read_all();
        }
        Some(ledger.read(&self.receivers))
    }

    /// The longest payload that every buffer takes.
    pub(super) fn longest(&self) -> usize {
        self.logs.iter().map(|log| log.longest).min().expect("a stack has a buffer")
    }

    /// Whether every buffer's framing can carry `payload`, apart from its size.
    pub(super) fn carries(&self, payload: &[u8]) -> bool {
        self.logs.iter().all(|log| log.framing.carries(payload))
    }

    /// Each log with the reports of the links below that buffer that gate.
    pub(super) fn buffers<'a>(
        &'a self,
        leaves: &'a [LeafReport],
    ) -> impl Iterator<Item = (&'a Log, impl Iterator<Item = &'a LeafReport> + Clone)> {
        self.logs.iter().enumerate().map(move |(index, log)| {
            let below = self.receivers.iter().zip(leaves);
            let below = below.filter(move |(r, _)| r.log == index && r.gates);
            (log, below.map(|(_, leaf)| leaf))
        })
    }

    pub(super) fn peer_acts(&mut self) {
        let index = self.choices.below(self.receivers.len());
        let receiver = &mut self.receivers[index];
        receiver.accept();
        let choices = &mut *self.choices;
        match choices.below(24) {
            0 => receiver.refuse(!receiver.refusing),
            1 => receiver.stall(!receiver.stalling),
            2 => {
                let kind = choices.of(&[Io::ConnectionRefused, Io::PermissionDenied]);
                receiver.push(Step::FailConnect(kind));
            }
            3 => receiver.push(Step::StallConnect),
            4 => receiver.push(choices.of(&[Step::PanicConnect, Step::ZeroWrite])),
            5 => {
                let kinds = [Io::WouldBlock, Io::Interrupted, Io::ConnectionReset, Io::BrokenPipe];
                receiver.push(Step::FailWrite(choices.of(&kinds)));
            }
            6 => {
                let kind = choices.of(&[Io::Interrupted, Io::ConnectionReset]);
                receiver.push(Step::FailRead(kind));
            }
            7 if choices.once_in(2) => receiver.push(Step::EndRead),
            8 => receiver.push(Step::SpuriousWriteReady),
            9 => receiver.push(Step::SpuriousReadReady),
            10 | 11 => receiver.push(Step::ShortWrite(1 + choices.below(11))),
            12 => {
                receiver.behave();
            }
            13 => {
                receiver.read_all();
            }
            action => {
                let len = 1 + choices.below(63);
                let Some(stream) = receiver.open_stream(choices) else { return };
                match action {
                    14 => stream.reset(),
                    15 => stream.close(),
                    16 => stream.shut(),
                    17 => stream.say(len),
                    18 => stream.limit(len % 8),
                    19 => stream.set_capacity(len * 4),
                    _ => drop(stream.read(len)),
                }
            }
        }
    }

    /// What may happen between two polls of one future.
    pub(super) async fn something_happens(&mut self) {
        match self.choices.below(4) {
            0 => self.let_tasks_run().await,
            1 => self.pass(Duration::from_millis(20)).await,
            _ => self.peer_acts(),
        }
    }

    pub(super) async fn let_tasks_run(&mut self) {
        yield_now().await;
        self.receivers.iter_mut().for_each(Receiver::accept);
    }

    pub(super) async fn pass(&mut self, time: Duration) {
        if self.ledger.is_some() {
            self.receivers.iter_mut().for_each(Receiver::note_progress);
        }
        advance(time).await;
        self.let_tasks_run().await;
    }
}
