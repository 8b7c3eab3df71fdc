//! Stage that extracts the calls which bots write into their text.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use super::call::{Candidate, Ending, Found, Opened, Surrounding, Verdict};
use super::fences::{Fences, is_inert};
use super::grammars::{FUNCTOOLS, LITERALS, SEPARATOR, TOOL_CODE};
use super::marks::is_alike;
use super::offer::Offer;
use super::twins::Twins;
use crate::pipeline::{Event, FinishReason, Stage, Tool, ToolDelta};

/// Longest text of one call and of what stands around it, in bytes; what is longer is text.
const LONGEST_CALL: usize = 4 << 20;
/// Text that is read again, in bytes per answer, because what seemed to be a call was none and may hold one.
const MOST_REREAD: usize = 1 << 20;

/// Turns calls in the text into [`Event::ToolCall`]s, each in one piece once it is complete.
///
/// Understood are all forms of the table in `grammars.rs`. Arguments that are written one by one are typed by the
/// tool's schema; JSON that is almost JSON is repaired.
///
/// - What cannot be a call stays text, byte for byte: unknown tools, broken markup, a call that is never closed. If
///   an answer that was not cut short ends behind the last required argument, only closing tags are missing: a call.
/// - A value ends at a closing tag behind which the call goes on; code may hold the closing tag itself.
/// - In a code fence, inline code, quotation marks or a block quote the model shows an example; that is text.
/// - Text is held back only while it may still become a call. White space from the last line break on in front of
///   a call and that up to the last line break behind it are one gap: dropped at the start and end of the answer;
///   between two texts the part with more line breaks stays.
/// - Calls are numbered on from native calls. A call that comes both ways is sent once. After [`Event::Retract`] a call that was already sent is not sent again.
pub struct ToolXml<I> {
    offer: Offer,
    make_id: I,
    fences: Fences,
    shown: Shown,
    gap: Gap,
    candidate: Option<Candidate>,
    /// The text of the candidate.
    held: String,
    /// Wrappers around lifted calls that are still open.
    open: Opened,
    /// Bytes that were read again.
    reread: usize,
    lifted: Lifted,
    /// Number of calls so far, native and lifted.
    calls: usize,
    /// Our indices of native calls, by the bot's own.
    native: HashMap<usize, usize>,
    twins: Twins,
}

/// How long the text of an event is as a rule, in bytes.
const SHORT_TEXT: usize = 32;
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

/// Calls that were extracted, to recognize a repetition after a retraction.
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
            offer: Offer::new(tools),
            make_id,
            fences: Fences::default(),
            shown: Shown::Nothing,
            gap: Gap::Text(String::new()),
            candidate: None,
            held: String::new(),
            open: Opened::default(),
            reread: 0,
            lifted: Lifted::default(),
            calls: 0,
            native: HashMap::new(),
            twins: Twins::default(),
        }
    }

    fn reset(&mut self) {
        self.fences = Fences::default();
        self.shown = Shown::Nothing;
        self.gap = Gap::Text(String::new());
        self.candidate = None;
        self.held.clear();
        self.open = Opened::default();
        self.lifted.repeated = 0;
    }

    /// Whether `text` holds nothing that matters here and nothing is held back in front of it; it is followed then.
    #[inline]
    fn passes_text(&mut self, text: &str) -> bool {
        let is_free = matches!(&self.gap, Gap::Text(gap) if gap.is_empty()) && self.candidate.is_none();
        if !is_free || self.shown == Shown::Nothing && text.bytes().next().is_none_or(may_begin_answer) {
            return false;
        }
        let seen = text.bytes().fold(0, |seen, byte| seen | MEANINGS[usize::from(byte)]);
        if seen & (MARK | LINE_BREAK) != 0 {
            return false;
        }
        if seen != 0 || !self.fences.follow_inert(text) {
            self.fences.follow(text);
        }
        self.shown = Shown::Text;
        true
    }

    /// Takes the next piece of the text.
    fn take(&mut self, mut text: String, out: &mut VecDeque<Event>) {
        if self.candidate.is_some() || !self.is_in_text() {
            return self.scan(text, Ending::Open, out);
        }
        let at = self.follow_plain(&text, 0, Ending::Open);
        let rest = (at < text.len()).then(|| text.split_off(at));
        self.pass_plain(text, out);
        if let Some(rest) = rest {
            self.scan(rest, Ending::Open, out);
        }
    }

    /// Whether text has been shown and no call stands right in front of this place or around it.
    fn is_in_text(&self) -> bool {
        self.shown == Shown::Text && matches!(self.gap, Gap::Text(_)) && self.open.wrappers == 0
    }

    /// Shows text that was followed, without a copy unless white space was held back in front of it.
    fn pass_plain(&mut self, mut text: String, out: &mut VecDeque<Event>) {
        let Gap::Text(gap) = &mut self.gap else { return self.show_plain(&text, out) };
        if !gap.is_empty() {
            if text.trim_start().is_empty() {
                return gap.push_str(&text);
            }
            text.insert_str(0, gap);
            gap.clear();
        }
        let kept = gap_start(&text);
        gap.push_str(&text[kept..]);
        text.truncate(kept);
        match out.back_mut() {
            Some(Event::Text(last)) => last.push_str(&text),
            _ if text.is_empty() => {}
            _ => out.push_back(Event::Text(text)),
        }
    }

    /// Follows `text` from `at` up to where something begins that may be a call; where that is, or the length of all.
    fn follow_plain(&mut self, text: &str, mut at: usize, ending: Ending) -> usize {
        let mut from = at;
        while let Some(next) = text.as_bytes()[from..].iter().position(|byte| begins(*byte)) {
            let mark = from + next;
            self.fences.follow(&text[at..mark]);
            if self.may_begin(text.as_bytes()[mark], &text[mark..], ending) {
                return mark;
            }
            (at, from) = (mark, mark + 1);
        }
        self.fences.follow(&text[at..]);
        text.len()
    }

    /// Shows text that was followed, but for the gap at its end.
    fn show_plain(&mut self, text: &str, out: &mut VecDeque<Event>) {
        let kept = gap_start(text);
        let grows = matches!(&self.gap, Gap::Text(gap) if !gap.is_empty() && text.trim_start().is_empty());
        let shown = if grows { 0 } else { kept };
        if !grows && !text.is_empty() {
            self.settle(out);
        }
        self.show(&text[..shown], out);
        if let Gap::Text(gap) = &mut self.gap {
            gap.push_str(&text[shown..]);
        }
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
                let Some(len) = self.plain(&text[at..], ending, out) else { return };
                at += len;
                self.candidate = Some(Candidate::new(self.surrounding(), self.open));
                continue;
            };
            let rest = &text[at..];
            let window = &rest[..boundary(rest, LONGEST_CALL)];
            let is_whole = window.len() == rest.len();
            let verdict =
                match candidate.read(window, &self.offer, if is_whole { ending } else { Ending::Open }) {
                    Verdict::Open if is_whole => {
                        self.held = if at == 0 { text } else { text[at..].into() };
                        return;
                    }
                    Verdict::Open => candidate.give_up(window),
                    verdict => verdict,
                };
            self.candidate = None;
            match verdict {
                // most that is held is text after all, with more text behind it
                Verdict::Text { len, read } if at == 0 && self.is_in_text() => {
                    let len = self.read_again(len, read);
                    self.fences.follow(&text[..len]);
                    at = self.follow_plain(&text, len, ending);
                    if at == text.len() {
                        return self.pass_plain(text, out);
                    }
                    self.show_plain(&text[..at], out);
                }
                verdict => at += self.decided(verdict, &text[at..], out),
            }
        }
    }

    /// How much of `len` bytes that are text is not read again, where `read` bytes were read to know it.
    fn read_again(&mut self, len: usize, read: usize) -> usize {
        let again = self.reread + read - len;
        self.reread = again.min(MOST_REREAD);
        if again > MOST_REREAD { read } else { len }
    }

    /// Does what `verdict` says about the start of `text`; how many bytes that were.
    fn decided(&mut self, verdict: Verdict, text: &str, out: &mut VecDeque<Event>) -> usize {
        match verdict {
            Verdict::Open => 0,
            Verdict::Text { len, read } => {
                let len = self.read_again(len, read);
                self.settle(out);
                self.fences.follow(&text[..len]);
                self.show(&text[..len], out);
                len
            }
            Verdict::Calls { found, opened, len } => {
                self.open.wrappers += opened.wrappers;
                self.open.fence |= opened.fence;
                self.open.nameless |= opened.nameless;
                self.open_gap();
                found.into_iter().for_each(|found| self.call(found, out));
                len
            }
            Verdict::Closes { len, is_fence } => {
                self.open.wrappers = self.open.wrappers.saturating_sub(1);
                self.open.fence &= !is_fence && self.open.wrappers > 0;
                self.open.nameless &= self.open.wrappers > 0;
                self.open_gap();
                len
            }
        }
    }

    fn surrounding(&self) -> Surrounding {
        match (&self.gap, self.open.wrappers, self.shown) {
            (Gap::Text(_), 0, Shown::Nothing) => Surrounding::Start,
            (Gap::Text(_), 0, Shown::Text) => Surrounding::Text,
            (Gap::Calls { .. }, 1.., _) => Surrounding::Behind,
            _ => Surrounding::Calls,
        }
    }

    /// Passes `text` on up to where something begins that may be a call; `None` if that is nowhere.
    fn plain(&mut self, text: &str, ending: Ending, out: &mut VecDeque<Event>) -> Option<usize> {
        let mut at = 0;
        loop {
            at += self.white_space(&text[at..]);
            let rest = &text[at..];
            let first = rest.bytes().next()?;
            if self.may_begin(first, rest, ending) {
                return Some(at);
            }
            self.settle(out);
            let len = rest.chars().next().map_or(0, char::len_utf8);
            let next = rest.bytes().skip(len).position(begins).map_or(rest.len(), |next| next + len);
            let piece = &rest[..next];
            let len = gap_start(piece);
            // A break in the middle of the piece is no gap, only one at its end.
            self.fences.follow(&piece[..len]);
            self.show(&piece[..len], out);
            at += len;
        }
    }

    /// Whether at the start of `text` something may begin that is to be looked at.
    fn may_begin(&self, first: u8, text: &str, ending: Ending) -> bool {
        let may_be = |mark: &str| {
            is_alike(text, mark)
                && (text.starts_with(mark) || ending == Ending::Open && mark.starts_with(text))
        };
        let in_wrapper = self.open.wrappers > 0;
        if in_wrapper && matches!(self.gap, Gap::Calls { .. }) && !text.starts_with("```") {
            return true;
        }
        match first {
            b'<' => may_be_tag(text) && !self.fences.shows_example(),
            b'[' if self.shown == Shown::Nothing => true,
            b'[' => LITERALS.iter().any(|mark| may_be(mark)) && !self.fences.shows_example(),
            b']' => may_be(SEPARATOR) && !self.fences.shows_example(),
            b'`' if self.open.fence => may_be("```"),
            b'`' => self.fences.is_line_start() && may_be(TOOL_CODE),
            b'{' => self.shown == Shown::Nothing,
            b'f' => self.shown == Shown::Nothing && may_be(FUNCTOOLS),
            _ => false,
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
        let mut gap = match std::mem::replace(&mut self.gap, Gap::Text(String::new())) {
            Gap::Text(gap) if gap.is_empty() => return,
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
        self.show(&gap, out);
        // the next gap needs no allocation
        gap.clear();
        self.gap = Gap::Text(gap);
    }

    fn show(&mut self, text: &str, out: &mut VecDeque<Event>) {
        if text.is_empty() {
            return;
        }
        self.shown = Shown::Text;
        match out.back_mut() {
            Some(Event::Text(last)) => last.push_str(text),
            _ => {
                // what follows in the same piece fits in as a rule
                let mut first = String::with_capacity(text.len().max(SHORT_TEXT));
                first.push_str(text);
                out.push_back(Event::Text(first));
            }
        }
    }

    fn call(&mut self, found: Found, out: &mut VecDeque<Event>) {
        let place = self.lifted.repeated;
        self.lifted.repeated += 1;
        if self.lifted.calls.get(place) == Some(&found) {
            return;
        }
        if self.twins.is_new(&found) {
            out.push_back(Event::ToolCall(ToolDelta {
                index: self.calls,
                id: Some((self.make_id)()),
                name: Some(found.name.clone()),
                arguments: found.arguments.clone(),
            }));
            self.calls += 1;
        }
        self.lifted.calls.truncate(place);
        self.lifted.calls.push(found);
    }

    /// Numbers a native call among the lifted ones.
    fn renumber(&mut self, mut delta: ToolDelta) -> ToolDelta {
        let next = self.calls;
        delta.index = *self.native.entry(delta.index).or_insert(next);
        self.calls += usize::from(delta.index == next);
        delta
    }

    fn pass_on(&mut self, pieces: Vec<ToolDelta>, out: &mut VecDeque<Event>) {
        out.extend(pieces.into_iter().map(|piece| Event::ToolCall(self.renumber(piece))));
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

/// The last place up to `at` where `text` can be cut.
pub fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Whether a call may begin with this byte.
const fn begins(byte: u8) -> bool {
    matches!(byte, b'<' | b'[' | b']' | b'`')
}

/// Whether an answer that is a call, or white space in front of one, may begin with this byte.
fn may_begin_answer(byte: u8) -> bool {
    matches!(byte, b'{' | b'f' | b' ' | b'\t')
}

/// Whether the mark at the start of `text` may be a tag: the lexer rejects one that goes on otherwise.
fn may_be_tag(text: &str) -> bool {
    let goes_on =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'|') || !byte.is_ascii();
    text.as_bytes().get(1).is_none_or(|byte| goes_on(*byte))
}

/// A call may begin with the byte.
const MARK: u8 = 1;
/// White space that is held back may begin with it.
const LINE_BREAK: u8 = 2;
/// It may open or close what makes a call an example.
const STRUCTURE: u8 = 4;

/// What each byte may mean, so that one look at a text is enough for all.
static MEANINGS: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        if begins(byte) {
            table[at] |= MARK;
        }
        if matches!(byte, b'\n' | b'\r') {
            table[at] |= LINE_BREAK;
        }
        if !is_inert(byte) {
            table[at] |= STRUCTURE;
        }
        at += 1;
    }
    table
};

impl<I: FnMut() -> String> Stage for ToolXml<I> {
    #[inline]
    fn passes(&mut self, event: &Event) -> bool {
        match event {
            Event::Text(text) => self.passes_text(text),
            Event::ToolCall(_) | Event::Finish(_) | Event::Retract => false,
            _ => true,
        }
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        let event = match event {
            Event::Text(text) if !self.offer.is_empty() => {
                self.take(text, out);
                return ControlFlow::Continue(());
            }
            Event::ToolCall(delta) => {
                let pieces = self.twins.native(delta);
                self.pass_on(pieces, out);
                return ControlFlow::Continue(());
            }
            Event::Finish(mut finish) => {
                self.release(ending_of(finish.reason), out);
                let pieces = self.twins.close();
                self.pass_on(pieces, out);
                if finish.reason == FinishReason::Stop && self.calls > self.native.len() {
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
        let pieces = self.twins.close();
        self.pass_on(pieces, out);
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

    #[derive(serde::Deserialize)]
    struct Form {
        id: String,
        text: String,
        calls: Vec<Expected>,
    }

    #[derive(serde::Deserialize)]
    struct Expected {
        name: String,
        arguments: serde_json::Value,
    }

    fn forms(lines: &str) -> Vec<Form> {
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
            .collect()
    }

    fn all_forms() -> Vec<Form> {
        let mut all = forms(include_str!("../../../tests/fixtures/calls/field.jsonl"));
        all.extend(forms(include_str!("../../../tests/fixtures/calls/more.jsonl")));
        all
    }

    fn weather() -> Vec<Tool> {
        let parameters =
            json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        vec![Tool { name: "get_weather".into(), description: None, parameters: Some(parameters) }]
    }

    /// A fence that closes what was opened before calls, and in front of a word with which another mark might begin.
    #[test]
    fn a_fence_in_front_of_a_word_closes_in_every_cut() {
        let call = "```tool_code\nread_file(path='a')\n";
        for (behind, text) in [
            ("```", ""),
            ("```json", "```json"),
            ("```js", "js"),
            ("```tool", "tool"),
            ("```j and more", "j and more"),
            ("```js](x)", "js](x)"),
            ("``", ""), // cut short
            ("``x", "``x"),
        ] {
            let (shown, calls) = read(&format!("{call}{behind}"));
            assert_eq!(
                (shown.as_str(), calls),
                (text, vec![r#"read_file {"path":"a"}"#.to_owned()]),
                "{behind}"
            );
        }
    }

    /// Forms of the field, whole and in every cut, alone, in prose, and as examples.
    #[test]
    fn calls_of_all_families_are_lifted() {
        let tools = weather();
        let mut wrong = Vec::new();
        for Form { id, text, calls } in all_forms() {
            for (before, behind) in [("", ""), ("Well:\n", "\n\nDone.")] {
                let whole = format!("{before}{text}{behind}");
                let reply = all_cuts(&whole, || ToolXml::new(&tools, ids()));
                let found: Vec<_> = reply
                    .tool_calls
                    .iter()
                    .map(|call| (call.name.clone(), serde_json::from_str(&call.arguments).unwrap()))
                    .collect();
                let expected: Vec<(String, serde_json::Value)> =
                    calls.iter().map(|call| (call.name.clone(), call.arguments.clone())).collect();
                let at_start_only = id.starts_with("start-") && !before.is_empty();
                let at_end_only = id.contains("open") && behind.ends_with("Done.");
                if at_start_only || at_end_only {
                    continue;
                }
                let said = match (calls.is_empty(), before.is_empty(), behind.ends_with("Done.")) {
                    (true, ..) => whole.clone(),
                    (_, false, true) => "Well:\n\nDone.".into(),
                    _ => before.trim_end().to_owned(),
                };
                if found != expected || reply.text != said {
                    wrong.push(format!(
                        "{id}: {before:?} {text} {behind:?}\n  calls {found:?}\n  text {:?}",
                        reply.text
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
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
            (
                "a parameter that is not closed before the next",
                "<tool_call>\n<function=read_file>\n<parameter=path>\na\n<parameter=lines>\n12\n</parameter>\n\
                 </function>\n</tool_call>",
                "",
                vec![r#"read_file {"path":"a","lines":12}"#],
            ),
            (
                "parameters that are never closed",
                "<function=read_file>\n<parameter=path>\na\n<parameter=lines>\n12\n</function>\n",
                "",
                vec![r#"read_file {"path":"a","lines":12}"#],
            ),
            (
                "a value that shows a whole call",
                "<tool_call>\n<function=write>\n<parameter=path>\na\n</parameter>\n<parameter=content>\n<tool_call>\n\
                 <function=f>\n<parameter=x>\n1\n</function>\n</tool_call>\n</parameter>\n</function>\n</tool_call>",
                "",
                vec![
                    r#"write {"path":"a","content":"<tool_call>\n<function=f>\n<parameter=x>\n1\n</function>\n</tool_call>"}"#,
                ],
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
            "<tool_call>{\"name\":now}</tool_call>",
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
        let at = text.as_ptr();
        let out = replay(vec![Event::Text(text)], stage());
        assert!(matches!(&out[..], [Event::Text(text)] if text.as_ptr() == at));
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
    fn a_call_that_comes_both_ways_is_one_call() {
        let text = |text: &str| Event::Text(text.into());
        let native = |index, name: Option<&str>, arguments: &str| {
            let id = name.map(|name| format!("native_{name}_{index}"));
            Event::ToolCall(ToolDelta { index, id, name: name.map(Into::into), arguments: arguments.into() })
        };
        let written = "<tool_call><read_file><path>a</path><lines>7</lines></read_file></tool_call>";
        let whole = [
            native(0, Some("read_file"), ""),
            native(0, None, r#"{"lines": 7, "#),
            native(0, None, r#""path":"a"}"#),
        ];
        let other = [native(1, Some("read_file"), ""), native(1, None, r#"{"path":"b"}"#)];
        let finish = [end(FinishReason::ToolCalls)];
        let a = r#"read_file {"path":"a","lines":7}"#;
        for (desc, events, expected) in [
            ("the text first", [&[text(written)], &whole[..], &finish].concat(), vec![a]),
            (
                "the native one first",
                [&whole[..], &[text(written)], &finish].concat(),
                vec![r#"read_file {"lines": 7, "path":"a"}"#],
            ),
            (
                "another beside it",
                [&[text(written)], &whole[..], &other, &finish].concat(),
                vec![a, r#"read_file {"path":"b"}"#],
            ),
            (
                "another alone",
                [&[text(written)], &other[..], &finish].concat(),
                vec![a, r#"read_file {"path":"b"}"#],
            ),
            (
                "twice in the text, once natively",
                [&[text(written), text(" and "), text(written)], &whole[..], &finish].concat(),
                vec![a, a],
            ),
            (
                "twice natively, once in the text",
                [
                    &[text(written)],
                    &whole[..],
                    &[native(3, Some("read_file"), r#"{"path":"a","lines":7}"#)],
                    &finish,
                ]
                .concat(),
                vec![a, a],
            ),
            (
                "arguments that are cut",
                [&[text(written)], &whole[..2], &[end(FinishReason::Length)]].concat(),
                vec![a, r#"read_file {"lines": 7, "#],
            ),
            (
                "another tool",
                [&[text(written)], &[native(0, Some("now"), "{}")], &finish[..]].concat(),
                vec![a, "now {}"],
            ),
        ] {
            let reply = all_cuts_of(&events, stage);
            let calls: Vec<_> =
                reply.tool_calls.iter().map(|call| format!("{} {}", call.name, call.arguments)).collect();
            assert_eq!(calls, expected, "{desc}");
            assert!(
                !reply.text.contains('<') && reply.tool_calls.iter().all(|call| !call.id.is_empty()),
                "{desc}"
            );
        }
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

    /// Nanoseconds that this thread has spent on a processor.
    fn spent() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse().unwrap()
    }

    /// In a program without optimization; what took the square of its length took minutes.
    #[test]
    fn hostile_text_takes_linear_time() {
        const BYTES: usize = 1 << 17;
        let arguments: String = (0..64_000).map(|number| format!("<p{number}>x</p{number}>")).collect();
        let texts = [
            ("one call of 64,000 arguments", format!("<any-thing.v2>{arguments}</any-thing.v2>")),
            ("64,000 arguments without an end", format!("<any-thing.v2>{arguments}")),
            ("bare brackets", "<".repeat(BYTES)),
            ("closing brackets", "</".repeat(BYTES / 2)),
            ("square brackets", "[".repeat(BYTES)),
            ("separators", "]<]minimax[>".repeat(BYTES / 12)),
            ("wrappers", "<tool_call>".repeat(BYTES / 11)),
            ("wrappers with JSON", "<tool_call>{\"a\": \"".repeat(BYTES / 18)),
            ("wrappers with single quotes", "<tool_call>['".repeat(BYTES / 13)),
            ("open values", "<invoke name=\"write\"><parameter name=\"path\">".repeat(BYTES / 44)),
            ("values that never end", format!("<write><path>{}", "</path> ".repeat(BYTES / 8))),
            ("attributes that never end", "<invoke name=\"".repeat(BYTES / 14)),
            ("deep JSON", format!("<tool_call>{}", "[".repeat(BYTES))),
            ("a name that never ends", format!("<tool_call>{}", "now".repeat(BYTES / 3))),
            ("channels", "<|channel|>commentary to=".repeat(BYTES / 25)),
            ("white space in a call", format!("<write><path>a</path>{}", " ".repeat(BYTES))),
            ("backticks and quotes", "`\"".repeat(BYTES / 2)),
            ("line breaks", "\n".repeat(BYTES)),
        ];
        for (desc, text) in texts {
            for size in [text.len().max(1), 61] {
                let pieces: Vec<Event> = text
                    .as_bytes()
                    .chunks(size)
                    .map(|piece| Event::Text(String::from_utf8_lossy(piece).into()))
                    .collect();
                let begun = spent();
                let out = replay(pieces.into_iter().chain([end(FinishReason::Stop)]).collect(), stage());
                let seconds = (spent() - begun) as f64 / 1e9;
                assert!(seconds < 5.0, "{desc} in pieces of {size}: {seconds} s");
                let said: usize =
                    out.iter().map(|event| if let Event::Text(text) = event { text.len() } else { 0 }).sum();
                let calls = out.iter().filter(|event| matches!(event, Event::ToolCall(_))).count();
                assert!(
                    if calls > 0 { said == 0 } else { said == text.len() },
                    "{desc}: {calls} calls, {said} bytes"
                );
            }
        }
    }

    #[test]
    fn a_call_that_is_too_long_is_text() {
        let call = |len: usize| format!("<write><content>{}</content></write>", "x".repeat(len));
        let long = call(LONGEST_CALL);
        let mut pieces: Vec<Event> = long
            .as_bytes()
            .chunks(50_000)
            .map(|piece| Event::Text(String::from_utf8_lossy(piece).into()))
            .collect();
        pieces.extend([Event::Text("\n<now/>".into()), end(FinishReason::Stop)]);
        let reply = crate::pipeline::Reply::fold(replay(pieces, stage()).into_iter().map(Ok)).unwrap();
        assert!(reply.text == long && reply.tool_calls.len() == 1 && reply.tool_calls[0].name == "now");
        let reply = all_cuts(&call(3000), stage);
        assert_eq!((reply.text.as_str(), reply.tool_calls.len()), ("", 1));
    }

    /// One call, in one of the forms of the table, with a city that no form has to escape.
    fn written(form: usize, city: &str) -> String {
        let lines = [
            include_str!("../../../tests/fixtures/calls/field.jsonl"),
            include_str!("../../../tests/fixtures/calls/more.jsonl"),
        ];
        let lines: Vec<&str> = lines.into_iter().flat_map(str::lines).collect();
        let form: Form = serde_json::from_str(lines[form % lines.len()]).unwrap();
        let is_one = form.calls.len() == 1 && !form.id.contains("open") && !form.id.starts_with("start-");
        if is_one { form.text.replace("Paris", city) } else { written(0, city) }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn calls_in_any_form_come_out_of_prose(
            forms in proptest::collection::vec((0usize..200, "[A-Z][a-z]{1,8}( [A-Z][a-z]{1,5})?", "[A-Z][a-z ,]{0,20}\\."), 1..5),
        ) {
            let (mut text, mut said, mut cities) = (String::from("Well."), String::from("Well."), Vec::new());
            for (form, city, prose) in &forms {
                text += &format!("\n\n{}\n\n{prose}", written(*form, city));
                said += &format!("\n\n{prose}");
                cities.push(city.clone());
            }
            let tools = weather();
            let reply = all_cuts(&text, || ToolXml::new(&tools, ids()));
            let found: Vec<String> = reply.tool_calls.iter().map(|call| {
                let arguments: serde_json::Value = serde_json::from_str(&call.arguments).unwrap();
                arguments["city"].as_str().unwrap().to_owned()
            }).collect();
            prop_assert_eq!(found, cities);
            prop_assert_eq!(reply.text, said);
        }

        #[test]
        fn prose_stays_as_it_is(
            text in "(get_weather|city|Paris|functions\\.|\n|\n\n| |  |<|>|</|<tool_call|<tool_call>|</tool_call>|<invoke|<function>|\\[TOOL_CALLS\\]|\\[|\\]|<\\|python_tag\\|>|<｜|\
                <get_weather>|</get_weather>|\\{\"name\": \"get_weather\"|\\{|\"arguments\": |\\(|`|```|```tool_code|\"|'|“|\\*|&lt;|a word|, |\\.|1|é|call:|to=){0,24}",
        ) {
            // none of these is a whole call
            let tools = weather();
            let reply = all_cuts(&text, || ToolXml::new(&tools, ids()));
            prop_assert!(reply.tool_calls.is_empty());
            prop_assert_eq!(reply.text, text);
        }

        #[test]
        fn examples_stay_as_they_are(form in 0usize..200, example in 0usize..5) {
            let call = written(form, "Rome");
            let inline = call.replace('\n', " ").replace('`', "");
            let text = match example {
                0 => format!("So:\n```xml\n{call}\n```\nor not."),
                1 => format!("So:\n~~~\n{call}\n~~~\nor not."),
                2 => format!("Write ``{inline}`` for it."),
                3 => format!("Write “{inline}” for it."),
                _ => format!("> {inline}\n"),
            };
            let tools = weather();
            if example == 0 && call.contains("```") {
                return Ok(());
            }
            let reply = all_cuts(&text, || ToolXml::new(&tools, ids()));
            prop_assert_eq!(reply.tool_calls.len(), 0);
            prop_assert_eq!(reply.text, text);
        }

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
