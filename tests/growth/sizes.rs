//! What a bot can repeat, in the sizes in which it once took a core for seconds.

use std::time::Duration;

use poe2openai::error::Result;
use poe2openai::pipeline::stages::{FileRefs, Limits, Retractions, Thinking, ToolCalls, Usage};
use poe2openai::pipeline::{Attachment, Event, Finish, Stages, Tool, ToolXml};
use poe2openai::tokens::{self, Running};
use serde_json::json;

use super::cpu;

/// A release build took 1 to 10 seconds for each, and a debug build takes many times as long.
const MOST: Duration = Duration::from_secs(15);

/// Every stage behind which an answer is streamed.
fn cost(name: &str, tools: &[Tool], events: Vec<Event>) {
    let start = cpu();
    let finish = Event::Finish(Finish::default());
    let events: Vec<Result<Event>> = events.into_iter().chain([finish]).map(Ok).collect();
    let stages = events.into_iter().through(Thinking::default());
    let stages = stages.through(ToolCalls::new(String::new).offering(tools));
    let stages = stages.through((!tools.is_empty()).then(|| ToolXml::new(tools, String::new)));
    let stages =
        stages.through(Limits::new(&["STOP".into()], None, Running::new())).through(FileRefs::streaming());
    let stages = stages.through(Usage::new(tokens::count, || 7)).through(Retractions::default());
    let bytes: usize = stages
        .map(|event| match event.expect("no stage fails") {
            Event::Text(text) => text.len(),
            Event::ToolCall(delta) => delta.arguments.len(),
            _ => 0,
        })
        .sum();
    let time = cpu() - start;
    println!("{name}: {time:?} for {bytes} bytes");
    assert!(time < MOST, "{name}: {time:?}");
}

fn pieces(text: &str) -> impl Iterator<Item = Event> + '_ {
    text.as_bytes().chunks(4000).map(|piece| Event::Text(String::from_utf8_lossy(piece).into_owned()))
}

#[test]
fn what_a_bot_repeats() {
    let answer = "a word and another one, ".repeat((10 << 20) / 24);
    let again = pieces(&answer).chain([Event::Retract]).chain(pieces(&answer));
    cost("10 MB again after a replacement", &[], again.collect());
    let again = pieces(&answer).chain([Event::Retract, Event::Text(answer.clone())]);
    cost("10 MB again in one piece", &[], again.collect());
    let rows = (0..32_000).map(|at| format!("Thinking... ({at}s elapsed)\n{}\n\n", ".".repeat(50)));
    cost("32,000 progress rows", &[], rows.clone().map(Event::Text).collect());
    // whether a row is progress is looked up in lists of words, which is slow without optimization
    let replaced = rows.take(6_000).map(|row| [Event::Retract, Event::Text(row)]);
    cost("6,000 progress rows, each in the place of the last", &[], replaced.flatten().collect());
    let tool = Tool { name: "f".into(), description: None, parameters: Some(json!({"type": "object"})) };
    let parameters = (0..64_000).map(|at| format!("<parameter name=\"p{at}\">{at}</parameter>\n"));
    let call = format!(
        "<tool_call>\n<invoke name=\"f\">\n{}</invoke>\n</tool_call>",
        parameters.collect::<String>()
    );
    cost("a call with 64,000 parameters", std::slice::from_ref(&tool), pieces(&call).collect());
    let attachment = |at: usize| Attachment {
        url: format!("https://pfst.cf2.poecdn.net/base/image/{at}.png"),
        content_type: "image/png".into(),
        name: format!("n{at}"),
        inline_ref: Some(format!("r{at}")),
    };
    let references = (0..16_000).map(|at| Event::Text(format!("![x][r{at}] ")));
    let files = (0..16_000).map(|at| Event::File(attachment(at)));
    cost("16,000 references and then their files", &[], references.clone().chain(files.clone()).collect());
    cost("16,000 files and then their references", &[], files.chain(references).collect());
}
