//! Endpoints for images and speech: they request a bot's whole answer and extract the files it made.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::budget::Reservation;
use crate::dialect::images::{self, ImageRequest, Picture, Wanted};
use crate::dialect::speech;
use crate::error::{Error, Kind, Result};
use crate::gateway::context::Authenticated;
use crate::gateway::relay;
use crate::pipeline::{Attachment, ChatRequest, MediaKind, SAID, made};
use crate::poe::{self, CancelCheck, Poe};
use crate::server::answer::Answer;

/// The most pictures that one answer brings, whatever the bots sent.
const MOST_PICTURES: usize = 32;
/// How many pictures are fetched side by side.
const AT_ONCE: usize = 4;
/// The most bytes that all pictures of one answer may have together.
const MOST_BYTES: usize = 64 << 20;
const TOO_MUCH: &str =
    "the pictures are larger than 64 MiB together: ask for fewer, or for `response_format` `url`";

/// `POST /v1/images/generations`
pub fn generate_images(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let image_request = relay::decoded(&mut request, |body, _| images::decode_generation(body));
    pictures(request, image_request)
}

/// `POST /v1/images/edits`
pub fn edit_images(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let content_type = request.head().header("content-type").unwrap_or_default().to_owned();
    let image_request = relay::decoded(&mut request, |body, _| images::decode_edit(&content_type, body));
    pictures(request, image_request)
}

fn pictures(
    mut request: Authenticated<'_, '_>,
    image_request: Result<(ImageRequest, Vec<u8>)>,
) -> io::Result<()> {
    let answer = image_request.and_then(|(image_request, body)| {
        drop(body);
        paint(&mut request, image_request)
    });
    reply(request, answer.map(|answer| Answer::json(200, answer)))
}

fn paint(request: &mut Authenticated<'_, '_>, image_request: ImageRequest) -> Result<Vec<u8>> {
    request.record.model = Some(image_request.chat.model.clone());
    request.record.show();
    let cancel = request.cancel_check();
    let replies = relay::replies(request, vec![image_request.chat], &cancel);
    let replies = replies.map_err(|error| match error.param.as_deref() {
        // the only files of the question are the client's pictures
        Some(param) if param.starts_with("messages[") => error.about("image"),
        _ => error,
    })?;
    let mut found = Vec::new();
    for reply in &replies {
        found.extend(made(reply, MediaKind::Picture)?);
    }
    found.truncate(MOST_PICTURES);
    let (pictures, _memory) = match image_request.wanted {
        Wanted::Url => (found.into_iter().map(|picture| Picture::Url(picture.url)).collect(), Vec::new()),
        Wanted::Base64 => fetched(&request.app().poe, found, &cancel)?,
    };
    Ok(images::encode(relay::now(), &pictures, request.record.usage.unwrap_or_default()))
}

fn fetched(
    poe: &Poe,
    found: Vec<Attachment>,
    cancel: &CancelCheck,
) -> Result<(Vec<Picture>, Vec<Reservation>)> {
    let total = AtomicUsize::new(0);
    let fetch = |picture: Attachment, cancel: &CancelCheck| {
        let fetched = poe.fetch(&picture.url, cancel).map_err(Error::for_good)?;
        let sum = total.fetch_add(fetched.bytes.len(), Ordering::Relaxed) + fetched.bytes.len();
        match sum <= MOST_BYTES {
            true => Ok((Picture::Bytes(fetched.bytes), fetched.memory)),
            false => Err(Error::new(Kind::Upstream, TOO_MUCH).for_good()),
        }
    };
    let fetched: Vec<_> =
        poe::run_parallel(found, AT_ONCE, cancel, fetch).into_iter().collect::<Result<_>>()?;
    Ok(fetched.into_iter().unzip())
}

/// `POST /v1/audio/speech`
pub fn speech(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let chat = relay::decoded(&mut request, |body, _| speech::decode(body));
    let answer = chat.and_then(|(chat, _)| speak(&mut request, chat));
    reply(request, answer)
}

fn speak(request: &mut Authenticated<'_, '_>, chat: ChatRequest) -> Result<Answer> {
    request.record.model = Some(chat.model.clone());
    request.record.show();
    let cancel = request.cancel_check();
    let replies = relay::replies(request, vec![chat], &cancel)?;
    let reply = replies.first().ok_or_else(|| Error::new(Kind::Internal, "there is no answer"))?;
    let found = made(reply, MediaKind::Sound)?;
    let work = found.first().ok_or_else(|| Error::new(Kind::Internal, "there is no sound"))?;
    let fetched = request.app().poe.fetch(&work.url, &cancel).map_err(Error::for_good)?;
    let rendered = fetched.content_type.filter(|rendered| rendered.starts_with("audio/"));
    let content_type = rendered.as_deref().unwrap_or(&work.content_type);
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
