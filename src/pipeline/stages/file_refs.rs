//! Stage that turns files of the bot into Markdown where its text refers to them, and finds its pictures in earlier turns.
//!
//! A bot's text refers to a file by its short reference: `![alt][a1b2c3d4]` or `[a1b2c3d4]`. The file itself may
//! come before that text or after it.
//!
//! - A file that is known when the text refers to it stands there as `![alt](url)`, or `[name](url)` when it is no
//!   picture.
//! - A reference to a file that has not come yet is held back only while that costs little: a picture's for the
//!   next [`PATIENCE`] bytes of text, any other while nothing but white space follows, which is the usual case of
//!   a reference at the end. What goes out unresolved is mended at the end by Markdown's own means: a definition
//!   `[a1b2c3d4]: url`, which makes every earlier reference to it a picture or a link. So a stream never stalls on
//!   a bracket, and no reference stays dead.
//! - A file that the text never refers to is appended at the end, unless the text names it by its URL.
//!
//! Complete answers need no such limit: [`FileRefs::whole`] resolves every reference in place.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::{ControlFlow, Range};

use crate::pipeline::named_urls::Named;
use crate::pipeline::{Attachment, Event, FileSource, Message, Part, Role, Stage};

/// Bytes of text for which a stream is held when a picture is referred to before it has come.
pub const PATIENCE: usize = 1024;

/// The longest text between two brackets that is looked at, in bytes; longer ones are plain text.
const LONGEST_LABEL: usize = 200;

/// References that went out unresolved and are remembered. A text with more brackets than this is not about files.
const MOST_SEEN: usize = 256;

/// Puts files into the text. Each [`Event::File`] is passed on after its text form.
#[derive(Default)]
pub struct FileRefs {
    patience: Patience,
    files: Vec<File>,
    /// Where in `files` the first file of a reference lies.
    places: HashMap<String, usize>,
    /// The URLs in the text that went out.
    named: Named,
    /// The end of the text, from the first bracket that is undecided.
    held: String,
    /// References that went out as they were. Where one did in both forms, the picture counts.
    seen: HashMap<String, Form>,
    begun: Begun,
}

/// How long a reference waits for its file.
#[derive(Default, Clone, Copy)]
enum Patience {
    /// As long as a reader does not notice.
    #[default]
    Stream,
    /// To the end.
    Whole,
}

/// Whether there is text before what comes next.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Begun {
    #[default]
    No,
    Yes,
}

struct File {
    attachment: Attachment,
    place: Place,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Not in the text, not passed on.
    Waiting,
    /// Passed on, but the text in which it stood was retracted.
    Lost,
    /// In the text and passed on.
    Rendered,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// `![alt][ref]` or `![ref]`: with a definition it becomes a picture.
    Picture,
    /// `[ref]` or `[words][ref]`: with a definition it becomes a link.
    Link,
}

impl FileRefs {
    /// For streams.
    pub fn streaming() -> FileRefs {
        FileRefs::default()
    }

    /// For whole answers.
    pub fn whole() -> FileRefs {
        FileRefs { patience: Patience::Whole, ..FileRefs::default() }
    }

    /// Whether no reference can begin or go on in `piece`.
    fn is_plain(&self, piece: &str) -> bool {
        self.held.is_empty()
            && !piece.bytes().any(|byte| matches!(byte, b'[' | b'/'))
            && !piece.ends_with(['!', '\\'])
            && self.named.is_idle()
    }

    fn take_text(&mut self, piece: String, out: &mut VecDeque<Event>) {
        if self.is_plain(&piece) {
            return self.say(piece, out);
        }
        let waiting = !self.held.is_empty();
        self.held.push_str(&piece);
        match self.patience {
            Patience::Whole if waiting => {} // looked at once, at the end
            Patience::Whole | Patience::Stream => self.resolve(Held::Open, out),
        }
    }

    /// Sends as much of the held text as is decided.
    fn resolve(&mut self, held: Held, out: &mut VecDeque<Event>) {
        let text = std::mem::take(&mut self.held);
        let (mut said, mut rendered, mut at) = (String::new(), Vec::new(), 0);
        while let Some(mark) = next_mark(&text, at, held) {
            let (start, end) = match mark {
                Mark::Undecided(start) if matches!(held, Held::Open) => {
                    at = self.keep(&text, at, start, &mut said);
                    break;
                }
                Mark::Undecided(_) => break,
                Mark::Plain(end) => (end, end),
                Mark::Reference(reference) => match self.known(&text[reference.token.clone()]) {
                    Some(index) => {
                        said.push_str(&text[at..reference.span.start]);
                        let alt = reference.alt.map(|alt| &text[alt]);
                        said.push_str(&markdown(&self.files[index].attachment, alt));
                        rendered.push(index);
                        at = reference.span.end;
                        continue;
                    }
                    None if self.waits(held, &text, &reference) => {
                        at = self.keep(&text, at, reference.span.start, &mut said);
                        break;
                    }
                    None => {
                        self.remember(&text[reference.token], reference.form);
                        (reference.span.end, reference.span.end)
                    }
                },
            };
            said.push_str(&text[at..start]);
            at = end;
        }
        if self.held.is_empty() {
            said.push_str(&text[at..]);
        }
        self.say(said, out);
        rendered.into_iter().for_each(|index| self.render(index, out));
    }

    /// Says what stands before `start` and holds what follows.
    fn keep(&mut self, text: &str, at: usize, start: usize, said: &mut String) -> usize {
        said.push_str(&text[at..start]);
        self.held.push_str(&text[start..]);
        text.len()
    }

    fn known(&self, token: &str) -> Option<usize> {
        self.places.get(token).copied()
    }

    /// Whether an unresolved reference is worth waiting for.
    fn waits(&self, held: Held, text: &str, reference: &Reference) -> bool {
        let after = &text[reference.span.end..];
        match (held, self.patience, reference.form) {
            (Held::Closed, ..) => false,
            (Held::Open, Patience::Whole, _) => true,
            (Held::Open, Patience::Stream, Form::Picture) => after.len() <= PATIENCE,
            (Held::Open, Patience::Stream, Form::Link) => after.len() <= PATIENCE && after.trim().is_empty(),
        }
    }

    fn remember(&mut self, token: &str, form: Form) {
        let known = self.seen.get(token);
        if known.map_or(self.seen.len() < MOST_SEEN, |_| form == Form::Picture) {
            self.seen.insert(token.to_owned(), form);
        }
    }

    fn say(&mut self, text: String, out: &mut VecDeque<Event>) {
        if !text.is_empty() {
            self.begun = Begun::Yes;
            self.named.read(&text);
            out.push_back(Event::Text(text));
        }
    }

    /// Passes the file on, once, now that it stands in the text.
    fn render(&mut self, index: usize, out: &mut VecDeque<Event>) {
        let file = &mut self.files[index];
        if file.place == Place::Waiting {
            out.push_back(Event::File(file.attachment.clone()));
        }
        file.place = Place::Rendered;
    }

    /// The end: nothing is held any longer, and every file gets its place.
    fn close(&mut self, out: &mut VecDeque<Event>) {
        self.resolve(Held::Closed, out);
        for index in 0..self.files.len() {
            if self.files[index].place == Place::Waiting && self.named.has(&self.files[index].attachment.url)
            {
                self.render(index, out);
            }
            if self.files[index].place != Place::Rendered && !self.defined(index) {
                let picture = markdown(&self.files[index].attachment, None);
                self.paragraph(&picture, out);
                self.render(index, out);
            }
        }
        for index in 0..self.files.len() {
            if let Some(token) = self.dangling(index) {
                let definition = format!("[{token}]: {}", url(&self.files[index].attachment.url));
                self.paragraph(&definition, out);
                self.render(index, out);
            }
        }
        self.files.clear();
        self.places.clear();
        self.seen.clear();
    }

    /// Whether a definition alone shows the file as it should be shown.
    fn defined(&self, index: usize) -> bool {
        let attachment = &self.files[index].attachment;
        let shows = |form: &Form| *form == Form::Picture || !is_image(attachment);
        attachment.inline_ref.as_ref().and_then(|token| self.seen.get(token)).is_some_and(shows)
    }

    /// The reference of the file, where it went out unresolved.
    fn dangling(&self, index: usize) -> Option<&str> {
        let token = self.files[index].attachment.inline_ref.as_deref()?;
        self.seen.contains_key(token).then_some(token)
    }

    fn paragraph(&mut self, text: &str, out: &mut VecDeque<Event>) {
        let text = match self.begun {
            Begun::No => text.to_owned(),
            Begun::Yes => format!("\n\n{text}"),
        };
        self.say(text, out);
    }

    fn add(&mut self, attachment: Attachment, out: &mut VecDeque<Event>) {
        let same = self.files.iter().position(|file| file.attachment.url == attachment.url);
        if let Some(known) = same.filter(|_| !attachment.url.is_empty()) {
            // sent twice; its other reference means the same file
            if let Some(token) = attachment.inline_ref {
                self.places.entry(token).or_insert(known);
                self.resolve(Held::Open, out);
            }
            return;
        }
        if let Some(token) = &attachment.inline_ref {
            self.places.entry(token.clone()).or_insert(self.files.len());
        }
        self.files.push(File { attachment, place: Place::Waiting });
        match self.patience {
            Patience::Whole => {} // looked at once, at the end
            Patience::Stream => self.resolve(Held::Open, out),
        }
    }

    fn retract(&mut self) {
        self.held.clear();
        self.seen.clear();
        self.named = Named::default();
        self.begun = Begun::No;
        for file in &mut self.files {
            if file.place == Place::Rendered {
                file.place = Place::Lost;
            }
        }
    }
}

impl Stage for FileRefs {
    #[inline]
    fn passes(&mut self, event: &Event) -> bool {
        matches!(event, Event::Text(piece) if self.begun == Begun::Yes && self.is_plain(piece))
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match event {
            Event::Text(piece) => self.take_text(piece, out),
            Event::File(attachment) => self.add(attachment, out),
            Event::Retract => {
                self.retract();
                out.push_back(event);
            }
            Event::Finish(_) => {
                self.close(out);
                out.push_back(event);
            }
            Event::ToolCall(_) => {
                // Encoders close the text when a call begins; what belongs before it must be said before it.
                self.resolve(Held::Closed, out);
                out.push_back(event);
            }
            Event::Thinking(_) | Event::Suggestion(_) | Event::Metadata(_) => out.push_back(event),
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        self.close(out);
    }
}

/// Whether more text may follow what is held.
#[derive(Clone, Copy)]
enum Held {
    Open,
    Closed,
}

/// What a bracket turns out to be.
enum Mark {
    /// More text must come before that is known; it begins here.
    Undecided(usize),
    /// Plain text, up to here.
    Plain(usize),
    Reference(Reference),
}

struct Reference {
    span: Range<usize>,
    alt: Option<Range<usize>>,
    token: Range<usize>,
    form: Form,
}

/// The first bracket of `text` at or after `from`, or a character at its end that may belong to one.
fn next_mark(text: &str, from: usize, held: Held) -> Option<Mark> {
    let rest = &text[from..];
    let Some(open) = rest.find('[').map(|at| from + at) else {
        return rest.ends_with(['!', '\\']).then(|| Mark::Undecided(text.len() - 1));
    };
    let before = &text[from..open];
    if before.ends_with('\\') {
        return Some(Mark::Plain(open + 1));
    }
    let (start, form) = match before.ends_with('!') && !before.ends_with("\\!") {
        true => (open - 1, Form::Picture),
        false => (open, Form::Link),
    };
    Some(bracket(text, start, open, form, held))
}

fn bracket(text: &str, start: usize, open: usize, form: Form, held: Held) -> Mark {
    let first = match label(text, open) {
        Label::Closed(range) => range,
        Label::Open => return Mark::Undecided(start),
        Label::No => return Mark::Plain(open + 1),
    };
    let end = first.end + 1;
    match text[end..].chars().next() {
        // What follows the bracket decides what it is.
        None if matches!(held, Held::Open) => Mark::Undecided(start),
        Some('(') => Mark::Plain(end + 1), // a link
        Some('[') => match label(text, end) {
            Label::Open => Mark::Undecided(start),
            Label::No => Mark::Plain(end),
            Label::Closed(second) if second.is_empty() && is_token(&text[first.clone()]) => {
                Mark::Reference(Reference { span: start..second.end + 1, alt: None, token: first, form })
            }
            Label::Closed(second) if is_token(&text[second.clone()]) => Mark::Reference(Reference {
                span: start..second.end + 1,
                alt: Some(first),
                token: second,
                form,
            }),
            Label::Closed(_) => Mark::Plain(end),
        },
        _ if is_token(&text[first.clone()]) => {
            Mark::Reference(Reference { span: start..end, alt: None, token: first, form })
        }
        _ => Mark::Plain(end),
    }
}

enum Label {
    /// What stands between the brackets.
    Closed(Range<usize>),
    /// The closing bracket may still come.
    Open,
    /// No label.
    No,
}

fn label(text: &str, open: usize) -> Label {
    let start = open + 1;
    let rest = &text.as_bytes()[start..];
    for (at, byte) in rest.iter().take(LONGEST_LABEL + 1).enumerate() {
        match byte {
            b']' => return Label::Closed(start..start + at),
            b'[' | b'\n' | b'\\' => return Label::No,
            _ => {}
        }
    }
    if rest.len() > LONGEST_LABEL { Label::No } else { Label::Open }
}

/// References are short and made of letters, digits, `-` and `_`.
fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn is_image(file: &Attachment) -> bool {
    file.content_type.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("image/"))
}

/// A file as Markdown. `alt` comes from the bot's own Markdown and is used as it is.
fn markdown(file: &Attachment, alt: Option<&str>) -> String {
    let image = is_image(file);
    let fallback = if image { "image" } else { "file" };
    let name = match alt {
        Some(alt) if !alt.is_empty() => alt.to_owned(),
        _ if file.name.trim().is_empty() => fallback.to_owned(),
        _ => name(&file.name),
    };
    format!("{}[{name}]({})", if image { "!" } else { "" }, url(&file.url))
}

/// A name that ends neither the brackets nor the paragraph it stands in.
fn name(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for char in name.chars() {
        match char {
            '\\' | '[' | ']' | '`' | '<' => escaped.extend(['\\', char]),
            char if char.is_control() => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}

/// A URL that ends only where it should.
fn url(url: &str) -> String {
    let mut escaped = String::with_capacity(url.len());
    for char in url.chars() {
        match char {
            '(' | ')' | '<' | '>' | '\\' | ' ' => escaped.push_str(&format!("%{:02X}", char as u32)),
            char if char.is_control() => escaped.push_str(&format!("%{:02X}", char as u32)),
            char => escaped.push(char),
        }
    }
    escaped
}

/// A file of Poe's that a text points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its URL.
    pub url: String,
    /// The words that stand for it in Markdown.
    pub name: Option<String>,
}

/// Finds links to files that lie at Poe: in Markdown's forms or bare.
pub fn poe_links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("https://").map(|found| at + found) {
        let length = url_length(&text[start..], "https://");
        let url = &text[start..start + length];
        if is_poe_file(url) {
            links.push(Link { url: url.to_owned(), name: name_before(&text[..start]) });
        }
        at = start + length;
    }
    links
}

/// How far a URL of `scheme` reaches in running text.
pub(crate) fn url_length(text: &str, scheme: &str) -> usize {
    let ends = |char: char| {
        char.is_whitespace() || matches!(char, ')' | ']' | '>' | '<' | '"' | '\'' | '`' | '\\' | '|')
    };
    let url = &text[..text.find(ends).unwrap_or(text.len())];
    url.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_']).len().max(scheme.len())
}

fn is_poe_file(url: &str) -> bool {
    let rest = url.strip_prefix("https://").unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or_default();
    let host = host.to_ascii_lowercase();
    !path.is_empty() && (host == "poecdn.net" || host.ends_with(".poecdn.net"))
}

/// The longest words that are sought before a link, in characters.
const LONGEST_NAME: usize = 1024;

/// The words of `[words](` at the end of `before`.
fn name_before(before: &str) -> Option<String> {
    let inside = before.strip_suffix('<').unwrap_or(before).strip_suffix("](")?;
    let mut name = Vec::new();
    let mut chars = inside.chars().rev().take(LONGEST_NAME).peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('[' | ']' | '`' | '<' | '\\', Some('\\')) => {
                chars.next();
                name.push(char);
            }
            ('[', _) => {
                return Some(name.into_iter().rev().collect()).filter(|name: &String| !name.is_empty());
            }
            ('\n' | ']', _) => return None,
            _ => name.push(char),
        }
    }
    None
}

/// Attaches the files that the bot made in earlier turns to the user's next turn, each once, so that "make it
/// brighter" has something to work on. A file that a user's turn holds already is not attached again.
pub fn pictures_into_user_turns(messages: &mut [Message]) {
    let mut carried: HashSet<String> = messages.iter().flat_map(attached).collect();
    let mut links: Vec<Link> = Vec::new();
    for message in messages {
        match message.role {
            Role::Assistant => links.extend(poe_links(&message.text())),
            Role::User => {
                for link in links.drain(..) {
                    if carried.insert(link.url.clone()) {
                        let file = at_poe(&link.url, link.name.as_deref());
                        message.parts.push(Part::File(FileSource::Attached(file)));
                    }
                }
            }
            Role::System | Role::Tool => {}
        }
    }
}

/// The URLs of the files that a turn holds.
fn attached(message: &Message) -> impl Iterator<Item = String> {
    message.parts.iter().filter_map(|part| match part {
        Part::File(FileSource::Attached(file)) => Some(file.url.clone()),
        Part::File(FileSource::Link { url, .. }) => Some(url.clone()),
        Part::File(FileSource::Data { .. }) | Part::Text(_) => None,
    })
}

/// A file that lies at Poe already, by its link. Most of Poe's links carry no extension; the folder states what kind of
/// file it is.
pub fn at_poe(url: &str, name: Option<&str>) -> Attachment {
    let kinds = [
        ("/image/", "image/png", "image.png"),
        ("/audio/", "audio/mpeg", "audio.mp3"),
        ("/video/", "video/mp4", "video.mp4"),
    ];
    let kind = kinds.iter().find(|(folder, ..)| url.contains(folder));
    let (content_type, fallback) = kind.map_or(("application/octet-stream", "file"), |kind| (kind.1, kind.2));
    let name = name.unwrap_or(fallback).to_owned();
    Attachment { url: url.to_owned(), content_type: content_type.to_owned(), name, inline_ref: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::Reply;
    use crate::pipeline::every_split::{end, every_split, text};

    fn file(reference: &str, kind: &str) -> Event {
        Event::File(Attachment {
            url: format!("https://pfst.cf2.poecdn.net/base/{reference}"),
            content_type: kind.into(),
            name: "a cat.png".into(),
            inline_ref: Some(reference.into()).filter(|text: &String| !text.is_empty()),
        })
    }

    fn picture(reference: &str) -> Event {
        file(reference, "image/png")
    }

    fn streamed(events: &[Event]) -> Reply {
        every_split(FileRefs::streaming, events)
    }

    /// The text of a stream and of a whole answer, where they must be the same.
    fn both(events: &[Event]) -> String {
        let reply = streamed(events);
        assert_eq!(every_split(FileRefs::whole, events), reply);
        reply.text
    }

    #[test]
    fn a_picture_stands_where_the_text_refers_to_it() {
        for (said, shown) in [
            ("See ![my cat][r1], ok!", "See ![my cat](https://pfst.cf2.poecdn.net/base/r1), ok!"),
            ("[r1]", "![a cat.png](https://pfst.cf2.poecdn.net/base/r1)"),
            ("![r1][] and", "![a cat.png](https://pfst.cf2.poecdn.net/base/r1) and"),
            ("![][r1]\n", "![a cat.png](https://pfst.cf2.poecdn.net/base/r1)\n"),
            ("wow!![r1]!", "wow!![a cat.png](https://pfst.cf2.poecdn.net/base/r1)!"),
        ] {
            assert_eq!(both(&[picture("r1"), text(said), end()]), shown);
            assert_eq!(every_split(FileRefs::whole, &[text(said), picture("r1"), end()]).text, shown);
        }
    }

    #[test]
    fn the_file_may_come_after_the_text() {
        let shown = "Here: ![c](https://pfst.cf2.poecdn.net/base/r1)";
        assert_eq!(both(&[text("Here: ![c][r1]"), picture("r1"), end()]), shown);
        assert_eq!(
            both(&[text("Here: ![c][r1] "), text("it is"), picture("r1"), text("."), end()]),
            format!("{shown} it is.")
        );
        let bare = "![a cat.png](https://pfst.cf2.poecdn.net/base/r1)\n";
        assert_eq!(both(&[text("[r1]\n"), picture("r1"), end()]), bare);
    }

    #[test]
    fn a_file_that_comes_much_later_gets_a_definition() {
        let long = "x".repeat(PATIENCE + 1);
        let said = format!("![c][r1]{long}");
        let defined = format!("{said}\n\n[r1]: https://pfst.cf2.poecdn.net/base/r1");
        let reply = streamed(&[text(&said), picture("r1"), end()]);
        assert_eq!(reply.text, defined);
        assert_eq!(reply.files.len(), 1);
        let link = streamed(&[text("see [r1] there"), file("r1", "text/csv"), end()]);
        assert_eq!(link.text, "see [r1] there\n\n[r1]: https://pfst.cf2.poecdn.net/base/r1");
        let shown = streamed(&[text("see [r1] there"), picture("r1"), end()]).text;
        let url = "https://pfst.cf2.poecdn.net/base/r1";
        assert_eq!(shown, format!("see [r1] there\n\n![a cat.png]({url})\n\n[r1]: {url}"));
    }

    #[test]
    fn files_nobody_refers_to_are_appended() {
        let events = [text("Done"), picture(""), file("r9", "text/csv"), end()];
        let url = "https://pfst.cf2.poecdn.net/base/";
        assert_eq!(both(&events), format!("Done\n\n![a cat.png]({url})\n\n[a cat.png]({url}r9)"));
        assert_eq!(both(&[picture(""), end()]), format!("![a cat.png]({url})"));
    }

    #[test]
    fn the_file_is_passed_on_once_after_its_text() {
        let mut stage = FileRefs::streaming();
        let mut out = VecDeque::new();
        for event in [picture("r"), text("a [r] b [r]."), Event::Retract, text("x"), end()] {
            let _ = stage.push(event, &mut out);
        }
        let shown = "![a cat.png](https://pfst.cf2.poecdn.net/base/r)";
        let again = text(&format!("\n\n{shown}"));
        let wanted =
            [text(&format!("a {shown} b {shown}.")), picture("r"), Event::Retract, text("x"), again, end()];
        assert_eq!(out, wanted);
    }

    #[test]
    fn a_file_that_the_text_names_or_that_comes_twice_is_shown_once() {
        let url = "https://pfst.cf2.poecdn.net/base/r1";
        for said in [
            format!("See {url}"),
            format!("![cat]({url}) as you wished."),
            format!("![cat](<{url}>)\n\n{url}"),
            format!("Here: {url}?w=1024&h=768, ok"),
        ] {
            for events in [[text(&said), picture("r1"), end()], [picture("r1"), text(&said), end()]] {
                let reply = streamed(&events);
                assert_eq!((reply.text.as_str(), reply.files.len()), (said.as_str(), 1));
                assert_eq!(every_split(FileRefs::whole, &events), reply);
            }
        }
        let shown = format!("A cat\n\n![a cat.png]({url})");
        assert_eq!(both(&[text("A cat"), picture("r1"), picture("r1"), end()]), shown);
        assert_eq!(both(&[picture("r1"), text("A cat"), picture("r1"), end()]), shown);
        let other = format!("See {url}0 and {url}/2");
        let both_shown = format!("{other}\n\n![a cat.png]({url})");
        assert_eq!(both(&[text(&other), picture("r1"), end()]), both_shown);
        let mut again = picture("r1");
        if let Event::File(file) = &mut again {
            file.inline_ref = Some("r2".into());
        }
        let reply = streamed(&[picture("r1"), again, text("[r2]"), end()]);
        assert_eq!((reply.text, reply.files.len()), (format!("![a cat.png]({url})"), 1));
        let retracted = [text(&format!("See {url}")), Event::Retract, text("Here"), picture("r1"), end()];
        assert_eq!(both(&retracted), format!("Here\n\n![a cat.png]({url})"));
    }

    #[test]
    fn other_brackets_are_left_alone() {
        let said = "a[i]: = [1][2] - [x] [link](https://e.org) \\[r1] [r 1] [a\nb] ![p](u) [r1](u) [[q]] !\\";
        assert_eq!(both(&[text(said), end()]), said);
        let escaped = "\\[r1] [r1](u)";
        let url = "https://pfst.cf2.poecdn.net/base/r1";
        assert_eq!(both(&[picture("r1"), text(escaped), end()]), format!("{escaped}\n\n![a cat.png]({url})"));
    }

    #[test]
    fn brackets_do_not_stall_a_stream() {
        let mut stage = FileRefs::streaming();
        let mut out = VecDeque::new();
        let _ = stage.push(text("a [1] b"), &mut out);
        assert_eq!(out.pop_front(), Some(text("a [1] b")));
        let _ = stage.push(text(&format!("[{}", "x".repeat(LONGEST_LABEL))), &mut out);
        assert!(out.is_empty());
        let _ = stage.push(text("x"), &mut out);
        assert!(!out.is_empty());
    }

    #[test]
    fn names_and_urls_are_escaped() {
        let odd = Attachment {
            url: "https://x.org/a b(1).png?q=<é>".into(),
            content_type: "IMAGE/png".into(),
            name: "[x](y)\n`z`".into(),
            inline_ref: None,
        };
        let shown = "![\\[x\\](y) \\`z\\`](https://x.org/a%20b%281%29.png?q=%3Cé%3E)";
        assert_eq!(both(&[Event::File(odd), end()]), shown);
    }

    #[test]
    fn plain_text_passes_without_a_copy() {
        let piece = String::from("some text");
        let place = piece.as_ptr();
        let mut out = VecDeque::new();
        let _ = FileRefs::streaming().push(Event::Text(piece), &mut out);
        let Some(Event::Text(piece)) = out.pop_front() else { panic!("no text") };
        assert_eq!(piece.as_ptr(), place);
    }

    #[test]
    fn links_to_poe_are_found_in_every_form() {
        let base = "https://pfst.cf2.poecdn.net/base";
        let said = format!(
            "![a \\[cat\\]]({base}/image/1?w=10&h=20) and [song](<{base}/audio/2>), bare {base}/video/3. \
             [r]: {base}/image/4\nhttps://example.org/poecdn.net/ https://poecdn.net.evil.org/x https://poecdn.net/"
        );
        let found: Vec<_> = poe_links(&said).into_iter().map(|link| (link.url, link.name)).collect();
        let wanted = [
            ("image/1?w=10&h=20", Some("a [cat]")),
            ("audio/2", Some("song")),
            ("video/3", None),
            ("image/4", None),
        ];
        let wanted = wanted.map(|(path, name)| (format!("{base}/{path}"), name.map(String::from)));
        assert_eq!(found, wanted);
    }

    #[test]
    fn pictures_are_carried_to_the_next_user_turn_once() {
        let turn =
            |role, text: &str| Message { role, parts: vec![Part::Text(text.into())], ..Message::default() };
        let picture = |n| format!("![cat](https://pfst.cf2.poecdn.net/base/image/{n})");
        let mut messages = vec![
            turn(Role::User, "draw"),
            turn(Role::Assistant, &(picture(1) + &picture(1))),
            turn(Role::Assistant, &picture(2)),
            turn(Role::User, "brighter"),
            turn(Role::Assistant, &(picture(1) + &picture(3))),
            turn(Role::User, "darker"),
            turn(Role::Assistant, &picture(4)),
        ];
        let given = "https://pfst.cf2.poecdn.net/base/image/2".to_owned();
        messages[0].parts.push(Part::File(FileSource::Link { url: given, name: None }));
        pictures_into_user_turns(&mut messages);
        let files =
            |message: &Message| message.parts.iter().filter(|part| matches!(part, Part::File(_))).count();
        assert_eq!(messages.iter().map(files).collect::<Vec<_>>(), [1, 0, 0, 1, 0, 1, 0]);
        let Part::File(FileSource::Attached(first)) = &messages[3].parts[1] else { panic!() };
        assert_eq!((first.name.as_str(), first.content_type.as_str()), ("cat", "image/png"));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_wherever_it_is_cut(
            before in "[\\[\\]!\\\\(:r1 \n]{0,12}", after in "[\\[\\]!\\\\(r1 ]{0,12}", known in any::<bool>(),
        ) {
            let mut events = vec![text(&before), text(&after), end()];
            events.insert(if known { 0 } else { 1 }, picture("r1"));
            let url = "https://pfst.cf2.poecdn.net/base/r1";
            for reply in [streamed(&events), every_split(FileRefs::whole, &events)] {
                prop_assert!(reply.text.contains(url));
                prop_assert_eq!(reply.files.len(), 1);
            }
            let nameless = [text(&before), text(&after), end()];
            prop_assert_eq!(both(&nameless), before + &after);
        }
    }
}
