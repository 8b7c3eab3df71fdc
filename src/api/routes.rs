//! Which path is which route, what it is called, and how it is asked.

use percent_encoding::percent_decode_str;

use super::{ollama, unsupported};
use crate::dialect::Dialect;
use crate::gateway::record::NO_ENDPOINT;

/// What answers a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/`.
    Home,
    /// `/health`.
    Health,
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/images/generations`.
    ImageGenerations,
    /// `/v1/images/edits`.
    ImageEdits,
    /// `/v1/audio/speech`.
    Speech,
    /// `/v1/responses`.
    Responses,
    /// `/v1/responses/input_tokens`.
    ResponseTokens,
    /// `/v1/responses/compact`.
    Compaction,
    /// `/v1/responses/{id}`.
    Response(String),
    /// `/v1/responses/{id}/input_items`.
    ResponseItems(String),
    /// `/v1/responses/{id}/cancel`.
    ResponseCancel(String),
    /// `/v1/messages`.
    Messages,
    /// `/v1/messages/count_tokens`.
    CountTokens,
    /// Whether there is a server at all.
    Hello,
    /// What Claude Code states of its use; nobody here wants to know.
    Events,
    /// Ollama's `/api/…`.
    Ollama(ollama::Endpoint),
    /// `/v1/models`.
    Models,
    /// `/v1/models/{id}`.
    Model(String),
    /// `/api/models`.
    AllModels,
    /// `/ready`.
    Ready,
    /// `/metrics`.
    Metrics,
    /// The admin page and its calls, by the parts of the path. It has locks of its own.
    Admin(Vec<String>),
    /// Known from elsewhere, and not served here.
    Unserved(unsupported::Unserved),
}

impl Route {
    /// The route of `path`, forgiving what clients get wrong: a slash at the end, `/v1` twice.
    pub fn find(path: &str) -> Option<Route> {
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.first() == Some(&"anthropic") {
            parts.remove(0);
        }
        while parts.starts_with(&["v1", "v1"]) {
            parts.remove(0);
        }
        let plain = parts.strip_prefix(&["v1"]).unwrap_or(&parts);
        match (plain, parts.as_slice()) {
            (_, [] | ["v1"]) => Some(Route::Home),
            (_, ["health"]) => Some(Route::Health),
            (_, ["ready"]) => Some(Route::Ready),
            (_, ["metrics"]) => Some(Route::Metrics),
            (_, ["admin", ..] | ["api", "admin", ..]) => {
                Some(Route::Admin(parts.iter().map(|part| decoded(part)).collect()))
            }
            (["chat", "completions"], _) => Some(Route::Chat),
            (["completions"], _) => Some(Route::Completions),
            (["images", "generations"], _) => Some(Route::ImageGenerations),
            (["images", "edits"], _) => Some(Route::ImageEdits),
            (["audio", "speech"], _) => Some(Route::Speech),
            (["responses"], _) => Some(Route::Responses),
            (["responses", "input_tokens"], _) => Some(Route::ResponseTokens),
            (["responses", "compact"], _) => Some(Route::Compaction),
            (["responses", id], _) => Some(Route::Response(decoded(id))),
            (["responses", id, "input_items"], _) => Some(Route::ResponseItems(decoded(id))),
            (["responses", id, "cancel"], _) => Some(Route::ResponseCancel(decoded(id))),
            (["messages"], _) => Some(Route::Messages),
            (["messages", "count_tokens"], _) => Some(Route::CountTokens),
            (_, ["api", "hello"]) => Some(Route::Hello),
            (_, ["api", "event_logging", ..]) => Some(Route::Events),
            (["api", "models"], _) => Some(Route::AllModels),
            (["models"], _) => Some(Route::Models),
            // a name may hold slashes of its own
            (["models", name @ ..], _) => Some(Route::Model(decoded(&name.join("/")))),
            (_, ["api", name]) => {
                let unserved = || unsupported::find(plain).map(Route::Unserved);
                ollama::Endpoint::find(name).map(Route::Ollama).or_else(unserved)
            }
            _ => unsupported::find(plain).map(Route::Unserved),
        }
    }

    /// How it is asked.
    pub fn method(&self) -> &'static str {
        match self {
            Route::Ollama(endpoint) => endpoint.method(),
            Route::Home
            | Route::Health
            | Route::Ready
            | Route::Metrics
            | Route::Hello
            | Route::Models
            | Route::AllModels
            | Route::Model(_)
            | Route::Response(_)
            | Route::ResponseItems(_) => "GET",
            _ => "POST",
        }
    }

    /// Whether it can be asked with `method`.
    pub fn takes(&self, method: &str) -> bool {
        let asked = if method == "HEAD" { "GET" } else { method };
        match self {
            Route::Unserved(_) => true, // is refused by whatever method
            Route::Response(_) => matches!(asked, "GET" | "DELETE"),
            _ => asked == self.method(),
        }
    }

    /// In whose words it answers a request that speaks `dialect` by its head.
    pub fn dialect(&self, dialect: Dialect) -> Dialect {
        match self {
            Route::Responses | Route::ResponseTokens | Route::Compaction => Dialect::Responses,
            Route::Messages | Route::CountTokens | Route::Events => Dialect::Anthropic,
            Route::Ollama(_) => Dialect::Ollama,
            Route::Unserved(route) => route.dialect,
            Route::Models | Route::Model(_) => dialect,
            _ => Dialect::OpenAi,
        }
    }

    /// Its name in metrics and on the admin page.
    pub fn endpoint(&self) -> &'static str {
        match self {
            Route::Home => "/",
            Route::Health => "/health",
            Route::Ready => "/ready",
            Route::Metrics => "/metrics",
            Route::Hello => "/api/hello",
            Route::Events => "/api/event_logging",
            Route::Chat => "/v1/chat/completions",
            Route::Completions => "/v1/completions",
            Route::ImageGenerations => "/v1/images/generations",
            Route::ImageEdits => "/v1/images/edits",
            Route::Speech => "/v1/audio/speech",
            Route::Responses => "/v1/responses",
            Route::ResponseTokens => "/v1/responses/input_tokens",
            Route::Compaction => "/v1/responses/compact",
            Route::Response(_) => "/v1/responses/{id}",
            Route::ResponseItems(_) => "/v1/responses/{id}/input_items",
            Route::ResponseCancel(_) => "/v1/responses/{id}/cancel",
            Route::Ollama(endpoint) => endpoint.path(),
            Route::Unserved(_) => NO_ENDPOINT,
            Route::Messages => "/v1/messages",
            Route::CountTokens => "/v1/messages/count_tokens",
            Route::Models => "/v1/models",
            Route::Model(_) => "/v1/models/{id}",
            Route::AllModels => "/api/models",
            Route::Admin(_) => "/admin",
        }
    }

    /// Whether the operator sees its requests one by one.
    pub fn is_watched(&self) -> bool {
        !matches!(
            self,
            Route::Home
                | Route::Health
                | Route::Ready
                | Route::Metrics
                | Route::Hello
                | Route::Events
                | Route::Admin(_)
        )
    }

    /// All methods, as the header `Allow` names them.
    pub fn allow(&self) -> &'static str {
        match self {
            Route::Response(_) => "GET, HEAD, DELETE, OPTIONS",
            _ if self.method() == "POST" => "POST, HEAD, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

/// A part of a path or a query as it was meant.
pub fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_however_clients_write_them() {
        let cases = [
            ("/", Some(Route::Home)),
            ("/v1", Some(Route::Home)),
            ("/health", Some(Route::Health)),
            ("/v1/chat/completions", Some(Route::Chat)),
            ("/chat/completions/", Some(Route::Chat)),
            ("/v1/v1/chat/completions", Some(Route::Chat)),
            ("//v1//models", Some(Route::Models)),
            ("/models/a%20b", Some(Route::Model("a b".into()))),
            ("/ready", Some(Route::Ready)),
            ("/admin/", Some(Route::Admin(vec!["admin".into()]))),
            ("/api/admin/try", Some(Route::Admin(vec!["api".into(), "admin".into(), "try".into()]))),
            ("/api/models", Some(Route::AllModels)),
            ("/v1/api/models/", Some(Route::AllModels)),
            ("/api/admin/config", Some(Route::Admin(vec!["api".into(), "admin".into(), "config".into()]))),
            ("/v1/models/openai/gpt", Some(Route::Model("openai/gpt".into()))),
            ("/v1/responses/", Some(Route::Responses)),
            ("/responses/input_tokens", Some(Route::ResponseTokens)),
            ("/v1/responses/resp_1", Some(Route::Response("resp_1".into()))),
            ("/v1/responses/resp_1/input_items", Some(Route::ResponseItems("resp_1".into()))),
            ("/v1/responses/resp_1/cancel", Some(Route::ResponseCancel("resp_1".into()))),
            ("/v1/responses/resp_1/other", None),
            ("/v1/messages", Some(Route::Messages)),
            ("/v1/messages/", Some(Route::Messages)),
            ("/v1/v1/messages", Some(Route::Messages)),
            ("/anthropic/v1/messages", Some(Route::Messages)),
            ("/v1/messages/count_tokens", Some(Route::CountTokens)),
            ("/anthropic/v1/messages/count_tokens", Some(Route::CountTokens)),
            ("/anthropic/v1/models", Some(Route::Models)),
            ("/anthropic", Some(Route::Home)),
            ("/api/hello", Some(Route::Hello)),
            ("/api/event_logging/batch", Some(Route::Events)),
            ("/api/event_logging/v2/batch", Some(Route::Events)),
            ("/v1/messages/msg_1", None),
            ("/v1/completions", Some(Route::Completions)),
            ("/images/edits", Some(Route::ImageEdits)),
            ("/api/chat", Some(Route::Ollama(ollama::Endpoint::Chat))),
            ("/api/tags/", Some(Route::Ollama(ollama::Endpoint::Tags))),
            ("/api/chats", None),
            ("/v1/chat", None),
            ("/v2/models", None),
        ];
        for (path, route) in cases {
            assert_eq!(Route::find(path), route, "{path}");
        }
    }
}
