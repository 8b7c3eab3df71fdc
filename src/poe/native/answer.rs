//! Answer of a native endpoint: passed through byte by byte except for what repeats the request, and read at the same time
//! for its usage and how it ended.

use super::json::{Edit, Field, Fields, within};
use crate::pipeline::{NativeEndpoint, TokenUsage};

/// How far an answer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// More has to follow.
    #[default]
    Open,
    /// It may end here.
    Finished,
    /// Nothing follows.
    Over,
}

/// Fields of an answer that repeat the request, by their values in JSON: what the client sent takes the place of what the
/// endpoint was sent.
pub type Echo = Vec<(&'static str, String)>;

/// What is read in passing.
#[derive(Debug)]
pub struct Answer {
    endpoint: NativeEndpoint,
    echo: Echo,
    /// How far it has come.
    pub state: State,
    /// What it took, in Poe's count.
    pub usage: Option<TokenUsage>,
    /// How much of the question came out of Poe's cache.
    pub cached: u64,
    /// The error that the endpoint sent in place of more.
    pub fault: Option<String>,
    /// The complete response, where the stream's last event repeats it.
    pub rendered: Option<Vec<u8>>,
    /// An event that may be repeated as a keep-alive.
    pub keep_alive_frame: Option<Vec<u8>>,
}

impl Answer {
    /// The answer of `endpoint` to a client that is to find `echo` in it.
    pub fn new(endpoint: NativeEndpoint, echo: Echo) -> Answer {
        Answer {
            endpoint,
            echo,
            state: State::Open,
            usage: None,
            cached: 0,
            fault: None,
            rendered: None,
            keep_alive_frame: None,
        }
    }

    /// Passes a whole answer on. `None` if it is no JSON object.
    pub fn whole(&mut self, body: Vec<u8>) -> Option<Vec<u8>> {
        let text = String::from_utf8(body).ok()?;
        let fields = Fields::read(&text)?;
        if let Some(usage) = fields.inside("usage") {
            self.count(&usage);
        }
        self.state = State::Over;
        let echoed = self.echoed(&fields);
        Some(echoed.unwrap_or(text).into_bytes())
    }

    /// Passes one event of a stream on, as it stands in `frame`, its blank line included.
    pub fn frame(&mut self, frame: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let text = std::str::from_utf8(frame).unwrap_or_default();
        let data = data(text).unwrap_or_default();
        match self.read(data) {
            Some(echoed) => {
                let at = within(text, data);
                out.extend_from_slice([&text[..at.start], &echoed, &text[at.end..]].concat().as_bytes());
            }
            None => out.extend_from_slice(frame),
        }
        if self.keep_alive_frame.as_ref().is_some_and(Vec::is_empty) {
            self.keep_alive_frame = Some(out[start..].to_vec());
        }
    }

    /// Reads the data of an event, and gives it back if something in it is another for the client.
    fn read(&mut self, data: &str) -> Option<String> {
        if self.endpoint == NativeEndpoint::Chat && data == "[DONE]" {
            self.state = State::Over;
            return None;
        }
        let fields = Fields::read(data)?;
        let kind = fields.get("type").and_then(Field::text).unwrap_or_default();
        let inner = |name: &str| fields.inside(name);
        let usage = match (self.endpoint, kind.as_ref()) {
            (NativeEndpoint::Chat, _) => {
                let choices = fields.get("choices").map_or("", |field| field.value);
                if serde_json::from_str(choices).is_ok_and(is_finished) && self.state == State::Open {
                    self.state = State::Finished;
                }
                inner("usage")
            }
            (NativeEndpoint::Messages, "message_start") => {
                inner("message").and_then(|message| message.inside("usage"))
            }
            (NativeEndpoint::Messages, "message_delta") => inner("usage"),
            (NativeEndpoint::Responses, "response.completed" | "response.incomplete") => {
                self.state = State::Over;
                let response = fields.get("response");
                self.rendered = response.map(|response| {
                    let echoed = Fields::read(response.value).and_then(|fields| self.edited(&fields));
                    echoed.unwrap_or_else(|| response.value.to_owned()).into_bytes()
                });
                inner("response").and_then(|response| response.inside("usage"))
            }
            (NativeEndpoint::Responses, "response.failed") => {
                inner("response").and_then(|response| response.inside("usage"))
            }
            // filled with the event itself
            (NativeEndpoint::Responses, "response.in_progress") => {
                self.keep_alive_frame.get_or_insert_default();
                None
            }
            (NativeEndpoint::Messages, "message_stop") => {
                self.state = State::Over;
                None
            }
            _ => None,
        };
        if let Some(usage) = usage {
            self.count(&usage);
        }
        self.note_fault(&fields, kind.as_ref());
        self.echoed(&fields)
    }

    /// Notes the error that an event is, in any of the places where endpoints have one.
    fn note_fault(&mut self, fields: &Fields<'_>, kind: &str) {
        let response = fields.inside("response");
        let own = || fields.get("error").filter(|error| !error.is_null());
        let error =
            response.as_ref().and_then(|response| response.get("error")).filter(|error| !error.is_null());
        let error = error.or_else(own);
        let is_error = matches!(kind, "error" | "response.failed");
        if !is_error && error.is_none() {
            return;
        }
        let inner = error.and_then(|error| Fields::read(error.value));
        let message = inner.as_ref().unwrap_or(fields).get("message").or(error).and_then(Field::text);
        self.fault = Some(message.map_or_else(|| "Poe's endpoint failed".into(), Into::into));
        let is_last = kind == "response.failed" || self.endpoint == NativeEndpoint::Messages;
        self.state = if is_last { State::Over } else { State::Finished };
    }

    /// Takes in what a `usage` says. Anthropic states question and answer apart, and what was cached beside the rest.
    fn count(&mut self, usage: &Fields<'_>) {
        let sum = self.usage.get_or_insert_default();
        let number = |names: [&str; 2]| names.iter().find_map(|name| usage.number(name));
        let detail = |names: [&str; 2], part: &str| {
            names.iter().find_map(|name| usage.inside(name).and_then(|details| details.number(part)))
        };
        if self.endpoint == NativeEndpoint::Messages {
            sum.completion = usage.number("output_tokens").unwrap_or(sum.completion);
            if let Some(fresh) = usage.number("input_tokens") {
                let written = usage.number("cache_creation_input_tokens").unwrap_or(0);
                self.cached = usage.number("cache_read_input_tokens").unwrap_or(0);
                sum.prompt = fresh + written + self.cached;
            }
            return;
        }
        sum.prompt = number(["prompt_tokens", "input_tokens"]).unwrap_or(sum.prompt);
        sum.completion = number(["completion_tokens", "output_tokens"]).unwrap_or(sum.completion);
        let reasoning = detail(["completion_tokens_details", "output_tokens_details"], "reasoning_tokens");
        sum.reasoning = reasoning.unwrap_or(sum.reasoning);
        let cached = detail(["prompt_tokens_details", "input_tokens_details"], "cached_tokens");
        self.cached = cached.unwrap_or(self.cached);
    }

    /// The text of `fields` with what the client is to find in it; `None` where it stays.
    fn echoed(&self, fields: &Fields<'_>) -> Option<String> {
        let inside = match self.endpoint {
            NativeEndpoint::Chat => None,
            NativeEndpoint::Responses => fields.get("response"),
            NativeEndpoint::Messages => fields.get("message"),
        };
        match inside.and_then(|field| Some((field, Fields::read(field.value)?))) {
            Some((field, inner)) => {
                let at = within(fields.text(), field.value);
                Some([&fields.text()[..at.start], &self.edited(&inner)?, &fields.text()[at.end..]].concat())
            }
            None => self.edited(fields),
        }
    }

    fn edited(&self, fields: &Fields<'_>) -> Option<String> {
        let own = |field: &Field<'_>| {
            self.echo.iter().find(|(name, own)| *name == field.name && own != field.value)
        };
        fields.all().iter().find_map(own)?;
        let edit = |field: &Field<'_>| own(field).map_or(Edit::Keep, |(_, own)| Edit::Set(own.clone()));
        Some(fields.edited(edit, &[]))
    }
}

/// Whether an event is a part of the answer. Before the first that is, an error can still have a status of its own.
pub fn is_substance(frame: &[u8]) -> bool {
    let text = String::from_utf8_lossy(frame);
    let mut data = text.split(['\n', '\r']).filter_map(|line| line.strip_prefix("data:"));
    let is_ping = |data: &str| {
        let kind = Fields::read(data).and_then(|fields| Some(fields.get("type")?.text()?.into_owned()));
        kind.as_deref() == Some("ping")
    };
    data.next().is_some_and(|data| !is_ping(data.trim()))
}

/// Whether any choice states why it ended.
fn is_finished(choices: Vec<Choice>) -> bool {
    choices.iter().any(|choice| choice.finish_reason.is_some())
}

#[derive(serde::Deserialize)]
struct Choice {
    finish_reason: Option<String>,
}

/// The data of an event that has one line of it, as those of Poe's endpoints have.
fn data(frame: &str) -> Option<&str> {
    let mut lines = frame.split(['\n', '\r']).filter_map(|line| line.strip_prefix("data:"));
    let data = lines.next()?;
    match lines.next() {
        None => Some(data.strip_prefix(' ').unwrap_or(data)),
        Some(_) => None,
    }
}

/// Cuts a stream into events without changing a byte.
#[derive(Debug, Default)]
pub struct Frames {
    inbox: Vec<u8>,
    /// Where the line that is being read begins.
    line: usize,
    /// How much of `inbox` is known to hold no end of that line.
    looked: usize,
}

impl Frames {
    /// Takes bytes from the wire.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// Bytes of an event that has not ended.
    pub fn pending(&self) -> usize {
        self.inbox.len()
    }

    /// The first byte that has come, line ends aside.
    pub fn first(&self) -> Option<u8> {
        self.inbox.trim_ascii_start().first().copied()
    }

    /// The event at the end of a stream that lacks its blank line, if it ends the answer: what is cut short in another
    /// cannot be known.
    pub fn take_last(&mut self, answer: &Answer) -> Option<Vec<u8>> {
        let last = [self.take_rest(), b"\n\n".to_vec()].concat();
        let mut probe = Answer::new(answer.endpoint, Echo::new());
        probe.frame(&last, &mut Vec::new());
        (probe.state == State::Over).then_some(last)
    }

    /// What is left of an event that has not ended.
    pub fn take_rest(&mut self) -> Vec<u8> {
        (self.line, self.looked) = (0, 0);
        std::mem::take(&mut self.inbox)
    }

    /// The next whole event with the blank line that ends it. A CR at the end of what came waits for its LF, unless it
    /// `is_last`.
    pub fn next(&mut self, is_last: bool) -> Option<Vec<u8>> {
        while let Some(end) = self.line_end(is_last) {
            let is_blank = self.inbox[self.line..end].iter().all(|byte| matches!(byte, b'\r' | b'\n'));
            (self.line, self.looked) = (end, end);
            if is_blank {
                (self.line, self.looked) = (0, 0);
                let rest = self.inbox.split_off(end);
                return Some(std::mem::replace(&mut self.inbox, rest));
            }
        }
        None
    }

    /// Where the line ends, its line end included.
    fn line_end(&mut self, is_last: bool) -> Option<usize> {
        let found = self.inbox[self.looked..].iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        self.looked = found.map_or(self.inbox.len(), |offset| self.looked + offset);
        found?;
        match (self.inbox[self.looked], self.inbox.get(self.looked + 1)) {
            (b'\r', Some(b'\n')) => Some(self.looked + 2),
            (b'\r', None) if !is_last => None,
            _ => Some(self.looked + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::quoted;
    use super::*;

    fn named(name: Option<&str>) -> Echo {
        name.map(|name| ("model", quoted(name))).into_iter().collect()
    }

    fn passed(endpoint: NativeEndpoint, name: Option<&str>, stream: &str) -> (String, Answer) {
        let (mut answer, mut frames, mut out) =
            (Answer::new(endpoint, named(name)), Frames::default(), Vec::new());
        frames.feed(stream.as_bytes());
        while let Some(frame) = frames.next(true) {
            answer.frame(&frame, &mut out);
        }
        (String::from_utf8(out).unwrap(), answer)
    }

    const CHAT: &str = "data: {\"id\":\"c\", \"model\" : \"Bot-1\",\"choices\":[{\"delta\":{\"content\":\"\\\"model\\\":\\\"Bot-1\\\"\"},\"finish_reason\":null}]}\n\n\
        : still here\n\ndata:{\"model\":\"Bot-1\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n\
        data: {\"model\":\"Bot-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_details\":{\"reasoning_tokens\":2}}}\n\n\
        data: [DONE]\n\n";
    const RESPONSES: &str = "event: response.in_progress\ndata: {\"type\":\"response.in_progress\",\"response\":{\"model\":\"Bot-1\"}}\n\n\
        event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"model\":\"Bot-1\",\"error\":null,\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":4},\"output_tokens\":3,\"output_tokens_details\":{\"reasoning_tokens\":2}}}}\n\n";
    const MESSAGES: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"Bot-1\",\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\n\
        event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":3}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

    #[test]
    fn a_stream_passes_unchanged_and_is_read() {
        for (endpoint, stream, reasoning) in [
            (NativeEndpoint::Chat, CHAT, 2),
            (NativeEndpoint::Responses, RESPONSES, 2),
            (NativeEndpoint::Messages, MESSAGES, 0),
        ] {
            let (out, answer) = passed(endpoint, None, stream);
            assert_eq!(out, stream);
            assert_eq!(
                answer.usage,
                Some(TokenUsage { prompt: 9, completion: 3, reasoning }),
                "{endpoint:?}"
            );
            assert_eq!((answer.cached, answer.state, &answer.fault), (4, State::Over, &None), "{endpoint:?}");
        }
    }

    #[test]
    fn only_the_name_changes_and_only_where_it_is_the_models() {
        for (endpoint, stream) in [
            (NativeEndpoint::Chat, CHAT),
            (NativeEndpoint::Responses, RESPONSES),
            (NativeEndpoint::Messages, MESSAGES),
        ] {
            let (out, _) = passed(endpoint, Some("my \"own\""), stream);
            let renamed = stream
                .replace(":\"Bot-1\"", ":\"my \\\"own\\\"\"")
                .replace(" : \"Bot-1\"", " : \"my \\\"own\\\"\"");
            assert_eq!(out, renamed, "{endpoint:?}");
        }
    }

    #[test]
    fn a_response_repeats_what_the_client_sent() {
        let echo = || vec![("store", "true".to_owned()), ("previous_response_id", "\"resp_1\"".to_owned())];
        let sent = r#"{"id":"r", "store" : false,"previous_response_id":null,"output":[{"store":false}]}"#;
        let expected =
            r#"{"id":"r", "store" : true,"previous_response_id":"resp_1","output":[{"store":false}]}"#;
        let whole = Answer::new(NativeEndpoint::Responses, echo()).whole(sent.into()).unwrap();
        assert_eq!(String::from_utf8(whole).unwrap(), expected);
        let event =
            |response: &str| format!("data: {{\"type\":\"response.completed\",\"response\":{response}}}\n\n");
        let (mut answer, mut out) = (Answer::new(NativeEndpoint::Responses, echo()), Vec::new());
        answer.frame(event(sent).as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), event(expected));
        assert_eq!(answer.rendered.unwrap(), expected.as_bytes());
    }

    #[test]
    fn whole_answers_pass_in_the_same_way() {
        let body =
            "{\"id\":1, \"model\": \"Bot-1\", \"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n";
        let pass = |name| Answer::new(NativeEndpoint::Chat, named(name)).whole(body.into());
        assert_eq!(pass(None).unwrap(), body.as_bytes());
        assert_eq!(pass(Some("mine")).unwrap(), body.replace("Bot-1", "mine").as_bytes());
        assert_eq!(Answer::new(NativeEndpoint::Chat, named(None)).whole("<html>".into()), None);
    }

    #[test]
    fn ends_and_faults_are_seen() {
        let state = |endpoint, stream: &str| {
            let answer = passed(endpoint, None, stream).1;
            (answer.state, answer.fault)
        };
        let says = |state, fault: &str| (state, Some(fault.to_owned()));
        assert_eq!(
            state(NativeEndpoint::Chat, "data: {\"choices\":[{\"finish_reason\":null}]}\n\n"),
            (State::Open, None)
        );
        assert_eq!(
            state(NativeEndpoint::Chat, "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n"),
            (State::Finished, None)
        );
        assert_eq!(
            state(NativeEndpoint::Chat, "data: {\"error\":{\"message\":\"no\"}}\n\n"),
            says(State::Finished, "no")
        );
        let failed = "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"message\":\"no\"}}}\n\n";
        assert_eq!(state(NativeEndpoint::Responses, failed), says(State::Over, "no"));
        assert_eq!(
            state(NativeEndpoint::Responses, "data: {\"type\":\"error\",\"message\":\"no\"}\n\n"),
            says(State::Finished, "no")
        );
        let failed = "data: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"no\"}}\n\n";
        assert_eq!(state(NativeEndpoint::Messages, failed), says(State::Over, "no"));
    }

    #[test]
    fn where_the_network_cuts_a_stream_does_not_matter() {
        let mixed =
            [CHAT, "data: a\r\rdata: b\r\n\r\nid: 1\r\n\ndata: c\n\n\n\ndata: d\n\r\n: x\r\r"].concat();
        let whole = {
            let mut frames = Frames::default();
            frames.feed(mixed.as_bytes());
            std::iter::from_fn(|| frames.next(true)).collect::<Vec<_>>()
        };
        assert_eq!(whole.concat(), mixed.as_bytes());
        for at in 0..=mixed.len() {
            let (mut frames, mut out) = (Frames::default(), Vec::new());
            for part in [&mixed.as_bytes()[..at], &mixed.as_bytes()[at..]] {
                frames.feed(part);
                out.extend(std::iter::from_fn(|| frames.next(false)));
            }
            out.extend(std::iter::from_fn(|| frames.next(true)));
            assert_eq!(out.concat(), mixed.as_bytes(), "cut at {at}");
            assert_eq!(frames.pending(), 0);
        }
    }
}
