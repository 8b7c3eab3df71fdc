//! Stage that ends an answer at a stop text or at its limit of tokens, when the bot did not do so itself.

use std::collections::VecDeque;
use std::ops::ControlFlow::{self, Break, Continue};

use crate::pipeline::{Event, Finish, FinishReason, Stage, ToolDelta};

/// Counts the tokens of one text that comes in pieces; passed in, because this layer does not import `tokens`.
/// A clone starts where the original stands: a fresh counter is cloned for each kind of text.
pub trait CountRunning: Clone {
    /// Takes in the longest start of `piece` with which the count of the text so far stays at or under `limit`,
    /// and returns its length in bytes, which is a character boundary.
    fn fits(&mut self, piece: &str, limit: usize) -> usize;

    /// The count of all that was taken in.
    fn count(&self) -> usize;
}

/// Enforces stop texts and the limit of tokens.
///
/// Tokens are counted as [`super::Usage`] does: text, thought and calls, each as one text. A call is never cut in
/// two: it begins while there is room and then runs to its end. Stop texts are looked for in the text alone.
pub struct Limits<C> {
    stops: Stops,
    limit: Option<Limit<C>>,
}

impl<C: CountRunning> Limits<C> {
    /// Ends at any of the texts in `stop` and before more than `max_tokens`; `counter` is fresh.
    pub fn new(stop: &[String], max_tokens: Option<u64>, counter: C) -> Limits<C> {
        let limit = max_tokens.map(|tokens| Limit::new(tokens, counter));
        Limits { stops: Stops::new(stop), limit }
    }

    fn text(&mut self, text: String, out: &mut VecDeque<Event>) -> ControlFlow<Met> {
        match self.stops.take(text) {
            Passed::Open(text) => self.show(Event::Text(text), out),
            Passed::Stopped(text, stop) => {
                self.show(Event::Text(text), out)?;
                self.settle(out)?;
                Break(Met::Stop(stop))
            }
        }
    }

    /// Shows what fits of an event; an empty text shows nothing.
    fn show(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<Met> {
        match (&mut self.limit, &event) {
            (_, Event::Text(text) | Event::Thinking(text)) if text.is_empty() => {}
            (Some(limit), _) => return limit.take(event, out),
            (None, _) => out.push_back(event),
        }
        Continue(())
    }

    /// Shows the tail that can no longer become a stop text, and the word that can no longer grow.
    fn release(&mut self, out: &mut VecDeque<Event>) -> ControlFlow<Met> {
        let tail = self.stops.release();
        self.show(Event::Text(tail), out)?;
        self.settle(out)
    }

    fn settle(&mut self, out: &mut VecDeque<Event>) -> ControlFlow<Met> {
        self.limit.as_mut().map_or(Continue(()), |limit| limit.settle(out))
    }

    fn take(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<Met> {
        match event {
            Event::Text(text) => self.text(text, out),
            Event::Suggestion(_) | Event::Metadata(_) => {
                out.push_back(event);
                Continue(())
            }
            Event::Retract => {
                self.stops.forget();
                if let Some(limit) = &mut self.limit {
                    limit.reset();
                }
                out.push_back(event);
                Continue(())
            }
            // Text goes on after thought, so its tail stays held.
            Event::Thinking(_) => self.show(event, out),
            Event::ToolCall(_) => {
                let tail = self.stops.release();
                self.show(Event::Text(tail), out)?;
                self.show(event, out)
            }
            Event::File(_) | Event::Finish(_) => {
                self.release(out)?;
                out.push_back(event);
                Continue(())
            }
        }
    }
}

impl<C: CountRunning> Stage for Limits<C> {
    #[inline]
    fn passes(&mut self, event: &Event) -> bool {
        let has_none = self.limit.is_none() && self.stops.texts.is_empty();
        match event {
            Event::Text(text) => has_none && !text.is_empty(),
            Event::Thinking(_) => has_none,
            _ => false,
        }
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match self.take(event, out) {
            Continue(()) => Continue(()),
            Break(met) => {
                out.push_back(Event::Finish(met.finish()));
                Break(())
            }
        }
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        // An error follows; whether the limit was met no longer matters.
        let _ = self.release(out);
    }
}

/// What ended an answer here.
enum Met {
    /// This stop text.
    Stop(String),
    /// The limit of tokens.
    Limit,
}

impl Met {
    fn finish(self) -> Finish {
        match self {
            Met::Stop(text) => Finish { stop: Some(text), ..Finish::default() },
            Met::Limit => Finish { reason: FinishReason::Length, ..Finish::default() },
        }
    }
}

/// The stop texts as one automaton (Aho and Corasick's), and the longest tail of the text that may still become one:
/// each byte of the text is looked at once, however many stop texts there are.
struct Stops {
    texts: Vec<String>,
    /// The starts of all stop texts. The first is the empty one.
    nodes: Vec<Node>,
    /// The bytes that stop texts begin with.
    begins: [bool; 256],
    /// The longest start that the text so far ends with.
    at: usize,
    /// The text from `sent` on is that start.
    tail: String,
    sent: usize,
}

/// A start of stop texts.
#[derive(Default)]
struct Node {
    /// Its last byte.
    byte: u8,
    /// Its length.
    depth: u32,
    /// A start that is longer by one byte; 0 if there is none.
    child: u32,
    /// Another one of this length with the same bytes before the last; 0 if there is none.
    sibling: u32,
    /// The longest start that it ends with.
    fallback: u32,
    /// The longest stop text that it ends with, counted from 1; 0 if there is none.
    stop: u32,
}

enum Passed {
    /// This much is certain not to belong to a stop text.
    Open(String),
    /// The text before the stop text that was met, and that text.
    Stopped(String, String),
}

impl Stops {
    fn new(stop: &[String]) -> Stops {
        let texts: Vec<String> = stop.iter().filter(|text| !text.is_empty()).cloned().collect();
        let (nodes, at, sent) = (vec![Node::default()], 0, 0);
        let mut stops = Stops { texts, nodes, begins: [false; 256], at, tail: String::new(), sent };
        for number in 0..stops.texts.len() {
            let text = std::mem::take(&mut stops.texts[number]);
            stops.add(&text, number);
            stops.texts[number] = text;
        }
        stops.link();
        stops
    }

    fn add(&mut self, text: &str, number: usize) {
        let mut at = 0;
        for byte in text.bytes() {
            at = self.child(at, byte).unwrap_or_else(|| {
                let new = self.nodes.len();
                let (depth, sibling) = (self.nodes[at].depth + 1, self.nodes[at].child);
                self.nodes[at].child = new as u32;
                self.nodes.push(Node { byte, depth, sibling, ..Node::default() });
                new
            });
        }
        self.begins[usize::from(text.as_bytes()[0])] = true;
        if self.nodes[at].stop == 0 {
            self.nodes[at].stop = number as u32 + 1;
        }
    }

    /// Finds the fallbacks, shorter starts before longer ones.
    fn link(&mut self) {
        let mut queue = VecDeque::from([0]);
        while let Some(parent) = queue.pop_front() {
            let mut next = self.nodes[parent].child as usize;
            while next != 0 {
                if parent != 0 {
                    let fallback = self.step(self.nodes[parent].fallback as usize, self.nodes[next].byte);
                    self.nodes[next].fallback = fallback as u32;
                }
                if self.nodes[next].stop == 0 {
                    self.nodes[next].stop = self.nodes[self.nodes[next].fallback as usize].stop;
                }
                queue.push_back(next);
                next = self.nodes[next].sibling as usize;
            }
        }
    }

    fn child(&self, at: usize, byte: u8) -> Option<usize> {
        let mut next = self.nodes[at].child as usize;
        while next != 0 && self.nodes[next].byte != byte {
            next = self.nodes[next].sibling as usize;
        }
        (next != 0).then_some(next)
    }

    /// The longest start that the text ends with when `byte` follows on `at`.
    fn step(&self, mut at: usize, byte: u8) -> usize {
        loop {
            match self.child(at, byte) {
                Some(next) => return next,
                None if at == 0 => return 0,
                None => at = self.nodes[at].fallback as usize,
            }
        }
    }

    /// Reads on; the stop text that is complete first, the longest of those, and where in `piece` it ends.
    fn read(&mut self, piece: &str) -> Option<(usize, usize)> {
        for (place, byte) in piece.bytes().enumerate() {
            if self.at == 0 && !self.begins[usize::from(byte)] {
                continue;
            }
            self.at = self.step(self.at, byte);
            if let Some(stop) = self.nodes[self.at].stop.checked_sub(1) {
                return Some((place + 1, stop as usize));
            }
        }
        None
    }

    fn take(&mut self, piece: String) -> Passed {
        if self.texts.is_empty() {
            return Passed::Open(piece);
        }
        let met = self.read(&piece);
        let held = self.nodes[self.at].depth as usize;
        if met.is_none() && held == 0 && self.tail.is_empty() {
            return Passed::Open(piece);
        }
        let before = self.tail.len();
        self.tail.push_str(&piece);
        if let Some((end, stop)) = met {
            let stop = self.texts[stop].clone();
            let text = self.tail[self.sent..before + end - stop.len()].to_owned();
            self.forget();
            return Passed::Stopped(text, stop);
        }
        let end = self.tail.len() - held;
        let open = self.tail[self.sent..end].to_owned();
        self.sent = end;
        // not at once, so that a long tail is not moved with every piece
        if self.sent >= self.tail.len() / 2 {
            self.tail.drain(..self.sent);
            self.sent = 0;
        }
        Passed::Open(open)
    }

    /// The tail, which can no longer become a stop text.
    fn release(&mut self) -> String {
        let mut tail = std::mem::take(&mut self.tail);
        tail.drain(..self.sent);
        self.forget();
        tail
    }

    fn forget(&mut self) {
        self.tail.clear();
        (self.at, self.sent) = (0, 0);
    }
}

/// Words are judged whole when the limit is near: "hel" may take more tokens than "hello", so a judgement on half
/// a word would depend on where the network cut it. A word also ends at each multiple of this many bytes, counted
/// from the start of its text, so that text without spaces is not held for long.
const LONGEST_WORD: usize = 64;

/// Tokens kept between what is shown uncounted and the limit, because a joint of two pieces may cost a little more
/// than both do alone.
const MARGIN: usize = 8;

/// The limit of tokens and what has been used of it.
struct Limit<C> {
    tokens: usize,
    fresh: C,
    text: Account<C>,
    thinking: Account<C>,
    calls: C,
    call: Option<usize>,
}

/// The tokens of one kind of text.
struct Account<C> {
    counter: C,
    /// Shown, and certain to fit, but not yet counted: a token is at least one byte long.
    shown: String,
    /// Bytes of the text so far, the held ones included.
    length: usize,
    /// A word that is not yet shown, because it may grow and the limit is near.
    word: String,
}

impl<C: CountRunning> Account<C> {
    fn new(counter: C) -> Account<C> {
        Account { counter, shown: String::new(), length: 0, word: String::new() }
    }

    /// The most tokens that what was shown can have.
    fn most(&self) -> usize {
        self.counter.count() + self.shown.len()
    }

    /// Counts what was shown, so that `most` is exact.
    fn count(&mut self) -> usize {
        if !self.shown.is_empty() {
            self.counter.fits(&self.shown, usize::MAX);
            self.shown.clear();
        }
        self.counter.count()
    }

    /// Takes `piece` in and returns what of it and the held word may be shown; `Break` when that is the last.
    fn judge(&mut self, piece: &str, limit: usize) -> (String, ControlFlow<()>) {
        let mut fitting = String::new();
        for char in piece.chars() {
            if self.ends_word(char) && self.fit(limit, &mut fitting).is_break() {
                return (fitting, Break(()));
            }
            self.word.push(char);
            self.length += char.len_utf8();
        }
        (fitting, Continue(()))
    }

    /// Whether the held word is complete before `next`.
    fn ends_word(&self, next: char) -> bool {
        let space = next.is_whitespace() && !self.word.ends_with(char::is_whitespace);
        let end = self.length + next.len_utf8();
        space || self.length / LONGEST_WORD != end / LONGEST_WORD
    }

    /// Judges the held word.
    fn fit(&mut self, limit: usize, fitting: &mut String) -> ControlFlow<()> {
        let fits = self.counter.fits(&self.word, limit);
        fitting.push_str(&self.word[..fits]);
        let all = fits == self.word.len();
        self.word.clear();
        if all { Continue(()) } else { Break(()) }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Thinking,
}

impl Kind {
    fn event(self, text: String) -> Event {
        match self {
            Kind::Text => Event::Text(text),
            Kind::Thinking => Event::Thinking(text),
        }
    }
}

impl<C: CountRunning> Limit<C> {
    fn new(tokens: u64, fresh: C) -> Limit<C> {
        let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
        let account = || Account::new(fresh.clone());
        Limit { tokens, text: account(), thinking: account(), calls: fresh.clone(), call: None, fresh }
    }

    /// Text and thought are forgotten, calls are not: so does [`super::Usage`].
    fn reset(&mut self) {
        self.text = Account::new(self.fresh.clone());
        self.thinking = Account::new(self.fresh.clone());
    }

    fn account(&mut self, kind: Kind) -> &mut Account<C> {
        match kind {
            Kind::Text => &mut self.text,
            Kind::Thinking => &mut self.thinking,
        }
    }

    fn take(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<Met> {
        match event {
            Event::Text(text) => {
                self.close(Kind::Thinking, out)?;
                self.piece(Kind::Text, text, out)
            }
            Event::Thinking(text) => {
                self.close(Kind::Text, out)?;
                self.piece(Kind::Thinking, text, out)
            }
            Event::ToolCall(delta) => {
                self.settle(out)?;
                self.call(delta, out)
            }
            other => {
                out.push_back(other);
                Continue(())
            }
        }
    }

    fn piece(&mut self, kind: Kind, text: String, out: &mut VecDeque<Event>) -> ControlFlow<Met> {
        if self.certain(kind, text.len()) {
            let account = self.account(kind);
            account.shown.push_str(&text);
            account.length += text.len();
            out.push_back(kind.event(text));
            return Continue(());
        }
        let room = self.room(kind);
        let (fitting, more) = self.account(kind).judge(&text, room);
        show(kind, fitting, out);
        end(more)
    }

    /// Whether `bytes` more fit whatever they are. Counts what was shown only when that is needed to know.
    fn certain(&mut self, kind: Kind, bytes: usize) -> bool {
        let limit = self.tokens.saturating_sub(MARGIN);
        if !self.account(kind).word.is_empty() {
            return false;
        }
        let calls = self.calls.count();
        if self.text.most() + self.thinking.most() + calls + bytes <= limit {
            return true;
        }
        self.text.count() + self.thinking.count() + calls + bytes <= limit
    }

    /// The limit that is left for one kind of text, all of it counted.
    fn room(&mut self, kind: Kind) -> usize {
        let (text, thinking) = (self.text.count(), self.thinking.count());
        let others = match kind {
            Kind::Text => thinking,
            Kind::Thinking => text,
        };
        self.tokens.saturating_sub(others + self.calls.count())
    }

    /// Shows the word of `kind` that can no longer grow, as far as it fits.
    fn close(&mut self, kind: Kind, out: &mut VecDeque<Event>) -> ControlFlow<Met> {
        if self.account(kind).word.is_empty() {
            return Continue(());
        }
        let room = self.room(kind);
        let mut fitting = String::new();
        let more = self.account(kind).fit(room, &mut fitting);
        show(kind, fitting, out);
        end(more)
    }

    fn settle(&mut self, out: &mut VecDeque<Event>) -> ControlFlow<Met> {
        self.close(Kind::Thinking, out)?;
        self.close(Kind::Text, out)
    }

    fn call(&mut self, delta: ToolDelta, out: &mut VecDeque<Event>) -> ControlFlow<Met> {
        let begins = self.call.is_none_or(|last| delta.index > last);
        if begins && self.text.count() + self.thinking.count() + self.calls.count() >= self.tokens {
            return Break(Met::Limit);
        }
        self.call = self.call.max(Some(delta.index));
        self.calls.fits(delta.name.as_deref().unwrap_or_default(), usize::MAX);
        self.calls.fits(&delta.arguments, usize::MAX);
        out.push_back(Event::ToolCall(delta));
        Continue(())
    }
}

fn show(kind: Kind, text: String, out: &mut VecDeque<Event>) {
    if !text.is_empty() {
        out.push_back(kind.event(text));
    }
}

fn end(more: ControlFlow<()>) -> ControlFlow<Met> {
    match more {
        Continue(()) => Continue(()),
        Break(()) => Break(Met::Limit),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::every_split::{end, ended, every_split, fold, text, thinking};
    use crate::pipeline::stages::{CountTokens, Usage};
    use crate::pipeline::{Reply, Stages};

    /// Counts as byte-pair tokens do, where it matters: a word of up to five letters with its space is one token
    /// once it is whole, and one per letter before it is ("hello" 1, "hell" 4).
    #[derive(Clone, Default)]
    struct Words(String);

    fn words(text: &str) -> usize {
        text.split_inclusive(' ')
            .map(|word| match word.trim_end().chars().count() {
                0 => 1,
                5 => 1,
                length => length,
            })
            .sum()
    }

    impl CountRunning for Words {
        fn fits(&mut self, piece: &str, limit: usize) -> usize {
            let ends = piece.char_indices().map(|(at, char)| at + char.len_utf8()).rev();
            let fits = ends.chain([0]).find(|&end| words(&format!("{}{}", self.0, &piece[..end])) <= limit);
            let fits = fits.unwrap_or(0);
            self.0.push_str(&piece[..fits]);
            fits
        }

        fn count(&self) -> usize {
            words(&self.0)
        }
    }

    fn cut(stop: &[&str], max_tokens: Option<u64>) -> Limits<Words> {
        let stop: Vec<String> = stop.iter().map(|&stop| stop.into()).collect();
        Limits::new(&stop, max_tokens, Words::default())
    }

    fn call(index: usize, name: Option<&str>, arguments: &str) -> Event {
        let name = name.map(Into::into);
        Event::ToolCall(ToolDelta { index, id: name.clone(), name, arguments: arguments.into() })
    }

    fn seen(reply: &Reply) -> (&str, FinishReason) {
        (&reply.text, reply.finish.reason)
    }

    #[test]
    fn a_stop_text_ends_the_answer_and_is_not_shown() {
        for (stop, shown) in [
            (&["END"][..], "one END two"),
            (&["XX", "D t"], "one EN"),
            (&["nowhere"], "one END two EN"),
            (&["two", "END two"], "one "),
            (&["ENE", "N"], "one E"),
            (&[""], "one END two EN"),
            (&["ENDE"], "one END two EN"),
        ] {
            let shown = if stop == ["END"] { "one " } else { shown };
            let reply = every_split(|| cut(stop, None), &[text("one END t"), text("wo EN"), end()]);
            assert_eq!(seen(&reply), (shown, FinishReason::Stop), "{stop:?}");
        }
    }

    #[test]
    fn a_stop_text_of_many_bytes_is_met_across_chunks() {
        let reply = every_split(|| cut(&["→ÄÖ"], None), &[text("ä→ä→→Ä"), text("Öü"), end()]);
        assert_eq!(seen(&reply), ("ä→ä→", FinishReason::Stop));
    }

    #[test]
    fn a_stop_text_that_repeats_its_start_is_met() {
        let reply = every_split(|| cut(&["aab"], None), &[text("aaa"), text("ab!"), end()]);
        assert_eq!(seen(&reply), ("aa", FinishReason::Stop));
    }

    #[test]
    fn stop_texts_mean_nothing_in_thought() {
        let reply = every_split(|| cut(&["END"], None), &[thinking("the END"), text("ok"), end()]);
        assert_eq!((reply.thinking.as_str(), reply.text.as_str()), ("the END", "ok"));
    }

    #[test]
    fn the_tail_comes_before_a_call_and_is_forgotten_with_the_text() {
        let reply =
            every_split(|| cut(&["END"], None), &[text("EN"), call(0, Some("f"), "{}"), text("D"), end()]);
        assert_eq!(reply.text, "END");
        let reply = every_split(|| cut(&["END"], None), &[text("EN"), Event::Retract, text("D"), end()]);
        assert_eq!(reply.text, "D");
    }

    #[test]
    fn the_limit_cuts_exactly_and_names_the_length() {
        for (limit, shown, reason) in [
            (0, "", FinishReason::Length),
            (1, "hello", FinishReason::Length),
            (2, "hello w", FinishReason::Length),
            (3, "hello we", FinishReason::Length),
            (4, "hello we again", FinishReason::Length),
            (5, "hello we again a", FinishReason::Stop),
            (500, "hello we again a", FinishReason::Stop),
        ] {
            let events = [text("hello"), text(" we a"), text("gain a"), end()];
            let reply = every_split(|| cut(&[], Some(limit)), &events);
            let (shown_now, reason_now) = seen(&reply);
            assert_eq!((shown_now.trim_end(), reason_now), (shown, reason), "{limit}");
        }
    }

    #[test]
    fn text_without_spaces_is_shown_in_bounded_pieces() {
        let long = "界".repeat(100);
        let reply = every_split(|| cut(&[], Some(90)), &[text(&long), end()]);
        assert_eq!(seen(&reply), ("界".repeat(90).as_str(), FinishReason::Length));
    }

    #[test]
    fn thought_and_calls_count_too() {
        let events = [thinking("hello hello "), text("hello hello "), end()];
        let reply = every_split(|| cut(&[], Some(3)), &events);
        assert_eq!(
            (reply.thinking.as_str(), seen(&reply)),
            ("hello hello ", ("hello ", FinishReason::Length))
        );
        let events = [call(0, Some("n"), "hello"), text("hello hello"), end()];
        assert_eq!(seen(&every_split(|| cut(&[], Some(7)), &events)), ("hello ", FinishReason::Length));
    }

    #[test]
    fn a_call_that_has_begun_is_never_cut() {
        let begun = [call(0, Some("f"), "{"), call(0, None, "1234567890}"), ended(FinishReason::ToolCalls)];
        let reply = every_split(|| cut(&[], Some(2)), &begun);
        assert_eq!(reply.tool_calls[0].arguments, "{1234567890}");
        assert_eq!(reply.finish.reason, FinishReason::ToolCalls);
        let second = [call(0, Some("f"), "{1234}"), call(1, Some("g"), "{}"), end()];
        let reply = every_split(|| cut(&[], Some(2)), &second);
        assert_eq!((reply.tool_calls.len(), reply.finish.reason), (1, FinishReason::Length));
    }

    #[test]
    fn a_retraction_gives_the_tokens_back() {
        let events = [text("hello hello"), Event::Retract, text("hello again"), end()];
        assert_eq!(seen(&every_split(|| cut(&[], Some(2)), &events)), ("hello again", FinishReason::Stop));
    }

    #[test]
    fn ending_hangs_up() {
        let events = vec![text("a STOP b"), text("never asked for")];
        let mut stream = events.into_iter().map(Ok).through(cut(&["STOP"], None));
        assert_eq!(stream.next(), Some(Ok(text("a "))));
        let met = Finish { stop: Some("STOP".into()), ..Finish::default() };
        assert_eq!(stream.next(), Some(Ok(Event::Finish(met))));
        assert_eq!(stream.next(), None);
    }

    #[test]
    fn what_was_held_comes_before_an_error() {
        let broken = crate::error::Error::new(crate::error::Kind::Upstream, "broken");
        let events = vec![Ok(text("one EN")), Err(broken.clone())];
        let out: Vec<_> = events.into_iter().through(cut(&["END"], Some(9))).collect();
        assert_eq!(out.last(), Some(&Err(broken)));
        let shown: String =
            out.iter().flatten().map(|event| if let Event::Text(text) = event { text } else { "" }).collect();
        assert_eq!(shown, "one EN");
    }

    #[test]
    fn plain_text_passes_without_a_copy() {
        let piece = String::from("some text");
        let place = piece.as_ptr();
        let mut out = VecDeque::new();
        assert!(cut(&["never"], None).push(Event::Text(piece), &mut out).is_continue());
        let Some(Event::Text(piece)) = out.pop_front() else { panic!("no text") };
        assert_eq!(piece.as_ptr(), place);
    }

    proptest! {
        #[test]
        fn never_over_the_limit_and_never_short_of_it_without_saying_so(
            pieces in proptest::collection::vec("[hello w界]{0,12}", 0..6), limit in 0u64..40, stops in 0usize..3,
        ) {
            let stop = &["low", "界h"][..stops.min(2)];
            let mut events: Vec<Event> = pieces.iter().map(|piece| text(piece)).collect();
            events.insert(events.len() / 2, thinking("hello hell"));
            events.push(end());
            let reply = every_split(|| cut(stop, Some(limit)), &events);
            prop_assert!(words(&reply.text) + words(&reply.thinking) <= limit as usize);
            let whole = pieces.concat();
            prop_assert!(whole.starts_with(&reply.text));
            prop_assert!(stop.iter().all(|stop| !reply.text.contains(stop)) || reply.text == whole);
            if reply.finish.reason == FinishReason::Stop && stop.is_empty() {
                prop_assert_eq!(&reply.text, &whole);
            }
            let count: CountTokens = words;
            let counted = fold(Usage::new(count, || 0), vec![thinking(&reply.thinking), text(&reply.text), end()]);
            prop_assert!(counted.finish.usage.unwrap().completion <= limit);
        }
    }
}
