//! Pictures and sound: a bot's whole answer is asked for, and what it made is taken out of it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::answer::Answer;
use super::context::Authenticated;
use super::relay;
use crate::budget::Reservation;
use crate::dialect::images::{self, Painting, Picture, Wanted};
use crate::dialect::speech;
use crate::error::{Error, Kind, Result};
use crate::exchange::{Ask, Attachment, Reply, Work, works};
use crate::poe::{self, Poe, Watch};

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
pub fn generate_images(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let painting = relay::decoded(&mut request, |body, _| images::decode_generation(body));
    pictures(request, painting)
}

/// `POST /v1/images/edits`
pub fn edit_images(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let content_type = request.head().header("content-type").unwrap_or_default().to_owned();
    let painting = relay::decoded(&mut request, |body, _| images::decode_edit(&content_type, body));
    pictures(request, painting)
}

fn pictures(mut request: Authenticated<'_, '_>, painting: Result<(Painting, Vec<u8>)>) -> io::Result<()> {
    let answer = painting.and_then(|(painting, body)| {
        drop(body);
        paint(&mut request, painting)
    });
    reply(request, answer.map(|answer| Answer::json(200, answer)))
}

fn paint(request: &mut Authenticated<'_, '_>, painting: Painting) -> Result<Vec<u8>> {
    request.record.model = Some(painting.ask.model.clone());
    request.record.show();
    let watch = request.cancel_check();
    let replies = relay::replies(request, vec![painting.ask], &watch);
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
    let (pictures, _memory) = match painting.wanted {
        Wanted::Url => (found.into_iter().map(|picture| Picture::Url(picture.url)).collect(), Vec::new()),
        Wanted::Base64 => fetched(&request.app().poe, found, &watch)?,
    };
    Ok(images::encode(relay::now(), &pictures, request.record.usage.unwrap_or_default()))
}

fn fetched(poe: &Poe, found: Vec<Attachment>, watch: &Watch) -> Result<(Vec<Picture>, Vec<Reservation>)> {
    let total = AtomicUsize::new(0);
    let fetch = |picture: Attachment, watch: &Watch| {
        let fetched = poe.fetch(&picture.url, watch).map_err(Error::for_good)?;
        let sum = total.fetch_add(fetched.bytes.len(), Ordering::Relaxed) + fetched.bytes.len();
        match sum <= MOST_BYTES {
            true => Ok((Picture::Bytes(fetched.bytes), fetched.memory)),
            false => Err(Error::new(Kind::Upstream, TOO_MUCH).for_good()),
        }
    };
    let fetched: Vec<_> = poe::aside(found, AT_ONCE, watch, fetch).into_iter().collect::<Result<_>>()?;
    Ok(fetched.into_iter().unzip())
}

/// `POST /v1/audio/speech`
pub fn speech(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let ask = relay::decoded(&mut request, |body, _| speech::decode(body));
    let answer = ask.and_then(|(ask, _)| speak(&mut request, ask));
    reply(request, answer)
}

fn speak(request: &mut Authenticated<'_, '_>, ask: Ask) -> Result<Answer> {
    request.record.model = Some(ask.model.clone());
    request.record.show();
    let watch = request.cancel_check();
    let replies = relay::replies(request, vec![ask], &watch)?;
    let reply = replies.first().ok_or_else(|| Error::new(Kind::Internal, "there is no answer"))?;
    let found = made(reply, Work::Sound, "sound")?;
    let work = found.first().ok_or_else(|| Error::new(Kind::Internal, "there is no sound"))?;
    let fetched = request.app().poe.fetch(&work.url, &watch).map_err(Error::for_good)?;
    let told = fetched.content_type.filter(|told| told.starts_with("audio/"));
    let content_type = told.as_deref().unwrap_or(&work.content_type);
    Ok(Answer::file(200, content_type, fetched.bytes))
}

/// Sends the answer or an error. What a bot has said is for the client alone, not for the log.
fn reply(mut request: Authenticated<'_, '_>, answer: Result<Answer>) -> io::Result<()> {
    let fault =
        answer.as_ref().err().map(|error| error.message.split(SAID).next().unwrap_or_default().to_owned());
    let sent = request.reply(answer);
    request.record.fault = fault;
    sent
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
