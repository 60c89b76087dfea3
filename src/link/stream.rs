//! The link over one byte stream at a time: a description, and once it was woken, a line.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::buffer::Pending;
use crate::error::SinkError;
use crate::framing::Framing;
use crate::link::cursor::Cursor;
use crate::link::description::Description;
use crate::link::line::Line;
use crate::link::live::Step;
use crate::link::{Connect, Link, Skip};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, Report, SinkState};

/// A link over connections of one kind, made one after the other as they are needed.
///
/// [`TcpSink`](crate::TcpSink) and [`UnixSink`](crate::UnixSink) are such links. It connects when
/// there is data, writes, notices a peer that has closed before it writes on, keeps each frame
/// until it was taken whole, and repeats the one that a connection's end cut off from its first
/// byte.
///
/// # Cost
///
/// Asleep it holds no file descriptor, no task and no buffer. Connecting is one task; connected
/// there is none.
///
/// # Examples
///
/// A link of one's own, to a place that takes everything and says nothing:
///
/// ```
/// use std::{io, task::{Context, Poll}, time::Duration};
/// use torq_message_sink::{Buffered, Connect, Endpoint, Io, MessageSink, StreamLink};
///
/// /// A place that swallows everything.
/// #[derive(Clone)]
/// struct Void;
///
/// impl Connect for Void {
///     type Io = Void;
///     fn connect(&self, _: Duration) -> impl Future<Output = io::Result<Void>> + Send + 'static {
///         std::future::ready(Ok(Void))
///     }
///     fn endpoint(&self) -> Endpoint {
///         Endpoint::Other("void".into())
///     }
/// }
///
/// impl Io for Void {
///     fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
///         Err(io::ErrorKind::WouldBlock.into())
///     }
///     fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
///         Ok(bytes.len())
///     }
///     fn poll_read_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
///         Poll::Pending
///     }
///     fn poll_write_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
///         Poll::Ready(Ok(()))
///     }
///     fn shutdown(&mut self) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// # tokio_test::block_on(async {
/// let mut sink = Buffered::new(StreamLink::with_connector(Void));
/// sink.send("into the void").await?;
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
pub struct StreamLink<C: Connect> {
    description: Description<C>,
    /// Everything else; none until the link is woken for the first time.
    line: Option<Box<Line<C>>>,
}

impl<C: Connect> StreamLink<C> {
    /// A link that sleeps until there is data.
    pub fn with_connector(connector: C) -> Self {
        let policy = LazyPolicy::shared_default();
        Self { description: Description { connector, service: None, policy }, line: None }
    }

    /// Gives the link the name of the service it leads to, for errors, reports and events.
    #[must_use]
    pub fn with_service(mut self, service: impl Into<Arc<str>>) -> Self {
        self.description.service = Some(service.into());
        self
    }

    /// What makes the connections.
    pub fn connector(&self) -> &C {
        &self.description.connector
    }

    pub(crate) fn connector_mut(&mut self) -> &mut C {
        &mut self.description.connector
    }

    /// The line, and the description that it goes by.
    #[cold]
    fn line(&mut self) -> (&mut Line<C>, &Description<C>) {
        let Self { description, line } = self;
        let counting = description.policy.counting;
        (line.get_or_insert_with(|| Box::new(Line::new(counting))), description)
    }

    /// Takes steps until everything is written, or nothing moves without waiting. Without a `cx`
    /// it registers no waker.
    #[inline(always)]
    fn drive<F: Framing>(
        &mut self,
        cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        // The usual case, in line: connected, the peer is there, and the kernel takes all at once.
        let Some(line) = self.line.as_deref_mut() else { return self.begin(cx, pending) };
        match line.step(pending) {
            Step::Done if !line.cursor.watched => {
                line.cursor.take_all();
                Poll::Ready(Ok(()))
            }
            first => self.drive_on(cx, pending, first),
        }
    }

    /// Drives a link that was never woken.
    #[cold]
    fn begin<F: Framing>(
        &mut self,
        cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        self.drive_on(cx, pending, Step::Some)
    }

    /// Goes on where the first step was not enough.
    #[cold]
    fn drive_on<F: Framing>(
        &mut self,
        cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
        first: Step,
    ) -> Poll<Result<(), SinkError>> {
        let (line, to) = self.line();
        line.drive_on(to, cx, pending, first)
    }

    /// Whether nothing was ever written, and nothing is to be: then there is no need for a line.
    fn is_unused<F: Framing>(&self, pending: Pending<'_, F>) -> bool {
        self.line.is_none() && pending.end() == 0
    }
}

impl<C: Connect> Link for StreamLink<C> {
    fn wake(&mut self) -> Result<(), SinkError> {
        let (line, to) = self.line();
        line.wake(to)
    }

    #[inline]
    fn try_write<F: Framing>(&mut self, pending: Pending<'_, F>) -> Result<(), SinkError> {
        match self.drive(None, pending) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn try_write_around(&mut self, start: u64, frame: [&[u8]; 2]) -> bool {
        let Self { description, line } = self;
        line.as_deref_mut().is_some_and(|line| line.write_around(description, start, frame))
    }

    // Out of line, as it would be where several stacks have such a link, it costs 20 instructions a
    // flush and child.
    #[inline(always)]
    fn poll_write<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        self.drive(Some(cx), pending)
    }

    #[inline]
    fn taken(&self) -> u64 {
        self.line.as_ref().map_or(0, |line| line.cursor.taken)
    }

    fn reached(&self) -> u64 {
        self.line.as_ref().map_or(0, |line| line.cursor.written)
    }

    fn skip<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, skip: Skip) {
        let (line, who) = self.line();
        line.skip(who.identity(), pending, to.min(pending.end()), skip);
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let (line, to) = self.line();
        line.poll_connect(to, cx)
    }

    fn poll_shutdown<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        if self.is_unused(pending) {
            return Poll::Ready(Ok(()));
        }
        let (line, _) = self.line();
        if line.cursor.written != pending.end() || line.is_finishing() {
            ready!(self.drive(Some(cx), pending))?;
        }
        let (line, to) = self.line();
        line.poll_drain(to, cx).map(Ok)
    }

    fn end<F: Framing>(&mut self, end: End, pending: Pending<'_, F>) {
        if end == End::Sleep && self.is_unused(pending) {
            return;
        }
        let (line, to) = self.line();
        line.end(to);
        if end == End::Close {
            line.cursor.drop_rest(to.identity(), pending);
            line.close(to);
        }
    }

    fn hurry<F: Framing>(&mut self, pending: Pending<'_, F>) {
        if self.is_unused(pending) {
            return;
        }
        let (line, to) = self.line();
        if line.cursor.written != pending.end() {
            line.hurry(to);
        }
    }

    #[inline]
    fn state(&self) -> SinkState {
        self.line.as_ref().map_or(SinkState::Asleep, |line| line.state())
    }

    #[inline]
    fn write_size(&self) -> usize {
        self.description.connector.write_size()
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        self.description.policy = policy.clone();
        if let Some(line) = &mut self.line {
            line.cursor.set_counting(policy.counting);
        }
    }

    fn close_deadline(&self) -> Duration {
        self.description.policy.close_deadline
    }

    fn report_into<F: Framing>(&self, pending: Pending<'_, F>, report: &mut Report) {
        let to = &self.description;
        report.leaves.push(match &self.line {
            Some(line) => line.report(to, pending),
            None => {
                let cursor = Cursor::new(to.policy.counting);
                cursor.report(to.identity(), SinkState::Asleep, pending)
            }
        });
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        if let Some(line) = &mut self.line {
            line.take_events(each);
        }
    }
}

impl<C: Connect> fmt::Debug for StreamLink<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamLink")
            .field("endpoint", &self.description.connector.endpoint())
            .field("service", &self.description.service)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// A dropped link says goodbye as well as it can without waiting.
impl<C: Connect> Drop for StreamLink<C> {
    fn drop(&mut self) {
        if let Some(line) = &mut self.line {
            line.end(&self.description);
        }
    }
}
