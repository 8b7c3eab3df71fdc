//! OpenAI's Videos API: jobs that ask a bot for a video, and the video itself from where the bot left it.

use std::io;

use serde_json::{Value, json};

use super::paging::Page;
use crate::dialect::videos;
use crate::error::{Error, Kind, Result};
use crate::gateway::context::Authenticated;
use crate::gateway::relay::{self, now};
use crate::gateway::videos::start;
use crate::poe::Download;
use crate::server::answer::Answer;
use crate::state::videos::{LIFETIME_SECONDS, Video, VideoStage};

/// A video is passed on in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// `POST /v1/videos`: starts a job.
pub fn create(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let content_type = request.head().header("content-type").unwrap_or_default().to_owned();
    let asked = relay::decoded(&mut request, |body, _| videos::decode(&content_type, body));
    let answer = asked.and_then(|(video_request, body)| {
        drop(body);
        start(&mut request, video_request)
    });
    request.reply(answer.map(|video| rendered(&shown(&video))))
}

/// `GET /v1/videos/{id}`: how far a job is.
pub fn retrieve(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let answer = kept(&request).map(|video| rendered(&shown(&video)));
    request.reply(answer)
}

/// `GET /v1/videos`: the jobs of a key, page by page.
pub fn list(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let answer = page(&request);
    request.reply(answer)
}

fn page(request: &Authenticated<'_, '_>) -> Result<Answer> {
    let all = request.app().videos.list(request.owner(), now());
    let (page, has_more) = Page::of(request)?.cut(all.into_iter(), |video, id| video.id == id)?;
    let id_of = |video: Option<&Video>| video.map(|video| video.id.clone());
    let (first, last) = (id_of(page.first()), id_of(page.last()));
    let data: Vec<Value> = page.iter().map(shown).collect();
    Ok(rendered(&json!({
        "object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more,
    })))
}

/// `DELETE /v1/videos/{id}`: forgets a job, and ends it if it runs.
pub fn delete(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let id = &request.parameter;
    let answer = match request.app().videos.remove(request.owner(), id) {
        true => Ok(rendered(&json!({"id": id, "object": "video.deleted", "deleted": true}))),
        false => Err(not_found(id)),
    };
    request.reply(answer)
}

/// `GET /v1/videos/{id}/content`: the video, or the part of it that `Range` names.
pub fn content(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    match opened(&request) {
        Ok((answer, download)) => pass(request, &answer, download),
        Err(error) => request.refuse(&error),
    }
}

fn opened(request: &Authenticated<'_, '_>) -> Result<(Answer, Download)> {
    if let Some(variant) = request.query("variant").filter(|variant| variant != "video") {
        let message = format!("variant `{variant}` is not available here, only video");
        return Err(Error::invalid("variant", message));
    }
    let video = kept(request)?;
    let (url, content_type) = match video.stage {
        VideoStage::Completed { url, content_type, .. } => (url, content_type),
        VideoStage::Failed { message, .. } => {
            return Err(Error::new(
                Kind::NotFound,
                format!("there is no video, because its job failed: {message}"),
            ));
        }
        VideoStage::Queued | VideoStage::Running(_) => {
            let message = "the video is not ready yet: GET /v1/videos/{id} says how far it is";
            return Err(Error::new(Kind::NotFound, message));
        }
    };
    let range = request.head().header("range").filter(|range| range.starts_with("bytes="));
    let download =
        request.app().poe.download(&url, range, &request.cancel_check()).map_err(Error::for_good)?;
    let stated = download.content_type.as_deref().unwrap_or_default();
    let content_type = match stated.split(';').next().unwrap_or_default().trim() {
        stated if stated.starts_with("video/") => stated,
        "" | "application/octet-stream" | "binary/octet-stream" if content_type.starts_with("video/") => {
            &content_type
        }
        "" | "application/octet-stream" | "binary/octet-stream" => "video/mp4",
        _ if download.status == 416 => "video/mp4",
        other => {
            let message = format!("what lies at the video's place is no video, but {other}");
            return Err(Error::new(Kind::Upstream, message).for_good());
        }
    };
    let mut answer = Answer::file(download.status, content_type, Vec::new()).header("Accept-Ranges", "bytes");
    if let Some(range) = &download.range {
        answer = answer.header("Content-Range", range.as_str());
    }
    Ok((answer, download))
}

/// Passes the video on as it comes: none is held here.
fn pass(mut request: Authenticated<'_, '_>, answer: &Answer, mut download: Download) -> io::Result<()> {
    let cancel = request.cancel_check();
    let mut stream = request.body_stream(answer, download.length);
    if request.head().method == "HEAD" {
        return stream.end();
    }
    let (mut piece, mut left) = (vec![0; PIECE_BYTES], download.length);
    loop {
        match download.read(&mut piece, &cancel) {
            Ok(0) if left.is_none_or(|left| left == 0) => return stream.end(),
            Ok(count) if count > 0 && left.is_none_or(|left| count <= left) => {
                stream.send(&piece[..count])?;
                left = left.map(|left| left - count);
            }
            outcome => {
                let broken = || "the bot's file has another length than its server stated".to_owned();
                request.record.fault = Some(outcome.err().map_or_else(broken, |error| error.message));
                return Err(io::ErrorKind::BrokenPipe.into()); // the client sees the break
            }
        }
    }
}

fn kept(request: &Authenticated<'_, '_>) -> Result<Video> {
    let id = &request.parameter;
    request.app().videos.get(request.owner(), id, now()).ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> Error {
    Error::new(Kind::NotFound, format!("Video with id '{id}' not found."))
}

/// A job in OpenAI's shape.
fn shown(video: &Video) -> Value {
    let (status, progress, at, error) = match &video.stage {
        VideoStage::Queued => ("queued", 0, None, None),
        VideoStage::Running(percent) => ("in_progress", *percent, None, None),
        VideoStage::Completed { at, .. } => ("completed", 100, Some(*at), None),
        VideoStage::Failed { at, code, message } => {
            ("failed", 0, Some(*at), Some(json!({"code": code, "message": message})))
        }
    };
    json!({
        "id": video.id, "object": "video", "model": video.model, "status": status, "progress": progress,
        "created_at": video.created, "completed_at": at, "expires_at": at.map(|_| video.created + LIFETIME_SECONDS),
        "prompt": video.prompt, "size": video.size, "seconds": video.seconds, "error": error,
        "remixed_from_video_id": null,
    })
}

fn rendered(value: &Value) -> Answer {
    Answer::json(200, value.to_string().into_bytes())
}
