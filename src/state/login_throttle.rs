//! Wrong passwords by address: after a number of them within a while, further tries wait.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// How many wrong passwords an address may send within the window.
const ALLOWED: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// How many addresses are remembered.
const MAX_ADDRESSES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// What became of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password was right.
    Right,
    /// It was not.
    Wrong,
    /// It does not count whether it was: there were too many wrong ones before. So long until the next may be tried.
    Wait(Duration),
}

/// The wrong passwords of the last minute.
#[derive(Debug)]
pub struct LoginThrottle {
    wrong: Mutex<LruCache<IpAddr, VecDeque<Instant>>>,
}

impl Default for LoginThrottle {
    fn default() -> LoginThrottle {
        LoginThrottle { wrong: Mutex::new(LruCache::new(MAX_ADDRESSES)) }
    }
}

impl LoginThrottle {
    /// Judges a try from `address` at the time `now`. A right password does not wipe out the wrong ones before it:
    /// behind a proxy the operator and a guesser have the same address.
    pub fn judge(&self, address: IpAddr, is_right: bool, now: Instant) -> Verdict {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let house = house_of(address);
        if let Some(tries) = wrong.get_mut(&house) {
            let is_over = |at: &Instant| now.saturating_duration_since(*at) >= WINDOW;
            while tries.front().is_some_and(is_over) {
                tries.pop_front();
            }
            if let Some(oldest) = tries.front().filter(|_| tries.len() >= ALLOWED) {
                return Verdict::Wait((*oldest + WINDOW).saturating_duration_since(now));
            }
        }
        if is_right {
            return Verdict::Right;
        }
        wrong.get_or_insert_mut(house, VecDeque::new).push_back(now);
        Verdict::Wrong
    }
}

/// The address as a whole household has it: of IPv6 everybody has 2⁶⁴.
fn house_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn two_hundred_wrong_passwords_take_longer_than_a_minute() {
        let tries = LoginThrottle::default();
        let start = Instant::now();
        let mut now = start;
        let mut judged = 0;
        while judged < 200 {
            match tries.judge(address("192.0.2.1"), false, now) {
                Verdict::Wait(wait) => now += wait.max(Duration::from_millis(1)),
                _ => judged += 1,
            }
        }
        assert!(now - start >= WINDOW * 19, "{:?}", now - start);
    }

    #[test]
    fn the_right_password_waits_too_and_wipes_nothing_out() {
        let tries = LoginThrottle::default();
        let now = Instant::now();
        let judge = |address: &str, is_right, after| {
            tries.judge(super::tests::address(address), is_right, now + Duration::from_secs(after))
        };
        for _ in 0..ALLOWED {
            assert_eq!(judge("192.0.2.1", false, 0), Verdict::Wrong);
            // wiping out after a right one would make tries beside the operator's own free
            let right = judge("192.0.2.1", true, 0);
            assert!(right == Verdict::Right || right == Verdict::Wait(WINDOW));
        }
        assert_eq!(judge("192.0.2.1", true, 20), Verdict::Wait(Duration::from_secs(40)));
        assert_eq!(judge("::ffff:192.0.2.1", true, 20), Verdict::Wait(Duration::from_secs(40)));
        assert_eq!(judge("192.0.2.2", true, 20), Verdict::Right);
        assert_eq!(judge("192.0.2.1", true, 60), Verdict::Right);
    }

    #[test]
    fn of_ipv6_a_whole_network_counts_as_one() {
        let tries = LoginThrottle::default();
        let now = Instant::now();
        for host in 1..=ALLOWED {
            assert_eq!(tries.judge(address(&format!("2001:db8::{host}")), false, now), Verdict::Wrong);
        }
        assert_eq!(tries.judge(address("2001:db8::ff"), true, now), Verdict::Wait(WINDOW));
        assert_eq!(tries.judge(address("2001:db8:0:1::1"), true, now), Verdict::Right);
    }
}
