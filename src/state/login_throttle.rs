//! Throttle of failed logins: counts wrong passwords and keys by address, and rejects further tries above a limit.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
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
        let network = network_of(address);
        if let Some(tries) = wrong.get_mut(&network) {
            let is_over = |at: &Instant| now.saturating_duration_since(*at) >= WINDOW;
            while tries.front().is_some_and(is_over) {
                tries.pop_front();
            }
            if let Some(oldest) = tries.front().filter(|_| tries.len() >= ALLOWED) {
                return wait_after(*oldest, now);
            }
        }
        if is_right {
            return Verdict::Right;
        }
        wrong.get_or_insert_mut(network, VecDeque::new).push_back(now);
        Verdict::Wrong
    }
}

/// How many keys that were right are remembered for an address.
const MAX_GOOD: usize = 64;

/// The wrong keys of the last minute. Many clients can share an address, so that a client with a wrong key must not
/// shut out the others: a right key waits only where one that guesses is at work (many different wrong keys), and only
/// if it has not been shown from the address before.
#[derive(Debug)]
pub struct KeyTries {
    by_address: Mutex<LruCache<IpAddr, Shown>>,
    hasher: RandomState,
}

/// The keys that were shown from one address, by their hash.
#[derive(Debug, Default)]
struct Shown {
    /// When wrong keys were judged.
    wrong: VecDeque<Instant>,
    /// Different wrong keys, and when each was last shown.
    different: VecDeque<(u64, Instant)>,
    good: VecDeque<u64>,
}

impl Default for KeyTries {
    fn default() -> KeyTries {
        KeyTries { by_address: Mutex::new(LruCache::new(MAX_ADDRESSES)), hasher: RandomState::new() }
    }
}

impl KeyTries {
    /// Judges a try with `key` from `address` at the time `now`.
    pub fn judge(&self, address: IpAddr, key: &str, is_right: bool, now: Instant) -> Verdict {
        let hash = self.hasher.hash_one(key);
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = by_address.get_or_insert_mut(network_of(address), Shown::default);
        shown.expire(now);
        match is_right {
            true => shown.right(hash, now),
            false => shown.wrong(hash, now),
        }
    }
}

impl Shown {
    fn expire(&mut self, now: Instant) {
        let is_over = |at: &Instant| now.saturating_duration_since(*at) >= WINDOW;
        self.wrong.retain(|at| !is_over(at));
        self.different.retain(|(_, at)| !is_over(at));
    }

    fn right(&mut self, hash: u64, now: Instant) -> Verdict {
        if self.good.contains(&hash) {
            return Verdict::Right;
        }
        if self.different.len() >= ALLOWED {
            let oldest = self.different.iter().map(|(_, at)| *at).min().unwrap_or(now);
            return wait_after(oldest, now);
        }
        if self.good.len() == MAX_GOOD {
            self.good.pop_front();
        }
        self.good.push_back(hash);
        Verdict::Right
    }

    fn wrong(&mut self, hash: u64, now: Instant) -> Verdict {
        // of more keys than are allowed the latest are known
        self.different.retain(|(known, _)| *known != hash);
        if self.different.len() == ALLOWED {
            self.different.pop_front();
        }
        self.different.push_back((hash, now));
        match self.wrong.front().filter(|_| self.wrong.len() >= ALLOWED) {
            Some(oldest) => wait_after(*oldest, now),
            None => {
                self.wrong.push_back(now);
                Verdict::Wrong
            }
        }
    }
}

fn wait_after(oldest: Instant, now: Instant) -> Verdict {
    // of two requests the one that was judged first may have looked at the clock last
    Verdict::Wait((oldest + WINDOW).saturating_duration_since(now).min(WINDOW))
}

/// The address by which clients are distinguished: of IPv6 the /64 network, because each subscriber has a whole one.
pub fn network_of(address: IpAddr) -> IpAddr {
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

    #[test]
    fn wrong_keys_wait_and_a_neighbour_with_one_shuts_nobody_out() {
        let tries = KeyTries::default();
        let now = Instant::now();
        let judge = |key: &str, is_right, after| {
            tries.judge(address("192.0.2.1"), key, is_right, now + Duration::from_secs(after))
        };
        assert_eq!(judge("early", true, 0), Verdict::Right);
        for _ in 0..ALLOWED {
            assert_eq!(judge("typo", false, 1), Verdict::Wrong);
        }
        assert!(matches!(judge("typo", false, 2), Verdict::Wait(_)), "the same key again and again waits");
        assert_eq!(judge("late", true, 2), Verdict::Right, "a right password is accepted");
        for number in 0..1000 {
            assert!(matches!(judge(&format!("guess {number}"), false, 3), Verdict::Wait(_)));
        }
        assert_eq!(judge("a lucky guess", true, 4), Verdict::Wait(Duration::from_secs(59)));
        assert_eq!([judge("early", true, 4), judge("late", true, 4)], [Verdict::Right; 2], "known before");
        assert_eq!(tries.judge(address("192.0.2.2"), "k", true, now), Verdict::Right, "from elsewhere");
        assert_eq!(judge("a lucky guess", true, 63), Verdict::Right, "a minute later");
    }
}
