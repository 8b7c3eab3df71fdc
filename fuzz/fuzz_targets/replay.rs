//! An answer cut where the fuzzer likes, behind a stage.

use poe2openai::exchange::{Event, Finish, Reply, Stage, Stages};

/// The fuzzer's input: the first line says where to cut, the rest is the answer.
pub struct Answer {
    cuts: Vec<usize>,
    /// The whole text.
    pub text: String,
}

impl Answer {
    /// Reads the fuzzer's bytes; each byte of the first line is the length of a piece.
    pub fn of(data: &[u8]) -> Answer {
        let head = data.iter().position(|&byte| byte == b'\n').unwrap_or(0);
        let text = String::from_utf8_lossy(data.get(head + 1..).unwrap_or_default()).into_owned();
        Answer { cuts: data[..head].iter().map(|&byte| usize::from(byte % 32)).collect(), text }
    }

    /// The text in one piece.
    pub fn whole(&self) -> Vec<String> {
        vec![self.text.clone()]
    }

    /// The text letter by letter.
    pub fn letters(&self) -> Vec<String> {
        self.text.chars().map(String::from).collect()
    }

    /// The text in pieces of the lengths that the fuzzer chose, in letters, over and over.
    pub fn pieces(&self) -> Vec<String> {
        let mut letters = self.text.chars().peekable();
        let mut cuts = self.cuts.iter().cycle();
        let mut pieces = Vec::new();
        while letters.peek().is_some() {
            let len = cuts.next().copied().unwrap_or(3).max(1);
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
