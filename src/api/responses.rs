//! Responses by id: asked for, gone on from, listed, forgotten.

use std::io;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::router::{client_key, poe_key};
use crate::dialect::responses::{self, Items, Kept, ResponseStore, Sought};
use crate::dialect::{DecodedRequest, Stamp};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::gateway::record::Record;
use crate::gateway::{prepared_request, relay};
use crate::ids::id;
use crate::server::answer::Answer;
use crate::server::connection::Call;
use crate::state::responses::{Owner, Response};

/// How many items a page of a list has, unless the client says.
const PAGE: usize = 20;
const MOST_PAGE: usize = 100;

/// Answers a request for a response.
pub fn create(app: &App, call: &mut Call<'_>, record: &mut Record) -> io::Result<()> {
    chat(app, call, record, responses::decode)
}

/// Answers a request to sum a conversation up.
pub fn compact(app: &App, call: &mut Call<'_>, record: &mut Record) -> io::Result<()> {
    chat(app, call, record, responses::compact)
}

fn chat(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    decode: fn(&[u8], &Stamp<'_>, ResponseStore<'_>) -> Result<DecodedRequest>,
) -> io::Result<()> {
    let shown = client_key(app, call.head());
    relay::answer(app, call, record, |_, body, stamp| {
        let owner = Owner::of(&shown?);
        let kept = Arc::clone(&app.responses);
        let find = |sought: Sought<'_>| find(app, owner, sought);
        let keep = Box::new(move |done: Kept| {
            let Kept { id, previous, input, response, names } = done;
            kept.keep(owner, &id, Response { previous, input, response, names });
        });
        decode(body, stamp, ResponseStore { find: &find, keep, clock: relay::now })
    })
}

/// How many tokens a request has.
pub fn input_tokens(app: &App, call: &mut Call<'_>) -> Result<Answer> {
    poe_key(app, call.head())?;
    let owner = Owner::of(&client_key(app, call.head())?);
    let body = relay::body(app, call)?;
    let find = |sought: Sought<'_>| find(app, owner, sought);
    let response_store = ResponseStore { find: &find, keep: Box::new(drop), clock: relay::now };
    let decoded = responses::decode(&body, &Stamp { now: 0, make_id: &id }, response_store)?;
    let cancel = relay::cancel_on_disconnect(call);
    let count = |chat| prepared_request::count_tokens(app, chat, &cancel);
    let tokens: u64 = decoded.chats.into_iter().map(count).sum::<Result<_>>()?;
    Ok(rendered(&json!({"object": "response.input_tokens", "input_tokens": tokens})))
}

/// A response that is kept.
pub fn one(app: &App, call: &mut Call<'_>, id: &str) -> Result<Answer> {
    let owner = owner(app, call)?;
    if query(call, "stream").as_deref() == Some("true") {
        return Err(Error::invalid("stream", "a stored response cannot be streamed: leave stream out"));
    }
    let found = app.responses.get(owner, id).ok_or_else(|| not_found(id))?;
    Ok(Answer::json(200, found.response.clone()))
}

/// Forgets a response, and with it the conversations that go on from it.
pub fn forget(app: &App, call: &mut Call<'_>, id: &str) -> Result<Answer> {
    match app.responses.forget(owner(app, call)?, id) {
        true => Ok(rendered(&json!({"id": id, "object": "response", "deleted": true}))),
        false => Err(not_found(id)),
    }
}

/// Only what runs can be cancelled, and what is kept has ended.
pub fn cancel(app: &App, call: &mut Call<'_>, id: &str) -> Result<Answer> {
    match app.responses.get(owner(app, call)?, id) {
        Some(_) => Err(Error::new(
            Kind::InvalidRequest,
            "Cannot cancel a completed response. A stream is cancelled by closing its connection.",
        )),
        None => Err(not_found(id)),
    }
}

/// What a response was an answer to: all items of the conversation before it, page by page.
pub fn input_items(app: &App, call: &mut Call<'_>, id: &str) -> Result<Answer> {
    let owner = owner(app, call)?;
    let own = app.responses.get(owner, id).ok_or_else(|| not_found(id))?;
    // what it went on from may be gone
    let chain = app.responses.conversation(owner, id).unwrap_or_else(|| vec![own]);
    let mut items = Vec::new();
    for (at, response) in chain.into_iter().rev().enumerate().rev() {
        items.extend(Lines { response: Arc::clone(&response), read: 0 });
        if at > 0 {
            items.extend(output(&response));
        }
    }
    match query(call, "order").as_deref() {
        None | Some("desc") => items.reverse(),
        Some("asc") => {}
        Some(_) => return Err(Error::invalid("order", "order must be asc or desc")),
    }
    let limit = match query(call, "limit") {
        None => PAGE,
        Some(text) => match text.parse() {
            Ok(limit @ 1..=MOST_PAGE) => limit,
            _ => return Err(Error::invalid("limit", format!("limit must be 1 to {MOST_PAGE}"))),
        },
    };
    if let Some(after) = query(call, "after") {
        let at = items.iter().position(|item| item["id"] == after.as_str());
        let at = at.ok_or_else(|| Error::invalid("after", "after must be the id of an item of this list"))?;
        items.drain(..=at);
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    let id_of = |item: Option<&Value>| item.map_or("".into(), |item| item["id"].clone());
    let (first, last) = (id_of(items.first()), id_of(items.last()));
    Ok(rendered(&json!({
        "object": "list", "data": items, "first_id": first, "last_id": last, "has_more": has_more,
    })))
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

fn owner(app: &App, call: &Call<'_>) -> Result<Owner> {
    poe_key(app, call.head())?; // a key that is not known here sees nothing
    Ok(Owner::of(&client_key(app, call.head())?))
}

fn query(call: &Call<'_>, name: &str) -> Option<String> {
    let pairs = call.head().query.as_deref().unwrap_or_default().split('&');
    let value = pairs.filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name)?.1;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn not_found(id: &str) -> Error {
    Error::new(Kind::NotFound, format!("Response with id '{id}' not found."))
}

fn rendered(value: &Value) -> Answer {
    Answer::json(200, value.to_string().into_bytes())
}
