//! Plays a script's steps on a connection, and stops when the client disconnects.

use std::io;
use std::time::Duration;

use super::script::Step;

/// How often a waiting bot looks whether its client is still there.
const GLANCE: Duration = Duration::from_millis(50);

/// No bot is silent for longer.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);

/// A connection, as far as a script needs one.
pub trait Wire {
    /// Sends bytes at once.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Whether the client has hung up.
    fn is_gone(&self) -> bool;
    /// Lets time pass.
    fn sleep(&mut self, time: Duration);
}

/// How the answer is to end.
#[derive(Debug, PartialEq)]
pub enum Ending {
    /// Properly framed.
    Framed,
    /// So that the client sees the break.
    Broken,
}

/// Takes the steps one by one. Fails when the client disconnected.
pub fn play(steps: impl Iterator<Item = Step>, wire: &mut impl Wire) -> io::Result<Ending> {
    for step in steps {
        match &step {
            Step::Pause(time) => wait(*time, wire)?,
            Step::Stall => {
                wait(LONGEST_SILENCE, wire)?;
                return Ok(Ending::Broken);
            }
            Step::BreakOff => return Ok(Ending::Broken),
            Step::Event { .. } | Step::Raw(_) | Step::Comment(_) => {
                if let Some(frame) = step.frame() {
                    wire.send(&frame)?;
                }
            }
        }
    }
    Ok(Ending::Framed)
}

/// Silent until the client leaves, or for as long as a bot can be.
pub fn silence(wire: &mut impl Wire) -> io::Result<()> {
    wait(LONGEST_SILENCE, wire)
}

fn wait(time: Duration, wire: &mut impl Wire) -> io::Result<()> {
    let mut left = time;
    while !left.is_zero() {
        let glance = left.min(GLANCE);
        wire.sleep(glance);
        if wire.is_gone() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        left -= glance;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::script::{done, pause, text};

    #[derive(Default)]
    struct Tape {
        sent: Vec<u8>,
        slept: Duration,
        leaves_after: Option<Duration>,
    }

    impl Wire for Tape {
        fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.sent.extend_from_slice(bytes);
            Ok(())
        }
        fn is_gone(&self) -> bool {
            self.leaves_after.is_some_and(|time| self.slept >= time)
        }
        fn sleep(&mut self, time: Duration) {
            self.slept += time;
        }
    }

    #[test]
    fn steps_are_sent_in_order_and_waits_are_kept() {
        let mut tape = Tape::default();
        let ending = play([text("a"), pause(120), done()].into_iter(), &mut tape).unwrap();
        assert_eq!(ending, Ending::Framed);
        assert_eq!(tape.sent, b"event: text\ndata: {\"text\":\"a\"}\n\nevent: done\ndata: {}\n\n");
        assert_eq!(tape.slept, Duration::from_millis(120));
    }

    #[test]
    fn a_stalled_bot_leaves_soon_after_its_client() {
        let mut tape = Tape { leaves_after: Some(Duration::from_secs(1)), ..Tape::default() };
        assert!(play([Step::Stall].into_iter(), &mut tape).is_err());
        assert!(tape.slept <= Duration::from_secs(1) + GLANCE);
        let mut patient = Tape::default();
        assert_eq!(play([Step::Stall].into_iter(), &mut patient).unwrap(), Ending::Broken);
        assert_eq!(patient.slept, LONGEST_SILENCE);
    }

    #[test]
    fn a_break_hides_what_would_follow() {
        let mut tape = Tape::default();
        assert_eq!(play([Step::BreakOff, done()].into_iter(), &mut tape).unwrap(), Ending::Broken);
        assert!(tape.sent.is_empty());
    }
}
