//! Routes of the supported APIs that are not implemented: each error states why, and what to do instead.

use super::route::{ANY, Access, Route, Visibility};
use crate::dialect::Dialect;
use crate::error::Kind;
use crate::gateway::record::NO_ENDPOINT;

const fn unserved(pattern: &'static str, dialect: Dialect, kind: Kind, message: &'static str) -> Route {
    Route {
        pattern,
        methods: ANY,
        endpoint: NO_ENDPOINT,
        dialect: Some(dialect),
        visibility: Visibility::Listed,
        access: Access::Unserved(kind, message),
    }
}

const fn openai(pattern: &'static str, message: &'static str) -> Route {
    unserved(pattern, Dialect::OpenAi, Kind::NotFound, message)
}

const fn anthropic(pattern: &'static str, message: &'static str) -> Route {
    unserved(pattern, Dialect::Anthropic, Kind::NotFound, message)
}

const fn ollama(pattern: &'static str, kind: Kind, message: &'static str) -> Route {
    unserved(pattern, Dialect::Ollama, kind, message)
}

const EMBEDDINGS: &str = "Poe has no bots that make embeddings, so there is no embeddings endpoint: \
    point the program's embeddings at another server, for example a local one such as Ollama, llama.cpp \
    or text-embeddings-inference";
const HEARING: &str = "transcriptions and translations of sound are not served here: send the sound as a file of a \
    chat (input_audio) to a bot that takes audio, or run Whisper locally";
const FILES: &str =
    "files are not kept here: send a file inside the message that is about it, as a data URL or a link";
const ASSISTANTS: &str = "assistants and threads are not served here: send the whole conversation to \
    /v1/chat/completions with every request";
const CHATS_ONLY: &str = "Poe has no such feature, and this server does not emulate it";
const MODELS: &str = "the models here are Poe's bots: they are neither pulled, pushed, made nor deleted. \
    GET /api/tags lists them";

/// The rows. The first that fits counts.
pub const TABLE: &[Route] = &[
    openai("/v1/embeddings/*", EMBEDDINGS),
    openai(
        "/v1/moderations/*",
        "Poe has no moderation endpoint: leave moderation out, or ask a chat bot to judge the text",
    ),
    openai("/v1/audio/transcriptions/*", HEARING),
    openai("/v1/audio/translations/*", HEARING),
    openai("/v1/audio/*", "of OpenAI's audio only POST /v1/audio/speech is served here"),
    openai(
        "/v1/images/variations/*",
        "variations are not served here: send the picture to /v1/images/edits with a prompt",
    ),
    openai(
        "/v1/rerank/*",
        "Poe has no bots that rank documents: run a reranker locally, or switch reranking off in the program",
    ),
    openai("/v1/files/*", FILES),
    openai("/v1/uploads/*", FILES),
    openai("/v1/batches/*", "batches are not served here: send the requests one by one"),
    openai("/v1/assistants/*", ASSISTANTS),
    openai("/v1/threads/*", ASSISTANTS),
    openai("/v1/conversations/*", ASSISTANTS),
    openai("/v1/chatkit/*", ASSISTANTS),
    openai(
        "/v1/vector_stores/*",
        "vector stores are not served here: search the documents locally and send what was found with the question",
    ),
    openai(
        "/v1/fine_tuning/*",
        "Poe's bots cannot be trained over its API; a bot of your own is made on poe.com",
    ),
    openai(
        "/v1/fine-tunes/*",
        "Poe's bots cannot be trained over its API; a bot of your own is made on poe.com",
    ),
    openai(
        "/v1/realtime/*",
        "realtime sessions are not served here: Poe's bots take whole messages and stream their answers",
    ),
    openai(
        "/v1/videos/{id}/*",
        "of OpenAI's videos only creating, listing, downloading and deleting are served here: to change a video, send \
         it as input_reference of a new one to POST /v1/videos",
    ),
    openai("/v1/containers/*", CHATS_ONLY),
    openai("/v1/evals/*", CHATS_ONLY),
    openai("/v1/organization/*", CHATS_ONLY),
    anthropic(
        "/v1/messages/batches/*",
        "batches are not served here: send the messages one by one to /v1/messages",
    ),
    anthropic("/v1/complete/*", "Anthropic's Text Completions are not served here: use /v1/messages"),
    ollama("/v1/api/embed/*", Kind::NotFound, EMBEDDINGS),
    ollama("/v1/api/embeddings/*", Kind::NotFound, EMBEDDINGS),
    ollama("/v1/api/pull/*", Kind::NotImplemented, MODELS),
    ollama("/v1/api/push/*", Kind::NotImplemented, MODELS),
    ollama("/v1/api/create/*", Kind::NotImplemented, MODELS),
    ollama("/v1/api/copy/*", Kind::NotImplemented, MODELS),
    ollama("/v1/api/delete/*", Kind::NotImplemented, MODELS),
    ollama("/v1/api/blobs/*", Kind::NotImplemented, MODELS),
];

#[cfg(test)]
mod tests {
    use super::super::route::Match;
    use super::*;

    #[test]
    fn a_route_is_found_with_all_that_lies_below_it() {
        let dialect = |path: &str| Match::find(&[TABLE], path).and_then(|found| found.first()?.dialect);
        for path in ["/v1/embeddings", "/files/file-1/content", "/v1/fine_tuning/jobs"] {
            assert_eq!(dialect(path), Some(Dialect::OpenAi), "{path}");
        }
        assert_eq!(dialect("/v1/messages/batches/b/results"), Some(Dialect::Anthropic));
        assert_eq!(dialect("/api/blobs/sha256:1"), Some(Dialect::Ollama));
        for path in
            ["/chat/completions", "/messages", "/images", "/models/files", "/api/models", "/embeddings2"]
        {
            assert_eq!(dialect(path), None, "{path}");
        }
    }
}
