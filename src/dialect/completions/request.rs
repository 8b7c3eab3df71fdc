//! Decodes a `completions` request into one `ChatRequest` for each prompt.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::dialect::chat::{OneOrMany, choices};
use crate::dialect::json::{self, within};
use crate::dialect::{numbers, thinking};
use crate::error::{Error, Result};
use crate::pipeline::{ChatRequest, Gap, Reasoning, Sampling, completion_prompt};

/// The most choices of one request: prompts times `n`.
const MAX_CHOICES: usize = 8;

/// A decoded request: what is asked, and how the answer is to be rendered.
#[derive(Debug)]
pub struct Completion {
    /// One for each prompt; at least one.
    pub chats: Vec<ChatRequest>,
    /// As server-sent events.
    pub stream: bool,
    /// `stream_options.include_usage`
    pub includes_usage: bool,
    /// The prompts, if they are wanted before the answer.
    pub echo: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Request {
    model: Option<String>,
    prompt: Option<Value>,
    suffix: Option<String>,
    echo: Option<bool>,
    #[serde(default, deserialize_with = "numbers::count")]
    n: Option<u64>,
    #[serde(default, deserialize_with = "numbers::count")]
    best_of: Option<u64>,
    logprobs: Option<Value>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(default, deserialize_with = "numbers::limit")]
    max_tokens: Option<u64>,
    stop: Option<OneOrMany>,
    #[serde(default, deserialize_with = "numbers::real")]
    temperature: Option<f64>,
    #[serde(default, deserialize_with = "numbers::real")]
    top_p: Option<f64>,
    #[serde(default, deserialize_with = "numbers::real")]
    presence_penalty: Option<f64>,
    #[serde(default, deserialize_with = "numbers::real")]
    frequency_penalty: Option<f64>,
    logit_bias: Option<BTreeMap<String, f64>>,
    #[serde(default, deserialize_with = "numbers::signed")]
    seed: Option<i64>,
    reasoning_effort: Option<String>,
    extra_body: Option<Map<String, Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// Reads a request's body. Errors name the field.
pub fn read(body: &[u8]) -> Result<Completion> {
    let mut request: Request = json::read(body)?;
    let model = request.model.take().map(|model| model.trim().to_owned()).filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| Error::invalid("model", "you must provide a model parameter"))?;
    let suffix = request.suffix.take();
    let prompts = prompts(request.prompt.take(), suffix.as_deref())?;
    let n = choices(request.n)?;
    request.refuse_what_cannot_be(n)?;
    if prompts.len() * n > MAX_CHOICES {
        let (param, count) = if prompts.len() > MAX_CHOICES { ("prompt", prompts.len()) } else { ("n", n) };
        let message = format!(
            "{} prompts times {n} choices are more than the {MAX_CHOICES} answers that one request may ask for; \
             {param} is {count}",
            prompts.len()
        );
        return Err(Error::invalid(param, message));
    }
    let template = ChatRequest {
        bot: model.clone(),
        model,
        sampling: request.sampling()?,
        reasoning: request.reasoning(),
        parameters: request.extra_body.take().unwrap_or_default(),
        hints: std::mem::take(&mut request.rest),
        choices: n,
        ..ChatRequest::default()
    };
    let chat = |prompt: &String| {
        let mut chat = template.clone();
        completion_prompt(&mut chat, &Gap::read(prompt, suffix.as_deref()));
        chat
    };
    Ok(Completion {
        chats: prompts.iter().map(chat).collect(),
        stream: request.stream.unwrap_or(false),
        includes_usage: request.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
        echo: request.echo.unwrap_or(false).then_some(prompts),
    })
}

impl Request {
    fn reasoning(&mut self) -> Option<Reasoning> {
        let own = Reasoning { effort: self.reasoning_effort.take(), ..Reasoning::default() };
        thinking::read(own, self.extra_body.as_mut(), &self.rest)
    }

    fn refuse_what_cannot_be(&self, n: usize) -> Result<()> {
        if !matches!(self.logprobs, None | Some(Value::Null | Value::Bool(false))) {
            return Err(Error::invalid(
                "logprobs",
                "logprobs are not available: Poe's bots do not give them",
            ));
        }
        match self.best_of {
            Some(best_of) if best_of > n as u64 => {
                let message =
                    format!("best_of is {best_of}: answers cannot be rated here; use n for several answers");
                Err(Error::invalid("best_of", message))
            }
            _ => Ok(()),
        }
    }

    fn sampling(&mut self) -> Result<Sampling> {
        within("temperature", self.temperature, 0.0, 2.0)?;
        within("top_p", self.top_p, 0.0, 1.0)?;
        within("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        if self.max_tokens == Some(0) {
            return Err(Error::invalid("max_tokens", "max_tokens must be at least 1"));
        }
        Ok(Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_tokens: self.max_tokens,
            stop: self.stop.take().map_or(Ok(Vec::new()), |stop| stop.stops(4))?,
            logit_bias: self.logit_bias.take(),
            seed: self.seed,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
        })
    }
}

/// One text or several. An empty one is nothing to go on from, unless something stands behind the gap.
fn prompts(prompt: Option<Value>, suffix: Option<&str>) -> Result<Vec<String>> {
    let empty = |param: &str| Error::invalid(param, format!("{param} is empty: expected a text to continue"));
    let text = |param: &str, value: Value| match value {
        Value::String(text) if text.is_empty() && suffix.is_none_or(str::is_empty) => Err(empty(param)),
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Array(_) => Err(Error::invalid(
            param,
            "prompt contains token ids, whose vocabulary is unknown: send the text instead",
        )),
        _ => Err(Error::invalid(param, format!("{param} must be a string"))),
    };
    match prompt {
        None | Some(Value::Null) => Err(Error::invalid("prompt", "you must provide a prompt parameter")),
        Some(Value::Array(all)) if all.is_empty() => Err(empty("prompt")),
        Some(Value::Array(all)) => {
            all.into_iter().enumerate().map(|(at, one)| text(&format!("prompt[{at}]"), one)).collect()
        }
        Some(one) => Ok(vec![text("prompt", one)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use serde_json::json;

    fn with(field: &str, value: Value) -> Result<Completion> {
        let mut request = json!({"model": " m ", "prompt": "Once"});
        request[field] = value;
        read(request.to_string().as_bytes())
    }

    #[test]
    fn every_prompt_is_an_ask_of_its_own() {
        let body = json!({"model": "m", "prompt": ["a", "b"], "n": 2, "echo": true, "best_of": 2, "stream": true,
            "stop": "x", "max_tokens": 5, "logprobs": null, "stream_options": {"include_usage": true}, "user": "u"});
        let completion = read(body.to_string().as_bytes()).unwrap();
        assert_eq!(completion.echo, Some(vec!["a".into(), "b".into()]));
        assert!(completion.stream && completion.includes_usage);
        let asked: Vec<_> =
            completion.chats.iter().map(|chat| (chat.messages[1].text(), chat.choices)).collect();
        assert_eq!(asked, [("a".into(), 2), ("b".into(), 2)]);
        let sampling = &completion.chats[1].sampling;
        assert_eq!((sampling.stop.as_slice(), sampling.max_tokens), (["x".to_owned()].as_slice(), Some(5)));
    }

    #[test]
    fn a_suffix_makes_a_gap() {
        let chat = &with("suffix", json!(" end")).unwrap().chats[0];
        assert_eq!(chat.messages[1].text(), "Once<FILL_HERE/> end");
        let empty = json!({"model": "m", "prompt": "", "suffix": "b"}).to_string();
        assert_eq!(read(empty.as_bytes()).unwrap().chats[0].messages[1].text(), "<FILL_HERE/>b");
    }

    #[test]
    fn errors_name_the_field() {
        for (field, value, param) in [
            ("model", Value::Null, "model"),
            ("model", json!(" "), "model"),
            ("prompt", Value::Null, "prompt"),
            ("prompt", json!(""), "prompt"),
            ("prompt", json!([]), "prompt"),
            ("prompt", json!({}), "prompt"),
            ("prompt", json!([1, 2]), "prompt[0]"),
            ("prompt", json!([[1, 2], [3]]), "prompt[0]"),
            ("prompt", json!(["a", null]), "prompt[1]"),
            ("prompt", json!(vec!["a"; 9]), "prompt"),
            ("n", json!(0), "n"),
            ("n", json!(9), "n"),
            ("best_of", json!(2), "best_of"),
            ("logprobs", json!(0), "logprobs"),
            ("logprobs", json!(true), "logprobs"),
            ("max_tokens", json!(0), "max_tokens"),
            ("max_tokens", json!("many"), "max_tokens"),
            ("stop", json!(["1", "2", "3", "4", "5"]), "stop"),
            ("temperature", json!(3), "temperature"),
            ("stream", json!("yes"), "stream"),
        ] {
            let error = with(field, value.clone()).unwrap_err();
            assert_eq!(
                (error.kind, error.param.as_deref()),
                (Kind::InvalidRequest, Some(param)),
                "{field}: {value}"
            );
        }
        let many = json!({"model": "m", "prompt": ["a", "b", "c"], "n": 3}).to_string();
        assert_eq!(read(many.as_bytes()).unwrap_err().param.as_deref(), Some("n"));
    }
}
