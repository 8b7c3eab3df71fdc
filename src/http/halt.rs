//! How the operator ends one request of somebody else's.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::seats::Seat;

/// How long a request that is to end has for telling its client.
const GRACE: Duration = Duration::from_secs(2);

/// Whether one request is to end, and how it is made to.
#[derive(Debug)]
pub struct Halt {
    is_wanted: AtomicBool,
    seat: Arc<Seat>,
}

impl Halt {
    /// For the request that is answered at `seat`.
    pub fn new(seat: &Arc<Seat>) -> Arc<Halt> {
        Arc::new(Halt { is_wanted: AtomicBool::new(false), seat: Arc::clone(seat) })
    }

    /// Whether the request is to end: whoever waits for something should look.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Ends the request. One that waits for Poe sees it by itself; one whose body still arrives is woken; and one
    /// whose client takes nothing loses its connection.
    pub fn stop(self: &Arc<Halt>) {
        if self.is_wanted.swap(true, Ordering::Relaxed) {
            return;
        }
        self.seat.stop_receiving();
        let halt = Arc::downgrade(self);
        let end = move || {
            thread::sleep(GRACE);
            // a request that is over has let go of it
            if let Some(halt) = halt.upgrade() {
                let _ = halt.seat.socket().shutdown(Shutdown::Both);
            }
        };
        let _ = thread::Builder::new().name("halt".into()).stack_size(64 << 10).spawn(end);
    }
}
