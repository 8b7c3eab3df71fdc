//! CPU time and memory of the program beside a blocking byte relay, on loopback: `cargo bench --bench relay`.
//!
//! Three processes take part: a mock Poe, the server that is measured, and this one, which is all clients. What is
//! measured is the server's CPU clock and memory, from `/proc`; runs of the servers alternate, and medians are printed.
//!
//! | argument | meaning |
//! |---|---|
//! | `growth` | print the growth tables instead: the cost a unit, from few units to many |
//! | `rounds=3` | how often each row is measured |
//! | `scale=1.0` | how many requests, against the usual number |
//! | `rows=whole,stream` | only rows whose name contains one of the words |
//! | `program=PATH` | another build of the program |
//! | `other='COMMAND'` | one more column: a proxy that serves `/v1/chat/completions` on port `$PORT` in front of `$POE_URL` |

mod clients;
mod growth;
mod poe;
mod rows;
mod servers;

use std::collections::BTreeMap;
use std::{env, fs, io};

use rows::{Must, ROWS};
use servers::{Kind, Server};

fn main() -> io::Result<()> {
    // `cargo bench` adds `--bench`
    let given: Vec<String> = env::args().skip(1).filter(|one| one != "--bench").collect();
    match given.first().map(String::as_str) {
        Some("serve-poe") => poe::serve(poe::mock),
        Some("serve-relay") => {
            let poe = given[1].clone();
            poe::serve(move |client| poe::relay(client, &poe))
        }
        Some("growth") => growth::measure(&Options::read(&given)),
        _ => measure(&Options::read(&given)),
    }
}

/// What was given on the command line.
struct Options {
    rounds: usize,
    scale: f64,
    rows: Vec<String>,
    program: String,
    other: Option<String>,
}

impl Options {
    fn read(given: &[String]) -> Options {
        let value = |name: &str| given.iter().find_map(|one| one.strip_prefix(&format!("{name}=")));
        Options {
            rounds: value("rounds").map_or(3, |text| text.parse().expect("rounds=NUMBER")),
            scale: value("scale").map_or(1.0, |text| text.parse().expect("scale=NUMBER")),
            rows: value("rows").map_or_else(Vec::new, |text| text.split(',').map(str::to_owned).collect()),
            program: value("program").unwrap_or(env!("CARGO_BIN_EXE_poe2openai")).to_owned(),
            other: value("other").map(str::to_owned),
        }
    }

    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|word| row.contains(word.as_str()))
    }
}

/// The address of a mock Poe, and the process.
fn start_poe() -> io::Result<(String, Server)> {
    let poe = Server::start(std::process::Command::new(env::current_exe()?).arg("serve-poe"))?;
    Ok((format!("127.0.0.1:{}", poe.port), poe))
}

/// All values of a figure: by row, server and name.
type All = BTreeMap<(usize, Kind, &'static str), Vec<f64>>;

fn measure(options: &Options) -> io::Result<()> {
    let (poe_at, _poe) = start_poe()?;
    let mut all = All::new();
    for round in 0..options.rounds {
        for (number, row) in ROWS.iter().enumerate().filter(|(_, row)| options.wants(row.name)) {
            let takes_part = |kind: &Kind| match kind {
                Kind::Program => true,
                Kind::Relay => !row.load.is_ours(),
                Kind::Other => options.other.is_some() && !row.load.is_ours(),
            };
            let kinds: Vec<Kind> =
                [Kind::Program, Kind::Relay, Kind::Other].into_iter().filter(takes_part).collect();
            for turn in 0..kinds.len() {
                let kind = kinds[(round + turn) % kinds.len()];
                let server = kind.start(options, &poe_at, row.load.settings())?;
                for (name, value) in rows::run(&server, kind, row.load, options.scale) {
                    all.entry((number, kind, name)).or_default().push(value);
                }
            }
            eprintln!("round {}: {}", round + 1, row.name);
        }
    }
    print(&mut all, options.other.is_some());
    let size = fs::metadata(&options.program)?.len() as f64 / 1e6;
    println!("\nThe program has {size:.1} MB.");
    Ok(())
}

fn print(all: &mut All, has_other: bool) {
    let medians: BTreeMap<_, _> = all.iter_mut().map(|(key, values)| (*key, median(values))).collect();
    let (title, line) = if has_other { (" other |", "---|") } else { ("", "") };
    println!("| load | figure | poe2openai | relay | ratio | must |{title}\n|---|---|---|---|---|---|{line}");
    for ((row, kind, name), value) in &medians {
        if *kind != Kind::Program {
            continue;
        }
        let of = |kind| medians.get(&(*row, kind, *name)).copied();
        let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
        let ratio = of(Kind::Relay).map(|relay| value / relay);
        let ratio_shown = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        let must = ROWS[*row].musts.iter().find(|(figure, _)| figure == name);
        let must = must.map_or_else(String::new, |(_, must)| must.shown(*value, ratio));
        let other = if has_other { format!(" {} |", shown(of(Kind::Other))) } else { String::new() };
        let (load, relay) = (ROWS[*row].name, shown(of(Kind::Relay)));
        let value = if *value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") };
        println!("| {load} | {name} | {value} | {relay} | {ratio_shown} | {must} |{other}");
    }
}

impl Must {
    /// What must be, and whether it is.
    fn shown(self, value: f64, ratio: Option<f64>) -> String {
        let (sign, limit, reached) = match self {
            Must::Ratio(limit) => ("ratio ≤", limit, ratio.is_some_and(|ratio| ratio <= limit)),
            Must::RatioAtLeast(limit) => ("ratio ≥", limit, ratio.is_some_and(|ratio| ratio >= limit)),
            Must::AtMost(limit) => ("≤", limit, value <= limit),
        };
        format!("{sign} {limit}{}", if reached { ", met" } else { ", **not met**" })
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
