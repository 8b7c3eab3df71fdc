//! The route table: one row for each path and method. A new endpoint is one row here and one handler.

use super::admin::{
    self, account, activity, config, keys, models, overview, settings, usage as usage_totals,
};
use super::route::Access::{self, Client, Operator, Public, Reader};
use super::route::Visibility::{self, Listed, Logged, Routine};
use super::route::{ANY, Match, Route};
use super::{chat, media, metrics, model_list, ollama, pages, responses, status, unsupported, usage, videos};
use crate::dialect::Dialect;

const GET: &[&str] = &["GET"];
const POST: &[&str] = &["POST"];
const PATCH: &[&str] = &["PATCH"];
const DELETE: &[&str] = &["DELETE"];

const OPENAI: Option<Dialect> = Some(Dialect::OpenAi);
const RESPONSES: Option<Dialect> = Some(Dialect::Responses);
const ANTHROPIC: Option<Dialect> = Some(Dialect::Anthropic);
const OLLAMA: Option<Dialect> = Some(Dialect::Ollama);
/// As the request's headers say.
const BY_HEAD: Option<Dialect> = None;

#[rustfmt::skip]
const TABLE: &[Route] = &[
    // methods, pattern, name in metrics, dialect of errors, where it is seen, who may ask and what answers
    row(POST, "/v1/chat/completions", "/v1/chat/completions", OPENAI, Listed, Client(chat::chat_completions)),
    row(POST, "/v1/completions", "/v1/completions", OPENAI, Listed, Client(chat::completions)),
    row(POST, "/v1/messages", "/v1/messages", ANTHROPIC, Listed, Client(chat::messages)),
    row(POST, "/v1/messages/count_tokens", "/v1/messages/count_tokens", ANTHROPIC, Listed, Client(chat::count_tokens)),
    row(POST, "/v1/responses", "/v1/responses", RESPONSES, Listed, Client(responses::create)),
    row(POST, "/v1/responses/input_tokens", "/v1/responses/input_tokens", RESPONSES, Listed, Client(responses::input_tokens)),
    row(POST, "/v1/responses/compact", "/v1/responses/compact", RESPONSES, Listed, Client(responses::compact)),
    row(GET, "/v1/responses/{id}", "/v1/responses/{id}", OPENAI, Listed, Client(responses::retrieve)),
    row(DELETE, "/v1/responses/{id}", "/v1/responses/{id}", OPENAI, Listed, Client(responses::delete)),
    row(GET, "/v1/responses/{id}/input_items", "/v1/responses/{id}/input_items", OPENAI, Listed, Client(responses::input_items)),
    row(POST, "/v1/responses/{id}/cancel", "/v1/responses/{id}/cancel", OPENAI, Listed, Client(responses::cancel)),
    row(POST, "/v1/images/generations", "/v1/images/generations", OPENAI, Listed, Client(media::generate_images)),
    row(POST, "/v1/images", "/v1/images/generations", OPENAI, Listed, Client(media::generate_images)), // as Poe spells it
    row(POST, "/v1/images/edits", "/v1/images/edits", OPENAI, Listed, Client(media::edit_images)),
    row(POST, "/v1/audio/speech", "/v1/audio/speech", OPENAI, Listed, Client(media::speech)),
    row(POST, "/v1/audio", "/v1/audio/speech", OPENAI, Listed, Client(media::speech)), // as Poe spells it

    row(GET, "/v1/balance", "/v1/balance", BY_HEAD, Listed, Client(|request| usage::get(request, "/v1/balance"))),
    row(GET, "/v1/usage/current_balance", "/usage/current_balance", BY_HEAD, Listed, Client(|request| usage::get(request, "/usage/current_balance"))),
    row(GET, "/v1/usage/points_history", "/usage/points_history", BY_HEAD, Listed, Client(|request| usage::get(request, "/usage/points_history"))),
    row(GET, "/v1/usage/history", "/v1/usage/history", BY_HEAD, Listed, Client(|request| usage::get(request, "/v1/usage/history"))),
    row(POST, "/v1/whoami", "/v1/whoami", BY_HEAD, Listed, Client(|request| usage::post(request, "/v1/whoami"))),

    row(POST, "/v1/videos", "/v1/videos", OPENAI, Listed, Client(videos::create)),
    row(GET, "/v1/videos", "/v1/videos", OPENAI, Logged, Client(videos::list)),
    row(GET, "/v1/videos/{id}", "/v1/videos/{id}", OPENAI, Routine, Client(videos::retrieve)), // clients poll it
    row(DELETE, "/v1/videos/{id}", "/v1/videos/{id}", OPENAI, Logged, Client(videos::delete)),
    row(GET, "/v1/videos/{id}/content", "/v1/videos/{id}/content", OPENAI, Listed, Client(videos::content)),
    row(GET, "/v1/models", "/v1/models", BY_HEAD, Listed, Reader(model_list::list)),
    row(GET, "/v1/models/{name..}", "/v1/models/{id}", BY_HEAD, Listed, Reader(model_list::one)), // names have slashes
    row(GET, "/v1/api/models", "/api/models", OPENAI, Listed, Reader(model_list::unfiltered)),

    row(POST, "/api/chat", "/api/chat", OLLAMA, Listed, Client(ollama::chat)),
    row(POST, "/api/generate", "/api/generate", OLLAMA, Listed, Client(ollama::generate)),
    row(GET, "/api/tags", "/api/tags", OLLAMA, Listed, Reader(ollama::tags)),
    row(POST, "/api/show", "/api/show", OLLAMA, Listed, Reader(ollama::show)),
    row(GET, "/api/ps", "/api/ps", OLLAMA, Listed, Public(ollama::running)),
    row(GET, "/api/version", "/api/version", OLLAMA, Listed, Public(ollama::version)),

    row(GET, "/v1", "/", OPENAI, Logged, Public(status::home)),
    row(GET, "/health", "/health", OPENAI, Logged, Public(status::health)),
    row(GET, "/ready", "/ready", OPENAI, Routine, Public(status::ready)),
    row(GET, "/metrics", "/metrics", OPENAI, Routine, Public(metrics::page)),
    row(GET, "/v1/api/hello", "/api/hello", OPENAI, Logged, Public(status::hello)), // Claude Code asks it first
    row(POST, "/v1/api/event_logging/*", "/api/event_logging", ANTHROPIC, Logged, Public(status::discard_events)),

    row(GET, "/art/{name}", "/art", OPENAI, Routine, Public(pages::demo_file)),
    row(GET, "/admin/sign-out", "/admin", BY_HEAD, Logged, Operator(pages::sign_out)),
    row(GET, "/admin/*", "/admin", BY_HEAD, Routine, Operator(pages::file)),
    row(POST, "/api/admin/try", "/api/admin/try", BY_HEAD, Listed, Operator(admin::try_model)),
    row(GET, "/api/admin/activity", "/admin", BY_HEAD, Routine, Operator(activity::report)),
    row(POST, "/api/admin/activity/stop", "/admin", BY_HEAD, Logged, Operator(activity::stop)),
    row(POST, "/api/admin/inspection", "/admin", BY_HEAD, Logged, Operator(activity::inspection)),
    row(GET, "/api/admin/account", "/admin", BY_HEAD, Routine, Operator(account::show)),
    row(GET, "/api/admin/settings", "/admin", BY_HEAD, Routine, Operator(settings::list)),
    row(GET, "/api/admin/config", "/admin", BY_HEAD, Routine, Operator(config::show_json)),
    row(POST, "/api/admin/config", "/admin", BY_HEAD, Logged, Operator(config::save_json)),
    row(GET, "/api/admin/config/file", "/admin", BY_HEAD, Routine, Operator(config::show_yaml)),
    row(POST, "/api/admin/config/file", "/admin", BY_HEAD, Logged, Operator(config::save_yaml)),
    row(POST, "/api/admin/config/restore", "/admin", BY_HEAD, Logged, Operator(config::restore)),
    row(GET, "/api/admin/log", "/admin", BY_HEAD, Routine, Operator(activity::log)),
    row(GET, "/api/admin/config/state", "/admin", BY_HEAD, Routine, Operator(config::state)),
    row(GET, "/api/admin/models", "/admin", BY_HEAD, Routine, Operator(models::list)),
    row(GET, "/api/admin/overview", "/admin", BY_HEAD, Routine, Operator(overview::show)),
    row(GET, "/api/admin/usage", "/admin", BY_HEAD, Routine, Operator(usage_totals::show)),
    row(GET, "/api/admin/keys", "/admin", BY_HEAD, Routine, Operator(keys::list)),
    row(POST, "/api/admin/keys", "/admin", BY_HEAD, Logged, Operator(keys::create)),
    row(PATCH, "/api/admin/keys/{id}", "/admin", BY_HEAD, Logged, Operator(keys::change)),
    row(DELETE, "/api/admin/keys/{id}", "/admin", BY_HEAD, Logged, Operator(keys::delete)),
    row(ANY, "/api/admin/*", "/admin", BY_HEAD, Routine, Operator(admin::unknown)),
];

const fn row(
    methods: &'static [&'static str],
    pattern: &'static str,
    endpoint: &'static str,
    dialect: Option<Dialect>,
    visibility: Visibility,
    access: Access,
) -> Route {
    Route { pattern, methods, endpoint, dialect, visibility, access }
}

/// The rows for `path`.
pub fn find(path: &str) -> Option<Match> {
    Match::find(&[TABLE, unsupported::TABLE], path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_however_clients_write_them() {
        let cases = [
            ("/", Some(("/", ""))),
            ("/v1", Some(("/", ""))),
            ("/health", Some(("/health", ""))),
            ("/v1/chat/completions", Some(("/v1/chat/completions", ""))),
            ("/chat/completions/", Some(("/v1/chat/completions", ""))),
            ("/v1/v1/chat/completions", Some(("/v1/chat/completions", ""))),
            ("//v1//models", Some(("/v1/models", ""))),
            ("/models/a%20b", Some(("/v1/models/{id}", "a b"))),
            ("/ready", Some(("/ready", ""))),
            ("/admin/", Some(("/admin", ""))),
            ("/admin/app.js", Some(("/admin", "app.js"))),
            ("/api/admin/try", Some(("/api/admin/try", ""))),
            ("/api/models", Some(("/api/models", ""))),
            ("/v1/api/models/", Some(("/api/models", ""))),
            ("/api/admin/config", Some(("/admin", ""))),
            ("/api/admin/other", Some(("/admin", "other"))),
            ("/v1/models/openai/gpt", Some(("/v1/models/{id}", "openai/gpt"))),
            ("/v1/responses/", Some(("/v1/responses", ""))),
            ("/responses/input_tokens", Some(("/v1/responses/input_tokens", ""))),
            ("/v1/responses/resp_1", Some(("/v1/responses/{id}", "resp_1"))),
            ("/v1/responses/resp_1/input_items", Some(("/v1/responses/{id}/input_items", "resp_1"))),
            ("/v1/responses/resp_1/cancel", Some(("/v1/responses/{id}/cancel", "resp_1"))),
            ("/v1/responses/resp_1/other", None),
            ("/v1/messages", Some(("/v1/messages", ""))),
            ("/v1/messages/", Some(("/v1/messages", ""))),
            ("/v1/v1/messages", Some(("/v1/messages", ""))),
            ("/anthropic/v1/messages", Some(("/v1/messages", ""))),
            ("/v1/messages/count_tokens", Some(("/v1/messages/count_tokens", ""))),
            ("/anthropic/v1/messages/count_tokens", Some(("/v1/messages/count_tokens", ""))),
            ("/anthropic/v1/models", Some(("/v1/models", ""))),
            ("/anthropic", Some(("/", ""))),
            ("/api/hello", Some(("/api/hello", ""))),
            ("/api/event_logging/batch", Some(("/api/event_logging", "batch"))),
            ("/api/event_logging/v2/batch", Some(("/api/event_logging", "v2/batch"))),
            ("/v1/messages/msg_1", None),
            ("/v1/completions", Some(("/v1/completions", ""))),
            ("/images/edits", Some(("/v1/images/edits", ""))),
            ("/v1/videos/", Some(("/v1/videos", ""))),
            ("/videos/video_1", Some(("/v1/videos/{id}", "video_1"))),
            ("/v1/videos/video_1/content", Some(("/v1/videos/{id}/content", "video_1"))),
            ("/v1/videos/video_1/remix", Some(("other", "remix"))),
            ("/v1/images", Some(("/v1/images/generations", ""))),
            ("/v1/audio/", Some(("/v1/audio/speech", ""))),
            ("/balance", Some(("/v1/balance", ""))),
            ("/usage/current_balance", Some(("/usage/current_balance", ""))),
            ("/v1/usage/points_history", Some(("/usage/points_history", ""))),
            ("/usage/history", Some(("/v1/usage/history", ""))),
            ("/v1/whoami", Some(("/v1/whoami", ""))),
            ("/api/chat", Some(("/api/chat", ""))),
            ("/api/tags/", Some(("/api/tags", ""))),
            ("/api/chats", None),
            ("/v1/chat", None),
            ("/v2/models", None),
            // what a proxy in front blocks by its path has no other path
            ("/v1/admin", None),
            ("/anthropic/admin", None),
            ("/anthropic/api/admin/settings", None),
            ("/v1/metrics", None),
        ];
        for (path, expected) in cases {
            let found = find(path);
            let found = found
                .as_ref()
                .map(|found| (found.first().map_or("", |route| route.endpoint), found.parameter.as_str()));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn methods_of_one_path_are_told_together() {
        let allow = |path: &str| find(path).unwrap().allow();
        assert_eq!(allow("/v1/responses/resp_1"), "GET, HEAD, DELETE, OPTIONS");
        assert_eq!(allow("/v1/chat/completions"), "POST, HEAD, OPTIONS");
        assert_eq!(allow("/v1/models"), "GET, HEAD, OPTIONS");
        assert!(find("/v1/responses/resp_1").unwrap().by_method("PUT").is_none());
    }

    #[test]
    fn no_row_is_hidden_behind_another() {
        let rows: Vec<&Route> = TABLE.iter().chain(unsupported::TABLE).collect();
        for (at, row) in rows.iter().enumerate() {
            let example = row.pattern.replace("{id}", "x").replace("{name..}", "x").replace('*', "x");
            let found = find(&example).unwrap();
            assert_eq!(found.first().unwrap().pattern, row.pattern, "another pattern comes first");
            for other in &rows[..at] {
                let is_same = other.pattern == row.pattern;
                assert!(
                    !is_same || !row.methods.iter().any(|method| other.methods.contains(method)),
                    "{row:?}"
                );
            }
        }
    }
}
