//! Sinks by name: reads the registry and builds stacks, asleep.

/// What `known_stacks!` makes use of.
pub mod known;
mod route;
mod stack;
mod table;
mod transport;
mod typed;

use std::future::{Future, poll_fn};
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

pub use self::stack::SinkStack;
pub use self::typed::FromService;
use crate::composite::{BestEffort, Failover, Fanout, Quorum, RoundRobin};
use crate::endpoint::Endpoint;
use crate::error::{ErrorKind, SinkError};
use crate::factory::route::{Composite, Leaf, Route};
use crate::factory::stack::{LANES, Layered};
use crate::factory::table::Table;
use crate::factory::transport::Transport;
use crate::framing::LengthPrefixed;
use crate::layer::{Buffered, Deadline, Lanes, Lazy, Shared};
use crate::link::{Link, StreamLink, TcpConnector, UnixConnector};
use crate::policy::FailoverPolicy;
use crate::registry::{ConfigError, Isolation, Pattern, Priority, Registry, Service, Target};
use crate::sink::{MessageSink, Report};

/// Builds sinks by the names of services.toml.
///
/// A service asks for its destination by name and gets a [`SinkStack`], asleep: nothing is opened
/// before the first message. Cloning shares the registry, and the sinks of
/// [`shared_sink`](Self::shared_sink).
///
/// # Examples
///
/// ```
/// use torq_message_sink::{MessageSink, SinkFactory, SinkState};
///
/// let factory = SinkFactory::from_str(
///     r#"
///     [services.strategy_a]
///     type = "direct"
///     endpoint = "tcp://127.0.0.1:9001"
///     "#,
/// )?;
/// let sink = factory.create_sink("strategy_a")?;
/// assert_eq!(sink.state(), SinkState::Asleep);
///
/// let error = factory.create_sink("strategy_b").unwrap_err();
/// assert!(error.to_string().contains("did you mean `strategy_a`?"), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SinkFactory {
    registry: Arc<Registry>,
    shared: Arc<Table>,
}

impl SinkFactory {
    /// A factory for the services of a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong with the file, each at its line and column.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Registry::from_path(path).map(Self::new)
    }

    /// A factory for the services of a text.
    ///
    /// # Errors
    ///
    /// As [`from_path`](Self::from_path).
    #[expect(clippy::should_implement_trait, reason = "it does; this one needs no import")]
    pub fn from_str(text: &str) -> Result<Self, ConfigError> {
        Registry::from_str(text).map(Self::new)
    }

    /// A factory for the services of `registry`.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self { registry: Arc::new(registry), shared: Arc::default() }
    }

    /// The services it knows.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A new sink to the service of that name, with connections of its own. It sleeps until it is
    /// fed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownService`], with the nearest name that is known;
    /// [`ErrorKind::DisabledService`]; [`ErrorKind::InvalidEndpoint`] where no link leads to an endpoint of its kind.
    pub fn create_sink(&self, name: &str) -> Result<SinkStack, SinkError> {
        let service = self.registry.get(name).ok_or_else(|| self.unknown(name))?;
        let sink = buffered(self.route(service)?, service);
        let (policy, buffer) = (service.lazy.clone(), service.buffer());
        Ok(match (buffer.deadline(), buffer.priority()) {
            (None, None) => SinkStack::new(Lazy::with_policy(sink, policy)),
            (Some(max_age), _) => {
                let sink = Deadline::with_capacity(sink, buffer.waiting()).with_max_age(max_age);
                SinkStack::layered(with_deadline(Lazy::with_policy(sink, policy)), nowhere())
            }
            (None, Some(priority)) => {
                let lanes = Lanes::with_capacity(sink, buffer.waiting() / LANES);
                let sink = match priority {
                    Priority::Weighted => lanes,
                    Priority::Strict => lanes.strict(),
                };
                SinkStack::layered(with_lanes(Lazy::with_policy(sink, policy)), nowhere())
            }
        })
    }

    /// A new sink to the service of that name, of a type that the program names: exactly what it
    /// would compose in code, so a message costs what it costs there. The configuration is checked
    /// against the type, target by target, in order. It sleeps until it is fed.
    ///
    /// A link alone can be had, too, for a stack that services.toml cannot describe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownService`], with the nearest name that is known;
    /// [`ErrorKind::DisabledService`]; [`ErrorKind::Mismatch`] where the service does not lead to what the type is for, with both shapes.
    ///
    /// # Examples
    ///
    /// ```
    /// use torq_message_sink::{Buffered, Fanout, Lazy, SinkFactory, TcpSink, UnixSink};
    ///
    /// let factory = SinkFactory::from_str(
    ///     r#"
    ///     services.strategy_a = { type = "direct", endpoint = "tcp://127.0.0.1:9001" }
    ///     services.relay = { type = "relay", endpoint = "unix:///run/torq/market_data.sock" }
    ///     [services.market_data]
    ///     type = "composite"
    ///     pattern = "fanout"
    ///     targets = ["strategy_a", "relay"]
    ///     "#,
    /// )?;
    /// type Stack = Lazy<Buffered<Fanout<(TcpSink, UnixSink)>>>;
    /// let sink = factory.create_typed::<Stack>("market_data")?;
    /// let error = factory.create_typed::<Stack>("relay").unwrap_err();
    /// assert!(error.to_string().ends_with(
    ///     "the type is for `fanout(tcp, unix)`, the configuration says `unix`"
    /// ));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_typed<T: FromService>(&self, name: &str) -> Result<T, SinkError> {
        let service = self.registry.get(name).ok_or_else(|| self.unknown(name))?;
        typed::build(service, &self.registry)
    }

    /// Where a service leads, as links.
    fn route(&self, service: &Service) -> Result<Route, SinkError> {
        let Target::Composite { pattern, isolation, .. } = service.target() else {
            return leaf(service).map(Route::Leaf);
        };
        let branches = self.registry.branches(service);
        let mut children = Vec::with_capacity(branches.len());
        for (service, gates) in branches {
            let route = self.route(service)?;
            children.push(if gates { route } else { Route::Composite(best_effort(route)) });
        }
        Ok(Route::Composite(match (pattern, isolation) {
            (Pattern::Fanout, Isolation::Quorum(needed)) => quorum(usize::from(*needed), children),
            (Pattern::Fanout, _) => fanout(children),
            (Pattern::Failover, _) => failover(children, self.registry.failover(service)),
            (Pattern::RoundRobin, _) => round_robin(children),
        }))
    }

    /// The shared sink to the service of that name: one connection for all who ask this factory or
    /// its clones, in whichever task or thread. It sleeps until it is fed, gathers as many bytes as
    /// the service's buffer has, for as long as its `max_delay` says, and closes when the last handle
    /// is dropped. Once it is closed, the next call makes a new one.
    ///
    /// # Errors
    ///
    /// As [`create_sink`](Self::create_sink).
    ///
    /// # Examples
    ///
    /// ```
    /// # use torq_message_sink::SinkFactory;
    /// # async fn run(factory: SinkFactory) -> Result<(), torq_message_sink::SinkError> {
    /// let sink = factory.shared_sink("market_data")?;
    /// let same = factory.shared_sink("market_data")?;
    /// tokio::spawn(async move { same.send("from another task").await });
    /// sink.feed("tick").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn shared_sink(&self, name: &str) -> Result<Shared<SinkStack>, SinkError> {
        self.shared.get(name, || {
            let stack = self.create_sink(name)?;
            let Some(service) = self.registry.get(name) else { return Ok(Shared::new(stack)) };
            let sink = Shared::with_capacity(stack, service.buffer().capacity());
            let sink = match service.buffer().max_delay() {
                Some((max_delay, flush_at)) => sink.with_max_delay(max_delay, flush_at),
                None => sink,
            };
            Ok(match service.buffer().deadline() {
                Some(max_age) => sink.with_max_age(max_age),
                None => sink,
            })
        })
    }

    /// Closes many sinks together, under one `deadline`. The outcomes are in the order of the
    /// sinks, each as [`close_within`](MessageSink::close_within) answers it.
    ///
    /// # Cancel safety
    ///
    /// The sinks accept no more messages; closing them again goes on.
    pub async fn close_all<'a>(
        &self,
        sinks: impl IntoIterator<Item = &'a mut SinkStack>,
        deadline: Duration,
    ) -> Vec<Result<Report, SinkError>> {
        let mut closing: Vec<_> =
            sinks.into_iter().map(|sink| (Box::pin(sink.close_within(deadline)), None)).collect();
        poll_fn(|cx| {
            let mut all = Poll::Ready(());
            for (shutdown, outcome) in closing.iter_mut().filter(|(_, outcome)| outcome.is_none()) {
                match shutdown.as_mut().poll(cx) {
                    Poll::Ready(done) => *outcome = Some(done),
                    Poll::Pending => all = Poll::Pending,
                }
            }
            all
        })
        .await;
        closing.into_iter().filter_map(|(_, outcome)| outcome).collect()
    }

    #[cold]
    fn unknown(&self, name: &str) -> SinkError {
        if self.registry.is_disabled(name) {
            return SinkError::new(ErrorKind::DisabledService)
                .with_service(name)
                .with_help("remove its `enabled = false` to put it back");
        }
        let error = SinkError::new(ErrorKind::UnknownService).with_service(name);
        match self.registry.nearest(name) {
            Some(nearest) => error.with_help(format!("did you mean `{nearest}`?")),
            None => error.with_help("it is not in the configuration".to_owned()),
        }
    }
}

impl std::str::FromStr for SinkFactory {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::from_str(text)
    }
}

/// The buffer of a service, above a link.
fn buffered<L: Link>(link: L, service: &Service) -> Buffered<L> {
    let buffer = service.buffer();
    let framing = LengthPrefixed::with_max_frame(buffer.max_frame());
    let mut buffered =
        Buffered::with_framing(link, buffer.capacity(), framing).with_when_full(buffer.when_full());
    if let Some((high, low)) = buffer.water_marks() {
        buffered = buffered.with_water_marks(high, low);
    }
    // For those who want no `Lazy` around it.
    buffered.set_policy(&service.lazy);
    buffered
}

// One function a composite or layer, so that the price of each can be measured by taking it out.

fn nowhere() -> Route {
    Route::Composite(fanout(Vec::new()))
}

fn fanout(children: Vec<Route>) -> Composite {
    Composite::Fanout(Fanout::new(children))
}

fn best_effort(child: Route) -> Composite {
    Composite::BestEffort(Box::new(BestEffort::new(child)))
}

fn quorum(needed: usize, children: Vec<Route>) -> Composite {
    Composite::Quorum(Box::new(Quorum::new(needed, children)))
}

fn round_robin(children: Vec<Route>) -> Composite {
    Composite::RoundRobin(Box::new(RoundRobin::new(children)))
}

fn failover(children: Vec<Route>, policy: &FailoverPolicy) -> Composite {
    Composite::Failover(Box::new(Failover::with_policy(children, policy.clone())))
}

fn with_deadline(sink: Lazy<Deadline<Buffered<Route>>>) -> Layered {
    Layered::Deadline(sink)
}

fn with_lanes(sink: Lazy<Lanes<Buffered<Route>, LANES>>) -> Layered {
    Layered::Lanes(sink)
}

/// The link to the endpoint of a service, with the service's options and name.
fn leaf(service: &Service) -> Result<Leaf, SinkError> {
    let Target::Endpoint { endpoint, .. } = service.target() else {
        unreachable!("the registry's leaves are endpoints")
    };
    let transport = match endpoint {
        Endpoint::Tcp { host, port } => {
            Transport::Tcp(TcpConnector::new(host.clone(), *port, service.link.clone()))
        }
        Endpoint::Unix { path } => {
            Transport::Unix(UnixConnector::new(path.clone(), service.link.clone()))
        }
        Endpoint::Other(_) => {
            return Err(SinkError::new(ErrorKind::InvalidEndpoint)
                .with_service(service.name().clone())
                .with_endpoint(endpoint));
        }
    };
    Ok(StreamLink::with_connector(transport).with_service(service.name().clone()))
}
