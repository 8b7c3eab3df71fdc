//! Pictures and sound: a bot's whole answer is asked for, and what it made is taken out of it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use super::answer::Answer;
use super::connection::Call;
use super::record::Record;
use super::relay::{self, watch_client};
use super::router::{refuse, send};
use crate::app::App;
use crate::dialect::images::{self, Painting, Picture, Wanted};
use crate::dialect::speech;
use crate::error::{Error, Kind, Result};
use crate::exchange::{Attachment, Reply, Work, works};
use crate::poe;

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
    let painting = relay::question(app, call, record, |_, body, _| images::decode_generation(body));
    pictures(app, call, record, painting)
}

/// `POST /v1/images/edits`
pub fn edit(app: &App, call: &mut Call<'_>, record: &mut Record) -> io::Result<()> {
    let content_type = call.head().header("content-type").unwrap_or_default().to_owned();
    let painting = relay::question(app, call, record, |_, body, _| images::decode_edit(&content_type, body));
    pictures(app, call, record, painting)
}

fn pictures(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    painting: Result<(String, Painting)>,
) -> io::Result<()> {
    let answer = painting.and_then(|(key, painting)| {
        record.model = Some(painting.ask.model.clone());
        record.show();
        let watch = watch_client(call);
        let replies = relay::replies(app, record, &key, vec![painting.ask], &watch);
        let replies = replies.map_err(|error| match error.param.as_deref() {
            // the only files of the question are the client's pictures
            Some(param) if param.starts_with("messages[") => error.about("image"),
            _ => error,
        })?;
        let mut found = Vec::new();
        for reply in &replies {
            found.extend(made(reply, Work::Picture, "picture")?);
        }
        found.truncate(MOST_PICTURES);
        let mut memory = Vec::new();
        let pictures: Vec<_> = match painting.wanted {
            Wanted::Url => found.into_iter().map(|picture| Picture::Url(picture.url)).collect(),
            Wanted::Base64 => {
                let total = AtomicUsize::new(0);
                let fetch = |picture: Attachment, watch: &poe::Watch| {
                    let fetched = app.poe.fetch(&picture.url, watch).map_err(Error::for_good)?;
                    let sum = total.fetch_add(fetched.bytes.len(), Ordering::Relaxed) + fetched.bytes.len();
                    match sum <= MOST_BYTES {
                        true => Ok((Picture::Bytes(fetched.bytes), fetched.memory)),
                        false => Err(Error::new(Kind::Upstream, TOO_MUCH).for_good()),
                    }
                };
                let fetched = poe::aside(found, AT_ONCE, &watch, fetch).into_iter();
                let fetched = fetched.map(|fetched| {
                    fetched.map(|(picture, reserved)| {
                        memory.push(reserved);
                        picture
                    })
                });
                fetched.collect::<Result<_>>()?
            }
        };
        let now = UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
        Ok(images::encode(now, &pictures, record.usage.unwrap_or_default()))
    });
    match answer {
        Ok(answer) => send(call, record, Answer::json(200, answer)),
        Err(error) => refuse_works(call, record, &error),
    }
}

/// `POST /v1/audio/speech`
pub fn speech(app: &App, call: &mut Call<'_>, record: &mut Record) -> io::Result<()> {
    let ask = relay::question(app, call, record, |_, body, _| speech::decode(body));
    let sound = ask.and_then(|(key, ask)| {
        record.model = Some(ask.model.clone());
        record.show();
        let watch = watch_client(call);
        let replies = relay::replies(app, record, &key, vec![ask], &watch)?;
        let reply = replies.first().ok_or_else(|| Error::new(Kind::Internal, "there is no answer"))?;
        let found = made(reply, Work::Sound, "sound")?;
        let work = found.first().ok_or_else(|| Error::new(Kind::Internal, "there is no sound"))?;
        let fetched = app.poe.fetch(&work.url, &watch).map_err(Error::for_good)?;
        let told = fetched.content_type.filter(|told| told.starts_with("audio/"));
        Ok((told.unwrap_or_else(|| work.content_type.clone()), fetched.bytes))
    });
    match sound {
        Ok((content_type, bytes)) => send(call, record, Answer::bytes(200, &content_type, bytes)),
        Err(error) => refuse_works(call, record, &error),
    }
}

/// Tells an error. What a bot has said is for the client alone, not for the log.
fn refuse_works(call: &mut Call<'_>, record: &mut Record, error: &Error) -> io::Result<()> {
    let refused = refuse(call, record, error);
    record.fault = error.message.split(SAID).next().map(str::to_owned);
    refused
}

/// What the bot made. One that only talks is an error with its words.
fn made(reply: &Reply, kind: Work, what: &str) -> Result<Vec<Attachment>> {
    let found = works(reply, kind);
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
