//! Stacks of a type that the program names, built as services.toml says.

use smallvec::{Array, SmallVec};

use crate::composite::{Failover, Fanout, RoundRobin};
use crate::endpoint::Endpoint;
use crate::error::{ErrorKind, SinkError};
use crate::factory::buffered;
use crate::layer::{Buffered, Deadline, Lanes, Lazy};
use crate::link::{Link, TcpConnector, TcpSink, UnixConnector, UnixSink};
use crate::registry::{Isolation, Pattern, Priority, Registry, Service, Target};
use crate::sink::{HandBack, MessageSink};

/// A type that a service of services.toml can be checked against and built as, by
/// [`SinkFactory::create_typed`](crate::SinkFactory::create_typed).
///
/// | type | the service leads to |
/// |---|---|
/// | [`TcpSink`] | a `tcp://` endpoint |
/// | [`UnixSink`] | a `unix:` endpoint |
/// | [`Fanout`] of a tuple or an array | a fan-out to as many targets, one for each child, in order |
/// | [`Fanout`] of a `Vec` or a `SmallVec` | a fan-out to any number of targets, all of one type |
/// | [`RoundRobin`] of any of these | a round-robin, as a `Fanout` to a fan-out |
/// | [`Failover`] of any of these | a failover, in the same way; it takes the service's `failover` |
/// | neither | a composite whose `isolation` is not `all` |
/// | [`Deadline`], [`Lanes`] of any number | a `buffer` with a `deadline`, or a `priority` |
/// | [`Buffered`], [`Lazy`] | what is below leads to; they take the service's `buffer` and `lazy` |
///
/// So where a `Buffered` stands decides whose buffer counts: above a `Fanout` it has that of the
/// composite, below it each child has that of its target. Without a `Lazy` nobody looks at
/// `idle_timeout`; the rest of `lazy` holds for a `Buffered` alone, too.
///
/// # Examples
///
/// A layer of one's own passes the question on:
///
/// ```
/// use torq_message_sink::{FromService, Registry, Service, SinkError};
///
/// struct Traced<S>(S);
///
/// impl<S: FromService> FromService for Traced<S> {
///     fn shape() -> String {
///         S::shape()
///     }
///     fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
///         S::from_service(service, registry).map(Self)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be built by the name of a service",
    label = "services.toml cannot describe this",
    note = "it can describe `TcpSink` and `UnixSink`, `Fanout`, `RoundRobin` and `Failover` of them, \
            `Buffered` with the default framing around a link, `Lazy` around a sink, and the same \
            three of such sinks"
)]
pub trait FromService: Sized {
    /// Where services for this type lead to, as the error shows it: `fanout(tcp, unix)`.
    fn shape() -> String;

    /// Builds it as `service` says, asleep.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Mismatch`] with the name of the service that leads elsewhere.
    fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError>;
}

/// Builds `T` as `service` says.
///
/// # Errors
///
/// It leads elsewhere; both shapes are shown.
pub(super) fn build<T: FromService>(
    service: &Service,
    registry: &Registry,
) -> Result<T, SinkError> {
    T::from_service(service, registry).map_err(|error| {
        if error.kind() != ErrorKind::Mismatch {
            return error;
        }
        let (typed, configured) = (T::shape(), shape(service, registry));
        let place = match error.service().filter(|name| *name != &**service.name()) {
            Some(name) => format!(", and they part at `{name}`"),
            None => String::new(),
        };
        SinkError::new(ErrorKind::Mismatch).with_service(service.name().clone()).with_help(format!(
            "the type is for `{typed}`, the configuration says `{configured}`{place}"
        ))
    })
}

/// Where a service leads to, below the layer that it asks for.
fn shape(service: &Service, registry: &Registry) -> String {
    let place = place(service, registry);
    match (service.buffer().deadline(), service.buffer().priority()) {
        (None, None) => place,
        (Some(_), _) => format!("deadline({place})"),
        (None, Some(_)) => format!("priority({place})"),
    }
}

fn place(service: &Service, registry: &Registry) -> String {
    match service.target() {
        Target::Endpoint { endpoint: Endpoint::Tcp { .. }, .. } => "tcp".to_owned(),
        Target::Endpoint { endpoint: Endpoint::Unix { .. }, .. } => "unix".to_owned(),
        Target::Endpoint { endpoint: Endpoint::Other(name), .. } => name.to_string(),
        Target::Composite { pattern, isolation, targets, .. } => {
            let shapes = targets.iter().filter_map(|name| registry.get(name));
            let shapes: Vec<_> = shapes.map(|service| place(service, registry)).collect();
            let isolation = match isolation {
                Isolation::All => String::new(),
                Isolation::BestEffort => "best_effort ".to_owned(),
                Isolation::Quorum(needed) => format!("quorum of {needed}, "),
            };
            format!("{isolation}{}({})", name(*pattern), shapes.join(", "))
        }
    }
}

/// As it stands in services.toml.
const fn name(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Fanout => "fanout",
        Pattern::RoundRobin => "round_robin",
        Pattern::Failover => "failover",
    }
}

#[cold]
fn mismatch(service: &Service) -> SinkError {
    SinkError::new(ErrorKind::Mismatch).with_service(service.name().clone())
}

impl FromService for TcpSink {
    fn shape() -> String {
        "tcp".to_owned()
    }

    fn from_service(service: &Service, _: &Registry) -> Result<Self, SinkError> {
        let Target::Endpoint { endpoint: Endpoint::Tcp { host, port }, .. } = service.target()
        else {
            return Err(mismatch(service));
        };
        let connector = TcpConnector::new(host.clone(), *port, service.link.clone());
        Ok(Self::with_connector(connector).with_service(service.name().clone()))
    }
}

impl FromService for UnixSink {
    fn shape() -> String {
        "unix".to_owned()
    }

    fn from_service(service: &Service, _: &Registry) -> Result<Self, SinkError> {
        let Target::Endpoint { endpoint: Endpoint::Unix { path }, .. } = service.target() else {
            return Err(mismatch(service));
        };
        let connector = UnixConnector::new(path.clone(), service.link.clone());
        Ok(Self::with_connector(connector).with_service(service.name().clone()))
    }
}

impl<L: Link + FromService> FromService for Buffered<L> {
    fn shape() -> String {
        L::shape()
    }

    fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
        let (buffer, link) = (service.buffer(), L::from_service(service, registry)?);
        if buffer.deadline().is_some() || buffer.priority().is_some() {
            return Err(mismatch(service));
        }
        Ok(buffered(link, service))
    }
}

impl<S: HandBack + FromService> FromService for Deadline<S> {
    fn shape() -> String {
        format!("deadline({})", S::shape())
    }

    fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
        let max_age = service.buffer().deadline().ok_or_else(|| mismatch(service))?;
        let inner = S::from_service(&service.below_layer(), registry)?;
        Ok(Self::with_capacity(inner, service.buffer().waiting()).with_max_age(max_age))
    }
}

impl<S: MessageSink + FromService, const N: usize> FromService for Lanes<S, N> {
    fn shape() -> String {
        format!("priority({})", S::shape())
    }

    fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
        let priority = service.buffer().priority().ok_or_else(|| mismatch(service))?;
        let inner = S::from_service(&service.below_layer(), registry)?;
        let lanes = Self::with_capacity(inner, service.buffer().waiting() / N.max(1));
        Ok(match priority {
            Priority::Weighted => lanes,
            Priority::Strict => lanes.strict(),
        })
    }
}

impl<S: MessageSink + FromService> FromService for Lazy<S> {
    fn shape() -> String {
        S::shape()
    }

    fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
        let inner = S::from_service(service, registry)?;
        Ok(Self::with_policy(inner, service.lazy.clone()))
    }
}

impl<T: FromService> FromService for RoundRobin<T> {
    fn shape() -> String {
        format!("{}({})", name(Pattern::RoundRobin), T::shape())
    }

    fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
        match service.target() {
            Target::Composite { pattern: Pattern::RoundRobin, .. } => {
                T::from_service(service, registry).map(Self::new)
            }
            _ => Err(mismatch(service)),
        }
    }
}

impl<T: FromService> FromService for Failover<T> {
    fn shape() -> String {
        format!("{}({})", name(Pattern::Failover), T::shape())
    }

    fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
        match service.target() {
            Target::Composite { pattern: Pattern::Failover, .. } => {
                let children = T::from_service(service, registry)?;
                Ok(Self::with_policy(children, registry.failover(service).clone()))
            }
            _ => Err(mismatch(service)),
        }
    }
}

impl<T: FromService> FromService for Fanout<T> {
    fn shape() -> String {
        format!("{}({})", name(Pattern::Fanout), T::shape())
    }

    fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
        match service.target() {
            Target::Composite { pattern: Pattern::Fanout, isolation: Isolation::All, .. } => {
                T::from_service(service, registry).map(Self::new)
            }
            _ => Err(mismatch(service)),
        }
    }
}

/// The targets of a composite, in file order.
fn targets<'r>(
    service: &Service,
    registry: &'r Registry,
) -> Result<impl Iterator<Item = &'r Service>, SinkError> {
    match service.target() {
        // Each is known, or the registry would not be there.
        Target::Composite { targets, .. } => {
            Ok(targets.iter().filter_map(|name| registry.get(name)))
        }
        Target::Endpoint { .. } => Err(mismatch(service)),
    }
}

/// Children of one type each, one per target in order: what a composite is made of.
macro_rules! children {
    (@tuple $($name:ident)+) => {
        impl<$($name: FromService),+> FromService for ($($name,)+) {
            fn shape() -> String {
                [$($name::shape()),+].join(", ")
            }

            fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
                let mut targets = targets(service, registry)?;
                let mut next = || targets.next().ok_or_else(|| mismatch(service));
                let children = ($($name::from_service(next()?, registry)?,)+);
                if targets.next().is_some() { Err(mismatch(service)) } else { Ok(children) }
            }
        }
    };
    ($first:ident $($name:ident)+) => {
        children!(@tuple $first $($name)+);
        children!($($name)+);
    };
    ($last:ident) => {};
}

children!(A B C D E F G H I J K L);

impl<T: FromService> FromService for Vec<T> {
    fn shape() -> String {
        format!("{}, ..", T::shape())
    }

    fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
        targets(service, registry)?.map(|target| T::from_service(target, registry)).collect()
    }
}

impl<T: Array<Item: FromService>> FromService for SmallVec<T> {
    fn shape() -> String {
        Vec::<T::Item>::shape()
    }

    fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
        Vec::from_service(service, registry).map(Self::from_vec)
    }
}

impl<T: FromService, const N: usize> FromService for [T; N] {
    fn shape() -> String {
        vec![T::shape(); N].join(", ")
    }

    fn from_service(service: &Service, registry: &Registry) -> Result<Self, SinkError> {
        Vec::from_service(service, registry)?.try_into().map_err(|_| mismatch(service))
    }
}
