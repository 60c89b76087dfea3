//! The sender: everything that a program does with the library is in this file.

use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{self, Instant};
use torq_message_sink::{
    EndCause, Event, LeafReport, MessageSink, Report, SinkError, SinkFactory, SinkStack, SinkState,
};

use crate::args::Options;
use crate::check::{Connection, Count, Leaf};
use crate::input::Input;
use crate::message::Message;
use crate::process;
use crate::protocol::{Line, say};
use crate::services::DESTINATION;

/// Sends the input to the destination that services.toml knows by its name.
#[tokio::main(flavor = "current_thread")]
pub async fn run(services: &Path, options: &Options) -> Result<(), Box<dyn Error>> {
    let (command, commands) = unbounded_channel();
    process::on_command(move |_go_on| {
        // Nobody waits for it any more when the sending has failed.
        let _ = command.send(());
    });
    let input = match &options.input {
        Some(path) => Input::open(path, options.messages)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        None => Input::generate(options.messages.unwrap_or(DEFAULT_MESSAGES)),
    };
    let (messages, payload_bytes) = (input.len(), input.payload_bytes());
    if messages < 2 {
        return Err("the input has less than two messages".into());
    }
    if options.paced.is_some() && input.offset_nanos(0).is_none() {
        return Err("--paced needs an input with receive stamps".into());
    }
    say(&Line::Input { messages, payload_bytes });

    let sink = SinkFactory::from_path(services)?.create_sink(DESTINATION)?;
    Adapter { sink, input, speed: options.paced, law_checks: 0 }.send_all(commands).await
}

struct Adapter {
    sink: SinkStack,
    input: Input,
    speed: Option<f64>,
    law_checks: u64,
}

impl Adapter {
    async fn send_all(mut self, mut go: UnboundedReceiver<()>) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        let (half, all) = (self.input.len() / 2, self.input.len());

        // Nobody is there yet. The first message is accepted all the same, and wakes the sink.
        self.sink.feed(&message(&self.input, 0)).await?;
        self.wait_until_all_have_refused().await;
        say(&Line::NobodyThere);

        self.send(start, 1..half).await?;
        say(&Line::Half);
        // However short the input is, what comes now comes after the kill.
        go.recv().await.ok_or("the parent is gone")?;
        // A closed peer is noticed before the next write once the runtime has turned, which it has
        // not if the word was there already.
        tokio::task::yield_now().await;
        self.send(start, half..all).await?;

        let report = self.sink.close().await?;
        self.observe();
        say(&Line::Done {
            seconds: start.elapsed().as_secs_f64(),
            law_checks: self.law_checks,
            leaves: leaves(&report),
        });
        Ok(())
    }

    /// Feeds some of the messages, then flushes.
    async fn send(&mut self, start: Instant, numbers: Range<u64>) -> Result<(), SinkError> {
        for number in numbers {
            self.keep_pace(start, number).await?;
            let message = message(&self.input, number);
            // `feed(&message).await` alone would do; the rest is there to tell when it takes long.
            match self.sink.try_feed(&message) {
                Err(refusal) if refusal.is_full() => {
                    noting_stalls(self.sink.feed(&message)).await?
                }
                fed => fed?,
            }
            if number.is_multiple_of(OBSERVED_EVERY) {
                self.observe();
            }
        }
        noting_stalls(self.sink.flush()).await?;
        self.observe();
        Ok(())
    }

    /// With `--paced`: waits until it is time for a message, with nothing left in the buffer.
    async fn keep_pace(&mut self, start: Instant, number: u64) -> Result<(), SinkError> {
        let Some(speed) = self.speed else { return Ok(()) };
        let nanos = self.input.offset_nanos(number).unwrap_or_default();
        let due = Duration::try_from_secs_f64(nanos as f64 / 1e9 / speed).unwrap_or(Duration::MAX);
        while let Some(wait) = due.checked_sub(start.elapsed()).filter(|wait| !wait.is_zero()) {
            self.sink.flush().await?;
            self.observe();
            time::sleep(wait.min(SIGN_OF_LIFE)).await;
            say(&Line::Fed(number));
        }
        Ok(())
    }

    /// Looks at the leaves until each was seen to wait for its next attempt to connect.
    async fn wait_until_all_have_refused(&mut self) {
        let mut refused = vec![false; self.sink.report().leaves.len()];
        let mut look = time::interval(Duration::from_millis(1));
        while refused.contains(&false) {
            look.tick().await;
            for (refused, leaf) in refused.iter_mut().zip(&self.sink.report().leaves) {
                *refused |= leaf.state == SinkState::BackingOff;
            }
        }
    }

    /// Passes on what happened to the connections (a link keeps 64 events for us), and checks the
    /// conservation law, which holds at any instant.
    fn observe(&mut self) {
        self.sink.take_events(&mut |event| {
            if let Some((service, connection)) = connection(&event) {
                say(&Line::Connection { service, connection });
            }
        });
        self.law_checks += 1;
        for leaf in leaves(&self.sink.report()).into_iter().filter(|leaf| !leaf.law_holds()) {
            say(&Line::LawBroken(format!("{leaf:?}")));
        }
    }
}

/// Tells the parent when a future takes long.
async fn noting_stalls<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match time::timeout(STALL, future.as_mut()).await {
        Ok(output) => output,
        Err(_) => {
            say(&Line::Stalled);
            future.await
        }
    }
}

fn message(input: &Input, number: u64) -> Message<'_> {
    Message { sequence: number, payload: input.payload(number) }
}

fn connection(event: &Event) -> Option<(String, Connection)> {
    match event {
        Event::Connected { service, connection, first, failures, .. } => {
            let connection = Connection {
                number: *connection,
                failed_attempts: *failures,
                first: count(*first),
                ..Connection::default()
            };
            Some((name(service), connection))
        }
        Event::Ended(end) => {
            let connection = Connection {
                number: end.connection,
                first: count(end.first),
                end: Some(count(end.end)),
                cut_bytes: end.cut_bytes,
                died: matches!(end.cause, EndCause::PeerClosed | EndCause::Failed(_)),
                cause: format!("{:?}", end.cause),
                ..Connection::default()
            };
            Some((name(&end.service), connection))
        }
        _ => None,
    }
}

fn leaves(report: &Report) -> Vec<Leaf> {
    let leaf = |leaf: &LeafReport| Leaf {
        service: name(&leaf.service),
        accepted: count(leaf.accepted),
        written: count(leaf.written),
        buffered: count(leaf.buffered),
        dropped: count(leaf.dropped.total()),
        unconfirmed: count(leaf.unconfirmed),
        rewritten_bytes: leaf.rewritten_bytes,
        connections: leaf.connections,
        events_lost: leaf.events_lost,
    };
    report.leaves.iter().map(leaf).collect()
}

fn count(count: torq_message_sink::Count) -> Count {
    Count { bytes: count.bytes, messages: count.messages.expect("services.toml turns counting on") }
}

fn name(service: &Option<Arc<str>>) -> String {
    service.as_deref().unwrap_or_default().to_owned()
}

/// Messages of a run unless something else is asked for.
const DEFAULT_MESSAGES: u64 = 2_000_000;

/// Messages between two looks at events and counters.
const OBSERVED_EVERY: u64 = 256;

/// How long waiting for a receiver is nothing to speak of.
const STALL: Duration = Duration::from_millis(50);

/// The longest wait of a paced run without a word to the parent.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
