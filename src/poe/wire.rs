//! The body of an answer from Poe, read in pieces while the request can be cancelled.

use std::io::Read;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ureq::BodyReader;

use super::transport::{self, CancelCheck, cancellable};
use crate::error::{Error, Kind, Result};

/// What is read at once. It lies on the stack, which each held stream keeps.
pub const READ_BYTES: usize = 4 << 10;
/// After the last event the body's end is awaited, so that the connection can be used again: for so long and so many
/// bytes.
const REST_TIME: Duration = Duration::from_millis(50);
const REST_BYTES: u64 = 64 << 10;

/// A body on its way. Dropping it before its end hangs up on Poe.
pub struct Wire {
    body: BodyReader<'static>,
    cancel: CancelCheck,
    idle_timeout: Duration,
}

impl Wire {
    /// The body of an answer that may be silent for `idle_timeout`.
    pub fn new(body: BodyReader<'static>, cancel: CancelCheck, idle_timeout: Duration) -> Wire {
        Wire { body, cancel, idle_timeout }
    }

    /// Reads once; 0 at the end. The watch is called first: it sends what is pending, and a busy stream leaves no
    /// silence for it to be called in.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        (self.cancel)()?;
        let (count, ended) = cancellable(&self.cancel, self.idle_timeout, || self.body.read(bytes));
        if let Some(error) = ended {
            return Err(error);
        }
        count.map_err(|error| match error.get_ref().and_then(|e| e.downcast_ref()) {
            Some(error) => transport::failure(error),
            None => Error::new(Kind::Upstream, format!("Poe broke off its answer: {error}")).transient(),
        })
    }

    /// Reads the end of the body, within bounds.
    pub fn read_rest(&mut self) {
        let deadline = Instant::now() + REST_TIME;
        let never_cancelled: CancelCheck = Rc::new(|| Ok(()));
        let mut bytes = [0; 1024];
        let mut rest = 0;
        while rest < REST_BYTES {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            match cancellable(&never_cancelled, left, || self.body.read(&mut bytes)) {
                (Ok(count), None) if count > 0 => rest += count as u64,
                _ => return,
            }
        }
    }
}

/// The error of an answer that ends before it is complete.
pub fn cut_short() -> Error {
    Error::new(Kind::Upstream, "Poe ended its answer without finishing it").transient()
}
