//! Splits an answer at positions chosen by the fuzzer.

use poe2openai::pipeline::{Event, Finish, Reply, Stage, Stages};

/// The fuzzer's input: each byte of the first line is the length of a piece, the rest is the text.
pub fn split(data: &[u8]) -> (Vec<usize>, &[u8]) {
    let head = data.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let cuts = data[..head].iter().map(|&byte| usize::from(byte % 32).max(1)).collect();
    (cuts, data.get(head + 1..).unwrap_or_default())
}

/// A text and where to cut it.
pub struct Answer {
    cuts: Vec<usize>,
    /// The whole text.
    pub text: String,
}

impl Answer {
    /// Reads the fuzzer's bytes.
    pub fn of(data: &[u8]) -> Answer {
        let (cuts, text) = split(data);
        Answer { cuts, text: String::from_utf8_lossy(text).into_owned() }
    }

    /// The text in one piece.
    pub fn whole(&self) -> Vec<String> {
        vec![self.text.clone()]
    }

    /// The text in single characters.
    pub fn letters(&self) -> Vec<String> {
        self.text.chars().map(String::from).collect()
    }

    /// The text in pieces of the fuzzer's lengths, repeated.
    pub fn pieces(&self) -> Vec<String> {
        let mut letters = self.text.chars().peekable();
        let mut cuts = self.cuts.iter().cycle();
        let mut pieces = Vec::new();
        while letters.peek().is_some() {
            let len = cuts.next().copied().unwrap_or(3);
            pieces.push(letters.by_ref().take(len).collect());
        }
        pieces
    }
}

/// The reply that `pieces` fold to behind `stage`.
pub fn fold(pieces: Vec<String>, stage: impl Stage) -> Reply {
    let end = Event::Finish(Finish::default());
    let events = pieces.into_iter().map(Event::Text).chain([end]).map(Ok);
    Reply::fold(events.through(stage)).expect("no stage fails")
}
