//! Bots without native tools: the prompt explains the tools, and the bots call them in XML inside the text.

use serde_json::Value;

use super::Turn;
use super::toolbox::{self, Act, Bench, Call};
use crate::demo::query::{Function, Message, Query, ToolResult};
use crate::demo::script::{AWKWARD, Script, error, pieces, stream, whole};

/// What is said before the calls and after them.
pub const AROUND: (&str, &str) = ("I will look that up.\n", "\nOne moment, please.");

/// How calls are written. Models are not of one mind.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// `<tool_call><invoke name="f"><parameter name="a">1</parameter></invoke></tool_call>`
    Wrapped,
    /// The same without the outer tag.
    Bare,
    /// `<f><a>1</a></f>`
    Named,
    /// Wrapped, with text in CDATA sections.
    Cdata,
}

pub fn tools(turn: &Turn) -> Script {
    answer(turn, Style::Wrapped, toolbox::plan)
}

pub fn bare(turn: &Turn) -> Script {
    answer(turn, Style::Bare, toolbox::plan)
}

pub fn named(turn: &Turn) -> Script {
    answer(turn, Style::Named, toolbox::plan)
}

pub fn cdata(turn: &Turn) -> Script {
    answer(turn, Style::Cdata, toolbox::plan)
}

pub fn shy(turn: &Turn) -> Script {
    answer(turn, Style::Wrapped, |bench| toolbox::shy(turn, bench))
}

/// Carries `act` of an agent.
pub fn carry(plan: fn(&Bench) -> Act, turn: &Turn) -> Script {
    answer(turn, Style::Wrapped, plan)
}

fn answer(turn: &Turn, style: Style, plan: impl Fn(&Bench) -> Act) -> Script {
    if !turn.query.tools.is_empty() {
        return stream(vec![error(false, None, "This bot does not support tool calling")]);
    }
    match plan(&from_prompt(turn.query)) {
        Act::Say(words) => whole(pieces(&words, AWKWARD)),
        Act::Call(calls) => whole(pieces(&written(&calls, style), AWKWARD)),
    }
}

fn written(calls: &[Call], style: Style) -> String {
    let calls: Vec<String> = calls.iter().map(|call| one(call, style)).collect();
    format!("{}{}{}", AROUND.0, calls.join("\n"), AROUND.1)
}

fn one(call: &Call, style: Style) -> String {
    let arguments = call.arguments.as_object().into_iter().flatten();
    let parameters: Vec<String> = arguments.map(|(name, value)| parameter(name, value, style)).collect();
    let (name, inner) = (&call.name, parameters.join("\n"));
    match style {
        Style::Named => format!("<{name}>\n{inner}\n</{name}>"),
        Style::Bare => format!("<invoke name=\"{name}\">\n{inner}\n</invoke>"),
        _ => format!("<tool_call>\n<invoke name=\"{name}\">\n{inner}\n</invoke>\n</tool_call>"),
    }
}

fn parameter(name: &str, value: &Value, style: Style) -> String {
    let content = match (value, style) {
        (Value::String(text), Style::Cdata) => format!("<![CDATA[{text}]]>"),
        (Value::String(text), _) => escape(text),
        (other, _) => escape(&other.to_string()),
    };
    match style {
        Style::Named => format!("<{name}>{content}</{name}>"),
        _ => format!("<parameter name=\"{name}\">{content}</parameter>"),
    }
}

/// Reads what the prompt says of tools and results.
fn from_prompt(query: &Query) -> Bench {
    let (mut results, mut task) = (Vec::new(), String::new());
    for message in query.messages.iter().rev().filter(|message| message.role == "user") {
        let found = results_in(message);
        if found.is_empty() {
            task.clone_from(&message.content);
            break;
        }
        results.splice(0..0, found);
    }
    let (tools, must) = offered(query);
    Bench {
        task,
        tools,
        results,
        must,
        one_by_one: false,
        turns: query.messages.len(),
        context: toolbox::context(query),
        rounds: toolbox::rounds(query),
    }
}

/// A section that begins with the line `# Tools` holds one JSON object per line for each function. A sentence there that
/// says "must" and names a function insists on it.
fn offered(query: &Query) -> (Vec<Function>, Option<String>) {
    let section = query.messages.iter().filter(|message| message.role == "system").find_map(|message| {
        let mut lines = message.content.lines();
        lines.find(|line| line.trim() == "# Tools").map(|_| lines.collect::<Vec<_>>())
    });
    let lines = section.unwrap_or_default();
    let tools: Vec<Function> =
        lines.iter().filter_map(|line| serde_json::from_str(line.trim()).ok()).collect();
    let strict =
        lines.iter().filter(|line| !line.trim().starts_with('{') && line.to_lowercase().contains("must"));
    let named =
        |line: &&str| tools.iter().find(|tool| mentions(line, &tool.name)).map(|tool| tool.name.clone());
    let must = strict.copied().find_map(|line| named(&line));
    (tools, must)
}

/// Whether `line` holds `name` as a word of its own.
fn mentions(line: &str, name: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).any(|word| word == name)
}

/// `<tool_result id="ID" name="NAME">escaped</tool_result>`, any number of them in a turn.
fn results_in(message: &Message) -> Vec<ToolResult> {
    let parts = message.content.split("<tool_result ").skip(1);
    parts
        .filter_map(|part| {
            let (head, rest) = part.split_once('>')?;
            let (content, _) = rest.split_once("</tool_result>")?;
            let name = head.split("name=\"").nth(1)?.split('"').next()?;
            Some(ToolResult { name: unescape(name), content: unescape(content.trim_matches('\n')) })
        })
        .collect()
}

/// The five entities of XML; `&` first when escaping and last when not.
const ENTITIES: [(&str, &str); 5] =
    [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&apos;")];

fn escape(text: &str) -> String {
    ENTITIES[..3].iter().fold(text.to_string(), |text, (plain, entity)| text.replace(plain, entity))
}

fn unescape(text: &str) -> String {
    ENTITIES.iter().rev().fold(text.to_string(), |text, (plain, entity)| text.replace(entity, plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::bots::tests::{steps, text as said};
    use crate::demo::query::tests::with;

    use serde_json::json;

    const PROMPT: &str = "Be kind.\n\n# Tools\nYou may call:\n\
        {\"name\":\"weather\",\"description\":\"d\",\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}},\"required\":[\"city\"]}}\n\
        {\"name\":\"time\",\"description\":\"\",\"parameters\":{}}\nAnswer in XML.";

    fn asked(prompt: &str, task: &str) -> Query {
        with(json!({"query": [{"role": "system", "content": prompt}, {"role": "user", "content": task}]}))
    }

    #[test]
    fn calls_are_written_in_each_style() {
        let rows = [
            (
                "demo-xml-tools",
                "<tool_call>\n<invoke name=\"weather\">\n<parameter name=\"city\">A&amp;B</parameter>\n<parameter name=\"days\">2</parameter>\n</invoke>\n</tool_call>",
            ),
            (
                "demo-xml-tools-bare",
                "<invoke name=\"weather\">\n<parameter name=\"city\">A&amp;B</parameter>\n<parameter name=\"days\">2</parameter>\n</invoke>",
            ),
            ("demo-xml-tools-named", "<weather>\n<city>A&amp;B</city>\n<days>2</days>\n</weather>"),
            (
                "demo-xml-tools-cdata",
                "<tool_call>\n<invoke name=\"weather\">\n<parameter name=\"city\"><![CDATA[A&B]]></parameter>\n<parameter name=\"days\">2</parameter>\n</invoke>\n</tool_call>",
            ),
        ];
        for (bot, call) in rows {
            let expected = format!("I will look that up.\n{call}\nOne moment, please.");
            assert_eq!(said(&steps(bot, &asked(PROMPT, "city=A&B days=2"))), expected);
        }
    }

    #[test]
    fn results_are_quoted_unescaped_and_only_those_of_this_turn() {
        let result = |text: &str| format!("<tool_result id=\"1\" name=\"weather\">{text}</tool_result>");
        let mut query = with(json!({"query": [
            {"role": "system", "content": PROMPT}, {"role": "user", "content": "before"},
            {"role": "user", "content": result("old")}, {"role": "user", "content": "city=Rome"},
            {"role": "bot", "content": "…"}, {"role": "user", "content": result("&lt;sun&gt; &amp; &amp;lt;") + &result("b")}]}));
        assert_eq!(said(&steps("demo-xml-tools", &query)), "weather says: <sun> & &lt;\nweather says: b");
        query.messages.truncate(4);
        assert!(said(&steps("demo-xml-tools", &query)).contains(">Rome<"));
    }

    #[test]
    fn a_must_in_the_prompt_is_heeded() {
        let prompt = format!("{PROMPT}\nYou must call `time`.");
        assert!(
            said(&steps("demo-xml-tools", &asked(&prompt, "city=Rome"))).contains("<invoke name=\"time\">")
        );
    }

    #[test]
    fn tools_in_the_query_are_refused() {
        let tool = crate::demo::bots::tests::tool("f", json!({"type": "object", "properties": {}}));
        let steps = steps("demo-xml-tools", &with(json!({"tools": [tool]})));
        assert_eq!(steps, [error(false, None, "This bot does not support tool calling")]);
    }
}
