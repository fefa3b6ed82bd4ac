//! The moment after which no byte of a request may be written (rule 3).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::time::{ClockId, clock_gettime};

/// A deadline on the clock that runs on while the machine is suspended (`CLOCK_BOOTTIME`), and
/// that nobody can set: a worker that slept through its lease does not send afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SendBy(Duration);

impl SendBy {
    /// So far from now.
    pub fn after(time: Duration) -> Self {
        Self(now().saturating_add(time))
    }

    /// Whether it is too late to send.
    pub fn has_passed(self) -> bool {
        now() >= self.0
    }
}

/// The time since the machine started, suspension included.
fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// It is too late to send, or the sender has given up.
#[derive(Debug, thiserror::Error)]
#[error("the request's time to be sent has passed")]
pub(super) struct TooLate;

/// The body's last piece is still here.
const HELD: u8 = 0;
/// The body is out as a whole: the request may be carried out.
const OUT: u8 = 1;
/// The sender has given up before the last piece went out.
const SHUT: u8 = 2;

/// Whether a body is out: asked once, by the sender that has no answer.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<AtomicU8>);

impl Gate {
    /// Keeps back what is not out yet, and tells whether the whole body was. The connection's task
    /// may be at work on the body at this very moment: whoever comes first decides.
    pub(super) fn shut(&self) -> bool {
        let held = self
            .0
            .compare_exchange(HELD, SHUT, Ordering::SeqCst, Ordering::SeqCst);
        held == Err(OUT)
    }

    /// Lets the last piece out, unless the sender has given up.
    fn let_out(&self) -> Result<(), TooLate> {
        let held = self
            .0
            .compare_exchange(HELD, OUT, Ordering::SeqCst, Ordering::SeqCst);
        held.map(|_| ()).map_err(|_| TooLate)
    }
}

/// How much is given out at a time: so little that a deadline is noticed within a large body.
const PIECE: usize = 16 * 1024;

/// A body that is given out piece by piece, and not after its deadline.
///
/// A request whose body is cut short is incomplete by its Content-Length, and no server may carry
/// it out (RFC 9112, section 8): so only the last piece counts as sending.
pub(super) struct GuardedBody {
    /// What is not given out yet.
    rest: Bytes,
    /// Until when.
    send_by: Option<SendBy>,
    /// What the sender asks.
    gate: Gate,
}

impl GuardedBody {
    /// A body, and the gate that it goes through.
    pub(super) fn new(bytes: Bytes, send_by: Option<SendBy>) -> (Self, Gate) {
        let gate = Gate(Arc::new(AtomicU8::new(HELD)));
        (
            Self {
                rest: bytes,
                send_by,
                gate: gate.clone(),
            },
            gate,
        )
    }

    /// The next piece, if it may go out.
    fn next(&mut self) -> Result<Bytes, TooLate> {
        if self.send_by.is_some_and(SendBy::has_passed) {
            return Err(TooLate);
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        if self.rest.is_empty() {
            self.gate.let_out()?;
        }
        Ok(piece)
    }
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TooLate>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(self.next().map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(length: usize, within: Duration) -> (GuardedBody, Gate) {
        GuardedBody::new(Bytes::from(vec![b'x'; length]), Some(SendBy::after(within)))
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_body_counts_as_sent_with_its_last_piece() {
        let (mut whole, gate) = body(PIECE + 1, MINUTE);
        assert_eq!(whole.next().expect("in time").len(), PIECE);
        assert_eq!(whole.next().expect("in time").len(), 1);
        assert!(whole.is_end_stream());
        assert!(gate.shut(), "it is out");
    }

    #[test]
    fn nothing_goes_out_after_the_deadline_or_once_the_sender_gave_up() {
        let (mut late, gate) = body(1, Duration::ZERO);
        assert!(late.next().is_err());
        assert!(!gate.shut());

        let (mut given_up, gate) = body(PIECE + 1, MINUTE);
        assert!(given_up.next().is_ok());
        assert!(!gate.shut(), "its last piece is held");
        assert!(given_up.next().is_err(), "and stays so");
        assert!(!gate.shut());
    }
}
