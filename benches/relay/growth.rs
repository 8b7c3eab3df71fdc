//! Growth tables: what one unit costs when there are few of them, and when there are many.

use std::io::{self, Write};
use std::{env, fs};

use crate::clients::{Client, post};
use crate::rows::{self, CHAT, RESPONSES};
use crate::servers::{Kind, Server};
use crate::{Options, start_poe};

/// One table: the sizes, and what is done with each.
struct Table {
    name: &'static str,
    unit: &'static str,
    sizes: &'static [usize],
    /// How many units are measured in all, so that the ticks of the CPU clock do not matter.
    total: usize,
    request: fn(usize) -> Vec<u8>,
}

const TEXTS: &[&str] = &["plain", "letter", "spaces", "angle", "markup", "chinese"];
const EVENTS: &[usize] = &[10, 100, 1000, 10_000, 100_000];
const PROMPTS: &[usize] = &[1_000, 10_000, 100_000, 1_000_000, 20_000_000];
const KB: &str = "µs/KB";

const TABLES: &[Table] = &[
    table("events in an answer", "µs/event", EVENTS, 200_000, |size| stream(size, "")),
    table("events of one letter, tools offered", "µs/event", EVENTS, 100_000, |size| stream(size, "letter")),
    table("events of spaces, tools offered", "µs/event", EVENTS, 100_000, |size| stream(size, "spaces")),
    table("events of `<`, tools offered", "µs/event", EVENTS, 100_000, |size| stream(size, "angle")),
    table("events of unclosed markup, tools offered", "µs/event", EVENTS, 100_000, |size| {
        stream(size, "markup")
    }),
    table("events of Chinese, tools offered", "µs/event", EVENTS, 100_000, |size| stream(size, "chinese")),
    table("turns", "µs/turn", &[1, 10, 100, 1000, 10_000], 40_000, turns),
    table("tools, chat", "µs/tool", &[1, 10, 100, 500, 2000], 10_000, |size| {
        rows::tools_request(CHAT, size)
    }),
    table("tools, Responses", "µs/tool", &[1, 10, 100, 500, 2000], 10_000, |size| {
        rows::tools_request(RESPONSES, size)
    }),
    table("prompt, plain", KB, PROMPTS, 20_000_000, |size| prompt(size, "plain")),
    table("prompt, one letter", KB, PROMPTS, 20_000_000, |size| prompt(size, "letter")),
    table("prompt, spaces", KB, PROMPTS, 20_000_000, |size| prompt(size, "spaces")),
    table("prompt, `<`", KB, PROMPTS, 20_000_000, |size| prompt(size, "angle")),
    table("prompt, unclosed markup", KB, PROMPTS, 20_000_000, |size| prompt(size, "markup")),
    table("prompt, Chinese", KB, PROMPTS, 20_000_000, |size| prompt(size, "chinese")),
];

const fn table(
    name: &'static str,
    unit: &'static str,
    sizes: &'static [usize],
    total: usize,
    request: fn(usize) -> Vec<u8>,
) -> Table {
    Table { name, unit, sizes, total, request }
}

/// Prints all tables: CPU a unit, and the memory at most.
pub fn measure(options: &Options) -> io::Result<()> {
    let (poe, _server) = start_poe()?;
    for table in TABLES.iter().filter(|table| options.wants(table.name)) {
        println!("\n| {} | {} | peak RSS, MB |\n|---|---|---|", table.name, table.unit);
        let per = if table.unit == KB { 1000.0 } else { 1.0 };
        for size in table.sizes {
            let server = Kind::Program.start(options, &poe, &[])?;
            let requests = ((table.total as f64 * options.scale) as usize / size).clamp(1, 2000);
            let cpu = cpu_of(&server, &(table.request)(*size), requests);
            print_row(*size, cpu / (*size as f64) * per, &server);
        }
    }
    if options.wants("streams at once") {
        println!("\n| streams at once | µs/event | peak RSS, MB |\n|---|---|---|");
        for clients in [1, 10, 100, 1000] {
            let server = Kind::Program.start(options, &poe, &[])?;
            let request = Kind::Program.request("bench-100-0", true, 20);
            let figures = rows::ask_all(&server, clients, 1000 / clients, &request, true);
            print_row(clients, figures["CPU, µs/event"], &server);
        }
    }
    if options.wants("models") { models(options, &poe) } else { Ok(()) }
}

fn print_row(size: usize, value: f64, server: &Server) {
    println!("| {size} | {value:.2} | {:.1} |", server.memory("VmHWM:"));
    let _ = io::stdout().flush();
}

/// CPU of one request, in µs: the first is not measured.
fn cpu_of(server: &Server, request: &[u8], requests: usize) -> f64 {
    let mut client = Client::connect(server.port);
    client.ask(&Kind::Program.request("bench-3-0", true, 20));
    let before = server.cpu();
    (0..requests).for_each(|_| drop(client.ask(request)));
    (server.cpu() - before).as_secs_f64() * 1e6 / requests as f64
}

/// A custom model's request, and the list of all of them.
fn models(options: &Options, poe: &str) -> io::Result<()> {
    println!(
        "\n| custom models | µs/chat request | µs/model of the list | peak RSS, MB |\n|---|---|---|---|"
    );
    for count in [1, 10, 100, 1000, 5000] {
        let home = env::temp_dir().join(format!("poe2openai-bench-models-{}", std::process::id()));
        fs::create_dir_all(&home)?;
        let entry = |number: usize| format!("  - id: bench-3-0-x{number}\n");
        let entries: String = (0..count).map(entry).collect();
        fs::write(home.join("models.yaml"), format!("enable: true\ncustom_models:\n{entries}"))?;
        let home_text = home.to_string_lossy().into_owned();
        let server = Kind::Program.start(options, poe, &[("CONFIG_DIR", &home_text)])?;
        let bot = format!("bench-3-0-x{}", count - 1);
        let chat = cpu_of(&server, &Kind::Program.request(&bot, false, 20), 300);
        let list = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer bench\r\n\r\n";
        let listed = cpu_of(&server, list, 100_000 / (count + 300));
        println!(
            "| {count} | {chat:.1} | {:.2} | {:.1} |",
            listed / (count + 300) as f64,
            server.memory("VmHWM:")
        );
        fs::remove_dir_all(&home)?;
    }
    Ok(())
}

/// A stream of so many events; one of unusual text has tools on offer, which are then looked for in it.
fn stream(events: usize, kind: &str) -> Vec<u8> {
    let tools = r#","tools":[{"type":"function","function":{"name":"read_file"}}]"#;
    let tools = if kind.is_empty() { "" } else { tools };
    let bot = format!("bench-{events}-0-{kind}");
    post(
        CHAT,
        &format!(r#"{{"model":"{bot}","stream":true{tools},"messages":[{{"role":"user","content":"hi"}}]}}"#),
    )
}

fn turns(count: usize) -> Vec<u8> {
    let turns: Vec<String> = (0..count)
        .map(|number| {
            let role = if (count - number) % 2 == 1 { "user" } else { "assistant" };
            format!(r#"{{"role":"{role}","content":"This is turn {number} of a long talk."}}"#)
        })
        .collect();
    post(CHAT, &format!(r#"{{"model":"bench-3-0","messages":[{}]}}"#, turns.join(",")))
}

fn prompt(bytes: usize, kind: &str) -> Vec<u8> {
    assert!(TEXTS.contains(&kind), "{kind}");
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let mut text = String::with_capacity(bytes + 20);
    while text.len() < bytes {
        match kind {
            "letter" => text.push('a'),
            "spaces" => text.push(' '),
            "angle" => text.push('<'),
            "markup" => text.push_str("<tool_call><think>"),
            "chinese" => text.extend(char::from_u32(0x4e00 + random() % 0x5000)),
            _ => text.push_str(["some ", "words, ", "and more ", "of them. "][random() as usize % 4]),
        }
    }
    Kind::Program.request_with("bench-3-0", false, &text)
}
