//! Stored responses by id: retrieve, continue, list input items, delete.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::paging::Page;
use crate::dialect::responses::{self, Items, Kept, ResponseStore, Sought};
use crate::dialect::{DecodedRequest, Stamp};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::gateway::context::Authenticated;
use crate::gateway::{prepared_request, relay};
use crate::ids::id;
use crate::server::answer::Answer;
use crate::state::responses::{Owner, Response};

/// `POST /v1/responses`
pub fn create(request: Authenticated<'_, '_>) -> io::Result<()> {
    generate(request, responses::decode)
}

/// `POST /v1/responses/compact`: sums a conversation up.
pub fn compact(request: Authenticated<'_, '_>) -> io::Result<()> {
    generate(request, responses::compact)
}

fn generate(
    request: Authenticated<'_, '_>,
    decode: fn(&[u8], &Stamp<'_>, ResponseStore<'_>) -> Result<DecodedRequest>,
) -> io::Result<()> {
    let (app, owner) = (request.app(), request.owner());
    relay::answer(request, |body, stamp| {
        let kept = Arc::clone(&app.responses);
        let find = |sought: Sought<'_>| find(app, owner, sought);
        let keep = Box::new(move |done: Kept| {
            let Kept { id, previous, input, response, names } = done;
            kept.keep(owner, &id, Response { previous, input, response, names });
        });
        decode(body, stamp, ResponseStore { find: &find, keep, clock: relay::now })
    })
}

/// `POST /v1/responses/input_tokens`: how many tokens a request has.
pub fn input_tokens(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let answer = counted(&mut request);
    request.reply(answer)
}

fn counted(request: &mut Authenticated<'_, '_>) -> Result<Answer> {
    let (app, owner) = (request.app(), request.owner());
    let body = request.body()?;
    let find = |sought: Sought<'_>| find(app, owner, sought);
    let response_store = ResponseStore { find: &find, keep: Box::new(drop), clock: relay::now };
    let decoded = responses::decode(&body, &Stamp { now: 0, make_id: &id }, response_store)?;
    let cancel = request.cancel_check();
    let count = |chat| prepared_request::count_tokens(app, request.client(), chat, &cancel);
    let tokens: u64 = decoded.chats.into_iter().map(count).sum::<Result<_>>()?;
    Ok(rendered(&json!({"object": "response.input_tokens", "input_tokens": tokens})))
}

/// `GET /v1/responses/{id}`: a stored response.
pub fn retrieve(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let answer = match request.query("stream").as_deref() {
        Some("true") => {
            Err(Error::invalid("stream", "a stored response cannot be streamed: leave stream out"))
        }
        _ => stored(&request).map(|found| Answer::json(200, found.response.clone())),
    };
    request.reply(answer)
}

/// `DELETE /v1/responses/{id}`: forgets a response, and with it the conversations that go on from it.
pub fn delete(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let id = &request.parameter;
    let answer = match request.app().responses.forget(request.owner(), id) {
        true => Ok(rendered(&json!({"id": id, "object": "response", "deleted": true}))),
        false => Err(not_found(id)),
    };
    request.reply(answer)
}

/// `POST /v1/responses/{id}/cancel`: only what runs can be cancelled, and what is stored has ended.
pub fn cancel(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let answer = stored(&request).and_then(|_| {
        Err(Error::new(
            Kind::InvalidRequest,
            "Cannot cancel a completed response. A stream is cancelled by closing its connection.",
        ))
    });
    request.reply(answer)
}

/// `GET /v1/responses/{id}/input_items`: what a response was an answer to, all items of the conversation before it,
/// page by page.
pub fn input_items(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let answer = items_before(&request);
    request.reply(answer)
}

fn stored(request: &Authenticated<'_, '_>) -> Result<Arc<Response>> {
    let id = &request.parameter;
    request.app().responses.get(request.owner(), id).ok_or_else(|| not_found(id))
}

fn items_before(request: &Authenticated<'_, '_>) -> Result<Answer> {
    let (app, owner, id) = (request.app(), request.owner(), &request.parameter);
    let own = stored(request)?;
    // what it went on from may be gone
    let chain = app.responses.conversation(owner, id).unwrap_or_else(|| vec![own]);
    let all = written(&chain);
    let (page, has_more) = Page::of(request)?.cut(all, |item, id| has_id(item, id))?;
    let page: Vec<Value> =
        page.into_iter().map(|item| serde_json::from_slice(item).unwrap_or_default()).collect();
    let id_of = |item: Option<&Value>| item.map_or("".into(), |item| item["id"].clone());
    let (first, last) = (id_of(page.first()), id_of(page.last()));
    Ok(rendered(&json!({
        "object": "list", "data": page, "first_id": first, "last_id": last, "has_more": has_more,
    })))
}

/// The items of a conversation as they were written, the last response's output aside. Only what is taken is read.
fn written(chain: &[Arc<Response>]) -> impl DoubleEndedIterator<Item = &[u8]> {
    chain.iter().enumerate().flat_map(|(at, response)| {
        let lines = response.input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let earlier = (at + 1 < chain.len()).then_some(response);
        lines.chain(earlier.into_iter().flat_map(|response| written_output(response)))
    })
}

fn written_output(response: &Response) -> impl DoubleEndedIterator<Item = &[u8]> {
    #[derive(Default, serde::Deserialize)]
    struct Rendered<'a> {
        #[serde(borrow)]
        output: Vec<&'a RawValue>,
    }
    let rendered: Rendered<'_> = serde_json::from_slice(&response.response).unwrap_or_default();
    rendered.output.into_iter().map(|item| item.get().as_bytes())
}

fn has_id(item: &[u8], id: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Numbered<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    serde_json::from_slice::<Numbered<'_>>(item).is_ok_and(|item| item.id == id)
}

/// The items that are sought, each read when its turn comes.
fn find(app: &App, owner: Owner, sought: Sought<'_>) -> Option<Items> {
    let called = |name: &str| app.responses.called(owner, name);
    let found = match sought {
        Sought::Conversation(id) => app.responses.conversation(owner, id)?,
        Sought::Item(id) => {
            let own = responses::id_of_response(id).and_then(|response| called(&response));
            vec![own.or_else(|| called(id))?]
        }
    };
    let items = |response: Arc<Response>| {
        let later = Arc::clone(&response);
        Lines { response, read: 0 }.chain(std::iter::once_with(move || output(&later)).flatten())
    };
    Some(Box::new(found.into_iter().flat_map(items)))
}

/// The items that a response was an answer to.
struct Lines {
    response: Arc<Response>,
    /// How much of them has been read.
    read: usize,
}

impl Iterator for Lines {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let rest = &self.response.input[self.read..];
        let line = rest.split_inclusive(|byte| *byte == b'\n').next()?;
        self.read += line.len();
        Some(serde_json::from_slice(line).unwrap_or_default())
    }
}

fn output(response: &Response) -> Vec<Value> {
    #[derive(Default, serde::Deserialize)]
    struct Rendered {
        output: Vec<Value>,
    }
    serde_json::from_slice(&response.response).unwrap_or_else(|_| Rendered::default()).output
}

fn not_found(id: &str) -> Error {
    Error::new(Kind::NotFound, format!("Response with id '{id}' not found."))
}

fn rendered(value: &Value) -> Answer {
    Answer::json(200, value.to_string().into_bytes())
}
