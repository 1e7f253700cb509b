//! How one socket ends: delivered and finished, delivered and reset, cut short, or reset at once.
//!
//! Two facts decide the shape of this file. close() on a socket with one unread byte sends RST and
//! throws the send queue away, so whoever wants the peer to have everything must read first. And
//! close() with a positive linger time blocks even a non-blocking socket, so waiting happens here,
//! in user space, and the final close() never has anything to wait for.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::time::{sleep, timeout};

use crate::net::linger::Linger;
use crate::net::local_stream::Stream;
use crate::net::sys;
use crate::net::write_buffer::WriteBuffer;
use crate::runtime;
use crate::runtime::cutoff::before;
use crate::runtime::timer::Deadline;

/// How long a peer whose kernel has everything may take to end its own direction.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much a peer may go on sending meanwhile.
const MAX_DISCARDED: u64 = 16 * 1024 * 1024;
/// There is no event for an acknowledgement: how often to ask for it, first and later.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(50);
/// How long the peer's program has to read what its kernel has, before the reset that says that its
/// stream was cut. libuv takes a reset that it finds together with the last bytes for the end of the
/// stream, so a program in Node.js would not learn of the cut.
pub(crate) const READING: Duration = Duration::from_millis(100);
/// Bytes thrown away in one read.
const DISCARD: usize = 16 * 1024;

/// What the peer is to see after everything was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseMode {
    /// FIN: the stream is complete.
    Fin,
    /// The FIN was sent before; only to be seen through.
    FinSent,
    /// RST: the stream was cut.
    Reset,
    /// RST after a FIN that was sent before: the peer's own stream was cut.
    ResetAfterFin,
}

impl CloseMode {
    /// Whether a FIN was sent before.
    fn is_sent(self) -> bool {
        match self {
            CloseMode::FinSent | CloseMode::ResetAfterFin => true,
            CloseMode::Fin | CloseMode::Reset => false,
        }
    }

    /// How the stream has ended when all went well.
    fn ended(self) -> CloseOutcome {
        match self {
            CloseMode::Fin | CloseMode::FinSent => CloseOutcome::Fin,
            CloseMode::Reset | CloseMode::ResetAfterFin => CloseOutcome::Reset,
        }
    }
}

/// What became of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What ended the stream.
    pub ended: CloseOutcome,
    /// Bytes given to us for the peer that never left for it. What had left when the peer reset the
    /// connection is none of them: it may have read that without a word of thanks.
    pub unsent: u64,
    /// Bytes of the peer's that nobody took.
    pub discarded: u64,
    /// Whether the peer ended its direction with FIN.
    pub peer_finished: bool,
}

/// What ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseOutcome {
    /// Our FIN, acknowledged.
    Fin,
    /// Our RST.
    Reset,
    /// Our RST, because the time was over before everything was delivered.
    Cut,
    /// The peer's RST, or the network's verdict that it is gone.
    ByPeer,
}

/// Delivers `backlog` and all that the kernel still holds, then ends the stream as `finish` says.
///
/// Surely delivered, unless the outcome says otherwise: every byte, to the peer's kernel. Returns
/// when it is, with [`CloseMode::Reset`] a moment later; with [`CloseMode::Fin`] when the peer has ended its direction too, or has kept it open
/// for two seconds more. What the peer sends meanwhile is read and thrown away, since unread bytes
/// would turn the end into a reset.
///
/// A peer that does not read is waited for until `expiry` completes. The end comes at once then:
/// what `finish` says if the peer's kernel has everything by that moment, else RST and
/// [`CloseOutcome::Cut`].
///
/// Cancel safe in the sense that dropping the future resets the connection: a cut stream never
/// looks complete.
pub(crate) async fn close(
    stream: impl Into<Stream>,
    backlog: WriteBuffer,
    finish: CloseMode,
    expiry: impl Future<Output = ()>,
) -> Outcome {
    let mut closing = Closing {
        stream: stream.into(),
        backlog,
        finished: finish.is_sent(),
        discarded: 0,
        peer_finished: false,
        scratch: Vec::new(),
    };
    // Should this future be dropped half-way, the kernel resets. An error means that the socket is
    // dead already, which the first write or read will tell.
    let _ = Linger::HARD.apply(&closing.stream);
    let settled = match before(expiry, closing.run(finish)).await {
        Some(done) => done.map(|()| true),
        // It looks for acknowledgements now and then only.
        None => closing.is_delivered(),
    };
    let ended = match settled {
        Ok(true) => finish.ended(),
        Ok(false) => CloseOutcome::Cut,
        Err(_) => CloseOutcome::ByPeer,
    };
    let outcome = closing.outcome(ended);
    if ended == CloseOutcome::Fin {
        let _ = Linger::GRACEFUL.apply(&closing.stream);
    } else {
        reset_now(closing.stream);
    }
    outcome
}

/// Resets the connection at once; what the kernel still holds is thrown away and counted. What has
/// left it counts as delivered: no acknowledgement is waited for. `finished` says whether a FIN was
/// sent before.
pub(crate) fn reset(stream: impl Into<Stream>, backlog: &WriteBuffer, finished: bool) -> Outcome {
    let stream = stream.into();
    let discarded = sys::unread(&SockRef::from(&stream)).unwrap_or_default() as u64;
    let _ = Linger::HARD.apply(&stream);
    // Last of all: while the peer reads, the kernel goes on sending.
    let queued = stream.never_sent();
    reset_now(stream);
    let unsent = count_unsent(queued, finished, backlog);
    Outcome { ended: CloseOutcome::Reset, unsent, discarded, peer_finished: false }
}

/// Closes a socket whose linger is {1, 0}.
fn reset_now(stream: Stream) {
    match stream {
        Stream::Tcp(_) => drop(stream),
        #[cfg(unix)]
        Stream::Unix(_) => drop(stream),
        // To close it would look like the end of the stream. JavaScript is told that the connection
        // was reset, as soon as its end is reported, and closes its own socket for that.
        #[cfg(unix)]
        Stream::Pair(_) => {
            runtime::handle().spawn(async move { stream.moved_here().abandoned().await });
        }
    }
}

/// What the peer did not get; the kernel counts a FIN under way as one byte.
fn count_unsent(queued: io::Result<usize>, finished: bool, backlog: &WriteBuffer) -> u64 {
    let queued = queued.unwrap_or_default().saturating_sub(usize::from(finished));
    (queued + backlog.len()) as u64
}

struct Closing {
    stream: Stream,
    backlog: WriteBuffer,
    /// Whether our FIN is sent.
    finished: bool,
    discarded: u64,
    peer_finished: bool,
    scratch: Vec<u8>,
}

impl Closing {
    /// An error means that the peer is gone.
    async fn run(&mut self, finish: CloseMode) -> io::Result<()> {
        self.deliver().await?;
        if finish == CloseMode::Fin {
            SockRef::from(&self.stream).shutdown(Shutdown::Write)?;
            self.finished = true;
        }
        self.settle(finish).await
    }

    /// Hands everything to the kernel, however long the peer takes to make room.
    async fn deliver(&mut self) -> io::Result<()> {
        while !self.backlog.is_empty() {
            let interest = if self.listens() {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::WRITABLE
            };
            self.stream.ready(interest).await?;
            // A peer may be stuck sending to us and not read until that is done.
            self.discard()?;
            match self.backlog.write(|slices| self.stream.try_write_vectored(slices)) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits until the peer's kernel has everything, and for `Fin` until the peer is through too.
    async fn settle(&mut self, finish: CloseMode) -> io::Result<()> {
        let mut look = FIRST_LOOK;
        let mut patience = None;
        loop {
            if self.is_delivered()? {
                if finish == CloseMode::Reset && matches!(self.stream, Stream::Tcp(_)) {
                    sleep(READING).await;
                }
                if finish.ended() == CloseOutcome::Reset || self.peer_finished {
                    return Ok(());
                }
                let patience = patience.get_or_insert_with(|| Deadline::after(PATIENCE));
                if patience.is_over() || self.discarded >= MAX_DISCARDED {
                    return Ok(());
                }
            }
            self.pause(&mut look).await;
        }
    }

    /// Waits until there is something to read, or it is time to look again.
    async fn pause(&self, look: &mut Duration) {
        if self.listens() {
            let _ = timeout(*look, self.stream.readable()).await;
        } else {
            sleep(*look).await;
        }
        *look = LAST_LOOK.min(*look * 2);
    }

    /// Whether the peer's kernel has everything, the FIN too where one was sent.
    fn is_delivered(&mut self) -> io::Result<bool> {
        self.discard()?;
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        Ok(self.backlog.is_empty() && self.stream.unsent()? == 0)
    }

    /// Whether the peer may still send something that is worth reading.
    fn listens(&self) -> bool {
        !self.peer_finished && self.discarded < MAX_DISCARDED
    }

    /// Throws away what the peer has sent.
    fn discard(&mut self) -> io::Result<()> {
        self.scratch.resize(DISCARD, 0);
        while self.listens() {
            match self.stream.try_read(&mut self.scratch) {
                Ok(0) => self.peer_finished = true,
                Ok(count) => self.discarded += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn outcome(&self, ended: CloseOutcome) -> Outcome {
        // What has come in the last moment, or after enough was read.
        let unread = sys::unread(&SockRef::from(&self.stream)).unwrap_or_default() as u64;
        let queued = self.stream.never_sent();
        Outcome {
            ended,
            unsent: count_unsent(queued, self.finished, &self.backlog),
            discarded: self.discarded + unread,
            peer_finished: self.peer_finished,
        }
    }
}

/// A socket whose kernel has all that is to be sent, and that nobody else reads or writes.
///
/// Its SO_LINGER is the caller's: what a death of the process makes of the connection, too.
pub(crate) struct GracefulClose(Closing);

impl GracefulClose {
    /// Sends FIN behind what the kernel holds. An error means that the peer is gone, and has not
    /// got everything.
    pub(crate) fn begin(stream: impl Into<Stream>) -> io::Result<Self> {
        let stream = stream.into();
        let over = SockRef::from(&stream).shutdown(Shutdown::Write);
        // Not connected is also what both sides have ended.
        if over.is_err() && !is_acknowledged(&stream) {
            over?;
        }
        Ok(Self(Closing {
            stream,
            backlog: WriteBuffer::default(),
            finished: true,
            discarded: 0,
            peer_finished: false,
            scratch: Vec::new(),
        }))
    }

    /// Waits until the peer's kernel has everything; an error means that the peer is gone. Cancel
    /// safe.
    pub(crate) async fn delivered(&mut self) -> io::Result<()> {
        let mut look = FIRST_LOOK;
        while !self.0.is_delivered()? {
            self.0.pause(&mut look).await;
        }
        Ok(())
    }

    /// Whether the peer's kernel has everything by now.
    pub(crate) fn is_delivered(&mut self) -> bool {
        self.0.is_delivered().unwrap_or(false)
    }

    /// Waits until the peer's kernel has everything and the peer has ended its direction too, or has
    /// kept it open for two seconds more, and closes.
    pub(crate) async fn close_with_reply(mut self) {
        // An error means that there is nobody to be seen off.
        let _ = self.0.settle(CloseMode::FinSent).await;
    }

    /// Bytes that the peer's kernel has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        let queued = self.0.stream.unsent().unwrap_or_default();
        queued.saturating_sub(sys::FIN) as u64
    }

    /// Resets the connection, unless another descriptor keeps it.
    pub(crate) fn reset(self) {
        let _ = Linger::HARD.apply(&self.0.stream);
    }
}

/// Whether a stream that both sides ended can be closed at once: the peer's kernel has it all.
pub(crate) fn is_acknowledged(stream: &Stream) -> bool {
    stream.unsent().is_ok_and(|unsent| unsent == 0) && matches!(stream.take_error(), Ok(None))
}

#[cfg(test)]
mod tests;
