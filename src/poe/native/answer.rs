//! Answer of a native endpoint: passed through byte by byte except for the model's name, and read at the same time for its
//! usage and how it ended.

use super::json::{Fields, quoted, within};
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

/// What is read in passing.
#[derive(Debug)]
pub struct Answer {
    endpoint: NativeEndpoint,
    /// The name that takes the place of the endpoint's, in JSON.
    name: Option<String>,
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
    /// The answer of `endpoint` to a client that calls the model `name`; `None` where that is what the endpoint calls it.
    pub fn new(endpoint: NativeEndpoint, name: Option<&str>) -> Answer {
        let name = name.map(quoted);
        Answer {
            endpoint,
            name,
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
        let renamed = self.renamed(&text, &fields);
        Some(renamed.unwrap_or(text).into_bytes())
    }

    /// Passes one event of a stream on, as it stands in `frame`, its blank line included.
    pub fn frame(&mut self, frame: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let renamed = std::str::from_utf8(frame).ok().and_then(|text| {
            let data = data(text)?;
            let renamed = self.read(data)?;
            let at = within(text, data);
            Some([&text[..at.start], &renamed, &text[at.end..]].concat())
        });
        match renamed {
            Some(frame) => out.extend_from_slice(frame.as_bytes()),
            None => out.extend_from_slice(frame),
        }
        if self.keep_alive_frame.as_ref().is_some_and(Vec::is_empty) {
            self.keep_alive_frame = Some(out[start..].to_vec());
        }
    }

    /// Reads the data of an event, and gives it back with the client's name of the model if that is another.
    fn read(&mut self, data: &str) -> Option<String> {
        if self.endpoint == NativeEndpoint::Chat && data == "[DONE]" {
            self.state = State::Over;
            return None;
        }
        let fields = Fields::read(data)?;
        match self.endpoint {
            NativeEndpoint::Chat => self.chunk(&fields),
            NativeEndpoint::Responses => self.event(&fields),
            NativeEndpoint::Messages => self.message(&fields),
        }
        self.renamed(data, &fields)
    }

    fn chunk(&mut self, fields: &Fields<'_>) {
        if let Some(error) = fields.inside("error") {
            self.fail(&error);
        }
        if let Some(usage) = fields.inside("usage") {
            self.count(&usage);
        }
        let choices = fields.get("choices").map_or("", |field| field.value);
        if serde_json::from_str(choices).is_ok_and(is_finished) && self.state == State::Open {
            self.state = State::Finished;
        }
    }

    fn event(&mut self, fields: &Fields<'_>) {
        let kind = fields.get("type").and_then(|field| field.text()).unwrap_or_default();
        match kind.as_ref() {
            // filled with the event itself
            "response.in_progress" => drop(self.keep_alive_frame.get_or_insert_default()),
            "response.completed" | "response.incomplete" | "response.failed" => {
                let response = fields.inside("response");
                let inside = |name: &str| response.as_ref().and_then(|response| response.inside(name));
                if let Some(usage) = inside("usage") {
                    self.count(&usage);
                }
                if let Some(error) = inside("error") {
                    self.fail(&error);
                }
                if kind != "response.failed" {
                    let (rendered, model) =
                        (fields.get("response"), response.as_ref().and_then(|one| one.get("model")));
                    self.rendered = rendered.zip(model).map(|(rendered, model)| {
                        self.with_name(rendered.value, model.value)
                            .unwrap_or_else(|| rendered.value.to_owned())
                            .into_bytes()
                    });
                }
                self.state = State::Over;
            }
            "error" => {
                let inner = fields.inside("error");
                self.fail(inner.as_ref().unwrap_or(fields));
                self.state = State::Over;
            }
            _ => {}
        }
    }

    fn message(&mut self, fields: &Fields<'_>) {
        let kind = fields.get("type").and_then(|field| field.text()).unwrap_or_default();
        match kind.as_ref() {
            "message_start" => {
                if let Some(usage) = fields.inside("message").and_then(|message| message.inside("usage")) {
                    self.count(&usage);
                }
            }
            "message_delta" => {
                if let Some(usage) = fields.inside("usage") {
                    self.count(&usage);
                }
            }
            "message_stop" => self.state = State::Over,
            "error" => {
                if let Some(error) = fields.inside("error") {
                    self.fail(&error);
                }
                self.state = State::Over;
            }
            _ => {}
        }
    }

    fn fail(&mut self, error: &Fields<'_>) {
        let message = error.get("message").and_then(|field| field.text());
        self.fault =
            Some(message.map_or_else(|| "Poe's endpoint failed".into(), |message| message.into_owned()));
        if self.state == State::Open {
            self.state = State::Finished;
        }
    }

    /// Takes in what a `usage` says. Anthropic states question and answer apart, and what was cached beside the rest.
    fn count(&mut self, usage: &Fields<'_>) {
        let sum = self.usage.get_or_insert_default();
        let detail = |name: &str, part: &str| usage.inside(name).and_then(|details| details.number(part));
        match self.endpoint {
            NativeEndpoint::Chat | NativeEndpoint::Responses => {
                let number = |one: &str, other: &str| usage.number(one).or_else(|| usage.number(other));
                sum.prompt = number("prompt_tokens", "input_tokens").unwrap_or(sum.prompt);
                sum.completion = number("completion_tokens", "output_tokens").unwrap_or(sum.completion);
                let reasoning = detail("completion_tokens_details", "reasoning_tokens");
                let reasoning = reasoning.or_else(|| detail("output_tokens_details", "reasoning_tokens"));
                sum.reasoning = reasoning.unwrap_or(sum.reasoning);
                let cached = detail("prompt_tokens_details", "cached_tokens");
                let cached = cached.or_else(|| detail("input_tokens_details", "cached_tokens"));
                self.cached = cached.unwrap_or(self.cached);
            }
            NativeEndpoint::Messages => {
                sum.completion = usage.number("output_tokens").unwrap_or(sum.completion);
                if let Some(fresh) = usage.number("input_tokens") {
                    let written = usage.number("cache_creation_input_tokens").unwrap_or(0);
                    self.cached = usage.number("cache_read_input_tokens").unwrap_or(0);
                    sum.prompt = fresh + written + self.cached;
                }
            }
        }
    }

    /// `text`, whose fields are given, with the client's name of the model.
    fn renamed(&self, text: &str, fields: &Fields<'_>) -> Option<String> {
        let inside = match self.endpoint {
            NativeEndpoint::Chat => None,
            NativeEndpoint::Responses => fields.inside("response"),
            NativeEndpoint::Messages => fields.inside("message"),
        };
        let model = inside.as_ref().and_then(|inside| inside.get("model")).or_else(|| fields.get("model"))?;
        self.with_name(text, model.value)
    }

    /// `text` with the client's name in place of `model`, a piece of it; `None` where the endpoint's stays.
    fn with_name(&self, text: &str, model: &str) -> Option<String> {
        let at = within(text, model);
        Some([&text[..at.start], self.name.as_deref()?, &text[at.end..]].concat())
    }
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
    use super::*;

    fn passed(endpoint: NativeEndpoint, name: Option<&str>, stream: &str) -> (String, Answer) {
        let (mut answer, mut frames, mut out) = (Answer::new(endpoint, name), Frames::default(), Vec::new());
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
    fn whole_answers_pass_in_the_same_way() {
        let body =
            "{\"id\":1, \"model\": \"Bot-1\", \"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n";
        let pass = |name| Answer::new(NativeEndpoint::Chat, name).whole(body.into());
        assert_eq!(pass(None).unwrap(), body.as_bytes());
        assert_eq!(pass(Some("mine")).unwrap(), body.replace("Bot-1", "mine").as_bytes());
        assert_eq!(Answer::new(NativeEndpoint::Chat, None).whole("<html>".into()), None);
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
            says(State::Over, "no")
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
