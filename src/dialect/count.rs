//! Decodes and answers requests that only count tokens.

use std::io::Read;

use crate::pipeline::stages::prompt_tokens;
use crate::pipeline::{ChatRequest, FileSource, Part};

/// Tokens of a picture: Anthropic's rule for those that need not be made smaller, and the most that others take.
const PIXELS_PER_TOKEN: u64 = 750;
const MOST_PER_PICTURE: u64 = 1600;
/// Tokens of a page of a document, in the middle of what Anthropic names.
const PER_PAGE: u64 = 2000;

/// Tokens of all that is asked, files included. Never 0.
pub fn tokens(chat: &ChatRequest, count: impl FnMut(&str) -> usize) -> u64 {
    let files = chat.messages.iter().flat_map(|message| &message.parts);
    let files: u64 = files.map(|part| if let Part::File(source) = part { file(source) } else { 0 }).sum();
    prompt_tokens(chat, count) + files
}

fn file(source: &FileSource) -> u64 {
    match source {
        FileSource::Data { bytes, content_type, .. } if content_type == "application/pdf" => {
            pages(bytes) * PER_PAGE
        }
        FileSource::Data { bytes, .. } => match size(bytes) {
            Some((width, height)) => (width * height).div_ceil(PIXELS_PER_TOKEN).clamp(1, MOST_PER_PICTURE),
            None => MOST_PER_PICTURE,
        },
        // what it is can only be known by fetching it
        FileSource::Link { .. } | FileSource::Attached(_) => MOST_PER_PICTURE,
    }
}

/// Pages of a PDF, as far as they stand in it in clear.
fn pages(pdf: &[u8]) -> u64 {
    let name = b"/Type";
    let ends =
        pdf.windows(name.len()).enumerate().filter(|(_, found)| found == name).map(|(at, _)| at + name.len());
    let is_page = |at: &usize| {
        let rest = pdf[*at..].trim_ascii_start();
        rest.starts_with(b"/Page") && rest.get(5) != Some(&b's')
    };
    (ends.filter(is_page).count() as u64).max(1)
}

/// Width and height of a picture.
fn size(bytes: &[u8]) -> Option<(u64, u64)> {
    let big = |at: usize, len: usize| number(bytes.get(at..at + len)?.iter());
    let little = |at: usize, len: usize| number(bytes.get(at..at + len)?.iter().rev());
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some((big(16, 4)?, big(20, 4)?)),
        [b'G', b'I', b'F', ..] => Some((little(6, 2)?, little(8, 2)?)),
        [0xFF, 0xD8, rest @ ..] => jpeg(rest),
        [b'R', b'I', b'F', b'F', ..] => match bytes.get(12..16)? {
            b"VP8X" => Some((little(24, 3)? + 1, little(27, 3)? + 1)),
            b"VP8 " => Some((little(26, 2)? & 0x3FFF, little(28, 2)? & 0x3FFF)),
            b"VP8L" => {
                let bits = little(21, 4)?;
                Some(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The size stands in the first segment that begins a frame.
fn jpeg(mut rest: &[u8]) -> Option<(u64, u64)> {
    loop {
        let mut head = [0; 4];
        rest.read_exact(&mut head).ok()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]])).checked_sub(2)?;
        let segment = rest.get(..length)?;
        if matches!(head[1], 0xC0..=0xCF) && !matches!(head[1], 0xC4 | 0xC8 | 0xCC) {
            return Some((number(segment.get(3..5)?.iter())?, number(segment.get(1..3)?.iter())?));
        }
        rest = &rest[length..];
    }
}

fn number<'b>(digits: impl Iterator<Item = &'b u8>) -> Option<u64> {
    Some(digits.fold(0, |sum, digit| sum << 8 | u64::from(*digit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Message, Tool};
    use serde_json::json;
    use std::sync::Arc;

    fn picture(bytes: &[u8]) -> Part {
        let bytes = Arc::new(bytes.to_vec());
        Part::File(FileSource::Data { bytes, content_type: "image/png".into(), name: None })
    }

    fn counted(parts: Vec<Part>) -> u64 {
        let chat =
            ChatRequest { messages: vec![Message { parts, ..Message::default() }], ..ChatRequest::default() };
        tokens(&chat, |text| text.split_whitespace().count())
    }

    #[test]
    fn text_tools_and_files_count_and_nothing_is_free() {
        let none = counted(Vec::new());
        assert!(none > 0);
        assert_eq!(counted(vec![Part::Text("a b".into())]), none + 2);
        let link = FileSource::Link { url: "https://x/y.png".into(), name: None };
        assert_eq!(counted(vec![Part::File(link)]), none + MOST_PER_PICTURE);
        let tool = Tool { name: "f".into(), description: Some("a b".into()), parameters: Some(json!({})) };
        let chat = ChatRequest { tools: vec![tool], ..ChatRequest::default() };
        let count = |text: &str| text.split_whitespace().count();
        assert_eq!(tokens(&chat, count), tokens(&ChatRequest::default(), count) + 4);
    }

    #[test]
    fn a_picture_costs_by_its_size() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend([0, 0, 3, 0, 0, 0, 1, 0]);
        let gif = b"GIF89a\x2c\x01\x90\x01";
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc2\0\x08\x08\0\x64\0\xc8\x03";
        let mut large = b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0".to_vec();
        large.extend([0xff, 3, 0, 0xff, 3, 0]);
        type Size = Option<(u64, u64)>;
        let rows: [(&[u8], Size); 5] = [
            (&png, Some((768, 256))),
            (gif, Some((300, 400))),
            (jpeg, Some((200, 100))),
            (&large, Some((1024, 1024))),
            (b"\xff\xd8\xff\xe0", None),
        ];
        for (bytes, expected) in rows {
            assert_eq!(size(bytes), expected, "{bytes:?}");
        }
        let none = counted(Vec::new());
        assert_eq!(counted(vec![picture(&png)]), none + 263);
        assert_eq!(counted(vec![picture(gif)]), none + 160);
        assert_eq!(counted(vec![picture(b"?")]), none + MOST_PER_PICTURE);
    }

    #[test]
    fn a_document_costs_by_its_pages() {
        let pdf =
            b"%PDF-1.4 << /Type /Pages >> <</Type/Page>> << /Type /Page /Parent 1 >> << /Type /Catalog >>";
        assert_eq!((pages(pdf), pages(b"%PDF")), (2, 1));
    }
}
