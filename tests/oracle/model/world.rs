//! What happens around the sink: peers act, tasks run, time passes.

use std::io::ErrorKind as Io;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::advance;
use torq_message_sink::testing::Step;

use super::log::Log;
use super::receiver::Receiver;

/// Everything that is not the sink: can be used while a future borrows the sink.
pub(super) struct World<'a> {
    pub(super) log: Log,
    pub(super) receivers: Vec<Receiver>,
    pub(super) rng: &'a mut fastrand::Rng,
}

impl World<'_> {
    pub(super) fn peer_acts(&mut self) {
        let index = self.rng.usize(..self.receivers.len());
        let receiver = &mut self.receivers[index];
        receiver.accept();
        let rng = &mut *self.rng;
        match rng.u8(..24) {
            0 => receiver.refuse(!receiver.refusing),
            1 => receiver.stall(!receiver.stalling),
            2 => {
                let kind = *choose(rng, &[Io::ConnectionRefused, Io::PermissionDenied]);
                receiver.push(Step::FailConnect(kind));
            }
            3 => receiver.push(Step::StallConnect),
            4 => receiver.push(*choose(rng, &[Step::PanicConnect, Step::ZeroWrite])),
            5 => {
                let kind = *choose(
                    rng,
                    &[Io::WouldBlock, Io::Interrupted, Io::ConnectionReset, Io::BrokenPipe],
                );
                receiver.push(Step::FailWrite(kind));
            }
            6 => {
                let kind = *choose(rng, &[Io::Interrupted, Io::ConnectionReset]);
                receiver.push(Step::FailRead(kind));
            }
            7 if rng.bool() => receiver.push(Step::EndRead),
            8 => receiver.push(Step::SpuriousWriteReady),
            9 => receiver.push(Step::SpuriousReadReady),
            10 | 11 => receiver.push(Step::ShortWrite(rng.usize(1..12))),
            12 => {
                receiver.behave();
            }
            13 => {
                receiver.read_all();
            }
            action => {
                let len = rng.usize(1..64);
                let Some(stream) = receiver.open_stream(rng) else { return };
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
        match self.rng.u8(..4) {
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
        advance(time).await;
        self.let_tasks_run().await;
    }
}

pub(super) fn choose<'a, T>(rng: &mut fastrand::Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}
