//! Limits of a client's key: whether a request may be sent, what it reserves, and what it took.

use std::time::Duration;

use super::context::Authenticated;
use crate::clock;
use crate::config::client_keys::ClientKey;
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::pipeline::{ChatRequest, FileSource, Part};
use crate::poe::{CancelCheck, Consumption, DOLLARS_A_POINT, pause};
use crate::state::budgets::{Budget, Millipoints, Period, Verdict};

/// How many tokens of answer are reserved for, where the client does not limit it to fewer.
const USUAL_OUTPUT: u64 = 4096;
/// A token has so many bytes at least, nearly always.
const BYTES_A_TOKEN: usize = 3;
/// How long a request waits while running requests may use up the budget, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(50);

/// Checks that the client may ask these questions now, and reserves what they may take. The record settles it.
pub fn admit(request: &mut Authenticated<'_, '_>, chats: &[ChatRequest], cancel: &CancelCheck) -> Result<()> {
    let app = request.app();
    if request.record.quota.is_some() {
        return Ok(());
    }
    let client = request.client().clone();
    let models =
        chats.iter().map(|chat| app.model(&chat.model, &client, cancel)).collect::<Result<Vec<_>>>()?;
    let (Some(chat), Some(model)) = (chats.first(), models.first()) else { return Ok(()) };
    let answers = |chat: &ChatRequest| chat.choices.max(1) as u64;
    let mut quota = app.quota(model);
    quota.answers = chats.iter().map(answers).sum();
    quota.input = chats.iter().map(|chat| (text_bytes(chat) / BYTES_A_TOKEN) as u64).sum();
    if let Some(key) = &client.key {
        count(app, key)?;
        let output = chat.sampling.max_tokens.map_or(USUAL_OUTPUT, |most| most.min(USUAL_OUTPUT));
        let most = Consumption {
            input: quota.input.saturating_mul(answers(chat)),
            cached: 0,
            output: output.saturating_mul(quota.answers),
            answers: quota.answers,
            pictures: 1,
        };
        quota.reserved = quota.millipoints(&most).1.max(1);
        reserve(app, key, quota.reserved, cancel)?;
    }
    request.record.quota = Some(quota);
    Ok(())
}

/// The bytes of all texts of a question.
fn text_bytes(chat: &ChatRequest) -> usize {
    let part = |part: &Part| match part {
        Part::Text(text) => text.len(),
        Part::File(_) => 0,
    };
    let turns = chat.messages.iter().map(|message| {
        let calls: usize = message.tool_calls.iter().map(|call| call.arguments.len()).sum();
        message.parts.iter().map(part).sum::<usize>() + calls
    });
    let tools =
        chat.tools.iter().map(|tool| tool.parameters.as_ref().map_or(0, |schema| schema.to_string().len()));
    turns.sum::<usize>() + tools.sum::<usize>()
}

/// How many files a question needs at Poe.
pub fn files(chat: &ChatRequest) -> u64 {
    let is_file =
        |part: &&Part| matches!(part, Part::File(source) if !matches!(source, FileSource::Attached(_)));
    chat.messages.iter().flat_map(|message| &message.parts).filter(is_file).count() as u64
}

fn count(app: &App, key: &ClientKey) -> Result<()> {
    let Some(most) = key.requests_per_minute else { return Ok(()) };
    let now = clock::now();
    match app.clients.budgets.count(&key.id, most, now) {
        None => Ok(()),
        Some(wait) => {
            let end = clock::rfc3339((now + wait).as_secs_f64().ceil() as u64);
            let message =
                format!("this API key may send {most} requests a minute: the next one at {end} (UTC)");
            Err(Error::new(Kind::RateLimited, message).retry_after(wait))
        }
    }
}

/// The budgets of a key, each with what it is called and its amount as the operator wrote it.
pub fn budgets(key: &ClientKey) -> Vec<(&'static str, f64, Budget)> {
    let millipoints = |points: f64| ((points * 1000.0).round() as Millipoints).max(1);
    let rows = [
        ("daily_points", key.daily_points, Period::Day, 1.0),
        ("monthly_points", key.monthly_points, Period::Month, 1.0),
        ("daily_cost", key.daily_cost, Period::Day, DOLLARS_A_POINT),
        ("monthly_cost", key.monthly_cost, Period::Month, DOLLARS_A_POINT),
    ];
    let budget = |(name, amount, period, unit): (&'static str, Option<f64>, Period, f64)| {
        amount.map(|amount| (name, amount, Budget { period, most: millipoints(amount / unit) }))
    };
    rows.into_iter().filter_map(budget).collect()
}

/// Reserves `estimate`. While running requests may use up what is left, it waits for one of them to end.
fn reserve(app: &App, key: &ClientKey, estimate: Millipoints, cancel: &CancelCheck) -> Result<()> {
    let named = budgets(key);
    let only: Vec<Budget> = named.iter().map(|(_, _, budget)| *budget).collect();
    let start = std::time::Instant::now();
    let mut place = None;
    loop {
        let now = clock::now().as_secs();
        match app.clients.budgets.reserve(&key.id, &only, estimate, now) {
            Verdict::Reserved => return Ok(()),
            Verdict::Exhausted(at) => return Err(used_up(&named[at], now)),
            Verdict::Busy(_) if place.is_none() && start.elapsed() < PATIENCE => {
                place = app.clients.waiting.enter(&key.id);
                if place.is_none() {
                    let message = "too many requests of this API key wait for its budget".to_owned();
                    return Err(Error::new(Kind::RateLimited, message).retry_after(PATIENCE));
                }
            }
            Verdict::Busy(at) if start.elapsed() >= PATIENCE => {
                let what = described(&named[at]);
                let message =
                    format!("running requests may use up {what}: send this one when they have ended");
                return Err(Error::new(Kind::RateLimited, message).retry_after(PATIENCE));
            }
            Verdict::Busy(_) => pause(TICK, cancel)?,
        }
    }
}

fn used_up(budget: &(&'static str, f64, Budget), now: u64) -> Error {
    let end = clock::rfc3339(budget.2.period.end(now));
    let message = format!("{} is used up; it is renewed at {end} (UTC)", described(budget));
    Error::new(Kind::InsufficientQuota, message).for_good()
}

fn described((name, amount, budget): &(&'static str, f64, Budget)) -> String {
    let period = if budget.period == Period::Day { "day" } else { "month" };
    match name.ends_with("cost") {
        true => format!("this API key's budget of ${amount} a {period}"),
        false => format!("this API key's budget of {amount} points a {period}"),
    }
}
