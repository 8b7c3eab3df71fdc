//! Slots of the rate limiter that replicas share, by the clock of Redis.

use std::sync::Arc;
use std::time::Duration;

use redis::Script;

use super::link::RedisLink;
use crate::state::limiter::Slots;

/// Reserves the next slot and returns the time until it falls due, in microseconds.
/// ARGV: interval, and how far ahead of the clock slots may be given out without a wait.
const RESERVE: &str = "local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local interval = tonumber(ARGV[1])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local nextdue = string.format('%.0f', due + interval)
redis.call('SET', KEYS[1], nextdue, 'PX', math.ceil((due + interval - now) / 1000) + 1000)
return math.max(0, due - now - tonumber(ARGV[2]))";

/// No interval is longer, in microseconds: 30 years, so that sums fit into the numbers of a script.
const LONGEST: u128 = 1_000_000_000_000_000;

/// One slot per interval for all replicas.
pub struct RedisSlots {
    link: Arc<RedisLink>,
    name: String,
    interval: u64,
    credit: u64,
    reserve: Script,
}

impl RedisSlots {
    /// One slot per `interval`, up to `burst` at once after a pause.
    pub fn new(link: Arc<RedisLink>, interval: Duration, burst: u32) -> RedisSlots {
        let micros = |time: Duration| u64::try_from(time.as_micros().min(LONGEST)).unwrap_or(u64::MAX);
        let credit = interval.saturating_mul(burst.saturating_sub(1));
        RedisSlots {
            name: link.name("limit"),
            link,
            interval: micros(interval),
            credit: micros(credit),
            reserve: Script::new(RESERVE),
        }
    }
}

impl Slots for RedisSlots {
    fn reserve(&self) -> Option<Duration> {
        let mut call = self.reserve.prepare_invoke();
        call.key(&self.name).arg(self.interval).arg(self.credit);
        self.link.run(|connection| call.invoke(connection)).map(Duration::from_micros)
    }
}
