//! Budgets that replicas share: what a key has spent and reserved is counted for all of them together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::Script;

use super::link::RedisLink;
use crate::state::budgets::{Budget, Budgets, LocalBudgets, Millipoints, Period, Spent, Verdict};

/// How long accounts outlive their last change: more than a month; and reservations.
const LIFETIME: u64 = 40 * 86_400_000;
const RESERVED: u64 = 86_400_000;

/// Counts a request within the last minute, or returns the time in milliseconds until there is room again.
/// ARGV: how many, a name for the request.
const COUNT: &str = "local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local most = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60000)
local count = redis.call('ZCARD', KEYS[1])
if count < most then
  redis.call('ZADD', KEYS[1], now, ARGV[2])
  redis.call('PEXPIRE', KEYS[1], 60000)
  return 0
end
local last = redis.call('ZRANGE', KEYS[1], count - most, count - most, 'WITHSCORES')
return math.max(1, last[2] + 60000 - now)";

/// KEYS: account, reservations. ARGV: replica, day, month, what this replica has counted of the day and of the month,
/// lifetime, what names of living replicas begin with. An account that Redis has lost begins with what the replica has counted.
const COMMON: &str = "local day, month = tonumber(ARGV[2]), tonumber(ARGV[3])
local function get(field) return tonumber(redis.call('HGET', KEYS[1], field) or 0) end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'day', day, 'of_day', ARGV[4], 'month', month, 'of_month', ARGV[5])
end
if get('day') < day then redis.call('HSET', KEYS[1], 'day', day, 'of_day', 0) end
if get('month') < month then redis.call('HSET', KEYS[1], 'month', month, 'of_month', 0) end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
local function add(field, amount)
  redis.call('HSET', KEYS[1], field, string.format('%.0f', math.max(0, get(field) + amount)))
end
local function reserved()
  local all, sum = redis.call('HGETALL', KEYS[2]), 0
  for i = 1, #all, 2 do
    if all[i] == ARGV[1] or redis.call('EXISTS', ARGV[7] .. all[i]) == 1 then sum = sum + all[i + 1]
    else redis.call('HDEL', KEYS[2], all[i]) end
  end
  return sum
end
local function answer(verdict) return {verdict, get('of_day'), get('of_month'), reserved()} end
";

/// ARGV from 8: estimate, lifetime of reservations, then pairs of period and limit. Returns 0 where the estimate was reserved,
/// the place of a budget that is busy, or minus that of one that is used up.
const RESERVE: &str = "local held = reserved()
for i = 10, #ARGV, 2 do
  if get(ARGV[i]) >= tonumber(ARGV[i + 1]) then return answer(-(i - 8) / 2) end
end
for i = 10, #ARGV, 2 do
  if get(ARGV[i]) + held >= tonumber(ARGV[i + 1]) then return answer((i - 8) / 2) end
end
redis.call('HINCRBY', KEYS[2], ARGV[1], ARGV[8])
redis.call('PEXPIRE', KEYS[2], ARGV[9])
return answer(0)";

/// ARGV from 8: what was reserved, what it adds to the day and to the month.
const SETTLE: &str =
    "if tonumber(ARGV[8]) > 0 and redis.call('HINCRBY', KEYS[2], ARGV[1], -ARGV[8]) <= 0 then
  redis.call('HDEL', KEYS[2], ARGV[1])
end
if get('day') == day then add('of_day', ARGV[9]) end
if get('month') == month then add('of_month', ARGV[10]) end
return answer(0)";

/// What all replicas have spent, and what this one has counted of it for the time without Redis.
#[derive(Debug)]
pub struct RedisBudgets {
    own: Arc<LocalBudgets>,
    link: Arc<RedisLink>,
    count: Script,
    reserve: Script,
    settle: Script,
    /// What Redis could not be told yet.
    late: Mutex<HashMap<String, Change>>,
}

/// What a request changes: what it had reserved, and what it adds to the day and to the month.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    reserved: u64,
    day: i64,
    month: i64,
    time: u64,
}

impl RedisBudgets {
    /// With what this replica counted before.
    pub fn new(own: Arc<LocalBudgets>, link: Arc<RedisLink>) -> RedisBudgets {
        let script = |own: &str| Script::new(&format!("{COMMON}{own}"));
        RedisBudgets {
            own,
            link,
            count: Script::new(COUNT),
            reserve: script(RESERVE),
            settle: script(SETTLE),
            late: Mutex::default(),
        }
    }

    /// Calls a script about `key`, and remembers what all replicas have spent together. Of what this one has counted,
    /// `late` is not in Redis yet.
    fn call(
        &self,
        script: &Script,
        key: &str,
        now: u64,
        late: Change,
        arguments: &[String],
    ) -> Option<(i64, Spent)> {
        let own = self.own.spent(key, now);
        let known = |own: Millipoints, late: i64| own.saturating_add_signed(late.saturating_neg());
        let name = |kind: &str| self.link.name(&format!("{kind}:{{{key}}}"));
        let mut call = script.prepare_invoke();
        call.key(name("spent")).key(name("reserved")).arg(self.link.replica());
        call.arg(Period::Day.number(now))
            .arg(Period::Month.number(now))
            .arg(known(own.day, late.day))
            .arg(known(own.month, late.month));
        call.arg(LIFETIME).arg(self.link.name("alive:"));
        for argument in arguments {
            call.arg(argument);
        }
        let answer: (i64, u64, u64, u64) = self.link.run(|connection| call.invoke(connection))?;
        let (verdict, day, month, reserved) = answer;
        self.own.learn(key, day, month, now);
        Some((verdict, Spent { day, month, reserved }))
    }

    /// Applies a change of which this replica has counted `counted`.
    fn send(&self, key: &str, change: Change, counted: Change, now: u64) -> Option<()> {
        let is_now = |period: Period| period.number(change.time) == period.number(now);
        let day = if is_now(Period::Day) { change.day } else { 0 };
        let month = if is_now(Period::Month) { change.month } else { 0 };
        let arguments = [change.reserved.to_string(), day.to_string(), month.to_string()];
        self.call(&self.settle, key, now, counted, &arguments).map(drop)
    }

    fn remember(&self, key: &str, change: Change) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = late.entry(key.to_owned()).or_default();
        sum.reserved += change.reserved;
        sum.day += change.day;
        sum.month += change.month;
        sum.time = change.time;
    }

    /// Tells Redis what it could not be told before.
    fn catch_up(&self, now: u64) {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, change) in late {
            if self.send(&key, change, change, now).is_none() {
                self.remember(&key, change);
            }
        }
    }
}

impl Budgets for RedisBudgets {
    fn count(&self, key: &str, most: u64, now: Duration) -> Option<Duration> {
        let own = self.own.count(key, most, now);
        let mut call = self.count.prepare_invoke();
        call.key(self.link.name(&format!("minute:{{{key}}}"))).arg(most).arg(super::seal::token());
        match self.link.run(|connection| call.invoke::<u64>(connection)) {
            Some(0) => None,
            Some(wait) => Some(Duration::from_millis(wait)),
            None => own,
        }
    }

    fn reserve(&self, key: &str, budgets: &[Budget], estimate: Millipoints, now: u64) -> Verdict {
        self.catch_up(now);
        let mut arguments = vec![estimate.to_string(), RESERVED.to_string()];
        for budget in budgets {
            arguments.push(if budget.period == Period::Day { "of_day" } else { "of_month" }.to_owned());
            arguments.push(budget.most.to_string());
        }
        let place = |number: i64| usize::try_from(number.unsigned_abs() - 1).unwrap_or(0);
        match self.call(&self.reserve, key, now, Change::default(), &arguments) {
            Some((0, _)) => {
                self.own.hold(key, estimate);
                Verdict::Reserved
            }
            Some((busy, _)) if busy > 0 => Verdict::Busy(place(busy)),
            Some((exhausted, _)) => Verdict::Exhausted(place(exhausted)),
            None => self.own.reserve(key, budgets, estimate, now),
        }
    }

    fn settle(&self, key: &str, reserved: Millipoints, took: Millipoints, now: u64) {
        let by = i64::try_from(took).unwrap_or(i64::MAX);
        let change = Change { reserved, day: by, month: by, time: now };
        match self.send(key, change, Change::default(), now) {
            Some(()) => self.own.settle(key, reserved, 0, now),
            None => {
                self.own.settle(key, reserved, took, now);
                self.remember(key, change);
            }
        }
    }

    fn correct(&self, key: &str, time: u64, seemed: Millipoints, took: Millipoints, now: u64) {
        let signed = |amount| i64::try_from(amount).unwrap_or(i64::MAX);
        let by = signed(took) - signed(seemed);
        let change = Change { reserved: 0, day: by, month: by, time };
        if self.send(key, change, Change::default(), now).is_none() {
            self.own.correct(key, time, seemed, took, now);
            self.remember(key, change);
        }
    }

    fn spent(&self, key: &str, now: u64) -> Spent {
        self.catch_up(now);
        let nothing = ["0", "0", "0"].map(str::to_owned);
        let shared = self.call(&self.settle, key, now, Change::default(), &nothing);
        shared.map_or_else(|| self.own.spent(key, now), |(_, spent)| spent)
    }
}
