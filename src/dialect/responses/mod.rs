//! OpenAI's Responses.

mod answer;
mod compaction;
mod items;
mod request;
mod stream;
mod tools;

use serde_json::{Map, Value};

use answer::failure_code;
pub use request::{Request, read};
pub use stream::Encoder;
pub use tools::Names;

use super::{Question, Stamp};
use crate::error::Result;
use crate::exchange::Door;
use compaction::{Compacting, Wanted};
use stream::Keep;

/// What this dialect needs from the side: what was kept of earlier responses, and where to keep this one.
pub struct Shelf<'a> {
    /// All items of the conversation up to and with the response of this id, oldest first.
    pub find: &'a dyn Fn(&str) -> Option<Vec<Value>>,
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
    /// The items that this request added to the conversation, each with an id.
    pub input: Vec<Value>,
    /// The response as the client got it: one JSON object.
    pub response: Vec<u8>,
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
    fn item_id(&self, prefix: &str, index: usize) -> String {
        let random = self.id.strip_prefix("resp_").unwrap_or(&self.id);
        format!("{prefix}_{random}_{index}")
    }
}

/// A response, as far as its name.
#[derive(serde::Deserialize)]
struct Named {
    id: String,
}

/// Reads a request's body. Errors name the field, as a path such as `input[0].content[1].image_url`.
pub fn decode(body: &[u8], stamp: &Stamp<'_>, shelf: Shelf<'_>) -> Result<Question> {
    let request = read(body, shelf.find)?;
    let wanted = request.compacts.then_some(Wanted::Item);
    Ok(question(request, stamp, shelf, wanted))
}

/// Reads the body of a request to `/responses/compact`.
pub fn compact(body: &[u8], stamp: &Stamp<'_>, shelf: Shelf<'_>) -> Result<Question> {
    let mut request = read(body, shelf.find)?;
    (request.stream, request.stores) = (false, false);
    let is_users = |item: &&Value| items::kind(item) == "message" && item["role"] == "user";
    let users = request.input.iter().filter(is_users).cloned();
    let users = users.map(|item| items::numbered(item, stamp.make_id)).collect();
    Ok(question(request, stamp, shelf, Some(Wanted::List(users))))
}

fn question(request: Request, stamp: &Stamp<'_>, shelf: Shelf<'_>, wanted: Option<Wanted>) -> Question {
    let meta = Meta {
        id: (stamp.make_id)("resp_"),
        created: stamp.now,
        echo: request.echo,
        names: request.names,
        includes_encrypted: request.includes_encrypted,
        clock: shelf.clock,
    };
    let keep = request.stores.then(|| {
        let input = request.input.into_iter().map(|item| items::numbered(item, stamp.make_id)).collect();
        let kept = Kept { id: meta.id.clone(), previous: request.previous, input, response: Vec::new() };
        let keep = shelf.keep;
        // an answer that others have told has an id of theirs
        let id = |response: &[u8]| serde_json::from_slice(response).ok().map(|Named { id }| id);
        let keep: Keep = Box::new(move |response| {
            let id = id(&response).unwrap_or_else(|| kept.id.clone());
            keep(Kept { id, response, ..kept });
        });
        keep
    });
    let mut ask = request.ask;
    let encoder = Encoder::new(meta, keep);
    // what asks for a summary is ours: no door of Poe's knows it
    let (encoder, door): (Box<dyn super::Encoder>, _) = match wanted {
        Some(wanted) => {
            compaction::ask_for_summary(&mut ask);
            (Box::new(Compacting::new(encoder, wanted)), None)
        }
        None => (Box::new(encoder), Some(Door::Responses)),
    };
    Question { asks: vec![ask], stream: request.stream, door, encoder }
}
