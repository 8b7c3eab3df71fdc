//! Rows by time, with bounds: names are stored once, old times are summed up when there are too many rows.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::rows::{Amounts, Code, Histogram};
use super::{DAYS, HOURS, KeyNotes, Labels, OTHER, Step, Visit};
use crate::state::budgets::Millipoints;

/// How many rows all hours and all days may have.
const MAX_HOUR_ROWS: usize = 3600;
const MAX_DAY_ROWS: usize = 2800;
/// How many rows one time may have, before others are summed up by key.
const MAX_ROWS_AT_ONCE: usize = 120;
/// How many names there may be, and how long they are at most.
const MAX_NAMES: usize = 1000;
const MAX_NAME: usize = 100;

/// A name by its place in [`Names`].
type Id = u16;
/// Model, key, endpoint.
type Ids = [Id; 3];
/// The place of [`OTHER`].
const OTHER_ID: Id = 0;

/// Every name once.
#[derive(Debug)]
struct Names {
    all: Vec<Box<str>>,
    places: HashMap<Box<str>, Id>,
}

impl Default for Names {
    fn default() -> Names {
        let mut names = Names { all: Vec::new(), places: HashMap::new() };
        names.id(OTHER);
        names
    }
}

impl Names {
    fn find(&self, name: &str) -> Option<Id> {
        self.places.get(name).copied()
    }

    fn id(&mut self, name: &str) -> Id {
        if let Some(id) = self.find(name) {
            return id;
        }
        let place = Id::try_from(self.all.len()).ok().filter(|_| self.all.len() < MAX_NAMES);
        match place.filter(|_| name.len() <= MAX_NAME) {
            Some(id) => {
                self.all.push(name.into());
                self.places.insert(name.into(), id);
                id
            }
            None => OTHER_ID,
        }
    }

    fn name(&self, id: Id) -> &str {
        self.all.get(usize::from(id)).map_or(OTHER, |name| name)
    }
}

/// The rows of one hour or day.
#[derive(Debug)]
struct Slot {
    /// Its number since 1970.
    time: u64,
    rows: Vec<(Ids, Amounts)>,
}

impl Slot {
    fn find(&mut self, ids: Ids) -> Option<&mut Amounts> {
        self.rows.iter_mut().find(|(known, _)| *known == ids).map(|(_, amounts)| amounts)
    }

    /// Adds to the row of `ids`, or to the nearest one that there is room for; returns whether there is a row more.
    fn add(&mut self, ids: Ids, amounts: &Amounts) -> bool {
        let all = [OTHER_ID; 3];
        let places = [ids, [OTHER_ID, ids[1], OTHER_ID], all];
        let known = |place: &Ids| self.rows.iter().any(|(known, _)| known == place);
        // the second kind of rows has as much room again, the last is only one
        let has_room = |at: usize| at == 2 || self.rows.len() < MAX_ROWS_AT_ONCE * (at + 1);
        let place = (0..3).find(|at| known(&places[*at]) || has_room(*at)).map_or(all, |at| places[at]);
        match self.find(place) {
            Some(sum) => sum.add(amounts),
            None => {
                self.rows.push((place, amounts.clone()));
                return true;
            }
        }
        false
    }

    /// Sums rows up that `coarse` makes the same.
    fn fold(&mut self, coarse: fn(Ids) -> Ids) {
        let mut sums: BTreeMap<Ids, Amounts> = BTreeMap::new();
        for (ids, amounts) in self.rows.drain(..) {
            sums.entry(coarse(ids)).or_default().add(&amounts);
        }
        self.rows = sums.into_iter().collect();
    }
}

/// The rows of one step, the oldest first.
#[derive(Debug)]
struct Series {
    step: Step,
    keep: u64,
    most_rows: usize,
    slots: VecDeque<Slot>,
    rows: usize,
}

impl Series {
    fn new(step: Step, keep: u64, most_rows: usize) -> Series {
        Series { step, keep, most_rows, slots: VecDeque::new(), rows: 0 }
    }

    fn add(&mut self, time: u64, ids: Ids, amounts: &Amounts) {
        let number = time / self.step.seconds();
        let at = match self.slots.binary_search_by_key(&number, |slot| slot.time) {
            Ok(at) => at,
            Err(at) => {
                if let Some(last) = self.slots.back_mut() {
                    last.rows.shrink_to_fit();
                }
                self.slots.insert(at, Slot { time: number, rows: Vec::new() });
                at
            }
        };
        self.rows += usize::from(self.slots[at].add(ids, amounts));
        self.forget_before(number);
        if self.rows > self.most_rows {
            self.fold(self.most_rows / 8 * 7);
        }
    }

    /// Forgets what is too old at `number`.
    fn forget_before(&mut self, number: u64) {
        while self.slots.front().is_some_and(|slot| slot.time + self.keep <= number) {
            let rows = self.slots.pop_front().map_or(0, |slot| slot.rows.len());
            self.rows -= rows;
        }
    }

    /// Sums up the oldest times until there are so many rows at most: by key, and where that is not enough, altogether.
    fn fold(&mut self, most: usize) {
        let by_key: fn(Ids) -> Ids = |[_, key, _]| [OTHER_ID, key, OTHER_ID];
        let altogether: fn(Ids) -> Ids = |_| [OTHER_ID; 3];
        for coarse in [by_key, altogether] {
            for slot in &mut self.slots {
                if self.rows <= most {
                    return;
                }
                let before = slot.rows.len();
                slot.fold(coarse);
                self.rows -= before - slot.rows.len();
            }
        }
    }

    fn correct(&mut self, time: u64, ids: Ids, estimate: Millipoints, took: Millipoints) {
        let number = time / self.step.seconds();
        let Ok(at) = self.slots.binary_search_by_key(&number, |slot| slot.time) else { return };
        let slot = &mut self.slots[at];
        // where it was summed up meanwhile
        let places = [ids, [OTHER_ID, ids[1], OTHER_ID], [OTHER_ID; 3]];
        let Some(place) = places.into_iter().find(|place| slot.find(*place).is_some()) else { return };
        if let Some(amounts) = slot.find(place) {
            amounts.estimated = amounts.estimated.saturating_sub(estimate);
            amounts.exact = amounts.exact.saturating_add(took);
        }
    }

    fn visit(&self, names: &Names, from: u64, to: u64, visit: Visit<'_>) {
        let start = |slot: &Slot| slot.time * self.step.seconds();
        for slot in self.slots.iter().filter(|slot| (from..to).contains(&start(slot))) {
            for ([model, key, endpoint], amounts) in &slot.rows {
                let labels = Labels {
                    model: names.name(*model),
                    key: names.name(*key),
                    endpoint: names.name(*endpoint),
                };
                visit(start(slot), labels, amounts);
            }
        }
    }
}

/// All rows.
#[derive(Debug)]
pub(super) struct Table {
    names: Names,
    pub(super) keys: KeyNotes,
    hours: Series,
    days: Series,
    /// The hour in which no name could be forgotten.
    full: u64,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            names: Names::default(),
            keys: KeyNotes::new(),
            hours: Series::new(Step::Hour, HOURS, MAX_HOUR_ROWS),
            days: Series::new(Step::Day, DAYS, MAX_DAY_ROWS),
            full: 0,
        }
    }
}

impl Table {
    pub(super) fn add(&mut self, time: u64, labels: Labels<'_>, name: &str, amounts: &Amounts) {
        let wanted = [labels.model, labels.key, labels.endpoint];
        let is_new =
            self.names.all.len() >= MAX_NAMES && wanted.iter().any(|name| self.names.find(name).is_none());
        if is_new && self.full != time / Step::Hour.seconds() {
            self.forget_names();
            let is_full = self.names.all.len() > MAX_NAMES / 10 * 9;
            self.full = if is_full { time / Step::Hour.seconds() } else { 0 };
        }
        let ids = wanted.map(|name| self.names.id(name));
        self.hours.add(time, ids, amounts);
        self.days.add(time, ids, amounts);
        if self.keys.len() >= MAX_NAMES && !self.keys.contains_key(labels.key) {
            let oldest = self.keys.iter().min_by_key(|(_, (_, last))| *last).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.keys.remove(&id));
        }
        if labels.key.len() <= MAX_NAME && name.len() <= 4 * MAX_NAME {
            self.keys.insert(labels.key.to_owned(), (name.to_owned(), time));
        }
    }

    pub(super) fn correct(
        &mut self,
        time: u64,
        labels: Labels<'_>,
        estimate: Millipoints,
        took: Millipoints,
    ) {
        let ids = [labels.model, labels.key, labels.endpoint];
        let ids = ids.map(|name| self.names.find(name).unwrap_or(OTHER_ID));
        self.hours.correct(time, ids, estimate, took);
        self.days.correct(time, ids, estimate, took);
    }

    pub(super) fn visit(&self, step: Step, from: u64, to: u64, visit: Visit<'_>) {
        let series = if step == Step::Hour { &self.hours } else { &self.days };
        series.visit(&self.names, from, to, visit);
    }

    pub(super) fn shrink(&mut self) {
        for series in [&mut self.hours, &mut self.days] {
            series.fold(series.rows / 2);
        }
        self.forget_names();
    }

    /// Forgets the names that no row has any more.
    fn forget_names(&mut self) {
        let before = std::mem::take(&mut self.names);
        for series in [&mut self.hours, &mut self.days] {
            for (ids, _) in series.slots.iter_mut().flat_map(|slot| &mut slot.rows) {
                *ids = ids.map(|id| self.names.id(before.name(id)));
            }
        }
    }
}

/// All rows as they are stored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Stored {
    names: Vec<String>,
    keys: KeyNotes,
    hours: Vec<(u64, Vec<StoredRow>)>,
    days: Vec<(u64, Vec<StoredRow>)>,
}

/// Ids, requests and uploads, tokens, points, times, errors by code.
#[derive(Debug, Serialize, Deserialize)]
struct StoredRow(
    Ids,
    [u32; 2],
    [u64; 4],
    [Millipoints; 2],
    Histogram,
    Histogram,
    #[serde(default, skip_serializing_if = "Vec::is_empty")] Vec<(String, u32)>,
);

impl StoredRow {
    fn of(ids: Ids, row: &Amounts) -> StoredRow {
        let errors = row.errors.iter().map(|(code, count)| (code.name().to_owned(), *count)).collect();
        StoredRow(
            ids,
            [row.requests, row.uploads],
            [row.input, row.output, row.reasoning, row.cached],
            [row.exact, row.estimated],
            row.first_token,
            row.total,
            errors,
        )
    }

    fn amounts(&self) -> Amounts {
        let StoredRow(
            _,
            [requests, uploads],
            [input, output, reasoning, cached],
            [exact, estimated],
            first,
            total,
            _,
        ) = *self;
        let mut amounts = Amounts {
            requests,
            uploads,
            input,
            output,
            reasoning,
            cached,
            exact,
            estimated,
            first_token: first,
            total,
            errors: Vec::new(),
        };
        let errors = self.6.iter().map(|(code, count)| (Code::of(code), *count)).collect();
        amounts.add(&Amounts { errors, ..Amounts::default() });
        amounts
    }
}

impl Table {
    pub(super) fn stored(&mut self, now: u64) -> Stored {
        let slots = |series: &mut Series| {
            series.forget_before(now / series.step.seconds());
            let rows = |slot: &Slot| slot.rows.iter().map(|(ids, row)| StoredRow::of(*ids, row)).collect();
            series.slots.iter().map(|slot| (slot.time, rows(slot))).collect()
        };
        let (hours, days) = (slots(&mut self.hours), slots(&mut self.days));
        let names = self.names.all.iter().map(|name| name.to_string()).collect();
        Stored { names, keys: self.keys.clone(), hours, days }
    }

    pub(super) fn with(stored: Stored) -> Result<Table, String> {
        let mut table = Table::default();
        table.absorb(&stored)?;
        Ok(table)
    }

    pub(super) fn absorb(&mut self, stored: &Stored) -> Result<(), String> {
        for (id, (name, last)) in &stored.keys {
            let known = self.keys.entry(id.clone()).or_insert_with(|| (name.clone(), *last));
            if known.1 < *last {
                *known = (name.clone(), *last);
            }
        }
        if self.keys.len() > MAX_NAMES {
            return Err(format!("it has more than {MAX_NAMES} keys"));
        }
        for (series, slots) in [(&mut self.hours, &stored.hours), (&mut self.days, &stored.days)] {
            for (time, row) in slots.iter().flat_map(|(time, rows)| rows.iter().map(move |row| (time, row))) {
                let name = |id: Id| {
                    stored.names.get(usize::from(id)).ok_or("a row names what is not in the list of names")
                };
                let [model, key, endpoint] = row.0;
                let ids = [name(model)?, name(key)?, name(endpoint)?].map(|name| self.names.id(name));
                let seconds = time.checked_mul(series.step.seconds()).ok_or("a time is too large")?;
                series.add(seconds, ids, &row.amounts());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: u64 = 1_795_392_000;

    fn labels(model: &'static str, key: &'static str) -> Labels<'static> {
        Labels { model, key, endpoint: "/v1/chat/completions" }
    }

    fn amounts(points: u64) -> Amounts {
        let time = Histogram::of(Duration::from_millis(points));
        Amounts {
            requests: 1,
            input: 3,
            estimated: points,
            total: time,
            errors: vec![(Code::of("stopped"), 1)],
            ..Amounts::default()
        }
    }

    fn total(table: &Table, step: Step) -> (u32, u64, u64) {
        let mut sum = Amounts::default();
        table.visit(step, 0, u64::MAX, &mut |_, _, row| sum.add(row));
        (sum.requests, sum.exact, sum.estimated)
    }

    #[test]
    fn rows_add_up_and_are_stored() {
        let mut table = Table::default();
        table.add(NOW, labels("a", "k"), "Kay", &amounts(10));
        table.add(NOW + 3599, labels("a", "k"), "Kay", &amounts(20));
        table.add(NOW + 3600, labels("b", "k"), "Kate", &amounts(40));
        table.correct(NOW + 5, labels("a", "k"), 10, 15);
        let mut rows = Vec::new();
        table.visit(Step::Hour, NOW, NOW + 3600, &mut |time, labels, row| {
            rows.push((time, labels.model.to_owned(), row.requests, row.exact, row.estimated));
        });
        assert_eq!(rows, [(NOW, "a".to_owned(), 2, 15, 20)]);
        assert_eq!((total(&table, Step::Hour), total(&table, Step::Day)), ((3, 15, 60), (3, 15, 60)));
        let json = serde_json::to_string(&table.stored(NOW)).unwrap();
        let mut again = Table::with(serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!(serde_json::to_string(&again.stored(NOW)).unwrap(), json);
        assert_eq!(again.keys["k"], ("Kate".to_owned(), NOW + 3600));
        let foreign = json.replace("[1,", "[9,");
        assert!(
            serde_json::from_str::<Stored>(&foreign).is_ok_and(|stored| Table::with(stored).is_err()),
            "{foreign}"
        );
    }

    #[test]
    fn old_times_are_forgotten() {
        let mut table = Table::default();
        for day in 0..500 {
            table.add(NOW + day * 86_400, labels("a", "k"), "k", &amounts(1));
        }
        assert_eq!((total(&table, Step::Hour).0, total(&table, Step::Day).0), (8, 400));
        let later = table.stored(NOW + 600 * 86_400);
        assert_eq!((later.hours.len(), later.days.len()), (0, 299));
    }

    /// Bytes that a table holds, without what the allocator adds.
    fn bytes(table: &Table) -> usize {
        let slots = |series: &Series| -> usize {
            let row = |row: &(Ids, Amounts)| row.1.errors.capacity() * size_of::<(Code, u32)>();
            let rows = |slot: &Slot| {
                slot.rows.capacity() * size_of::<(Ids, Amounts)>() + slot.rows.iter().map(row).sum::<usize>()
            };
            series.slots.iter().map(rows).sum::<usize>() + series.slots.capacity() * size_of::<Slot>()
        };
        let names: usize = table.names.all.iter().map(|name| 2 * name.len() + 64).sum();
        let keys: usize = table.keys.iter().map(|(id, (name, _))| id.len() + name.len() + 96).sum();
        slots(&table.hours) + slots(&table.days) + names + keys
    }

    #[test]
    fn rows_are_bounded_and_nothing_is_left_out() {
        let mut table = Table::default();
        let mut random = 1_u64;
        let mut next = |most: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % most
        };
        let mut largest = 0;
        for number in 0..100_000_u64 {
            let time = NOW + number * 7 * 86_400 / 100_000;
            let (model, key) = (format!("model {}", next(400)), format!("key_{}", next(300)));
            let endpoint = format!("/v1/{}", next(12));
            let code = Code::of(CODES_FOR_TESTS[next(8) as usize]);
            let one = Amounts { errors: vec![(code, 1)], ..amounts(next(300_000)) };
            table.add(time, Labels { model: &model, key: &key, endpoint: &endpoint }, &key, &one);
            largest = largest.max(if number % 1000 == 0 { bytes(&table) } else { 0 });
        }
        assert_eq!((total(&table, Step::Hour).0, total(&table, Step::Day).0), (100_000, 100_000));
        assert!(table.hours.rows <= MAX_HOUR_ROWS && table.days.rows <= MAX_DAY_ROWS);
        assert!(largest < 2_000_000, "{largest}");
        let mut keys = 0;
        table.visit(Step::Day, NOW, u64::MAX, &mut |_, labels, _| keys += usize::from(labels.key != OTHER));
        assert!(keys > 1000, "the oldest times still know the keys: {keys}");
        let before = serde_json::to_string(&table.stored(0)).unwrap().len();
        table.shrink();
        assert!(serde_json::to_string(&table.stored(0)).unwrap().len() < before * 3 / 4);
        assert_eq!(total(&table, Step::Day).0, 100_000);
    }

    const CODES_FOR_TESTS: [&str; 8] = [
        "stopped",
        "forbidden",
        "overloaded",
        "conflict",
        "not_found",
        "model_not_found",
        "upstream_error",
        "client_gone",
    ];

    #[test]
    fn names_that_no_row_has_make_room() {
        let mut table = Table::default();
        for number in 0..5000_u64 {
            let model = format!("model {number}");
            let day = NOW + number / 10 * 86_400;
            table.add(day, Labels { model: &model, key: "k", endpoint: "e" }, "k", &amounts(1));
        }
        assert!(table.names.all.len() <= MAX_NAMES);
        let mut last = 0;
        table.visit(Step::Hour, 0, u64::MAX, &mut |_, labels, _| last += usize::from(labels.model != OTHER));
        assert!(last >= 60, "the last hours know their models: {last}");
    }
}
