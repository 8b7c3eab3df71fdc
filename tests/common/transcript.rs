//! Reads a directory of `tests/transcripts`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::scripted_poe::{Answer, Cut, Script};

/// Where they all are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

/// One directory.
pub struct Transcript {
    /// Where it is.
    pub dir: PathBuf,
    /// Its purpose.
    pub about: String,
    /// The client's request.
    pub request: Value,
    /// Poe's answers.
    pub script: Script,
}

impl Transcript {
    /// Reads the one called `name`.
    pub fn read(name: &str) -> Transcript {
        let dir = root().join(name);
        let read = |file: &str| fs::read_to_string(dir.join(file));
        let about = read("about.md").expect("every transcript has an about.md");
        let request = read("chat.request.json").expect("a chat.request.json");
        let request = serde_json::from_str(&request).expect("a request is JSON");
        let mut answers: Vec<Answer> = (1..).map_while(|turn| answer(&dir, &format!("poe.{turn}"))).collect();
        answers.extend(answer(&dir, "poe"));
        if answers.is_empty() {
            answers.push(Answer::stream(b"event: error\ndata: {\"text\":\"not to be asked\"}\n\n".to_vec()));
        }
        let together = read("poe.uploads").map_or(0, |text| text.trim().parse().expect("a number"));
        let script = Script { answers, upload: answer(&dir, "poe.upload"), together, cut: Cut::Nowhere };
        Transcript { dir, about, request, script }
    }

    /// One of its files.
    pub fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(file)).ok()
    }

    /// A directory with the transcript's models.yaml and nothing else, for the test called `test`.
    pub fn config(&self, test: &str, name: &str) -> PathBuf {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test).join(name);
        fs::create_dir_all(&dir).expect("a directory");
        let yaml = dir.join("models.yaml");
        match self.text("models.yaml") {
            Some(text) => fs::write(yaml, text).expect("a models.yaml"),
            None => drop(fs::remove_file(yaml)),
        }
        dir
    }

    /// Poe's list of models: its own, or the one that all share.
    pub fn models(&self) -> String {
        let shared = || fs::read_to_string(root().join("models.json"));
        self.text("models.json").unwrap_or_else(|| shared().expect("the list of models that all share"))
    }
}

/// `NAME.sse`, or `NAME.status` and `NAME.body`.
fn answer(dir: &Path, name: &str) -> Option<Answer> {
    if let Ok(body) = fs::read(dir.join(format!("{name}.sse"))) {
        return Some(Answer::stream(body));
    }
    let head = fs::read_to_string(dir.join(format!("{name}.status"))).ok()?;
    Some(Answer { head, body: fs::read(dir.join(format!("{name}.body"))).unwrap_or_default() })
}
