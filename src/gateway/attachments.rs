//! Replaces every file in a conversation by its URL at Poe: from the cache, else by upload.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::pipeline::stages::at_poe;
use crate::pipeline::{Attachment, FileSource, Message, Part, Role};
use crate::poe::{CancelCheck, Poe, run_parallel};
use crate::state::upload_cache::{FileKey, Kept, Portable, UploadCache};

/// How many files of one request are uploaded side by side.
const AT_ONCE: usize = 4;

impl Kept for Attachment {
    fn size(&self) -> usize {
        // the key and the bookkeeping of the cache weigh about as much as a short URL
        128 + self.url.len() + self.content_type.len() + self.name.len()
    }
}

impl Portable for Attachment {
    fn to_bytes(&self) -> Vec<u8> {
        let Attachment { url, content_type, name, inline_ref } = self;
        serde_json::to_vec(&(url, content_type, name, inline_ref)).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Attachment> {
        let (url, content_type, name, inline_ref) = serde_json::from_slice(bytes).ok()?;
        Some(Attachment { url, content_type, name, inline_ref })
    }
}

/// The files of one request that came from the cache, and not from an upload of its own. If Poe turns out to have lost
/// them, they are uploaded again.
#[derive(Debug, Default)]
pub struct ReusedUploads(Vec<Reused>);

#[derive(Debug)]
struct Reused {
    entry: FileKey,
    /// Its message and part in the request.
    place: (usize, usize),
    source: FileSource,
    /// Where the file lay.
    url: String,
}

impl ReusedUploads {
    /// Whether any file came from the cache.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets the entries, and uploads their files in `messages` again, wherever those have been moved to.
    pub fn renew(
        &self,
        messages: &mut [Message],
        poe: &Poe,
        files: &dyn UploadCache<Attachment>,
        key: &str,
        cancel: &CancelCheck,
    ) -> Result<()> {
        self.0.iter().for_each(|reused| files.forget(reused.entry));
        let sources = self.0.iter().map(|reused| (reused.place, reused.source.clone())).collect();
        let found = bring_all(sources, poe, files, key, cancel);
        let mut renewed = HashMap::new();
        for (reused, found) in self.0.iter().zip(found) {
            renewed.insert(reused.url.as_str(), found?.0);
        }
        for part in messages.iter_mut().flat_map(|message| &mut message.parts) {
            if let Part::File(FileSource::Attached(attachment)) = part
                && let Some(new) = renewed.get(attachment.url.as_str())
            {
                *attachment = new.clone();
            }
        }
        Ok(())
    }
}

/// Brings every file of `messages` to Poe. Errors name the message and the part.
pub fn attach(
    messages: &mut [Message],
    poe: &Poe,
    files: &dyn UploadCache<Attachment>,
    key: &str,
    cancel: &CancelCheck,
) -> Result<ReusedUploads> {
    let mut sources = Vec::new();
    for (message, turn) in messages.iter().enumerate() {
        for (part, piece) in turn.parts.iter().enumerate() {
            match piece {
                Part::File(FileSource::Attached(_)) | Part::Text(_) => {}
                Part::File(source) => sources.push(((message, part), source.clone())),
            }
        }
    }
    let places: Vec<(usize, usize)> = sources.iter().map(|(place, _)| *place).collect();
    let found = bring_all(sources, poe, files, key, cancel);
    let mut reused_uploads = ReusedUploads::default();
    for (place, found) in places.into_iter().zip(found) {
        let (attachment, kept) = found?;
        let url = attachment.url.clone();
        let attached = Part::File(FileSource::Attached(attachment));
        let sent = std::mem::replace(&mut messages[place.0].parts[place.1], attached);
        if let (Some(entry), Part::File(source)) = (kept, sent) {
            reused_uploads.0.push(Reused { entry, place, source, url });
        }
    }
    Ok(reused_uploads)
}

type Brought = Result<(Attachment, Option<FileKey>)>;

/// Brings files to Poe, several side by side; each has its message and its part.
fn bring_all(
    sources: Vec<((usize, usize), FileSource)>,
    poe: &Poe,
    files: &dyn UploadCache<Attachment>,
    key: &str,
    cancel: &CancelCheck,
) -> Vec<Brought> {
    run_parallel(sources, AT_ONCE, cancel, |((message, part), source), cancel| {
        let outcome = bring(&source, poe, files, key, cancel);
        outcome.map_err(|error| name_part(error, message, part))
    })
}

/// Moves the files of other turns to the user turn that follows, or else to the last one: only there do bots look.
/// The files must be at Poe already, or errors would name the wrong turn.
pub fn to_user_turns(messages: &mut [Message]) {
    let Some(last_user) = messages.iter().rposition(|message| message.role == Role::User) else { return };
    let mut waiting: Vec<Part> = Vec::new();
    for message in messages.iter_mut() {
        if message.role == Role::User {
            message.parts.append(&mut waiting);
        } else if message.parts.iter().any(is_file) {
            let (files, rest): (Vec<Part>, Vec<Part>) = message.parts.drain(..).partition(is_file);
            message.parts = rest;
            waiting.extend(files);
        }
    }
    messages[last_user].parts.append(&mut waiting);
}

fn is_file(part: &Part) -> bool {
    matches!(part, Part::File(_))
}

fn name_part(error: Error, message: usize, part: usize) -> Error {
    match error.param {
        Some(_) => error,
        None => error.about(format!("messages[{message}].content[{part}]")),
    }
}

/// One file's place at Poe, and the entry of the cache it came from.
fn bring(
    source: &FileSource,
    poe: &Poe,
    files: &dyn UploadCache<Attachment>,
    key: &str,
    cancel: &CancelCheck,
) -> Brought {
    let file = match source {
        FileSource::Link { url, name } if is_at_poe(url) => {
            return Ok((at_poe(url, name.as_deref()), None));
        }
        FileSource::Link { url, name } => {
            FileKey::new(key, &format!("link {}", name.as_deref().unwrap_or_default()), url.as_bytes())
        }
        FileSource::Data { bytes, content_type, name } => {
            FileKey::new(key, &format!("{content_type} {}", name.as_deref().unwrap_or_default()), bytes)
        }
        FileSource::Attached(attachment) => return Ok((attachment.clone(), None)),
    };
    let found = files.get(file, &**cancel, &mut || poe.upload(key, source, cancel))?;
    Ok((found.value, found.was_kept.then_some(file)))
}

/// Whether a link leads to Poe's own files already.
fn is_at_poe(url: &str) -> bool {
    let host = url.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?', '#', ':']).next();
    host.is_some_and(|host| host == "poecdn.net" || host.ends_with(".poecdn.net"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_move_to_where_bots_look_each_once() {
        let file = |name: &str| {
            Part::File(FileSource::Attached(Attachment { name: name.into(), ..Attachment::default() }))
        };
        let turn = |role, parts| Message { role, parts, ..Message::default() };
        let mut messages = [
            turn(Role::System, vec![Part::Text("s".into()), file("a")]),
            turn(Role::User, vec![file("b")]),
            turn(Role::Assistant, vec![file("c")]),
            turn(Role::User, vec![Part::Text("u".into())]),
            turn(Role::Tool, vec![file("d")]),
        ];
        to_user_turns(&mut messages);
        let files = |message: &Message| {
            message.parts.iter().filter(|part| is_file(part)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(files(&messages[1]), [file("b"), file("a")]);
        assert_eq!(files(&messages[3]), [file("c"), file("d")]);
        assert_eq!(messages.iter().map(|m| files(m).len()).sum::<usize>(), 4);
    }

    #[test]
    fn only_poes_own_hosts_are_at_poe() {
        assert!(is_at_poe("https://pfst.cf2.poecdn.net/base/image/x"));
        for url in [
            "https://poecdn.net.evil.com/x",
            "https://x/poecdn.net/",
            "https://evilpoecdn.net/",
            "poecdn.net",
        ] {
            assert!(!is_at_poe(url), "{url}");
        }
    }
}
