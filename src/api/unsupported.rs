//! Routes that programs know from elsewhere and that are not served here: each says why, and what to do instead.

use crate::dialect::Dialect;
use crate::error::{Error, Kind};

/// A route that is known and not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unserved {
    /// The beginning of its path without `/v1`, in segments.
    path: &'static [&'static str],
    /// In whose words it is refused.
    pub dialect: Dialect,
    kind: Kind,
    sentence: &'static str,
}

/// The route that `path` (its segments, without `/v1`) belongs to.
pub fn find(path: &[&str]) -> Option<Unserved> {
    TABLE.iter().find(|row| path.starts_with(row.path)).copied()
}

impl Unserved {
    /// Why there is nothing here.
    pub fn error(&self) -> Error {
        Error::new(self.kind, self.sentence)
    }
}

const fn openai(path: &'static [&'static str], sentence: &'static str) -> Unserved {
    Unserved { path, dialect: Dialect::OpenAi, kind: Kind::NotFound, sentence }
}

const fn anthropic(path: &'static [&'static str], sentence: &'static str) -> Unserved {
    Unserved { path, dialect: Dialect::Anthropic, kind: Kind::NotFound, sentence }
}

const fn ollama(path: &'static [&'static str], kind: Kind, sentence: &'static str) -> Unserved {
    Unserved { path, dialect: Dialect::Ollama, kind, sentence }
}

const EMBEDDINGS: &str = "Poe has no bots that make embeddings, so none can be had here: point the program's embeddings \
    at another server, for example a local one such as Ollama, llama.cpp or text-embeddings-inference";
const HEARING: &str = "transcriptions and translations of sound are not served here: send the sound as a file of a \
    chat (input_audio) to a bot that hears, or run Whisper locally";
const FILES: &str =
    "files are not kept here: send a file inside the message that is about it, as a data URL or a link";
const ASSISTANTS: &str = "assistants and threads are not served here: send the whole conversation to \
    /v1/chat/completions with every request";
const CHATS_ONLY: &str = "Poe has no such thing, and nothing here stands in for it";
const MODELS: &str = "the models here are Poe's bots: they are neither pulled, pushed, made nor deleted. \
    GET /api/tags lists them";

/// The first row that fits counts.
const TABLE: &[Unserved] = &[
    openai(&["embeddings"], EMBEDDINGS),
    openai(
        &["moderations"],
        "Poe has no moderation endpoint: leave moderation out, or ask a chat bot to judge the text",
    ),
    openai(&["audio", "transcriptions"], HEARING),
    openai(&["audio", "translations"], HEARING),
    openai(&["audio"], "of OpenAI's audio only POST /v1/audio/speech is served here"),
    openai(
        &["images", "variations"],
        "variations are not served here: send the picture to /v1/images/edits with a prompt",
    ),
    openai(
        &["rerank"],
        "Poe has no bots that rank documents: run a reranker locally, or switch reranking off in the program",
    ),
    openai(&["files"], FILES),
    openai(&["uploads"], FILES),
    openai(&["batches"], "batches are not served here: send the requests one by one"),
    openai(&["assistants"], ASSISTANTS),
    openai(&["threads"], ASSISTANTS),
    openai(&["conversations"], ASSISTANTS),
    openai(&["chatkit"], ASSISTANTS),
    openai(
        &["vector_stores"],
        "vector stores are not served here: search the documents locally and send what was found with the question",
    ),
    openai(
        &["fine_tuning"],
        "Poe's bots cannot be trained over its API; a bot of your own is made on poe.com",
    ),
    openai(
        &["fine-tunes"],
        "Poe's bots cannot be trained over its API; a bot of your own is made on poe.com",
    ),
    openai(
        &["realtime"],
        "realtime sessions are not served here: Poe's bots take whole messages and stream their answers",
    ),
    openai(
        &["videos"],
        "videos are not served at this path: ask a bot that makes videos at /v1/chat/completions, its answer links them",
    ),
    openai(&["containers"], CHATS_ONLY),
    openai(&["evals"], CHATS_ONLY),
    openai(&["organization"], CHATS_ONLY),
    anthropic(
        &["messages", "batches"],
        "batches are not served here: send the messages one by one to /v1/messages",
    ),
    anthropic(&["complete"], "Anthropic's Text Completions are not served here: use /v1/messages"),
    ollama(&["api", "embed"], Kind::NotFound, EMBEDDINGS),
    ollama(&["api", "embeddings"], Kind::NotFound, EMBEDDINGS),
    ollama(&["api", "pull"], Kind::NotImplemented, MODELS),
    ollama(&["api", "push"], Kind::NotImplemented, MODELS),
    ollama(&["api", "create"], Kind::NotImplemented, MODELS),
    ollama(&["api", "copy"], Kind::NotImplemented, MODELS),
    ollama(&["api", "delete"], Kind::NotImplemented, MODELS),
    ollama(&["api", "blobs"], Kind::NotImplemented, MODELS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_found_with_all_that_lies_below_it() {
        let dialect = |path: &str| {
            let parts: Vec<&str> = path.split('/').collect();
            find(&parts).map(|found| found.dialect)
        };
        for path in ["embeddings", "files/file-1/content", "fine_tuning/jobs"] {
            assert_eq!(dialect(path), Some(Dialect::OpenAi), "{path}");
        }
        assert_eq!(dialect("messages/batches/b/results"), Some(Dialect::Anthropic));
        assert_eq!(dialect("api/blobs/sha256:1"), Some(Dialect::Ollama));
        for path in ["chat/completions", "messages", "images", "models/files", "api/models", "embeddings2"] {
            assert_eq!(dialect(path), None, "{path}");
        }
    }
}
