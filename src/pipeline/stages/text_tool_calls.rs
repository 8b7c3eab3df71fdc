//! Lifts calls that a bot without native tools writes into its text as XML or JSON.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::pipeline::tools::code_fences::Fences;
use crate::pipeline::tools::scanner::{Candidate, Ending, Found, Offered, Surrounding, Verdict};
use crate::pipeline::{Event, FinishReason, Stage, Tool, ToolDelta};

/// Turns calls in the text into [`Event::ToolCall`]s, each in one piece once it is complete.
///
/// Understood are `<invoke name="…"><parameter name="…">…</parameter></invoke>`, several of them and with or without
/// `<tool_call>` or `<function_calls>` around, all with or without the prefix `antml:`; `<toolname><argument>…` of a
/// tool that was offered; `<tool_call>{"name": …, "arguments": {…}}</tool_call>`; and a JSON object in place of the
/// single arguments. Arguments are typed by the tool's schema.
///
/// - What cannot be a call stays text, byte for byte: unknown tools, broken markup, a call that is never closed. If
///   an answer that was not cut short ends behind the last required argument, only closing tags are missing: a call.
/// - A value ends at a closing tag behind which the call goes on; code may hold the closing tag itself.
/// - In a Markdown fence or right behind a backtick the model shows an example; that is text.
/// - Text is held back only while it may still become a call. White space from the last line break on in front of
///   a call and that up to the last line break behind it are one gap: dropped at the start and end of the answer;
///   between two texts the part with more line breaks stays.
/// - Calls are numbered on from native calls. After [`Event::Retract`] a call that was already said is not said again.
pub struct ToolXml<I> {
    tools: Vec<Offered>,
    make_id: I,
    fences: Fences,
    shown: Shown,
    gap: Gap,
    candidate: Option<Candidate>,
    /// The text of the candidate.
    held: String,
    /// Wrappers around lifted calls that are still open.
    wrappers: usize,
    lifted: Lifted,
    /// The bot's own indices of its native calls, by ours; `None` for lifted calls.
    indices: Vec<Option<usize>>,
}

/// What may begin a line break.
const LINE_BREAKS: [char; 2] = ['\n', '\r'];

/// White space that is not passed on yet.
enum Gap {
    /// Behind text, beginning with a line break. Perhaps empty.
    Text(String),
    /// Around calls.
    Calls { before: String, behind: String },
}

/// Whether the answer has shown text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Text,
}

/// What was lifted, to state a repetition after a retraction.
#[derive(Default)]
struct Lifted {
    calls: Vec<Found>,
    /// How many of them the text since the last retraction has held.
    repeated: usize,
}

impl<I: FnMut() -> String> ToolXml<I> {
    /// Looks for calls of `tools`; without any, everything passes untouched. `make_id` makes an id that no other
    /// call has.
    pub fn new(tools: &[Tool], make_id: I) -> ToolXml<I> {
        ToolXml {
            tools: tools.iter().map(Offered::new).collect(),
            make_id,
            fences: Fences::default(),
            shown: Shown::Nothing,
            gap: Gap::Text(String::new()),
            candidate: None,
            held: String::new(),
            wrappers: 0,
            lifted: Lifted::default(),
            indices: Vec::new(),
        }
    }

    fn reset(&mut self) {
        self.fences = Fences::default();
        self.shown = Shown::Nothing;
        self.gap = Gap::Text(String::new());
        self.candidate = None;
        self.held.clear();
        self.wrappers = 0;
        self.lifted.repeated = 0;
    }

    /// Takes text; the usual piece, which holds no markup, is passed on as it is.
    fn text(&mut self, mut text: String, out: &mut VecDeque<Event>) {
        let waiting = match &self.gap {
            Gap::Text(gap) if gap.is_empty() => false,
            Gap::Text(_) => text.starts_with(char::is_whitespace),
            Gap::Calls { .. } => true,
        };
        if waiting || self.candidate.is_some() || text.contains('<') {
            return self.scan(text, Ending::Open, out);
        }
        self.settle(out);
        self.fences.follow(&text);
        let gap = text.split_off(gap_start(&text));
        self.show(text, out);
        self.gap = Gap::Text(gap);
    }

    /// Goes through `text`, which follows on what is held.
    fn scan(&mut self, text: String, ending: Ending, out: &mut VecDeque<Event>) {
        let mut held = std::mem::take(&mut self.held);
        let text = if held.is_empty() {
            text
        } else {
            held.push_str(&text);
            held
        };
        let mut at = 0;
        loop {
            let Some(candidate) = &mut self.candidate else {
                let Some(len) = self.plain(&text[at..], out) else { return };
                at += len;
                self.candidate = Some(Candidate::new(self.surrounding()));
                continue;
            };
            at += match candidate.read(&text[at..], &self.tools, ending) {
                Verdict::Open => {
                    self.held = if at == 0 { text } else { text[at..].into() };
                    return;
                }
                Verdict::Text(len) => {
                    self.settle(out);
                    let refused = &text[at..at + len];
                    self.fences.follow(refused);
                    self.show(refused.into(), out);
                    len
                }
                Verdict::Call { found, wrappers, len } => {
                    self.wrappers += wrappers;
                    self.open_gap();
                    self.call(found, out);
                    len
                }
                Verdict::Closes(len) => {
                    self.wrappers = self.wrappers.saturating_sub(1);
                    self.open_gap();
                    len
                }
            };
            self.candidate = None;
        }
    }

    fn surrounding(&self) -> Surrounding {
        match self.gap {
            Gap::Text(_) if self.wrappers == 0 => Surrounding::Text,
            _ => Surrounding::Calls,
        }
    }

    /// Passes `text` on up to where something begins that may be a call; `None` if that is nowhere.
    fn plain(&mut self, text: &str, out: &mut VecDeque<Event>) -> Option<usize> {
        let mut at = 0;
        loop {
            at += self.white_space(&text[at..]);
            let rest = &text[at..];
            let first = rest.chars().next()?;
            let in_calls = matches!(self.gap, Gap::Calls { .. }) && self.wrappers > 0;
            if first == '<' && !self.fences.shows_code() || first == '{' && in_calls {
                return Some(at);
            }
            self.settle(out);
            let next = rest[first.len_utf8()..].find('<').map_or(rest.len(), |len| len + first.len_utf8());
            let piece = &rest[..next];
            let len = gap_start(piece);
            // A break in the middle of the piece is no gap, only one at its end.
            self.fences.follow(&piece[..len]);
            self.show(piece[..len].into(), out);
            at += len;
        }
    }

    /// Adds the white space at the start of `text` to the gap, if there is one; its length.
    fn white_space(&mut self, text: &str) -> usize {
        let len = text.len() - text.trim_start().len();
        let white = &text[..len];
        match &mut self.gap {
            Gap::Text(gap) if gap.is_empty() && !white.starts_with(LINE_BREAKS) => return 0,
            Gap::Text(gap) => gap.push_str(white),
            Gap::Calls { behind, .. } => behind.push_str(white),
        }
        self.fences.follow(white);
        len
    }

    /// A call or the end of a wrapper was taken out here.
    fn open_gap(&mut self) {
        let before = match &mut self.gap {
            Gap::Text(before) | Gap::Calls { before, .. } => std::mem::take(before),
        };
        self.gap = Gap::Calls { before, behind: String::new() };
        self.fences.leave_line_start();
    }

    /// Text follows: passes on what stays of the gap.
    fn settle(&mut self, out: &mut VecDeque<Event>) {
        let gap = match std::mem::replace(&mut self.gap, Gap::Text(String::new())) {
            Gap::Text(gap) => gap,
            Gap::Calls { before, behind } => {
                let indent = behind.rfind('\n').map_or(0, |at| at + 1);
                let (breaks, indent) = behind.split_at(indent);
                let lines = |text: &str| text.matches('\n').count();
                let stays = if lines(&before) >= lines(breaks) { before.as_str() } else { breaks };
                match self.shown {
                    Shown::Nothing => indent.into(),
                    Shown::Text => format!("{stays}{indent}"),
                }
            }
        };
        self.show(gap, out);
    }

    fn show(&mut self, text: String, out: &mut VecDeque<Event>) {
        if text.is_empty() {
            return;
        }
        self.shown = Shown::Text;
        match out.back_mut() {
            Some(Event::Text(last)) => last.push_str(&text),
            _ => out.push_back(Event::Text(text)),
        }
    }

    fn call(&mut self, found: Found, out: &mut VecDeque<Event>) {
        let place = self.lifted.repeated;
        self.lifted.repeated += 1;
        if self.lifted.calls.get(place) == Some(&found) {
            return;
        }
        out.push_back(Event::ToolCall(ToolDelta {
            index: self.indices.len(),
            id: Some((self.make_id)()),
            name: Some(found.name.clone()),
            arguments: found.arguments.clone(),
        }));
        self.indices.push(None);
        self.lifted.calls.truncate(place);
        self.lifted.calls.push(found);
    }

    /// Numbers a native call among the lifted ones.
    fn renumber(&mut self, mut delta: ToolDelta) -> ToolDelta {
        let known = self.indices.iter().position(|index| *index == Some(delta.index));
        let index = known.unwrap_or_else(|| {
            self.indices.push(Some(delta.index));
            self.indices.len() - 1
        });
        delta.index = index;
        delta
    }

    /// No text follows: nothing is held back any longer.
    fn release(&mut self, ending: Ending, out: &mut VecDeque<Event>) {
        self.scan(String::new(), ending, out);
        match self.gap {
            Gap::Text(_) => self.settle(out),
            Gap::Calls { .. } => {}
        }
    }
}

/// Where the white space at the end of `text` begins that may be the gap in front of a call: at a line break.
fn gap_start(text: &str) -> usize {
    let end = text.trim_end().len();
    text[end..].find(LINE_BREAKS).map_or(text.len(), |at| end + at)
}

impl<I: FnMut() -> String> Stage for ToolXml<I> {
    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        let event = match event {
            Event::Text(text) if !self.tools.is_empty() => {
                self.text(text, out);
                return ControlFlow::Continue(());
            }
            Event::ToolCall(delta) => Event::ToolCall(self.renumber(delta)),
            Event::Finish(mut finish) => {
                self.release(ending_of(finish.reason), out);
                if finish.reason == FinishReason::Stop && self.indices.contains(&None) {
                    finish.reason = FinishReason::ToolCalls;
                }
                Event::Finish(finish)
            }
            Event::Retract => {
                self.reset();
                Event::Retract
            }
            other => other,
        };
        out.push_back(event);
        ControlFlow::Continue(())
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        self.release(Ending::Complete, out);
    }
}

fn ending_of(reason: FinishReason) -> Ending {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => Ending::Complete,
        FinishReason::Length | FinishReason::ContentFilter => Ending::CutShort,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::pipeline::testing::{all_cuts, all_cuts_of, answer, end, replay};

    fn tools() -> Vec<Tool> {
        let tool = |name: &str, parameters| Tool { name: name.into(), description: None, parameters };
        let string = json!({"type": "string"});
        vec![
            tool(
                "read_file",
                Some(json!({"type": "object", "properties": {"path": string, "lines": {"type": "integer"}},
                "required": ["path"]})),
            ),
            tool("write", Some(json!({"type": "object", "properties": {"path": string, "content": string}}))),
            tool("now", None),
            tool("any-thing.v2", Some(json!({}))),
        ]
    }

    fn ids() -> impl FnMut() -> String {
        let mut made = 0;
        move || {
            made += 1;
            format!("call_{made}")
        }
    }

    fn stage() -> ToolXml<impl FnMut() -> String> {
        ToolXml::new(&tools(), ids())
    }

    /// Text and calls of the answer, however it is cut.
    fn read(text: &str) -> (String, Vec<String>) {
        let reply = all_cuts(text, stage);
        for (at, call) in reply.tool_calls.iter().enumerate() {
            assert_eq!(call.id, format!("call_{}", at + 1));
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&call.arguments).unwrap();
        }
        let reason = if reply.tool_calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
        assert_eq!(reply.finish.reason, reason);
        (
            reply.text,
            reply.tool_calls.iter().map(|call| format!("{} {}", call.name, call.arguments)).collect(),
        )
    }

    #[test]
    fn calls_are_lifted() {
        let a = r#"read_file {"path":"a"}"#;
        for (desc, text, said, calls) in [
            (
                "the prompt's form",
                "Look.\n\n<tool_call>\n<invoke name=\"read_file\">\n<parameter name=\"path\">a</parameter>\n\
                <parameter name=\"lines\">12</parameter>\n</invoke>\n</tool_call>\n",
                "Look.",
                vec![r#"read_file {"path":"a","lines":12}"#],
            ),
            (
                "bare invoke",
                "<invoke name=\"read_file\"><parameter name=\"path\">a</parameter></invoke>",
                "",
                vec![a],
            ),
            (
                "prefixed",
                "<antml:function_calls><antml:invoke name=\"read_file\"><antml:parameter name=\"path\">a\
                </antml:parameter></antml:invoke></antml:function_calls>",
                "",
                vec![a],
            ),
            ("the tool's own name", "<read_file>\n<path>a</path>\n</read_file>", "", vec![a]),
            (
                "the tool's own name in a wrapper",
                "<tool_call><read_file><path>a</path></read_file></tool_call>",
                "",
                vec![a],
            ),
            (
                "arguments by element in an invoke",
                "<invoke name='read_file'><path>a</path></invoke>",
                "",
                vec![a],
            ),
            (
                "parameters in the tool's own name",
                "<read_file><parameter name=\"path\">a</parameter></read_file>",
                "",
                vec![a],
            ),
            (
                "any arguments where none are declared",
                "<any-thing.v2><x>1</x><y/></any-thing.v2>",
                "",
                vec![r#"any-thing.v2 {"x":"1","y":""}"#],
            ),
            ("no arguments", "<invoke name=\"now\"></invoke>", "", vec!["now {}"]),
            ("nothing but a tag", "<invoke name=\"now\"/><now/><now></now>", "", vec!["now {}"; 3]),
            (
                "JSON",
                "<tool_call>\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"a}</tool_call>\\\"\"}}\n</tool_call>",
                "",
                vec![r#"read_file {"path": "a}</tool_call>\""}"#],
            ),
            (
                "several JSON objects",
                "<tool_call>{\"name\":\"now\"}\n{\"name\":\"now\",\"parameters\":null}</tool_call>",
                "",
                vec!["now {}"; 2],
            ),
            (
                "JSON in a string",
                "<tool_call>{\"arguments\":\"{\\\"a\\\":1}\",\"name\":\"now\"}</tool_call>",
                "",
                vec!["now {\"a\":1}"],
            ),
            (
                "a JSON object as arguments",
                "<invoke name=\"now\">\n{\"a\": \"</invoke>\"}\n</invoke>",
                "",
                vec!["now {\"a\": \"</invoke>\"}"],
            ),
            ("a JSON object in the tool's name", "<read_file>{\"path\":\"a\"}</read_file>", "", vec![a]),
            (
                "several in one wrapper",
                "<tool_call><invoke name=\"now\"></invoke>\n\n<invoke name=\"now\"></invoke></tool_call>",
                "",
                vec!["now {}"; 2],
            ),
            (
                "several wrappers",
                "<tool_call><now/></tool_call>\n<tool_call><now/></tool_call>",
                "",
                vec!["now {}"; 2],
            ),
            (
                "wrappers in wrappers",
                "<tool_calls><tool_call><now/></tool_call> <tool_call><now/></tool_call></tool_calls>",
                "",
                vec!["now {}"; 2],
            ),
            (
                "extra attributes",
                "<tool_call id=\"1\"><invoke name=\"write\"><parameter name=\"path\" string=\"true\">1</parameter></invoke></tool_call>",
                "",
                vec![r#"write {"path":"1"}"#],
            ),
            (
                "an invoke without arguments that are required",
                "<invoke name=\"read_file\"></invoke>",
                "",
                vec!["read_file {}"],
            ),
            (
                "an argument that the tool does not know",
                "<invoke name=\"read_file\"><parameter name=\"x\">[1]</parameter></invoke>",
                "",
                vec![r#"read_file {"x":[1]}"#],
            ),
        ] {
            assert_eq!(read(text), (said.into(), calls.into_iter().map(String::from).collect()), "{desc}");
        }
    }

    #[test]
    fn values_are_exact() {
        for (desc, raw, value) in [
            ("empty", "", ""),
            ("white space", "\n  a\n\n", "  a\n\n"),
            ("looks like a number", "042", "042"),
            ("entities", "&lt;b&gt; &amp;amp; &#65;&#x42; &quot;&apos;", "<b> &amp; AB \"'"),
            ("code", "if a < b && c > d { <T>::f(\"&x\") }", "if a < b && c > d { <T>::f(\"&x\") }"),
            ("HTML", "<div>\n<p>a</p></div>", "<div>\n<p>a</p></div>"),
            (
                "CDATA",
                "<![CDATA[</parameter></invoke></tool_call> &lt; ]]>",
                "</parameter></invoke></tool_call> &lt; ",
            ),
            ("CDATA on its own lines", "\n<![CDATA[\na\n]]>\n", "\na\n"),
            ("CDATA that almost ends", "<![CDATA[]] ]> ]]]]>", "]] ]> ]]"),
            (
                "the closing tag in code",
                "print('</parameter>')</parameter>;",
                "print('</parameter>')</parameter>;",
            ),
            ("other closing tags in code", "</invoke></tool_call>", "</invoke></tool_call>"),
            ("a fence", "```\ncode\n```\n", "```\ncode\n```\n"),
            (
                "a tool's name",
                "<read_file><path>x</path></read_file>",
                "<read_file><path>x</path></read_file>",
            ),
            ("letters of all sizes", "aä€😀", "aä€😀"),
        ] {
            for (open, close) in [
                (
                    "<tool_call><invoke name=\"write\"><parameter name=\"content\">",
                    "</parameter>\n</invoke></tool_call>",
                ),
                ("<write><content>", "</content><path>p</path></write>"),
                (
                    "<invoke name=\"write\"><parameter name=\"content\">",
                    "</parameter><parameter name=\"path\">p</parameter></invoke>",
                ),
            ] {
                let reply = all_cuts(&format!("{open}{raw}{close}"), stage);
                assert_eq!(reply.text, "", "{desc}");
                let arguments: serde_json::Value =
                    serde_json::from_str(&reply.tool_calls[0].arguments).unwrap();
                assert_eq!(arguments["content"], value, "{desc}");
            }
        }
    }

    #[test]
    fn what_cannot_be_a_call_stays_text() {
        for text in [
            "",
            "\n \n",
            "a < b and c > d",
            "a <",
            "</",
            "<tool_call",
            "<tool_call>",
            "<tool_call>\n\n",
            "<tool_call></tool_call>",
            "Use <tool_call> to call.\n\nSee </tool_call>\n",
            "<tool_call>{\"name\":\"unknown\",\"arguments\":{}}</tool_call>",
            "<tool_call>{\"name\":\"now\",\"arguments\":[1]}</tool_call>",
            "<tool_call>{\"name\":\"now\",}</tool_call>",
            "<tool_call>{\"name\":\"now\"",
            "<tool_call>[]</tool_call>",
            "{\"name\":\"now\",\"arguments\":{}}",
            "\n<tool_call>\n<invoke name=\"unknown\">\n<parameter name=\"path\">a</parameter>\n</invoke>\n</tool_call>\n",
            "<invoke><parameter name=\"path\">a</parameter></invoke>",
            "<invoke name=read_file></invoke>",
            "<invoke name=\"read_file\">a</invoke>",
            "<invoke name=\"read_file\"><parameter>a</parameter></invoke>",
            "<invoke name=\"read_file\"><parameter name=\"path\">a",
            "<invoke name=\"read_file\"><parameter name=\"path\">a</parameter> and <b>so</b> on",
            "<invoke name=\"read_file\"><parameter name=\"path\">a</parameter>\n<parameter name=\"li",
            "<invoke name=\"read_file\"><parameter name=\"lines\">1</parameter>",
            "<invoke name=\"read_file\"><parameter name=\"path\"><![CDATA[a</parameter></invoke>",
            "<invoke name=\"now\">",
            "<invoke name=\"now\">{\"a\":}</invoke>",
            "<read_file>",
            "<read_file></read_file>",
            "<read_file/>",
            "<read_file>a.txt</read_file>",
            "<read_file x=\"1\"><path>a</path></read_file>",
            "<read_file><table>a</table></read_file>",
            "<read_files><path>a</path></read_files>",
            "<b>bold</b> and <path>a</path>",
            "Write `<now/>` or\n```xml\n<tool_call><now/></tool_call>\n```\n",
            "~~~\n<now/>\n",
            "<tool_call><tool_call><tool_call><tool_call><tool_call></tool_call>",
            "a\r\n\r\nb\r\n",
        ] {
            assert_eq!(read(text), (text.into(), vec![]), "{text:?}");
        }
    }

    #[test]
    fn markup_leaves_no_trace_in_the_text_around_it() {
        let call = "<tool_call>\n<now/>\n</tool_call>";
        for (desc, text, said, calls) in [
            ("text before", format!("a\n\n{call}"), "a", 1),
            ("text behind", format!("{call}\n\na\n"), "a\n", 1),
            ("text around", format!("a\n\n{call}\n\nb"), "a\n\nb", 1),
            ("one line break around", format!("a\n{call}\nb"), "a\nb", 1),
            ("more behind", format!("a\n{call}\n\n\nb"), "a\n\n\nb", 1),
            ("only behind", format!("a{call}\nb"), "a\nb", 1),
            ("CRLF", format!("a\r\n\r\n{call}\r\n\r\nb"), "a\r\n\r\nb", 1),
            ("in a line", format!("a {call} b"), "a  b", 1),
            ("blank lines at both ends", format!("\n\n{call}\n\n"), "", 1),
            ("indentation behind", format!("a\n{call}\n    b"), "a\n    b", 1),
            ("between two calls", format!("{call}\n\na\n\n{call}"), "a", 2),
            ("no text between two calls", format!("a\n\n{call}\n\n{call}\nb"), "a\n\nb", 2),
            (
                "behind a closed fence",
                format!("```\n{call}\n```\n{call}"),
                "```\n<tool_call>\n<now/>\n</tool_call>\n```",
                1,
            ),
            ("text in a wrapper", "<tool_call><now/>\nwell\n</tool_call> done".into(), "well\n done", 1),
            (
                "an unknown call in a wrapper",
                "<tool_call><now/><invoke name=\"x\"></invoke></tool_call>".into(),
                "<invoke name=\"x\"></invoke>",
                1,
            ),
            ("a wrapper too many", "<now/></tool_call></function_calls>".into(), "", 1),
            ("JSON behind a call", "<now/>{\"a\":1}".into(), "{\"a\":1}", 1),
            ("a comparison before it", format!("1 < 2\n{call}"), "1 < 2", 1),
            ("an unfinished tag before it", "a <tool_ca <now/>".into(), "a <tool_ca ", 1),
            ("a tag that breaks off before it", "<tool_call>\n<tool_<now/>".into(), "<tool_call>\n<tool_", 1),
        ] {
            let (text, found) = read(&text);
            assert_eq!((text.as_str(), found.len()), (said, calls), "{desc}");
        }
    }

    #[test]
    fn at_the_end_only_closing_tags_may_be_missing() {
        let open = "Well.\n<tool_call><invoke name=\"read_file\"><parameter name=\"path\">a</parameter>";
        for (desc, rest, reason, calls) in [
            ("both missing", "", FinishReason::Stop, 1),
            ("both missing, line break", "\n", FinishReason::Stop, 1),
            ("half a closing tag", "\n</inv", FinishReason::Stop, 1),
            ("half a closing tag at the limit", "</inv", FinishReason::Length, 1),
            ("only the wrapper's", "</invoke>", FinishReason::Stop, 1),
            ("half the wrapper's", "</invoke></tool_c", FinishReason::Stop, 1),
            ("the invoke's", "</tool_call>", FinishReason::Stop, 1),
            ("the first invoke's", "<invoke name=\"now\"/></tool_call>", FinishReason::Stop, 2),
            ("cut short: there may have been more", "", FinishReason::Length, 0),
            ("another argument", "<param", FinishReason::Stop, 0),
            ("anything", "<", FinishReason::Stop, 0),
        ] {
            let text = format!("{open}{rest}");
            let reply = all_cuts_of(&[Event::Text(text.clone()), end(reason)], stage);
            assert_eq!(reply.tool_calls.len(), calls, "{desc}");
            assert_eq!(reply.text, if calls > 0 { "Well." } else { &text }, "{desc}");
        }
        let broken = vec![Event::Text("<now".into())];
        assert_eq!(replay(broken.clone(), stage()), broken);
    }

    #[test]
    fn text_is_held_back_only_while_it_may_become_a_call() {
        let mut stage = stage();
        for (piece, expected) in [
            ("Hello ", "Hello "),
            ("there.\n", "there."),
            ("\nNow", "\n\nNow"),
            (" <", " "),
            ("p>", "<p>"),
            ("<tool_call>", ""),
            (" is", "<tool_call> is"),
            ("<invoke ", ""),
            ("the", ""),
            (" tool", "<invoke the tool"),
            ("<read_file>", ""),
            ("x", "<read_file>x"),
            ("\n<invoke name=\"now\">", ""),
            ("!", "\n<invoke name=\"now\">!"),
        ] {
            let mut out = VecDeque::new();
            assert!(stage.push(Event::Text(piece.into()), &mut out).is_continue());
            let said: String =
                out.iter().map(|event| if let Event::Text(text) = event { text } else { "?" }).collect();
            assert_eq!(said, expected, "after {piece:?}");
        }
    }

    #[test]
    fn a_plain_piece_is_passed_on_as_it_is() {
        let text = String::from("Hello, world.");
        let (at, mut out) = (text.as_ptr(), VecDeque::new());
        assert!(stage().push(Event::Text(text), &mut out).is_continue());
        assert!(matches!(&out[0], Event::Text(text) if text.as_ptr() == at));
    }

    #[test]
    fn lifted_calls_are_numbered_on_from_native_ones() {
        let native = |index| Event::ToolCall(ToolDelta { index, ..ToolDelta::default() });
        let events =
            vec![native(0), Event::Text("<now/>".into()), native(1), native(0), end(FinishReason::Length)];
        let out = replay(events, stage());
        let indices: Vec<_> = out
            .iter()
            .filter_map(|event| if let Event::ToolCall(delta) = event { Some(delta.index) } else { None })
            .collect();
        assert_eq!(indices, [0, 1, 2, 0]);
        assert_eq!(out.last(), Some(&end(FinishReason::Length)));
    }

    #[test]
    fn a_call_that_is_said_again_after_a_retraction_is_one_call() {
        let mut events = vec![Event::Text("One <now/> moment <tool_ca".into()), Event::Retract];
        events.extend(answer("a <now/> b <now/>"));
        let reply = all_cuts_of(&events, stage);
        assert_eq!((reply.text.as_str(), reply.tool_calls.len()), ("a  b ", 2));
    }

    #[test]
    fn without_tools_everything_passes() {
        let events = answer("<tool_call><now/></tool_call>\n<read_file>\n");
        assert_eq!(replay(events.clone(), ToolXml::new(&[], String::new)), events);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn cuts_never_matter(text in "(\n|<tool_call>|</tool_call>|<invoke name=\"now\">|<invoke name=\"write\">|</invoke>|\
            <parameter name=\"path\">|</parameter>|<write>|</write>|<path>|</path>|<!\\[CDATA\\[|\\]\\]>|<now/>|```|`|\\{\"name\":\"now\"\\}|<| |ä){0,14}") {
            all_cuts(&text, stage);
        }

        #[test]
        fn text_without_an_offered_tool_is_untouched(text in "(\n|<tool_call>|</tool_call>|<invoke name=\"x\">|</invoke>|\
            <parameter name=\"path\">|</parameter>|<|>|```|\r|ä){0,14}") {
            prop_assert_eq!(all_cuts(&text, stage).text, text);
        }
    }
}
