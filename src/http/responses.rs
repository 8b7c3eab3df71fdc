//! Responses by id: asked for, gone on from, listed, forgotten.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::Answer;
use super::connection::Call;
use super::order;
use super::record::Record;
use super::relay;
use super::router::{client_key, poe_key};
use crate::app::App;
use crate::dialect::responses::{self, Items, Kept, Shelf, Sought};
use crate::dialect::{Question, Stamp};
use crate::error::{Error, Kind, Result};
use crate::ids::id;
use crate::store::responses::{Owner, Response};

/// How many items a page of a list has, unless the client says.
const PAGE: usize = 20;
const MOST_PAGE: usize = 100;

/// Answers a request for a response.
pub fn create(app: &App, call: &mut Call<'_>, record: &mut Record) -> io::Result<()> {
    ask(app, call, record, responses::decode)
}

/// Answers a request to sum a conversation up.
pub fn compact(app: &App, call: &mut Call<'_>, record: &mut Record) -> io::Result<()> {
    ask(app, call, record, responses::compact)
}

fn ask(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    decode: fn(&[u8], &Stamp<'_>, Shelf<'_>) -> Result<Question>,
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
        decode(body, stamp, Shelf { find: &find, keep, clock: relay::now })
    })
}

/// How many tokens a request has.
pub fn input_tokens(app: &App, call: &mut Call<'_>) -> Result<Answer> {
    poe_key(app, call.head())?;
    let owner = Owner::of(&client_key(app, call.head())?);
    let body = relay::body(app, call)?;
    let find = |sought: Sought<'_>| find(app, owner, sought);
    let shelf = Shelf { find: &find, keep: Box::new(drop), clock: relay::now };
    let question = responses::decode(&body, &Stamp { now: 0, make_id: &id }, shelf)?;
    let watch = relay::watch_client(call);
    let count = |ask| order::count_tokens(app, ask, &watch);
    let tokens: u64 = question.asks.into_iter().map(count).sum::<Result<_>>()?;
    Ok(told(&json!({"object": "response.input_tokens", "input_tokens": tokens})))
}

/// A response that is kept.
pub fn one(app: &App, call: &mut Call<'_>, id: &str) -> Result<Answer> {
    let owner = owner(app, call)?;
    if query(call, "stream").as_deref() == Some("true") {
        return Err(Error::invalid("stream", "a response that is over is told whole: leave stream out"));
    }
    let found = app.responses.get(owner, id).ok_or_else(|| not_found(id))?;
    Ok(Answer::json(200, found.response.clone()))
}

/// Forgets a response, and with it the conversations that go on from it.
pub fn forget(app: &App, call: &mut Call<'_>, id: &str) -> Result<Answer> {
    match app.responses.forget(owner(app, call)?, id) {
        true => Ok(told(&json!({"id": id, "object": "response", "deleted": true}))),
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
    let all = written(&chain);
    let mut items: Box<dyn Iterator<Item = &[u8]>> = match query(call, "order").as_deref() {
        None | Some("desc") => Box::new(all.rev()),
        Some("asc") => Box::new(all),
        Some(_) => return Err(Error::invalid("order", "order must be asc or desc")),
    };
    let limit = match query(call, "limit") {
        None => PAGE,
        Some(text) => match text.parse() {
            Ok(limit @ 1..=MOST_PAGE) => limit,
            _ => return Err(Error::invalid("limit", format!("limit must be 1 to {MOST_PAGE}"))),
        },
    };
    if let Some(after) = query(call, "after") {
        let found = items.any(|item| has_id(item, &after));
        let missing = || Error::invalid("after", "after must be the id of an item of this list");
        found.then_some(()).ok_or_else(missing)?;
    }
    let page = items.by_ref().take(limit);
    let page: Vec<Value> = page.map(|item| serde_json::from_slice(item).unwrap_or_default()).collect();
    let has_more = items.next().is_some();
    let id_of = |item: Option<&Value>| item.map_or("".into(), |item| item["id"].clone());
    let (first, last) = (id_of(page.first()), id_of(page.last()));
    Ok(told(&json!({
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
    struct Told<'a> {
        #[serde(borrow)]
        output: Vec<&'a RawValue>,
    }
    let told: Told<'_> = serde_json::from_slice(&response.response).unwrap_or_default();
    told.output.into_iter().map(|item| item.get().as_bytes())
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
    struct Told {
        output: Vec<Value>,
    }
    serde_json::from_slice(&response.response).unwrap_or_else(|_| Told::default()).output
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

fn told(value: &Value) -> Answer {
    Answer::json(200, value.to_string().into_bytes())
}
