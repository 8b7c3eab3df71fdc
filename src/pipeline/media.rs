//! Finds the media in a bot's reply: pictures, sound or videos, sent as files or as links.

use std::collections::HashSet;

use super::stages::at_poe;
use super::stages::file_refs::url_length;
use super::{Attachment, Reply};
use crate::error::{Error, Kind, Result};

/// How much of a bot's words an error repeats, in characters.
const MOST_WORDS: usize = 1000;
/// Stands before them in the message: what follows is for the client alone, not for the log.
pub const SAID: &str = ", it said: ";

/// What kind of work is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Picture,
    /// Sound.
    Sound,
    /// A video.
    Video,
}

impl MediaKind {
    /// The beginning of its MIME types.
    fn content_type(self) -> &'static str {
        match self {
            MediaKind::Picture => "image/",
            MediaKind::Sound => "audio/",
            MediaKind::Video => "video/",
        }
    }

    /// What its files are called.
    fn extensions(self) -> &'static [&'static str] {
        match self {
            MediaKind::Picture => &["png", "jpg", "jpeg", "webp", "gif", "avif", "svg"],
            MediaKind::Sound => &["mp3", "wav", "ogg", "opus", "flac", "m4a", "aac", "pcm"],
            MediaKind::Video => &["mp4", "webm", "mov", "m4v", "mkv", "avi"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            MediaKind::Picture => "picture",
            MediaKind::Sound => "sound",
            MediaKind::Video => "video",
        }
    }
}

/// What the bot made. One that only talks is an error with its words.
pub fn made(reply: &Reply, kind: MediaKind) -> Result<Vec<Attachment>> {
    let found = media_files(reply, kind);
    if !found.is_empty() {
        return Ok(found);
    }
    let words: String = reply.text.trim().chars().take(MOST_WORDS).collect();
    let said = if words.is_empty() { String::new() } else { format!("{SAID}{words}") };
    let message = format!("the bot sent no {}{said}", kind.name());
    Err(Error::new(Kind::Unsupported, message).about("model"))
}

/// The works of one kind in `reply`, each once: its files, or where there are none the links in its text.
pub fn media_files(reply: &Reply, kind: MediaKind) -> Vec<Attachment> {
    let is_kind = |file: &&Attachment| file.content_type.starts_with(kind.content_type());
    let mut known = HashSet::new();
    let mut is_new = |work: &Attachment| known.insert(work.url.clone());
    let files: Vec<Attachment> =
        reply.files.iter().filter(is_kind).filter(|file| is_new(file)).cloned().collect();
    match files.is_empty() {
        true => links(&reply.text, kind).filter(is_new).collect(),
        false => files,
    }
}

/// Links that lead to a work: in Markdown's form for pictures, by their path, or because they are the whole answer.
fn links(text: &str, kind: MediaKind) -> impl Iterator<Item = Attachment> + '_ {
    let starts = text.match_indices("http").map(|(at, _)| at);
    let mut end = 0;
    starts.filter_map(move |start| {
        if start < end {
            return None; // within another link
        }
        let rest = &text[start..];
        let scheme = ["https://", "http://"].into_iter().find(|scheme| rest.starts_with(scheme))?;
        let length = url_length(rest, scheme);
        end = start + length;
        let (before, url, after) = (&text[..start], &rest[..length], &rest[length..]);
        let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, end)| end);
        let rendered = at_poe(url, None);
        let is_kind = rendered.content_type.starts_with(kind.content_type());
        let is_work = is_kind
            || extension.is_some_and(|extension| kind.extensions().contains(&extension))
            || kind == MediaKind::Picture && is_markdown_picture(before)
            || before.trim().is_empty() && after.trim().is_empty();
        // the folder of Poe's own links states for certain
        let is_other = !is_kind && rendered.content_type != "application/octet-stream";
        (is_work && !is_other && length > scheme.len()).then_some(rendered)
    })
}

/// The longest words of a picture in Markdown, in bytes.
const LONGEST_WORDS: usize = 4096;

/// Whether `![words](` stands right before.
fn is_markdown_picture(before: &str) -> bool {
    let inside = before.strip_suffix('<').unwrap_or(before).strip_suffix("](");
    let open =
        inside.and_then(|inside| inside.bytes().rev().take(LONGEST_WORDS).position(|byte| byte == b'['));
    inside.zip(open).is_some_and(|(inside, open)| inside[..inside.len() - open - 1].ends_with('!'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, kind: MediaKind) -> Vec<String> {
        let reply = Reply { text: text.into(), ..Reply::default() };
        media_files(&reply, kind).into_iter().map(|work| work.url).collect()
    }

    #[test]
    fn files_count_before_links() {
        let file = |url: &str, content_type: &str| Attachment {
            url: url.into(),
            content_type: content_type.into(),
            ..Attachment::default()
        };
        let files = vec![
            file("a", "image/png"),
            file("b", "text/csv"),
            file("a", "image/png"),
            file("c", "image/webp"),
        ];
        let reply = Reply { text: "![x](https://x/d.png)".into(), files, ..Reply::default() };
        let urls = |kind| media_files(&reply, kind).into_iter().map(|work| work.url).collect::<Vec<_>>();
        assert_eq!(urls(MediaKind::Picture), ["a", "c"]);
        assert!(urls(MediaKind::Sound).is_empty());
    }

    #[test]
    fn links_are_found_as_bots_write_them() {
        let cdn = "https://pfst.cf2.poecdn.net/base";
        for (text, kind, expected) in [
            (
                format!("![hi]({cdn}/image/1?w=1)\n\n{cdn}/image/1?w=1"),
                MediaKind::Picture,
                vec![format!("{cdn}/image/1?w=1")],
            ),
            (format!("{cdn}/audio/2"), MediaKind::Sound, vec![format!("{cdn}/audio/2")]),
            (format!("{cdn}/audio/2"), MediaKind::Picture, vec![]),
            (format!("![a]({cdn}/audio/2)"), MediaKind::Picture, vec![]),
            (
                "Here: http://127.0.0.1:1/art/cat.PNG.".into(),
                MediaKind::Picture,
                vec!["http://127.0.0.1:1/art/cat.PNG".into()],
            ),
            (
                "![a](<https://x/y>) and ![b](https://x/z)".into(),
                MediaKind::Picture,
                vec!["https://x/y".into(), "https://x/z".into()],
            ),
            ("See [this](https://x/y) or https://x/readme.html".into(), MediaKind::Picture, vec![]),
            (" https://x/y\n".into(), MediaKind::Sound, vec!["https://x/y".into()]),
            (format!("{cdn}/video/3"), MediaKind::Video, vec![format!("{cdn}/video/3")]),
            (
                "Done: https://x/a.MP4?w=1, as asked.".into(),
                MediaKind::Video,
                vec!["https://x/a.MP4?w=1".into()],
            ),
            (format!("{cdn}/image/1 and https://x/help"), MediaKind::Video, vec![]),
            ("I cannot paint. httpd is no link, nor is https://".into(), MediaKind::Picture, vec![]),
            (String::new(), MediaKind::Picture, vec![]),
        ] {
            assert_eq!(found(&text, kind), expected, "{text}");
        }
    }
}
