//! Tool calls that bots decide on, before they are encoded in `json` events or in XML.

use serde_json::{Map, Value, json};

use super::Turn;
use crate::demo::query::{Function, Query, ToolResult};
use crate::demo::sample;

/// What lies on the bench when it is the bot's turn.
#[derive(Debug, Default)]
pub struct Bench {
    /// What the user wants.
    pub task: String,
    /// Functions on offer.
    pub tools: Vec<Function>,
    /// What calls of this turn gave back.
    pub results: Vec<ToolResult>,
    /// The function that the client insists on.
    pub must: Option<String>,
    /// Whether the client wants one call at a time.
    pub one_by_one: bool,
    /// Turns so far: makes ids unique within a conversation.
    pub turns: usize,
    /// All system and user text, for what agents say about themselves there.
    pub context: String,
    /// Turns of the bot since a user gave a [`JOB`]. Clients that add words to a result make it look like part of a turn that
    /// is over; an agent that counts only results would begin again for ever.
    pub rounds: usize,
}

/// How the content is named in a job for the agent.
pub const JOB: &str = " with content \"";

/// What the bot does next.
#[derive(Debug, PartialEq)]
pub enum Act {
    /// Answer.
    Say(String),
    /// Say something and call functions.
    Call(Vec<Call>),
}

/// One call.
#[derive(Debug, PartialEq)]
pub struct Call {
    /// Unique within the conversation.
    pub id: String,
    /// The function.
    pub name: String,
    /// A JSON object.
    pub arguments: Value,
}

impl Bench {
    /// A call of `name` that is the `index`th of this turn.
    pub fn call(&self, index: usize, name: &str, arguments: Value) -> Call {
        Call {
            id: format!("call_{}_{}_{index}", self.turns, self.results.len()),
            name: name.into(),
            arguments,
        }
    }
}

/// The bench of a bot that is given tools in the query's own fields.
pub fn from_query(query: &Query) -> Bench {
    let choice = &query.tool_choice;
    let tools = query.tools.iter().map(|tool| tool.function.clone());
    let after_user = query.messages.iter().rev().take_while(|message| message.role != "user");
    let turns = after_user.filter(|message| message.role == "tool").map(|message| message.content.clone());
    let rendered = turns.map(|content| ToolResult { name: "tool".into(), content });
    Bench {
        task: query.said().into(),
        tools: if choice == "none" { Vec::new() } else { tools.collect() },
        results: query.tool_results.iter().cloned().chain(rendered).collect(),
        must: choice["function"]["name"].as_str().map(str::to_string),
        one_by_one: query.body["parallel_tool_calls"] == false,
        turns: query.messages.len(),
        context: context(query),
        rounds: rounds(query),
    }
}

/// Turns of the bot since a user gave a job.
pub fn rounds(query: &Query) -> usize {
    let gives_job =
        |at: &usize| query.messages[*at].role == "user" && query.messages[*at].content.contains(JOB);
    let start = (0..query.messages.len()).rev().find(gives_job).unwrap_or(0);
    query.messages[start..].iter().filter(|message| message.role == "bot").count()
}

/// System and user text, one after the other.
pub fn context(query: &Query) -> String {
    let spoken = query.messages.iter().filter(|message| message.role != "bot");
    spoken.map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n")
}

/// Quote the results if there are any; else call what the client insists on, what the user names, or the first; two of
/// them when the user says "both".
pub fn plan(bench: &Bench) -> Act {
    if !bench.results.is_empty() {
        let quotes = bench.results.iter().map(|result| format!("{} says: {}", result.name, result.content));
        return Act::Say(quotes.collect::<Vec<_>>().join("\n"));
    }
    let chosen = choose(bench);
    if chosen.is_empty() {
        return Act::Say(format!("No tools are on offer. You said: {}", bench.task));
    }
    let calls = chosen.iter().enumerate().map(|(index, tool)| {
        let arguments = sample::fitting(&tool.parameters, &bench.task);
        let object = if arguments.is_object() { arguments } else { json!(Map::new()) };
        bench.call(index, &tool.name, object)
    });
    Act::Call(calls.collect())
}

fn choose(bench: &Bench) -> Vec<&Function> {
    let named = |name: &str| bench.tools.iter().find(|tool| tool.name == name);
    let rendered = || bench.tools.iter().find(|tool| bench.task.contains(&tool.name));
    let first = bench.must.as_deref().and_then(named).or_else(rendered).or(bench.tools.first());
    let both = bench.task.split(|c: char| !c.is_alphabetic()).any(|word| word.eq_ignore_ascii_case("both"));
    let other =
        || bench.tools.iter().find(|tool| first.is_some_and(|first| first.name != tool.name)).or(first);
    first.into_iter().chain(if both && !bench.one_by_one { other() } else { None }).collect()
}

/// A bot that has to be asked twice.
pub fn shy(turn: &Turn, bench: &Bench) -> Act {
    let asked_once = turn.nth % 2 == 1 && bench.results.is_empty();
    if asked_once { Act::Say("I would rather just talk.".into()) } else { plan(bench) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(task: &str) -> Bench {
        let city = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let tool = |name: &str| Function { name: name.into(), parameters: city.clone() };
        Bench { task: task.into(), tools: vec![tool("weather"), tool("time")], ..Bench::default() }
    }

    fn called(bench: &Bench) -> Vec<String> {
        match plan(bench) {
            Act::Call(calls) => calls.into_iter().map(|call| call.name).collect(),
            Act::Say(_) => Vec::new(),
        }
    }

    #[test]
    fn the_client_then_the_user_then_the_order_decides() {
        assert_eq!(called(&bench("hello")), ["weather"]);
        assert_eq!(called(&bench("what time is it?")), ["time"]);
        assert_eq!(called(&bench("do both, please")), ["weather", "time"]);
        assert_eq!(called(&Bench { must: Some("weather".into()), ..bench("time") }), ["weather"]);
        assert_eq!(called(&Bench { one_by_one: true, ..bench("both") }), ["weather"]);
        assert!(called(&Bench { tools: Vec::new(), ..bench("x") }).is_empty());
    }

    #[test]
    fn results_are_quoted() {
        let result = |content: &str| ToolResult { name: "weather".into(), content: content.into() };
        let bench = Bench { results: vec![result("sunny"), result("<rain>")], ..bench("x") };
        assert_eq!(plan(&bench), Act::Say("weather says: sunny\nweather says: <rain>".into()));
    }
}
