//! OpenAI's Responses API.

mod answer;
mod compaction;
mod items;
mod request;
mod stream;
mod tools;

use std::fmt::Display;

use serde_json::{Map, Value};

use answer::failure_code;
pub use compaction::SEAL;
pub use items::{id_of_response, is_thought};
pub use request::{Request, read};
pub use stream::Encoder;
pub use tools::Names;

use super::{DecodedRequest, Stamp};
use crate::error::Result;
use crate::pipeline::NativeEndpoint;
use compaction::{Compacting, Wanted};
use stream::Keep;

/// What is sought among the items of earlier responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought<'a> {
    /// All of the conversation up to and with the response of this id, oldest first.
    Conversation(&'a str),
    /// All of the one response that holds the item of this id.
    Item(&'a str),
}

/// Items of earlier responses, read one by one: all at once they would take many times the room that they are kept in.
pub type Items = Box<dyn Iterator<Item = Value>>;

/// Finds items of earlier responses; `None`: they are not kept.
pub type Find<'a> = &'a dyn Fn(Sought<'_>) -> Option<Items>;

/// What this dialect needs from the side: what was kept of earlier responses, and where to keep this one.
pub struct ResponseStore<'a> {
    /// What was kept.
    pub find: Find<'a>,
    /// Keeps the finished response.
    pub keep: Box<dyn FnOnce(Kept)>,
    /// Seconds since 1970, for the time at which the response is complete.
    pub clock: fn() -> u64,
}

/// A finished response.
pub struct Kept {
    /// `resp_…`
    pub id: String,
    /// The response before it in the conversation.
    pub previous: Option<String>,
    /// The items that this request added to the conversation, each with an id: one JSON object a line.
    pub input: Vec<u8>,
    /// The response as the client got it: one JSON object.
    pub response: Vec<u8>,
    /// Ids of items from which `id` cannot be derived; the response is found by these too.
    pub names: Vec<String>,
}

/// What all pieces of one response have in common.
struct Meta {
    /// `resp_…`
    id: String,
    /// Seconds since 1970.
    created: u64,
    /// What a response repeats of its request.
    echo: Map<String, Value>,
    /// What the client calls its tools.
    names: Names,
    /// The client wants thoughts in a form that it can send back.
    includes_encrypted: bool,
    clock: fn() -> u64,
}

impl Meta {
    /// The id of the item at `index` of the output: made of the response's, so that a reference to it finds both.
    fn item_id(&self, prefix: &str, index: impl Display) -> String {
        let random = self.id.strip_prefix("resp_").unwrap_or(&self.id);
        format!("{prefix}_{random}_{index}")
    }
}

/// A response, as far as ids.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Rendered {
    id: Option<String>,
    output: Vec<Named>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Named {
    id: Option<String>,
}

/// Reads a request's body. Errors name the field, as a path such as `input[0].content[1].image_url`.
pub fn decode(body: &[u8], stamp: &Stamp<'_>, response_store: ResponseStore<'_>) -> Result<DecodedRequest> {
    let request = read(body, response_store.find)?;
    let wanted = request.compacts.then_some(Wanted::Item);
    Ok(decoded(request, stamp, response_store, wanted))
}

/// Reads the body of a request to `/responses/compact`.
pub fn compact(body: &[u8], stamp: &Stamp<'_>, response_store: ResponseStore<'_>) -> Result<DecodedRequest> {
    let mut request = read(body, response_store.find)?;
    (request.stream, request.stores) = (false, false);
    let is_users = |item: &&Value| items::kind(item) == "message" && item["role"] == "user";
    let users = request.input.iter().filter(is_users).cloned();
    let users = users.map(|item| items::numbered(item, stamp.make_id)).collect();
    Ok(decoded(request, stamp, response_store, Some(Wanted::List(users))))
}

fn decoded(
    request: Request,
    stamp: &Stamp<'_>,
    response_store: ResponseStore<'_>,
    wanted: Option<Wanted>,
) -> DecodedRequest {
    let meta = Meta {
        id: (stamp.make_id)("resp_"),
        created: stamp.now,
        echo: request.echo,
        names: request.names,
        includes_encrypted: request.includes_encrypted,
        clock: response_store.clock,
    };
    let earlier = request.previous.as_deref().and_then(|id| (response_store.find)(Sought::Conversation(id)));
    let keep = request.stores.then(|| {
        let (keep, own, previous) = (response_store.keep, meta.id.clone(), request.previous);
        let input = lines(request.input, &meta);
        let keep: Keep = Box::new(move |response| {
            let rendered: Rendered = serde_json::from_slice(&response).unwrap_or_default();
            let kept = match rendered.id.filter(|id| *id != own) {
                None => Kept { id: own, previous, input, response, names: Vec::new() },
                // an answer that others have sent has ids of theirs
                Some(id) => {
                    let names = rendered.output.into_iter().filter_map(|item| item.id).chain([own]).collect();
                    Kept { id, previous, input, response, names }
                }
            };
            keep(kept);
        });
        keep
    });
    let mut chat = request.chat;
    let encoder = Encoder::new(meta, keep);
    // what asks for a summary is ours: no native endpoint of Poe's knows it
    let (encoder, endpoint): (Box<dyn super::Encoder>, _) = match wanted {
        Some(wanted) => {
            compaction::request_summary(&mut chat);
            (Box::new(Compacting::new(encoder, wanted)), None)
        }
        None => (Box::new(encoder), Some(NativeEndpoint::Responses)),
    };
    DecodedRequest { chats: vec![chat], stream: request.stream, endpoint, earlier, named: None, encoder }
}

/// What a request adds to the conversation, as it is kept.
fn lines(input: Vec<Value>, meta: &Meta) -> Vec<u8> {
    let mut lines = Vec::new();
    for (at, item) in input.into_iter().enumerate() {
        let item =
            items::numbered(item, &|prefix| meta.item_id(prefix.trim_end_matches('_'), format!("i{at}")));
        lines.extend_from_slice(item.to_string().as_bytes());
        lines.push(b'\n');
    }
    lines
}
