//! What happens: the adapter first, the strategies late and in the wrong order, a hang, a kill, a
//! restart.
//!
//! Nothing here waits for a time; each step waits for what the processes say.

use std::error::Error;
use std::ffi::OsString;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use crate::args::Options;
use crate::check::{Connection, Leaf, Received};
use crate::process::{News, Process, on_interrupt};
use crate::protocol::{Line, command};
use crate::services::{Services, TARGETS};
use crate::summary::Summary;

/// What is known of the run so far.
#[derive(Debug, Default)]
pub struct Facts {
    pub messages: u64,
    pub payload_bytes: u64,
    pub nobody_there: bool,
    pub stalled: bool,
    pub half: bool,
    pub done: bool,
    pub seconds: f64,
    /// The part of them in which both strategies were connected and well.
    pub connected_seconds: f64,
    pub law_checks: u64,
    pub law_broken: Vec<String>,
    pub strategies: [Strategy; 2],
}

#[derive(Debug, Default)]
pub struct Strategy {
    pub starts: u32,
    pub endpoint: String,
    pub listening: bool,
    /// Connections accepted by the process that runs now.
    pub accepted: u32,
    /// Whether its process has ended and all that it said was heard.
    pub silent: bool,
    pub received: Received,
    /// The other end: the sink's leaf.
    pub connections: Vec<Connection>,
    pub leaf: Leaf,
}

/// Plays it and adds up.
pub fn play(options: &Options) -> Result<Summary, Box<dyn Error>> {
    let (news, heard) = mpsc::channel();
    on_interrupt(news.clone())?;
    let services = Services::create()?;
    let mut stage =
        Stage { adapter: None, strategies: [None, None], facts: Facts::default(), news, heard };

    println!("adapter: started; it sends to `{}`", crate::services::DESTINATION);
    let mut words: Vec<OsString> = vec!["adapter".into(), services.path().into()];
    words.extend(options.to_words());
    stage.adapter = Some(Process::start(ADAPTER, words, stage.news.clone())?);
    stage.until(|facts| facts.nobody_there)?;
    println!("adapter: nobody is there yet; both targets have refused a connection");

    for target in [SECOND, FIRST] {
        stage.start(target, &services)?;
        println!("{}: started, listening at {}", TARGETS[target], services.endpoints[target]);
    }
    stage.until(|facts| facts.strategies.iter().all(|strategy| strategy.accepted > 0))?;
    let connected = Instant::now();

    // The adapter stops in the middle and waits, so a quarter is in mid-stream for any input.
    stage.until(|facts| facts.strategies[FIRST].received.messages() * 4 >= facts.messages)?;
    // It hangs before it is killed, as what is killed often does: so the sockets fill up, and the
    // kill costs as much as it can and leaves a frame that was written in part.
    stage.facts.stalled = false;
    stage.strategies[FIRST].as_mut().expect("started above").command(command::HANG)?;
    let hung = Instant::now();
    println!("{}: hangs", TARGETS[FIRST]);
    stage.until(|facts| facts.stalled || facts.half)?;
    stage.kill(FIRST)?;
    println!(
        "{}: killed (kill -9), {} messages into the stream",
        TARGETS[FIRST],
        stage.facts.strategies[FIRST].received.messages()
    );
    stage.adapter.as_mut().expect("started above").command(command::GO_ON)?;
    stage.start(FIRST, &services)?;
    println!("{}: started again", TARGETS[FIRST]);
    // All is done without it when its death went unnoticed; what that cost, the summary says.
    stage.until(|facts| facts.strategies[FIRST].accepted > 0 || facts.done)?;
    let away = hung.elapsed();

    stage.until(|facts| facts.done)?;
    stage.facts.connected_seconds = connected.elapsed().saturating_sub(away).as_secs_f64();
    println!("adapter: everything is flushed and closed");
    stage.finish()?;
    Ok(Summary::new(&stage.facts))
}

/// The processes, and what they said. Dropped, it stops them all.
struct Stage {
    adapter: Option<Process>,
    strategies: [Option<Process>; 2],
    facts: Facts,
    news: Sender<News>,
    heard: Receiver<News>,
}

impl Stage {
    /// Starts a strategy and waits until it listens.
    fn start(&mut self, target: usize, services: &Services) -> Result<(), Box<dyn Error>> {
        let endpoint = services.endpoints[target].to_string();
        let words = vec!["strategy".into(), endpoint.clone().into()];
        let strategy = &mut self.facts.strategies[target];
        strategy.starts += 1;
        strategy.endpoint = endpoint;
        (strategy.listening, strategy.accepted, strategy.silent) = (false, 0, false);
        self.strategies[target] = Some(Process::start(target, words, self.news.clone())?);
        self.until(|facts| facts.strategies[target].listening)
    }

    /// Kills a strategy, and hears what it had said until then.
    fn kill(&mut self, target: usize) -> Result<(), Box<dyn Error>> {
        // Dropped, it is dead. Its place being empty, its silence is expected.
        self.strategies[target] = None;
        self.until(|facts| facts.strategies[target].silent)
    }

    /// Lets everybody end by themselves, and hears them out.
    fn finish(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(mut adapter) = self.adapter.take()
            && !adapter.wait()?
        {
            return Err("the adapter failed".into());
        }
        for mut strategy in std::mem::take(&mut self.strategies).into_iter().flatten() {
            strategy.command(command::FINISH)?;
            if !strategy.wait()? {
                return Err("a strategy failed".into());
            }
        }
        self.until(|facts| facts.strategies.iter().all(|strategy| strategy.silent))
    }

    /// Listens until something is the case.
    fn until(&mut self, is_so: impl Fn(&Facts) -> bool) -> Result<(), Box<dyn Error>> {
        while !is_so(&self.facts) {
            match self.heard.recv_timeout(PATIENCE)? {
                News::Said(ADAPTER, line) => self.facts.adapter_said(line),
                News::Said(target, line) => self.facts.strategies[target].said(line),
                News::Babbled(who, text) => return Err(format!("{who} said {text}").into()),
                News::Interrupted => return Err("interrupted".into()),
                News::Silent(ADAPTER) if self.facts.done => {}
                News::Silent(ADAPTER) => return Err("the adapter ended too early".into()),
                News::Silent(target) if self.strategies[target].is_none() => {
                    self.facts.strategies[target].silent = true;
                }
                News::Silent(target) => {
                    return Err(format!("{} ended too early", TARGETS[target]).into());
                }
            }
        }
        Ok(())
    }
}

impl Facts {
    fn adapter_said(&mut self, line: Line) {
        match line {
            Line::Input { messages, payload_bytes } => {
                (self.messages, self.payload_bytes) = (messages, payload_bytes);
            }
            Line::NobodyThere => self.nobody_there = true,
            Line::Stalled => self.stalled = true,
            Line::Half => self.half = true,
            Line::Connection { service, connection } => {
                if let Some(target) = TARGETS.iter().position(|target| *target == service) {
                    self.strategies[target].connection(connection);
                }
            }
            Line::LawBroken(how) => self.law_broken.push(how),
            Line::Done { seconds, law_checks, leaves } => {
                (self.seconds, self.law_checks, self.done) = (seconds, law_checks, true);
                for leaf in leaves {
                    if let Some(target) = TARGETS.iter().position(|name| *name == leaf.service) {
                        self.strategies[target].leaf = leaf;
                    }
                }
            }
            _ => {}
        }
    }
}

impl Strategy {
    fn said(&mut self, line: Line) {
        match line {
            Line::Listening => self.listening = true,
            Line::Accepted => self.accepted += 1,
            Line::Run(first, last) => self.received.run(first, last),
            Line::Torn => self.received.torn(),
            Line::Cut(next) => self.received.cut(next),
            _ => {}
        }
    }

    /// A connection was made; or has ended, which says everything but how it was made.
    fn connection(&mut self, connection: Connection) {
        match self.connections.last_mut() {
            Some(last) if last.number == connection.number => {
                *last = Connection { failed_attempts: last.failed_attempts, ..connection };
            }
            _ => self.connections.push(connection),
        }
    }
}

/// Numbers of the processes; a strategy's is that of its target.
const FIRST: usize = 0;
const SECOND: usize = 1;
const ADAPTER: usize = 2;

/// How long nobody may say anything.
const PATIENCE: Duration = Duration::from_secs(60);
