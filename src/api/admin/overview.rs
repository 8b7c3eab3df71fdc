//! What the first tab of the admin page shows, in one answer. Poe is not asked for it.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use super::usage::{self, A_DAY, Zone, points, sum};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::gateway::app::{App, Client};
use crate::gateway::context::{Admitted, Exchange};
use crate::server::answer::Answer;
use crate::state::usage::{Amounts, Labels, OTHER, Step};

/// How many models and keys have series of their own.
const MAX_SERIES: usize = 8;
const MAX_ERRORS: usize = 10;
const AN_HOUR: u64 = 3600;
/// Days over which the pace of spending is taken.
const PACE_DAYS: u64 = 7;

/// The steps of the series.
struct Steps {
    zone: Zone,
    step: Step,
    times: Vec<u64>,
    range: &'static str,
}

impl Steps {
    fn read(request: &Exchange<'_, '_>, now: u64) -> Result<Steps> {
        let zone = Zone::read(request)?;
        let (range, step, count) = match request.query("range").as_deref() {
            None | Some("24h") => ("24h", Step::Hour, 24),
            Some("7d") => ("7d", Step::Day, 7),
            Some("30d") => ("30d", Step::Day, 30),
            Some(_) => return Err(Error::invalid("range", "range: expected 24h, 7d or 30d")),
        };
        let last = if step == Step::Hour { now / AN_HOUR * AN_HOUR } else { zone.day(now) };
        let times = (0..count).rev().map(|back| last.saturating_sub(back * step.seconds())).collect();
        Ok(Steps { zone, step, times, range })
    }

    /// The place of the step that `time` lies in.
    fn place(&self, time: u64) -> Option<usize> {
        let start = if self.step == Step::Hour { time } else { self.zone.day(time) };
        self.times.binary_search(&start).ok()
    }

    fn visit(&self, app: &App, visit: &mut dyn FnMut(usize, Labels<'_>, &Amounts)) {
        let from = self.times.first().copied().unwrap_or(0);
        let to = self.times.last().map_or(0, |last| last + self.step.seconds());
        let mut add = |time: u64, labels: Labels<'_>, row: &Amounts| {
            self.place(time).into_iter().for_each(|place| visit(place, labels, row));
        };
        match self.step {
            Step::Hour => app.clients.usage.visit(Step::Hour, from, to, &mut add),
            Step::Day => usage::visit(app, (from, to), &mut add),
        }
    }
}

/// The numbers of each step.
type Series = Vec<Amounts>;

/// `GET /api/admin/overview`
pub fn show(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = answer(&request);
    request.reply(answer)
}

fn answer(request: &Exchange<'_, '_>) -> Result<Answer> {
    let (app, now) = (request.app(), clock::now().as_secs());
    let steps = Steps::read(request, now)?;
    let empty = || vec![Amounts::default(); steps.times.len()];
    let mut all = empty();
    let (mut models, mut keys): (BTreeMap<String, Series>, BTreeMap<String, Series>) = Default::default();
    steps.visit(app, &mut |place, labels, row| {
        all[place].add(row);
        for (series, name) in [(&mut models, labels.model), (&mut keys, labels.key)] {
            series.entry(name.to_owned()).or_insert_with(empty)[place].add(row);
        }
    });
    let names = app.key_names();
    let quantiles =
        |share| all.iter().map(|row| row.first_token.quantile(share).into()).collect::<Vec<Value>>();
    let mut body = json!({
        "now": now, "tz": steps.zone.minutes(), "range": steps.range,
        "step": if steps.step == Step::Hour { "hour" } else { "day" },
        "times": steps.times,
        "errors": all.iter().map(Amounts::failed).collect::<Vec<_>>(),
        "first_token_p50_ms": quantiles(0.5), "first_token_p95_ms": quantiles(0.95),
        "models": largest(models).iter().map(|(name, series)| named(json!({"name": name}), series)).collect::<Vec<_>>(),
        "keys": largest(keys).iter().map(|(id, series)| {
            named(json!({"id": id, "name": names.get(id).unwrap_or(id)}), series)
        }).collect::<Vec<_>>(),
        "latest_errors": app.activity.failed(MAX_ERRORS).iter().map(|notes| json!({
            "time_ms": notes.time, "id": notes.id, "endpoint": notes.endpoint, "model": notes.model, "key": notes.key,
            "status": notes.status, "error": notes.error,
        })).collect::<Vec<_>>(),
        "running": serde_json::to_value(app.activity.all_running())
            .map_err(|error| Error::new(Kind::Internal, format!("cannot encode the list of requests: {error}")))?,
        "account": account(app, steps.zone, now),
        "replicas": replicas(app, steps.zone.day(now)),
    });
    add_numbers(&mut body, &all);
    add_totals(&mut body, app, steps.zone, now);
    Ok(Answer::json(200, body.to_string().into_bytes()))
}

/// What each replica has done since `from`; nothing where there is only one.
fn replicas(app: &App, from: u64) -> Vec<Value> {
    let shown = |(name, row): (String, Amounts)| {
        json!({
            "name": name, "requests": row.requests, "errors": row.failed(), "tokens": row.input + row.output,
            "points": points(row.exact + row.estimated),
        })
    };
    app.clients.usage.replicas(from).into_iter().map(shown).collect()
}

/// The series with most requests, and the sum of the others.
fn largest(series: BTreeMap<String, Series>) -> Vec<(String, Series)> {
    let requests = |series: &Series| series.iter().map(|row| u64::from(row.requests)).sum::<u64>();
    let mut all: Vec<_> = series.into_iter().collect();
    // what is summed up already is last
    all.sort_by_key(|(name, series)| (name == OTHER, std::cmp::Reverse(requests(series))));
    let rest = all.split_off(all.len().min(MAX_SERIES));
    for (_, series) in rest {
        match all.last_mut().filter(|(name, _)| name == OTHER) {
            Some((_, sum)) => sum.iter_mut().zip(&series).for_each(|(sum, row)| sum.add(row)),
            None => all.push((OTHER.to_owned(), series)),
        }
    }
    all
}

fn named(mut value: Value, series: &Series) -> Value {
    add_numbers(&mut value, series);
    value
}

fn add_numbers(value: &mut Value, series: &Series) {
    let list = |of: &dyn Fn(&Amounts) -> Value| Value::Array(series.iter().map(of).collect());
    value["requests"] = list(&|row| row.requests.into());
    value["tokens"] = list(&|row| row.input.saturating_add(row.output).into());
    value["points"] = list(&|row| points(row.points()));
}

/// Sums of today and of 7 and 30 days.
fn add_totals(body: &mut Value, app: &App, zone: Zone, now: u64) {
    let today = zone.day(now);
    let mut sums = [1, 7, 30].map(|days: u64| (today.saturating_sub((days - 1) * A_DAY), Amounts::default()));
    usage::visit(app, (sums[2].0, today + A_DAY), &mut |time, _, row| {
        for (from, sum) in &mut sums {
            if time >= *from {
                sum.add(row);
            }
        }
    });
    for (name, (_, amounts)) in ["today", "days7", "days30"].into_iter().zip(&sums) {
        body[name] = Value::Object(sum(amounts));
    }
}

/// What is left, and how long it lasts at the pace of the last days.
fn account(app: &App, zone: Zone, now: u64) -> Value {
    let Some(left) = app.clients.points.left() else { return Value::Null };
    let today = zone.day(now);
    let (mut first, mut spent) = (today, 0);
    usage::visit(
        app,
        (today.saturating_sub((PACE_DAYS - 1) * A_DAY), today + A_DAY),
        &mut |time, labels, row| {
            if labels.key != Client::OWN.0 {
                first = first.min(zone.day(time));
                spent += row.points();
            }
        },
    );
    let days = (today - first) / A_DAY + 1;
    let a_day = spent as f64 / 1000.0 / days as f64;
    let rounded = |number: f64| (number * 10.0).round() / 10.0;
    let lasts = (a_day > 0.0).then(|| rounded(left.points.max(0.0) / a_day));
    json!({"points_left": left.points, "as_of": left.as_of, "points_per_day": rounded(a_day), "days_left": lasts})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_summed_up() {
        let row = |requests| vec![Amounts { requests, ..Amounts::default() }];
        let mut all: BTreeMap<String, Series> = (0..12).map(|at| (format!("m{at}"), row(at + 1))).collect();
        all.insert(OTHER.to_owned(), row(100));
        let largest = largest(all);
        let names: Vec<_> =
            largest.iter().map(|(name, series)| (name.as_str(), series[0].requests)).collect();
        assert_eq!(names.len(), MAX_SERIES + 1);
        assert_eq!((names[0], names[MAX_SERIES]), (("m11", 12), (OTHER, 1 + 2 + 3 + 4 + 100)));
    }
}
