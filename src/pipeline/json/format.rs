//! JSON answers from bots without a JSON mode: instructs the bot, extracts the JSON from its answer, and validates it.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::schema;
use crate::pipeline::tools::boundary;
use crate::pipeline::{ChatRequest, Event, Format, Message, Part, Role, Stage};

/// The line that opens the instruction.
const HEADING: &str = "# Answer format";

/// Adds an instruction about the answer's format to the system turn; none for plain text.
pub fn instruct(chat: &mut ChatRequest) {
    let instruction = match &chat.format {
        Format::Text | Format::Bare => return,
        Format::JsonObject => format!(
            "{HEADING}\nAnswer with one JSON object and nothing else: no Markdown fence, no words before or after it."
        ),
        Format::JsonSchema { name, schema } => format!(
            "{HEADING}\nAnswer with JSON and nothing else: no Markdown fence, no words before or after it. \
             The JSON must be an instance of this JSON Schema ({name}), not the schema itself:\n{schema}"
        ),
    };
    match chat.messages.first_mut() {
        Some(system) if system.role == Role::System => {
            // An empty line before the heading keeps it apart from the client's own words.
            let apart = if system.text().is_empty() { "" } else { "\n" };
            system.parts.push(Part::Text(format!("{apart}{instruction}")));
        }
        _ => chat.messages.insert(0, turn(Role::System, instruction)),
    }
}

/// Asks again, with the answer that did not fit and the fault that was found in it.
pub fn insist_on_json(chat: &mut ChatRequest, answer: &str, fault: &str) {
    if !answer.trim().is_empty() {
        chat.messages.push(turn(Role::Assistant, answer.to_owned()));
    }
    let again = format!(
        "Your answer did not fit the answer format: {fault}. \
         Answer again, completely, with the corrected JSON and nothing else."
    );
    chat.messages.push(turn(Role::User, again));
}

fn turn(role: Role, text: String) -> Message {
    Message { role, parts: vec![Part::Text(text)], ..Message::default() }
}

/// Judges an answer. The fault names the place by JSON Pointer and the rule that is broken there.
pub fn check(json: &str, format: &Format) -> Result<(), String> {
    if !format.is_json() {
        return Ok(());
    }
    let broken = |error| format!("it is not JSON: {error}");
    if let Format::JsonSchema { schema, .. } = format {
        let value: Value = serde_json::from_str(json).map_err(broken)?;
        return schema::check(&value, schema).map_err(|fault| fault.to_string());
    }
    // a tree of values would take many times the memory of the text
    serde_json::from_str::<IgnoredAny>(json).map_err(broken)?;
    match json.trim_start().starts_with('{') {
        true => Ok(()),
        false => Err("at the root: must be a JSON object".to_owned()),
    }
}

/// Takes the JSON out of an answer: all of it, or the first fenced block that is JSON, or the first object or list
/// in the running text. A list of nothing but numbers, as in "see \[1\]", gives way to an object after it.
pub fn extract(text: &str) -> Option<&str> {
    let all = text.trim();
    let mut tries = LoginThrottle::of(text);
    if tries.is_json(all) {
        return Some(all);
    }
    fenced(text).find(|block| tries.is_json(block)).or_else(|| embedded(text, &mut tries))
}

/// How many times a whole answer may be read in search of its JSON, and how many bytes of a short one.
const MOST_READINGS: usize = 16;
const LEAST_READ: usize = 64 << 10;

/// How many bytes may still be read.
struct LoginThrottle {
    left: usize,
}

impl LoginThrottle {
    fn of(text: &str) -> LoginThrottle {
        LoginThrottle { left: text.len().saturating_mul(MOST_READINGS).saturating_add(LEAST_READ) }
    }

    fn is_json(&mut self, text: &str) -> bool {
        if self.left == 0 {
            return false;
        }
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => true,
            Err(error) => {
                self.failed(text, &error);
                false
            }
        }
    }

    /// Takes off what was read of `text` before the error.
    fn failed(&mut self, text: &str, error: &serde_json::Error) {
        let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
        let read = lines.map(str::len).sum::<usize>() + error.column();
        self.left = self.left.saturating_sub(read.max(1));
    }
}

/// What stands inside the fences, trimmed. A fence may be left open at the end. Backticks inside the JSON's own
/// strings end a block too early, which then does not parse; so each opening is tried with every closing after it.
fn fenced(text: &str) -> impl Iterator<Item = &str> {
    let fences: Vec<usize> = text.match_indices("```").map(|(at, _)| at).take(MOST_FENCES).collect();
    (0..fences.len()).flat_map(move |index| {
        let body = fences[index] + 3;
        let begins = text[body..].find(['\n', '{', '[']).map_or(text.len(), |at| body + at);
        let closings: Vec<usize> = fences[index + 1..].iter().copied().chain([text.len()]).collect();
        closings.into_iter().filter_map(move |end| text.get(begins..end)).map(str::trim)
    })
}

/// An answer with more fences than this is no answer in JSON.
const MOST_FENCES: usize = 16;

/// How many brackets of running text are tried.
const MOST_TRIES: usize = 256;

fn embedded<'t>(text: &'t str, tries: &mut LoginThrottle) -> Option<&'t str> {
    let all = embedded_values(text, tries);
    all.iter().find(|json| !is_citation(json)).or(all.first()).copied()
}

/// The objects and lists in running text, in order.
fn embedded_values<'t>(text: &'t str, tries: &mut LoginThrottle) -> Vec<&'t str> {
    let (mut all, mut at) = (Vec::new(), 0);
    for _ in 0..MOST_TRIES {
        let Some(start) = text[at..].find(['{', '[']).map(|found| at + found) else { break };
        let mut values = Deserializer::from_str(&text[start..]).into_iter::<IgnoredAny>();
        at = match values.next() {
            Some(Ok(_)) => start + values.byte_offset(),
            // The text ends inside the object: what it holds is not the answer.
            Some(Err(error)) if error.is_eof() && text[start..].starts_with('{') => break,
            Some(Err(error)) if tries.left > 0 => {
                tries.failed(&text[start..], &error);
                at = start + 1;
                continue;
            }
            _ => break,
        };
        all.push(&text[start..at]);
    }
    all
}

/// Takes the JSON out of an answer: of several values the last that fits `format`, or else what [`extract`] finds.
pub fn fitting<'t>(text: &'t str, format: &Format) -> Option<&'t str> {
    let first = extract(text)?;
    let (all, mut tries) = (text.trim(), LoginThrottle::of(text));
    if !format.is_json() || tries.is_json(all) {
        return Some(first);
    }
    let fits = |json: &&str| check(json, format).is_ok();
    let last = embedded_values(text, &mut tries).into_iter().rev().find(|json| fits(json));
    Some(last.or_else(|| fenced(text).filter(|block| tries.is_json(block)).find(fits)).unwrap_or(first))
}

fn is_citation(json: &str) -> bool {
    json.chars().all(|char| char.is_ascii_digit() || char.is_whitespace() || "[],.-".contains(char))
}

/// Leaves of a streamed answer only its JSON.
///
/// JSON that begins the answer, bare or in a Markdown fence, is streamed as it comes; what follows its last bracket
/// (the fence, closing words) is left out. An answer that begins in any other way is held until its end, because
/// only then is it known what of it is the JSON, and sent as [`fitting`] finds it, or whole if there is none. So is
/// a short value at the start where a schema is given: a template or a draft may stand in front of the answer.
#[derive(Default)]
pub struct JsonOnly {
    phase: Phase,
    format: Format,
}

/// Longest value that is held back because another may follow it.
const SHORT: usize = 1024;

enum Phase {
    /// What came so far may be the beginning of a JSON answer.
    Opening(String),
    /// Inside a first value that is still short.
    First(Scanner, String),
    /// Inside the JSON.
    Inside(Scanner),
    /// After the JSON: nothing more is said.
    Done,
    /// An answer that begins otherwise.
    Held(String),
}

impl Default for Phase {
    fn default() -> Phase {
        Phase::Opening(String::new())
    }
}

impl JsonOnly {
    /// Judges by `format` which of several values is the answer.
    pub fn new(format: Format) -> JsonOnly {
        JsonOnly { phase: Phase::default(), format }
    }

    fn take_text(&mut self, piece: String, out: &mut VecDeque<Event>) {
        match std::mem::take(&mut self.phase) {
            Phase::Opening(held) => self.open(held + &piece, out),
            Phase::First(scanner, held) => self.first(scanner, held, piece, out),
            Phase::Inside(scanner) => self.inside(scanner, piece, out),
            Phase::Done => self.phase = Phase::Done,
            Phase::Held(held) => self.phase = Phase::Held(held + &piece),
        }
    }

    fn open(&mut self, text: String, out: &mut VecDeque<Event>) {
        match opening(&text) {
            Opening::Json(start) if matches!(self.format, Format::JsonSchema { .. }) => {
                self.first(Scanner::default(), String::new(), text[start..].to_owned(), out);
            }
            Opening::Json(start) => self.inside(Scanner::default(), text[start..].to_owned(), out),
            Opening::Perhaps if text.len() <= LONGEST_OPENING => self.phase = Phase::Opening(text),
            Opening::Perhaps | Opening::Other => self.phase = Phase::Held(text),
        }
    }

    fn first(&mut self, mut scanner: Scanner, held: String, piece: String, out: &mut VecDeque<Event>) {
        let room = boundary(&piece, SHORT.saturating_sub(held.len()));
        match scanner.end(&piece[..room]) {
            Some(_) => self.phase = Phase::Held(held + &piece),
            None if room == piece.len() => self.phase = Phase::First(scanner, held + &piece),
            None => {
                out.push_back(Event::Text(held + &piece[..room]));
                self.inside(scanner, piece[room..].to_owned(), out);
            }
        }
    }

    fn inside(&mut self, mut scanner: Scanner, mut piece: String, out: &mut VecDeque<Event>) {
        self.phase = match scanner.end(&piece) {
            Some(end) => {
                piece.truncate(end);
                Phase::Done
            }
            None => Phase::Inside(scanner),
        };
        if !piece.is_empty() {
            out.push_back(Event::Text(piece));
        }
    }

    /// A call follows: words before it explain the call and are no answer in JSON.
    fn step_aside(&mut self, out: &mut VecDeque<Event>) {
        if let Phase::Opening(text) | Phase::First(_, text) | Phase::Held(text) = &mut self.phase
            && !text.is_empty()
        {
            out.push_back(Event::Text(std::mem::take(text)));
            self.phase = Phase::default();
        }
    }

    /// No more text comes.
    fn release(&mut self, out: &mut VecDeque<Event>) {
        if let Phase::Opening(text) | Phase::First(_, text) | Phase::Held(text) =
            std::mem::take(&mut self.phase)
            && !text.is_empty()
        {
            out.push_back(Event::Text(fitting(&text, &self.format).unwrap_or(&text).to_owned()));
        }
        self.phase = Phase::Done;
    }
}

impl Stage for JsonOnly {
    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match event {
            Event::Text(piece) => self.take_text(piece, out),
            Event::Retract => {
                self.phase = Phase::default();
                out.push_back(event);
            }
            Event::Finish(_) => {
                self.release(out);
                out.push_back(event);
            }
            Event::ToolCall(_) => {
                self.step_aside(out);
                out.push_back(event);
            }
            other => out.push_back(other),
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        self.release(out);
    }
}

enum Opening {
    /// JSON begins at this byte.
    Json(usize),
    /// More text must come.
    Perhaps,
    /// Something else.
    Other,
}

fn opening(text: &str) -> Opening {
    let said = text.trim_start();
    let start = text.len() - said.len();
    let fence = said.len().min(3);
    if !said.is_empty() && said.as_bytes()[..fence] == b"```"[..fence] {
        return match said.find(['\n', '{', '[']) {
            Some(line) => json_at(text, start + line),
            None if said.len() <= LONGEST_INFO => Opening::Perhaps,
            None => Opening::Other,
        };
    }
    json_at(text, start)
}

/// An answer that has not begun after so many bytes, white space for the most part, is held to its end.
const LONGEST_OPENING: usize = 4096;

/// The longest line that opens a fence, in bytes.
const LONGEST_INFO: usize = 40;

/// Whether JSON begins after white space from `from` on. Prose may begin with a bracket too ("\[1\] says", "{name}"),
/// so what follows the bracket must go on as an object, or as a list of objects, lists or strings.
fn json_at(text: &str, from: usize) -> Opening {
    let said = text[from..].trim_start();
    let start = text.len() - said.len();
    let next = said.get(1..).and_then(|rest| rest.trim_start().chars().next());
    match (said.chars().next(), next) {
        (None, _) | (Some('{' | '['), None) => Opening::Perhaps,
        (Some('{'), Some('"' | '}')) | (Some('['), Some('{' | '[' | '"')) => Opening::Json(start),
        _ => Opening::Other,
    }
}

/// Follows JSON to its last bracket.
#[derive(Default)]
struct Scanner {
    depth: usize,
    place: Where,
}

#[derive(Default, Clone, Copy)]
enum Where {
    #[default]
    Outside,
    String,
    /// After a backslash in a string.
    Escaped,
}

impl Scanner {
    /// Where the JSON ends in `piece`, if it does.
    fn end(&mut self, piece: &str) -> Option<usize> {
        for (at, byte) in piece.bytes().enumerate() {
            self.place = match (self.place, byte) {
                (Where::Outside | Where::Escaped, b'"') if matches!(self.place, Where::Outside) => {
                    Where::String
                }
                (Where::String, b'\\') => Where::Escaped,
                (Where::String, b'"') => Where::Outside,
                (Where::Outside, _) => Where::Outside,
                (Where::String | Where::Escaped, _) => Where::String,
            };
            match (self.place, byte) {
                (Where::Outside, b'{' | b'[') => self.depth += 1,
                (Where::Outside, b'}' | b']') => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::pipeline::every_split::{end, every_split, text, thinking};
    use crate::pipeline::{Finish, ToolDelta};

    fn schema() -> Format {
        let schema = json!({
            "type": "object",
            "properties": {"n": {"type": "integer"}, "list": {"type": "array", "items": {"type": "string"}}},
            "required": ["n"],
        });
        Format::JsonSchema { name: "number".into(), schema }
    }

    fn chat(format: Format, turns: &[(Role, &str)]) -> ChatRequest {
        let messages = turns.iter().map(|&(role, text)| turn(role, text.into())).collect();
        ChatRequest { format, messages, ..ChatRequest::default() }
    }

    #[test]
    fn the_prompt_states_the_format() {
        let mut rendered = chat(schema(), &[(Role::User, "hi")]);
        instruct(&mut rendered);
        assert_eq!((rendered.messages.len(), rendered.messages[0].role), (2, Role::System));
        let system = rendered.messages[0].text();
        assert!(system.starts_with("# Answer format\n"), "{system}");
        let line = system.lines().find(|line| line.starts_with('{')).unwrap();
        let Format::JsonSchema { schema, .. } = &rendered.format else { panic!() };
        assert_eq!(&serde_json::from_str::<Value>(line).unwrap(), schema);

        let mut rendered = chat(Format::JsonObject, &[(Role::System, "Be kind."), (Role::User, "hi")]);
        instruct(&mut rendered);
        assert_eq!(rendered.messages.len(), 2);
        assert!(rendered.messages[0].text().starts_with("Be kind.\n\n# Answer format\n"));

        let mut plain = chat(Format::Text, &[(Role::User, "hi")]);
        instruct(&mut plain);
        assert_eq!(plain.messages.len(), 1);
    }

    #[test]
    fn asking_again_names_the_fault() {
        let mut again = chat(schema(), &[(Role::User, "hi")]);
        insist_on_json(&mut again, "{}", "at the root: \"n\" is missing [required]");
        assert_eq!((again.messages[1].role, again.messages[1].text().as_str()), (Role::Assistant, "{}"));
        assert_eq!(again.messages[2].role, Role::User);
        let words = again.messages[2].text();
        assert!(words.contains("did not fit") && words.contains("\"n\" is missing"), "{words}");
        insist_on_json(&mut again, " ", "it is not JSON");
        assert_eq!(again.messages.len(), 4, "an empty answer is no turn");
    }

    #[test]
    fn answers_are_judged() {
        assert_eq!(check(r#"{"n": 1}"#, &schema()), Ok(()));
        let fault = check(r#"{"n": 1, "list": ["a", 2]}"#, &schema()).unwrap_err();
        assert_eq!(fault, "at /list/1: must be of type string, is integer [type]");
        assert!(check("{", &schema()).unwrap_err().starts_with("it is not JSON"));
        assert_eq!(check("{}", &Format::JsonObject), Ok(()));
        assert!(check("[]", &Format::JsonObject).unwrap_err().contains("must be a JSON object"));
        assert_eq!(check("anything", &Format::Text), Ok(()));
    }

    #[test]
    fn of_several_values_the_last_that_fits_is_the_answer() {
        for (text, json) in [
            ("{} {\"n\": 1}", "{\"n\": 1}"),
            ("Template: {\"n\": \"<number>\"}\n\n{\"n\": 2}", "{\"n\": 2}"),
            ("{\"n\": 1}\nNo: {\"n\": 2}", "{\"n\": 2}"),
            ("{\"n\": 1} as in [1] and {\"a\": 2}", "{\"n\": 1}"),
            ("```json\n{\"m\": 1}\n```\n```json\n{\"n\": 3}\n```", "{\"n\": 3}"),
            ("{\"n\": 1}\n{\"n\": ", "{\"n\": 1}"),
            ("{\"a\": 1} {\"b\": 2}", "{\"a\": 1}"),
            ("{\"n\": 1}", "{\"n\": 1}"),
        ] {
            assert_eq!(fitting(text, &schema()), Some(json), "{text}");
            let reply = every_split(|| JsonOnly::new(schema()), &[Event::Text(text.into()), end()]);
            assert_eq!(reply.text, json, "{text}");
        }
        let long = format!("{{\"n\": 1, \"list\": [\"{}\"]}}", "x".repeat(2 * SHORT));
        let mut out = VecDeque::new();
        let mut stage = JsonOnly::new(schema());
        assert!(stage.push(text(&long[..SHORT + 9]), &mut out).is_continue());
        assert!(!out.is_empty(), "what is not short is streamed");
        assert_eq!(every_split(|| JsonOnly::new(schema()), &[text(&long), end()]).text, long);
    }

    #[test]
    fn json_is_taken_out_of_fences_and_prose() {
        for (answer, json) in [
            (" {\"a\": 1}\n", Some("{\"a\": 1}")),
            ("[1, 2]", Some("[1, 2]")),
            ("42", Some("42")),
            ("```json\n{\"a\": 1}\n```", Some("{\"a\": 1}")),
            ("Sure:\n```\n[{}]\n```\nHope it helps {x}", Some("[{}]")),
            ("```python\nx = [1]\n```\n```json\n{\"a\": 2}\n```", Some("{\"a\": 2}")),
            ("```json\n{\"a\": \"```b```\"}\n```", Some("{\"a\": \"```b```\"}")),
            ("```json\n{\"a\": 1}", Some("{\"a\": 1}")),
            ("```json {\"a\": 1}```", Some("{\"a\": 1}")),
            ("The answer {sic} is {\"a\": \"}\"} [2].", Some("{\"a\": \"}\"}")),
            ("As [1] says: {\"a\": [1]}", Some("{\"a\": [1]}")),
            ("The list is [1, 2].", Some("[1, 2]")),
            ("broken: {\"a\": {\"b\": 1}", None),
            ("no JSON at all", None),
            ("", None),
        ] {
            assert_eq!(extract(answer), json, "{answer}");
        }
    }

    fn streamed(answer: &str) -> String {
        every_split(JsonOnly::default, &[thinking("hm"), text(answer), end()]).text
    }

    #[test]
    fn json_that_begins_the_answer_is_streamed() {
        for begun in ["{\"a\": ", "\n```json\n{\"a\": ", "```\n[{\"a\": ", " [ \"x\", "] {
            let mut out = VecDeque::new();
            let _ = JsonOnly::default().push(text(begun), &mut out);
            assert_eq!(out.len(), 1, "{begun}");
        }
    }

    #[test]
    fn only_the_json_is_emitted() {
        for answer in [
            "{\"a\": \"\\\"}\\\\\", \"b\": [{}]}",
            "```json\n{\"a\": \"```\"}\n```",
            "``` json\n[[1], [2]]\n```\nDone! {}",
            "Here you are:\n```json\n{\"a\": 1}\n```",
            "[1] says {\"a\": 1}",
            "[1, 2, 3]",
            "{}",
            "17",
            "{ \"a\" : 1 } is my answer [1].",
        ] {
            assert_eq!(streamed(answer), extract(answer).unwrap(), "{answer}");
        }
    }

    #[test]
    fn an_answer_without_json_is_not_lost() {
        for answer in ["I can not do that.", "``", "{name}", "[", "```json\n", " "] {
            assert_eq!(streamed(answer), answer);
        }
        assert_eq!(streamed("{\"a\": 1"), "{\"a\": 1", "cut off by a limit");
    }

    #[test]
    fn a_retraction_begins_anew_and_other_events_pass() {
        let call = Event::ToolCall(ToolDelta::default());
        let events =
            [text("{\"a\": 1}"), Event::Retract, text("```json\n{\"b\": "), call, text("2}\n```"), end()];
        let reply = every_split(JsonOnly::default, &events);
        assert_eq!((reply.text.as_str(), reply.tool_calls.len()), ("{\"b\": 2}", 1));
        assert_eq!(reply.finish, Finish::default());
    }

    #[test]
    fn words_before_a_call_are_said_before_it() {
        let call = Event::ToolCall(ToolDelta::default());
        let mut stage = JsonOnly::default();
        let mut out = VecDeque::new();
        for event in [text("Let me look at [1]."), call.clone(), end()] {
            let _ = stage.push(event, &mut out);
        }
        assert_eq!(out, [text("Let me look at [1]."), call, end()]);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<i32>().prop_map(Value::from),
            "[a`{}\\[\\]\"\\\\é]{0,5}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a-c\"`]{0,3}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_comes_out_as_it_went_in(value in any_json(), dress in 0usize..4) {
            let json = json!({"v": value}).to_string();
            let answer = match dress {
                0 => json.clone(),
                1 => format!("```json\n{json}\n```\n"),
                2 => format!("Sure!\n\n{json}\n\nAnything else?"),
                _ => format!("Sure!\n```\n{json}\n```\nAnything else?"),
            };
            prop_assert_eq!(streamed(&answer), json);
        }

        #[test]
        fn nothing_panics(answer in "[{}\\[\\]\"`\\\\a1 \n:,]{0,30}") {
            let rendered = streamed(&answer);
            prop_assert!(answer.contains(&rendered));
            let _ = extract(&answer).map(|json| check(json, &Format::JsonObject));
        }
    }
}
