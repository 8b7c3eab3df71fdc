//! Tools in the prompt, for bots without native tools: definitions, calls and results as text.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::escaping::{escape, escape_attribute, escape_content};
use super::{Offer, quoted, read_one};
use crate::error::{Error, Result};
use crate::pipeline::{ChatRequest, Message, Part, Role, Tool, ToolCall, ToolChoice};

const HOW: &str = "\
# Tools

You can call the tools listed below. To call one, write exactly this form in your answer:

<tool_call>
<invoke name=\"example_tool\">
<parameter name=\"path\">src/main.rs</parameter>
<parameter name=\"limits\">{\"lines\": 20}</parameter>
</invoke>
</tool_call>

- One <parameter> for each argument, by the names of the tool's schema. Strings as they are, without quotes; \
everything else as JSON.
- White space in a value counts. Write `<` and `&` in a value as &lt; and &amp;, or put the whole value into \
<![CDATA[ … ]]>.
- Not in a code fence. After the last call end your answer: the results come in the next message as \
<tool_result id=\"…\" name=\"…\">, written with the same escapes. Never write a <tool_result> yourself.
";

/// Takes the tools out of `chat` and puts them into its messages; returns those offered, whose calls [`crate::pipeline::ToolXml`]
/// is to look for.
///
/// The system message (a new one, if there is none) gets a section that begins with the line `# Tools` and ends with one JSON
/// object per tool and line: `{"name": …, "description": …, "parameters": …}`. Calls of assistant turns become text
/// in the form that the bot is instructed to write, results become user turns with `<tool_result id="…" name="…">`, those
/// that follow each other one turn. With [`ToolChoice::None`] nothing is offered. `tool_choice` stays as it is, for
/// [`insist_on_call`].
pub fn tools_into_prompt(chat: &mut ChatRequest) -> Vec<Tool> {
    let tools = std::mem::take(&mut chat.tools);
    chat.messages = transcript(std::mem::take(&mut chat.messages), &tools);
    if tools.is_empty() || chat.tool_choice == ToolChoice::None {
        return Vec::new();
    }
    let mut section = section(&tools, &chat.tool_choice, chat.parallel_tool_calls);
    match chat.messages.iter_mut().find(|message| message.role == Role::System) {
        Some(system) => {
            if !system.parts.is_empty() {
                section.insert(0, '\n'); // an empty line in between
            }
            system.parts.push(Part::Text(section));
        }
        None => {
            let parts = vec![Part::Text(section)];
            chat.messages.insert(0, Message { role: Role::System, parts, ..Message::default() });
        }
    }
    tools
}

/// Repeats the instruction to make the call that `tool_choice` demands, for the second try after an answer without
/// it. Does nothing where no call is demanded.
pub fn insist_on_call(chat: &mut ChatRequest) {
    let wanted = match &chat.tool_choice {
        ToolChoice::Auto | ToolChoice::None => return,
        ToolChoice::Required => "at least one tool".to_string(),
        ToolChoice::Named(name) => format!("the tool {}", quoted(name)),
    };
    let form = match chat.tools.is_empty() {
        true => " in the form <tool_call><invoke name=\"…\">…</invoke></tool_call>, not in a code fence",
        false => "",
    };
    let text = format!(
        "Important: this answer must call {wanted}{form}. Do not ask, explain or answer in words: make the call now, \
         with the best arguments you can give."
    );
    match chat.messages.last_mut() {
        Some(last) if last.role == Role::User => last.parts.push(Part::Text(text)),
        _ => chat.messages.push(Message { parts: vec![Part::Text(text)], ..Message::default() }),
    }
}

/// The longest name of a called function, in bytes. Every result repeats the name of its call.
const MOST_NAME_BYTES: usize = 256;

/// Refuses a tool turn that answers no call of an earlier assistant turn, and a call whose name cannot be one.
pub fn check_tool_turns(messages: &[Message]) -> Result<()> {
    let mut called: HashSet<&str> = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        if let Some(call) = message.tool_calls.iter().position(|call| call.name.len() > MOST_NAME_BYTES) {
            let param = format!("messages[{at}].tool_calls[{call}].function.name");
            let fault = format!("{param} is longer than {MOST_NAME_BYTES} bytes");
            return Err(Error::invalid(param, fault));
        }
        called.extend(message.tool_calls.iter().map(|call| call.id.as_str()));
        if message.role != Role::Tool {
            continue;
        }
        let missing = match message.tool_call_id.as_deref() {
            Some(id) if called.contains(id) => continue,
            Some(id) => format!("no call before it has the id {}", quoted(id)),
            None => "it has no 'tool_call_id'".into(),
        };
        return Err(Error::invalid(
            format!("messages[{at}].tool_call_id"),
            format!(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with \
                 'tool_calls' (messages[{at}]: {missing})."
            ),
        ));
    }
    Ok(())
}

/// Ids that are each given once.
#[derive(Default)]
struct Ids {
    used: HashSet<String>,
    /// From which number on ids of the same beginning are free.
    next: HashMap<String, usize>,
}

impl Ids {
    /// `wanted`, or the first of `wanted_2`, `wanted_3` … that is unused.
    fn unused(&mut self, wanted: &str) -> String {
        let mut id = wanted.to_owned();
        while !self.used.insert(id.clone()) {
            let number = self.next.entry(wanted.to_owned()).or_insert(2);
            id = format!("{wanted}_{number}");
            *number += 1;
        }
        id
    }
}

/// The calls of one turn that were given the same id.
#[derive(Default)]
struct Alike {
    turn: usize,
    /// The ids of those without a result, in their order.
    open: VecDeque<String>,
    /// The last that had a result.
    answered: Option<String>,
}

impl Alike {
    /// The call that one more result answers: the first without one, or else the last.
    fn answer(&mut self) -> Option<String> {
        self.answered = self.open.pop_front().or(self.answered.take());
        self.answered.clone()
    }
}

/// Gives every call an id of its own, and every result that of its call: the old way knows no ids but names, and some
/// bots number the calls of each answer from the start. Of several results of one call the last one stays.
pub fn unique_call_ids(messages: &mut Vec<Message>) {
    let mut ids = Ids::default();
    // of calls with the same id in several turns, those of the last turn are answered
    let mut calls: HashMap<String, Alike> = HashMap::new();
    let mut results: HashMap<String, usize> = HashMap::new();
    let mut replaced = HashSet::new();
    for (turn, message) in messages.iter_mut().enumerate() {
        for call in &mut message.tool_calls {
            let id = ids.unused(&call.id);
            let given = std::mem::replace(&mut call.id, id.clone());
            let alike = calls.entry(given).or_default();
            if alike.turn != turn {
                *alike = Alike { turn, ..Alike::default() };
            }
            alike.open.push_back(id);
        }
        if let (Role::Tool, Some(given)) = (message.role, &message.tool_call_id)
            && let Some(id) = calls.get_mut(given).and_then(Alike::answer)
        {
            replaced.extend(results.insert(id.clone(), turn));
            message.tool_call_id = Some(id);
        }
    }
    let mut turn = 0..;
    messages.retain(|_| turn.next().is_none_or(|turn| !replaced.contains(&turn)));
}

fn section(tools: &[Tool], choice: &ToolChoice, parallel: Option<bool>) -> String {
    let mut text = String::from(HOW);
    match choice {
        ToolChoice::Required => {
            text.push_str(
                "- You must call at least one tool in this answer. An answer in words alone is wrong.\n",
            );
        }
        ToolChoice::Named(name) => {
            let name = quoted(name);
            let _ = writeln!(text, "- You must call the tool {name} in this answer, and no other.");
        }
        ToolChoice::Auto | ToolChoice::None => {}
    }
    match parallel {
        Some(false) => text.push_str("- At most one call in an answer.\n"),
        _ => text.push_str("- For several calls at once write several <invoke> in one <tool_call>.\n"),
    }
    text.push_str("\nThe tools, one JSON object per line:\n\n");
    let lines: Vec<String> = tools.iter().map(|tool| line(tool).to_string()).collect();
    text.push_str(&lines.join("\n"));
    text
}

fn line(tool: &Tool) -> Value {
    let mut line = Map::new();
    line.insert("name".into(), tool.name.as_str().into());
    if let Some(description) = &tool.description {
        line.insert("description".into(), description.as_str().into());
    }
    let none = || json!({"type": "object", "properties": {}});
    line.insert("parameters".into(), tool.parameters.clone().unwrap_or_else(none));
    line.into()
}

/// Writes past calls and results as text, in the form that is lifted: bots imitate what they read.
pub struct PastCalls(Offer);

impl PastCalls {
    /// For calls of these tools.
    pub fn new(tools: &[Tool]) -> PastCalls {
        PastCalls(Offer::new(tools))
    }

    /// The calls of one turn.
    pub fn calls(&self, calls: &[ToolCall]) -> String {
        calls_text(calls, &self.0)
    }

    /// The result of the call `id` of the tool `name`.
    pub fn result(id: &str, name: &str, text: &str) -> String {
        let (id, name) = (escape_attribute(id), escape_attribute(name));
        format!("<tool_result id=\"{id}\" name=\"{name}\">{}</tool_result>", escape(text))
    }
}

/// `messages` with calls and results as text.
fn transcript(messages: Vec<Message>, tools: &[Tool]) -> Vec<Message> {
    let offered = Offer::new(tools);
    let mut names: HashMap<String, String> = HashMap::new();
    let mut turns: Vec<Message> = Vec::new();
    let mut previous = Role::System;
    for mut message in messages {
        let role = message.role;
        if role == Role::Tool {
            message = result_turn(message, &names);
            if let (Role::Tool, Some(turn)) = (previous, turns.last_mut()) {
                turn.parts.append(&mut message.parts);
                continue;
            }
        } else if !message.tool_calls.is_empty() {
            let calls = std::mem::take(&mut message.tool_calls);
            message.parts.push(Part::Text(calls_text(&calls, &offered)));
            names.extend(calls.into_iter().map(|call| (call.id, call.name)));
        }
        previous = role;
        turns.push(message);
    }
    turns
}

/// The user turn that carries the result of a tool, files and all.
fn result_turn(message: Message, names: &HashMap<String, String>) -> Message {
    let id = message.tool_call_id.as_deref().unwrap_or_default();
    let name = names.get(id).or(message.name.as_ref()).map_or("", String::as_str);
    let text = PastCalls::result(id, name, &message.text());
    let mut parts = vec![Part::Text(text)];
    parts.extend(message.parts.into_iter().filter(|part| matches!(part, Part::File(_))));
    Message { role: Role::User, parts, ..Message::default() }
}

fn calls_text(calls: &[ToolCall], offered: &Offer) -> String {
    let mut text = String::from("<tool_call>\n");
    for call in calls {
        text.push_str(&call_text(call, offered));
        text.push('\n');
    }
    text.push_str("</tool_call>");
    text
}

/// A call in the form that the bot is instructed to write, or as a JSON object where that form would not give back the
/// same arguments: where the tool's schema does not say what a value is, or speaks against it.
fn call_text(call: &ToolCall, offered: &Offer) -> String {
    let given = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    if let Ok(Value::Object(arguments)) = serde_json::from_str(given) {
        let markup = invoke(&call.name, &arguments);
        let known = offered.find(&call.name).is_some();
        if !known || reads_back(&markup, &arguments, offered) {
            return markup;
        }
        return format!("{{\"name\": {}, \"arguments\": {given}}}", quoted(&call.name));
    }
    format!("{{\"name\": {}, \"arguments\": {}}}", quoted(&call.name), quoted(given))
}

fn invoke(name: &str, arguments: &Map<String, Value>) -> String {
    let mut text = format!("<invoke name=\"{}\">\n", escape_attribute(name));
    for (name, value) in arguments {
        let content = match value {
            Value::String(value) => escape_content(value),
            other => escape(&other.to_string()),
        };
        let _ = writeln!(text, "<parameter name=\"{}\">{content}</parameter>", escape_attribute(name));
    }
    text.push_str("</invoke>");
    text
}

fn reads_back(markup: &str, arguments: &Map<String, Value>, offered: &Offer) -> bool {
    read_one(markup, offered).is_some_and(|found| {
        serde_json::from_str(&found.arguments).is_ok_and(|read: Map<String, Value>| read == *arguments)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::testing::all_cuts;
    use crate::pipeline::{FileSource, ToolXml};

    fn tool(name: &str, description: Option<&str>, parameters: Option<Value>) -> Tool {
        Tool { name: name.into(), description: description.map(String::from), parameters }
    }

    fn turn(role: Role, text: &str) -> Message {
        let parts = if text.is_empty() { vec![] } else { vec![Part::Text(text.into())] };
        Message { role, parts, ..Message::default() }
    }

    fn calling(calls: &[(&str, &str, &str)]) -> Message {
        let call = |&(id, name, arguments): &(&str, &str, &str)| ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        };
        Message { tool_calls: calls.iter().map(call).collect(), ..turn(Role::Assistant, "") }
    }

    fn result(id: &str, text: &str) -> Message {
        Message { tool_call_id: Some(id.into()), ..turn(Role::Tool, text) }
    }

    fn carried(
        tools: Vec<Tool>,
        messages: Vec<Message>,
        tool_choice: ToolChoice,
    ) -> (ChatRequest, Vec<Tool>) {
        let mut chat = ChatRequest { tools, messages, tool_choice, ..ChatRequest::default() };
        let offered = tools_into_prompt(&mut chat);
        assert!(chat.tools.is_empty());
        (chat, offered)
    }

    /// Thirty thousand calls of one id are distinguished as quickly as three.
    #[test]
    fn repeated_ids_are_made_unique() {
        const TIMES: usize = 30_000;
        let calls = vec![("t", "f", "{}"); TIMES];
        let mut messages = vec![turn(Role::User, "x"), calling(&calls)];
        messages.extend((0..=TIMES).map(|number| result("t", &number.to_string())));
        messages.extend([calling(&[("t", "f", "{}")]), result("t", "next")]);
        unique_call_ids(&mut messages);
        let ids: HashSet<_> =
            messages.iter().flat_map(|turn| &turn.tool_calls).map(|call| &call.id).collect();
        assert_eq!(ids.len(), TIMES + 1);
        let results: HashMap<_, _> =
            messages.iter().filter_map(|turn| Some((turn.tool_call_id.as_deref()?, turn.text()))).collect();
        assert_eq!(results.len(), TIMES + 1);
        assert_eq!((results["t"].as_str(), results["t_2"].as_str()), ("0", "1"));
        // one more result than calls: the last counts
        assert_eq!(results[format!("t_{TIMES}").as_str()], TIMES.to_string());
        assert_eq!(results[format!("t_{}", TIMES + 1).as_str()], "next");
    }

    #[test]
    fn the_tools_are_explained_in_the_system_message() {
        let tools = || {
            vec![
                tool(
                    "f",
                    Some("Does\n\"f\"."),
                    Some(json!({"type": "object", "properties": {"a": {"type": "integer"}}})),
                ),
                tool("g", None, None),
                tool("h", None, Some(json!({}))),
            ]
        };
        let (chat, offered) = carried(tools(), vec![turn(Role::User, "Hi")], ToolChoice::Auto);
        assert_eq!(offered.len(), 3);
        assert_eq!(
            chat.messages.iter().map(|message| message.role).collect::<Vec<_>>(),
            [Role::System, Role::User]
        );
        let text = chat.messages[0].text();
        assert!(text.starts_with("# Tools\n"));
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("{\"name\"")).collect();
        assert_eq!(
            lines,
            [
                r#"{"name":"f","description":"Does\n\"f\".","parameters":{"type":"object","properties":{"a":{"type":"integer"}}}}"#,
                r#"{"name":"g","parameters":{"type":"object","properties":{}}}"#,
                r#"{"name":"h","parameters":{}}"#,
            ]
        );

        let (chat, _) =
            carried(tools(), vec![turn(Role::System, "Be brief."), turn(Role::User, "Hi")], ToolChoice::Auto);
        assert_eq!(chat.messages.len(), 2);
        let text = chat.messages[0].text();
        assert!(text.starts_with("Be brief.\n\n# Tools\n"), "{text}");

        let (chat, offered) = carried(tools(), vec![turn(Role::User, "Hi")], ToolChoice::None);
        assert_eq!((chat.messages, offered.len()), (vec![turn(Role::User, "Hi")], 0));
    }

    #[test]
    fn the_choice_is_in_the_prompt() {
        let text = |choice, parallel| section(&[tool("f", None, None)], &choice, parallel);
        for (desc, text, rendered, untold) in [
            ("auto", text(ToolChoice::Auto, None), "several <invoke>", "must call"),
            (
                "required",
                text(ToolChoice::Required, Some(true)),
                "You must call at least one tool",
                "At most one",
            ),
            (
                "named",
                text(ToolChoice::Named("f".into()), None),
                "You must call the tool \"f\"",
                "At most one",
            ),
            ("one at a time", text(ToolChoice::Auto, Some(false)), "At most one call", "several <invoke>"),
        ] {
            assert!(text.contains(rendered) && !text.contains(untold), "{desc}: {text}");
        }
    }

    #[test]
    fn the_explanation_calls_nothing() {
        let tools = [tool("example_tool", None, None)];
        let said = format!("My instructions:\n```\n{}\n```", section(&tools, &ToolChoice::Auto, None));
        assert_eq!(all_cuts(&said, || ToolXml::new(&tools, String::new)).text, said);
    }

    #[test]
    fn the_second_try_repeats_the_instruction() {
        for (choice, rendered) in [
            (ToolChoice::Auto, None),
            (ToolChoice::None, None),
            (ToolChoice::Required, Some("must call at least one tool in the form <tool_call>")),
            (ToolChoice::Named("f".into()), Some("must call the tool \"f\" in the form")),
        ] {
            let mut chat = ChatRequest {
                messages: vec![turn(Role::User, "Hi")],
                tool_choice: choice,
                ..ChatRequest::default()
            };
            insist_on_call(&mut chat);
            assert_eq!(chat.messages.len(), 1);
            let text = chat.messages[0].text();
            assert_eq!(text.len() > 2, rendered.is_some());
            assert!(rendered.is_none_or(|rendered| text.contains(rendered)), "{text}");
        }
        let native = vec![tool("f", None, None)];
        let mut chat =
            ChatRequest { tools: native, tool_choice: ToolChoice::Required, ..ChatRequest::default() };
        insist_on_call(&mut chat);
        assert!(!chat.messages[0].text().contains("<tool_call>"));
    }

    #[test]
    fn calls_and_results_become_a_transcript() {
        let file = Part::File(FileSource::Link { url: "https://example.com/a.png".into(), name: None });
        let mut with_file = result("2", "b");
        with_file.parts.push(file.clone());
        let mut spoken = calling(&[("1", "f", r#"{"a": "x<y", "n": 5}"#), ("2", "g", "")]);
        spoken.parts.push(Part::Text("Well.".into()));
        let messages = vec![
            turn(Role::User, "Hi"),
            spoken,
            result("1", "<a> & </tool_result>"),
            with_file,
            turn(Role::User, "Go on"),
            calling(&[("3\"", "odd name", "not JSON")]),
            result("3\"", ""),
        ];
        let (chat, _) = carried(vec![], messages, ToolChoice::Auto);
        let texts: Vec<_> = chat.messages.iter().map(|message| (message.role, message.text())).collect();
        let expected = [
            (Role::User, "Hi"),
            (
                Role::Assistant,
                "Well.\n<tool_call>\n<invoke name=\"f\">\n<parameter name=\"a\">x&lt;y</parameter>\n\
                <parameter name=\"n\">5</parameter>\n</invoke>\n<invoke name=\"g\">\n</invoke>\n</tool_call>",
            ),
            (
                Role::User,
                "<tool_result id=\"1\" name=\"f\">&lt;a&gt; &amp; &lt;/tool_result&gt;</tool_result>\n\
                <tool_result id=\"2\" name=\"g\">b</tool_result>",
            ),
            (Role::User, "Go on"),
            (
                Role::Assistant,
                "<tool_call>\n{\"name\": \"odd name\", \"arguments\": \"not JSON\"}\n</tool_call>",
            ),
            (Role::User, "<tool_result id=\"3&quot;\" name=\"odd name\"></tool_result>"),
        ];
        assert_eq!(texts, expected.map(|(role, text)| (role, text.to_string())));
        assert_eq!(chat.messages[2].parts[2], file);
        assert!(
            chat.messages
                .iter()
                .all(|message| message.tool_calls.is_empty() && message.tool_call_id.is_none())
        );
    }

    #[test]
    fn a_result_needs_its_call() {
        let call = || calling(&[("a", "f", "{}"), ("b", "f", "{}")]);
        for (desc, messages, param) in [
            ("in order", vec![call(), result("a", ""), result("b", "")], None),
            ("later", vec![call(), turn(Role::User, ""), result("b", "")], None),
            ("unknown", vec![call(), result("a", ""), result("c", "")], Some("messages[2].tool_call_id")),
            ("too early", vec![result("a", ""), call()], Some("messages[0].tool_call_id")),
            ("no id", vec![call(), turn(Role::Tool, "")], Some("messages[1].tool_call_id")),
        ] {
            let error = check_tool_turns(&messages).err();
            assert_eq!(error.as_ref().and_then(|error| error.param.as_deref()), param, "{desc}");
            let words = "must be a response to a preceeding message with 'tool_calls'";
            assert!(error.is_none_or(|error| error.message.contains(words)), "{desc}");
        }
    }

    #[test]
    fn a_name_that_every_result_would_repeat_has_a_limit() {
        let named = |bytes: usize| calling(&[("a", "f", "{}"), ("b", &"f".repeat(bytes), "{}")]);
        assert!(check_tool_turns(&[named(MOST_NAME_BYTES), result("b", "")]).is_ok());
        let error = check_tool_turns(&[turn(Role::User, ""), named(MOST_NAME_BYTES + 1)]).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[1].tool_calls[1].function.name"));
    }

    #[test]
    fn arguments_read_back_where_the_schema_is_silent() {
        let tools =
            [tool("f", None, None), tool("i", None, Some(json!({"properties": {"x": {"type": "integer"}}})))];
        for arguments in [
            r#"{"x":5}"#,
            r#"{"x":"5"}"#,
            r#"{"x":"{\"a\":1}"}"#,
            r#"{"x":null,"y":true,"z":[],"</parameter>":{"a":"</tool_call>"}}"#,
            r#"{"x":1.0}"#,
            "{}",
            "",
        ] {
            for name in ["f", "i"] {
                assert_reads_back(name, arguments, &tools);
            }
        }
    }

    fn assert_reads_back(name: &str, arguments: &str, tools: &[Tool]) {
        let calls = vec![("1", name, arguments), ("2", name, arguments)];
        let (chat, _) = carried(tools.to_vec(), vec![calling(&calls)], ToolChoice::None);
        let text = chat.messages[0].text();
        let reply = all_cuts(&text, || ToolXml::new(tools, String::new));
        assert_eq!(reply.text, "", "{text}");
        assert_eq!(reply.tool_calls.len(), 2, "{text}");
        let value =
            |text: &str| serde_json::from_str::<Value>(if text.is_empty() { "{}" } else { text }).unwrap();
        for call in reply.tool_calls {
            assert_eq!(value(&call.arguments), value(arguments), "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text =
            "(\n|\r| |<|>|&|amp;|\"|]]>|</parameter>|</invoke>|<!\\[CDATA\\[|[0-9]|null|\\{\\}|[a-é]){0,6}";
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6).prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        scalar.prop_recursive(2, 6, 3, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c<\"]{1,2}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn arguments_read_back_exactly(x in any_json(), y in any_json(), odd in any_json(), name in "[xy<>&\"' é\n]{1,3}") {
            let schema = json!({"properties": {"x": {"type": ["string", "integer", "null"]}, "y": {"type": "object"}}});
            let tools = [tool("f", None, Some(schema)), tool("g", None, None)];
            let arguments = json!({"x": x, "y": y, name: odd}).to_string();
            assert_reads_back("f", &arguments, &tools);
            assert_reads_back("g", &arguments, &tools);
        }
    }
}
