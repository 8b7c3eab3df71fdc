//! Abort of one running request by the operator.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::connection_slots::ConnectionSlot;

/// Time that an aborted request has to send its client the error.
const GRACE: Duration = Duration::from_secs(2);

/// Abort flag of one request, and the way to interrupt what it waits for.
#[derive(Debug)]
pub struct Abort {
    is_requested: AtomicBool,
    slot: Arc<ConnectionSlot>,
}

impl Abort {
    /// For the request that is answered at `slot`.
    pub fn new(slot: &Arc<ConnectionSlot>) -> Arc<Abort> {
        Arc::new(Abort { is_requested: AtomicBool::new(false), slot: Arc::clone(slot) })
    }

    /// Whether the request is to end; code that waits has to check it.
    pub fn is_requested(&self) -> bool {
        self.is_requested.load(Ordering::Relaxed)
    }

    /// Ends the request. One that waits for Poe sees it by itself; one whose body still arrives is woken; and one
    /// whose client takes nothing loses its connection.
    pub fn stop(self: &Arc<Abort>) {
        if self.is_requested.swap(true, Ordering::Relaxed) {
            return;
        }
        self.slot.stop_receiving();
        let abort = Arc::downgrade(self);
        let end = move || {
            thread::sleep(GRACE);
            // a request that is over has let go of it
            if let Some(abort) = abort.upgrade() {
                let _ = abort.slot.socket().shutdown(Shutdown::Both);
            }
        };
        let _ = thread::Builder::new().name("halt".into()).stack_size(64 << 10).spawn(end);
    }
}
