//! Pictures and sound: a bot's whole answer is asked for, and what it made is taken out of it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use super::router::{refuse, send};
use crate::dialect::images::{self, ImageRequest, Picture, Wanted};
use crate::dialect::speech;
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::gateway::record::Record;
use crate::gateway::relay::{self, cancel_on_disconnect};
use crate::pipeline::{Attachment, MediaKind, Reply, media_files};
use crate::poe;
use crate::server::answer::Answer;
use crate::server::connection::Call;

/// The most pictures that one answer brings, whatever the bots sent.
const MOST_PICTURES: usize = 32;
/// How many pictures are fetched side by side.
const AT_ONCE: usize = 4;
/// How much of a bot's words an error repeats, in characters.
const MOST_WORDS: usize = 1000;
/// What stands before them.
const SAID: &str = ", it said: ";
/// The most bytes that all pictures of one answer may have together.
const MOST_BYTES: usize = 64 << 20;
const TOO_MUCH: &str =
    "the pictures are larger than 64 MiB together: ask for fewer, or for `response_format` `url`";

/// `POST /v1/images/generations`
pub fn generation(app: &App, call: &mut Call<'_>, record: &mut Record) -> io::Result<()> {
    let image_request = relay::decoded(app, call, record, |_, body, _| images::decode_generation(body));
    pictures(app, call, record, image_request)
}

/// `POST /v1/images/edits`
pub fn edit(app: &App, call: &mut Call<'_>, record: &mut Record) -> io::Result<()> {
    let content_type = call.head().header("content-type").unwrap_or_default().to_owned();
    let image_request =
        relay::decoded(app, call, record, |_, body, _| images::decode_edit(&content_type, body));
    pictures(app, call, record, image_request)
}

fn pictures(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    image_request: Result<(String, ImageRequest)>,
) -> io::Result<()> {
    let answer = image_request.and_then(|(key, image_request)| {
        record.model = Some(image_request.chat.model.clone());
        record.show();
        let cancel = cancel_on_disconnect(call);
        let replies = relay::replies(app, record, &key, vec![image_request.chat], &cancel);
        let replies = replies.map_err(|error| match error.param.as_deref() {
            // the only files of the question are the client's pictures
            Some(param) if param.starts_with("messages[") => error.about("image"),
            _ => error,
        })?;
        let mut found = Vec::new();
        for reply in &replies {
            found.extend(made(reply, MediaKind::Picture, "picture")?);
        }
        found.truncate(MOST_PICTURES);
        let pictures = match image_request.wanted {
            Wanted::Url => found.into_iter().map(|picture| Picture::Url(picture.url)).collect(),
            Wanted::Base64 => {
                let total = AtomicUsize::new(0);
                let fetch = |picture: Attachment, cancel: &poe::CancelCheck| {
                    let fetched = app.poe.fetch(&picture.url, cancel).map_err(Error::for_good)?;
                    let sum = total.fetch_add(fetched.bytes.len(), Ordering::Relaxed) + fetched.bytes.len();
                    match sum <= MOST_BYTES {
                        true => Ok(Picture::Bytes(fetched.bytes)),
                        false => Err(Error::new(Kind::Upstream, TOO_MUCH).for_good()),
                    }
                };
                poe::run_parallel(found, AT_ONCE, &cancel, fetch).into_iter().collect::<Result<Vec<_>>>()?
            }
        };
        let now = UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
        Ok(images::encode(now, &pictures, record.usage.unwrap_or_default()))
    });
    match answer {
        Ok(answer) => send(call, record, Answer::json(200, answer)),
        Err(error) => refuse_media(call, record, &error),
    }
}

/// `POST /v1/audio/speech`
pub fn speech(app: &App, call: &mut Call<'_>, record: &mut Record) -> io::Result<()> {
    let chat = relay::decoded(app, call, record, |_, body, _| speech::decode(body));
    let sound = chat.and_then(|(key, chat)| {
        record.model = Some(chat.model.clone());
        record.show();
        let cancel = cancel_on_disconnect(call);
        let replies = relay::replies(app, record, &key, vec![chat], &cancel)?;
        let reply = replies.first().ok_or_else(|| Error::new(Kind::Internal, "there is no answer"))?;
        let found = made(reply, MediaKind::Sound, "sound")?;
        let work = found.first().ok_or_else(|| Error::new(Kind::Internal, "there is no sound"))?;
        let fetched = app.poe.fetch(&work.url, &cancel).map_err(Error::for_good)?;
        let rendered = fetched.content_type.filter(|rendered| rendered.starts_with("audio/"));
        Ok((rendered.unwrap_or_else(|| work.content_type.clone()), fetched.bytes))
    });
    match sound {
        Ok((content_type, bytes)) => send(call, record, Answer::bytes(200, &content_type, bytes)),
        Err(error) => refuse_media(call, record, &error),
    }
}

/// Tells an error. What a bot has said is for the client alone, not for the log.
fn refuse_media(call: &mut Call<'_>, record: &mut Record, error: &Error) -> io::Result<()> {
    let refused = refuse(call, record, error);
    record.fault = error.message.split(SAID).next().map(str::to_owned);
    refused
}

/// What the bot made. One that only talks is an error with its words.
fn made(reply: &Reply, kind: MediaKind, what: &str) -> Result<Vec<Attachment>> {
    let found = media_files(reply, kind);
    if !found.is_empty() {
        return Ok(found);
    }
    let words: String = reply.text.trim().chars().take(MOST_WORDS).collect();
    let message = match words.is_empty() {
        true => format!("the bot sent no {what}"),
        false => format!("the bot sent no {what}{SAID}{words}"),
    };
    Err(Error::new(Kind::Unsupported, message).about("model"))
}
