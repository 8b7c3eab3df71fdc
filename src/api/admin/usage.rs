//! Totals of usage for the admin page, as JSON and CSV.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Map, Value, json};

use crate::clock;
use crate::error::{Error, Result};
use crate::gateway::app::App;
use crate::gateway::context::{Admitted, Exchange};
use crate::poe::DOLLARS_A_POINT;
use crate::server::answer::Answer;
use crate::state::budgets::Millipoints;
use crate::state::usage::{Amounts, HOURS, Labels, Step};

pub(super) const A_DAY: u64 = 86_400;
const AN_HOUR: u64 = 3600;
/// Days of the usual answer.
const USUAL_DAYS: u64 = 7;
/// No place on Earth has another time.
const MAX_OFFSET: i64 = 14 * 60;
const DIMENSIONS: [&str; 5] = ["day", "hour", "model", "key", "endpoint"];

/// The time of a place, in minutes east of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Zone(i64);

impl Zone {
    /// The parameter `tz`.
    pub(super) fn read(request: &Exchange<'_, '_>) -> Result<Zone> {
        let Some(text) = request.query("tz") else { return Ok(Zone(0)) };
        let minutes = text.parse().ok().filter(|minutes: &i64| minutes.abs() <= MAX_OFFSET);
        let message = format!("tz: expected minutes east of UTC, from -{MAX_OFFSET} to {MAX_OFFSET}");
        minutes.map(Zone).ok_or_else(|| Error::invalid("tz", message))
    }

    pub(super) fn minutes(self) -> i64 {
        self.0
    }

    /// The time that clocks of the place show, as if they were UTC.
    pub(super) fn local(self, time: u64) -> u64 {
        time.saturating_add_signed(self.0 * 60)
    }

    fn utc(self, local: u64) -> u64 {
        local.saturating_add_signed(-self.0 * 60)
    }

    /// The beginning of the day there that `time` lies in.
    pub(super) fn day(self, time: u64) -> u64 {
        self.utc(self.local(time) / A_DAY * A_DAY)
    }
}

/// Visits what was used from `from` on and before `to`: by hour as far back as all hours of a day of UTC are kept, by
/// day of UTC before. The time is one within the hour or day.
pub(super) fn visit(app: &App, (from, to): (u64, u64), visit: &mut dyn FnMut(u64, Labels<'_>, &Amounts)) {
    let first_hour = (clock::now().as_secs() / AN_HOUR).saturating_sub(HOURS - 1);
    let boundary = (first_hour * AN_HOUR).div_ceil(A_DAY) * A_DAY;
    let usage = &app.clients.usage;
    let noon = A_DAY / 2;
    usage.visit(
        Step::Day,
        from.saturating_sub(noon),
        to.saturating_sub(noon).min(boundary),
        &mut |time, labels, row| {
            visit(time + noon, labels, row);
        },
    );
    usage.visit(Step::Hour, from.max(boundary), to, visit);
}

/// What is asked for.
struct Query {
    zone: Zone,
    from: u64,
    to: u64,
    by: Vec<&'static str>,
    only: [Option<String>; 3],
}

impl Query {
    fn read(request: &Exchange<'_, '_>) -> Result<Query> {
        let zone = Zone::read(request)?;
        let now = clock::now().as_secs();
        let from = match request.query("from") {
            Some(text) => time("from", &text, zone, 0)?,
            None => zone.day(now).saturating_sub((USUAL_DAYS - 1) * A_DAY),
        };
        let to = match request.query("to") {
            Some(text) => time("to", &text, zone, A_DAY)?,
            None => zone.day(now) + A_DAY,
        };
        if from > to {
            return Err(Error::invalid("from", "from: expected a time before `to`"));
        }
        let by = by(request.query("by").as_deref().unwrap_or("day"))?;
        let only = ["model", "key", "endpoint"].map(|name| request.query(name));
        // hours are counted as they are in UTC
        Ok(Query { zone, from: from / AN_HOUR * AN_HOUR, to: to.div_ceil(AN_HOUR) * AN_HOUR, by, only })
    }

    fn is_by(&self, dimension: &str) -> bool {
        self.by.contains(&dimension)
    }

    fn is_meant(&self, labels: &Labels<'_>) -> bool {
        let values = [labels.model, labels.key, labels.endpoint];
        self.only.iter().zip(values).all(|(only, value)| only.as_deref().is_none_or(|only| only == value))
    }
}

/// A day in `zone`, of which `of_day` is taken, or seconds since 1970.
fn time(field: &str, text: &str, zone: Zone, of_day: u64) -> Result<u64> {
    let seconds = text.parse().ok().filter(|time: &u64| *time < 1 << 40);
    let day =
        || clock::parse(text).filter(|_| text.len() == "2026-11-23".len()).map(|day| zone.utc(day) + of_day);
    let message = format!("{field}: expected a day such as 2026-11-23, or seconds since 1970");
    seconds.or_else(day).ok_or_else(|| Error::invalid(field, message))
}

fn by(text: &str) -> Result<Vec<&'static str>> {
    let known = |word: &str| DIMENSIONS.into_iter().find(|known| *known == word.trim());
    let words: Option<Vec<_>> = text.split(',').map(known).collect();
    let words = words.filter(|words| !(words.contains(&"day") && words.contains(&"hour")));
    words.ok_or_else(|| {
        let message =
            "by: expected one or more of day, hour, model, key and endpoint, not day and hour together";
        Error::invalid("by", message)
    })
}

/// The beginning of its time, model, key, endpoint; what is not asked for is empty.
type Group = (u64, String, String, String);

/// `GET /api/admin/usage`
pub fn show(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = answer(&request);
    request.reply(answer)
}

fn answer(request: &Exchange<'_, '_>) -> Result<Answer> {
    let query = Query::read(request)?;
    let is_csv = match request.query("format").as_deref() {
        None => request.head().header("accept").is_some_and(|accept| accept.contains("text/csv")),
        Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(Error::invalid("format", "format: expected json or csv")),
    };
    let (groups, total) = groups(request.app(), &query);
    let names = request.app().key_names();
    let rows = groups.iter().map(|(group, amounts)| row(&query, group, amounts, &names));
    if is_csv {
        let csv = Answer::bytes(200, "text/csv; charset=utf-8", csv(&query, rows).into_bytes());
        return Ok(csv.header("Content-Disposition", "attachment; filename=\"usage.csv\""));
    }
    let body = json!({
        "from": query.from, "to": query.to, "tz": query.zone.minutes(), "by": query.by,
        "rows": rows.collect::<Vec<_>>(), "total": detailed(&total),
    });
    Ok(Answer::json(200, body.to_string().into_bytes()))
}

/// The groups by time, and those of one time by requests, most first; and the sum of all.
fn groups(app: &App, query: &Query) -> (Vec<(Group, Amounts)>, Amounts) {
    let mut groups: BTreeMap<Group, Amounts> = BTreeMap::new();
    let mut total = Amounts::default();
    let mut add = |time: u64, labels: Labels<'_>, amounts: &Amounts| {
        if !query.is_meant(&labels) {
            return;
        }
        let part = |name: &str, value: &str| if query.is_by(name) { value.to_owned() } else { String::new() };
        let start = match (query.is_by("day"), query.is_by("hour")) {
            (true, _) => query.zone.day(time),
            (_, true) => time,
            _ => 0,
        };
        let group =
            (start, part("model", labels.model), part("key", labels.key), part("endpoint", labels.endpoint));
        groups.entry(group).or_default().add(amounts);
        total.add(amounts);
    };
    match query.is_by("hour") {
        true => app.clients.usage.visit(Step::Hour, query.from, query.to, &mut add),
        false => visit(app, (query.from, query.to), &mut add),
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by(|(one, left), (other, right)| (one.0, right.requests).cmp(&(other.0, left.requests)));
    (groups, total)
}

fn row(
    query: &Query,
    group: &Group,
    amounts: &Amounts,
    names: &BTreeMap<String, String>,
) -> Map<String, Value> {
    let (time, model, key, endpoint) = group;
    let mut row = Map::new();
    let local = clock::rfc3339(query.zone.local(*time));
    if query.is_by("day") || query.is_by("hour") {
        row.insert("time".into(), (*time).into());
    }
    if query.is_by("day") {
        row.insert("day".into(), local[..10].into());
    }
    if query.is_by("hour") {
        row.insert("hour".into(), local[..16].into());
    }
    if query.is_by("model") {
        row.insert("model".into(), model.as_str().into());
    }
    if query.is_by("key") {
        row.insert("key".into(), key.as_str().into());
        row.insert("key_name".into(), names.get(key).unwrap_or(key).as_str().into());
    }
    if query.is_by("endpoint") {
        row.insert("endpoint".into(), endpoint.as_str().into());
    }
    row.extend(detailed(amounts));
    row
}

/// Thousandths of a point as points, and as dollars.
pub(super) fn points(millipoints: Millipoints) -> Value {
    (millipoints as f64 / 1000.0).into()
}

pub(super) fn dollars(millipoints: Millipoints) -> Value {
    ((millipoints as f64 / 1000.0 * DOLLARS_A_POINT * 1e6).round() / 1e6).into()
}

/// The sums of a row.
pub(super) fn sum(amounts: &Amounts) -> Map<String, Value> {
    let fields: [(&str, Value); 10] = [
        ("requests", amounts.requests.into()),
        ("errors", amounts.failed().into()),
        ("input_tokens", amounts.input.into()),
        ("output_tokens", amounts.output.into()),
        ("reasoning_tokens", amounts.reasoning.into()),
        ("cached_tokens", amounts.cached.into()),
        ("uploads", amounts.uploads.into()),
        ("points", points(amounts.points())),
        ("points_estimated", points(amounts.estimated)),
        ("cost", dollars(amounts.points())),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The same with kinds of errors and times.
fn detailed(amounts: &Amounts) -> Map<String, Value> {
    let mut row = sum(amounts);
    let kinds = amounts.errors.iter().map(|(code, count)| (code.name().to_owned(), (*count).into()));
    row.insert("error_kinds".into(), Value::Object(kinds.collect()));
    for (name, histogram) in [("first_token", &amounts.first_token), ("total", &amounts.total)] {
        for (label, share) in [("p50", 0.5), ("p95", 0.95)] {
            row.insert(format!("{name}_{label}_ms"), histogram.quantile(share).into());
        }
    }
    row
}

fn csv(query: &Query, rows: impl Iterator<Item = Map<String, Value>>) -> String {
    let mut columns: Vec<String> = Vec::new();
    for dimension in DIMENSIONS.into_iter().filter(|dimension| query.is_by(dimension)) {
        columns.push(dimension.to_owned());
        columns.extend((dimension == "key").then(|| "key_name".to_owned()));
    }
    columns.extend(
        detailed(&Amounts::default()).into_iter().map(|(name, _)| name).filter(|name| name != "error_kinds"),
    );
    let mut text = columns.join(",") + "\r\n";
    for row in rows {
        let cells: Vec<String> = columns.iter().map(|column| cell(row.get(column))).collect();
        text += &(cells.join(",") + "\r\n");
    }
    text
}

/// One value, in quotes where it must be. A text that a spreadsheet would take for a formula is made one that it does not.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) if text.starts_with(['=', '+', '-', '@', '\t']) => format!("'{text}"),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_place() {
        let zone = Zone(480);
        let midnight = clock::parse("2026-11-23T16:00:00Z").unwrap();
        assert_eq!((zone.day(midnight), zone.day(midnight - 1)), (midnight, midnight - A_DAY));
        assert_eq!(time("from", "2026-11-24", zone, 0).unwrap(), midnight);
        assert_eq!(time("to", "2026-11-24", zone, A_DAY).unwrap(), midnight + A_DAY);
        assert_eq!(time("to", "1795392000", zone, A_DAY).unwrap(), 1_795_392_000);
        for wrong in ["", "yesterday", "2026-11-24T00:00:00Z", "-1", "99999999999999"] {
            assert_eq!(time("to", wrong, zone, 0).unwrap_err().param.as_deref(), Some("to"), "{wrong}");
        }
    }

    #[test]
    fn dimensions_are_checked() {
        assert_eq!(by("key, day").unwrap(), ["key", "day"]);
        for wrong in ["", "day,hour", "week", "model,"] {
            assert!(by(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cells_are_read_as_they_are_written() {
        let cases =
            [("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("=1+1", "'=1+1"), ("plain", "plain")];
        for (text, expected) in cases {
            assert_eq!(cell(Some(&text.into())), expected);
        }
        assert_eq!((cell(None), cell(Some(&json!(1.5)))), (String::new(), "1.5".to_owned()));
    }
}
