//! Table of the bots: names, descriptions and the function that makes each answer from the query.

mod agent;
mod faults;
mod media;
mod native;
mod structured;
mod talk;
mod thought;
mod toolbox;
mod xml;

pub use faults::refused;
pub use media::MEDIA;

use super::query::Query;
use super::script::Script;
use super::traits::{AUDIO, CLAUDE, ENDPOINTS, GEMINI, GPT, IMAGE, TEXT, TOOLS, Traits, VIDEO};

/// One query in its surroundings: all that a bot may look at.
pub struct Turn<'q> {
    /// What is asked.
    pub query: &'q Query,
    /// How often this bot was asked this, counting from 1.
    pub nth: u32,
    /// Where this Poe is, for links to its files.
    pub base: &'q str,
    /// An attachment of the query that is no longer there.
    pub dead_file: Option<&'q str>,
}

/// A bot.
pub struct Bot {
    /// Its name, lower case.
    pub name: &'static str,
    /// What it is for, in one line.
    pub about: &'static str,
    /// How the model list describes it.
    pub traits: &'static Traits,
    act: Act,
}

/// Where a bot's script comes from.
enum Act {
    /// Written by hand.
    Plays(fn(&Turn) -> Script),
    /// A whole answer with this status.
    Refuses(u16),
    /// An `error` event of this type before anything else.
    Fails(&'static str),
}

impl Bot {
    /// What the bot does with this turn. Knows no clock and no socket: waiting is a step.
    pub fn script(&self, turn: &Turn) -> Script {
        match self.act {
            Act::Plays(script) => script(turn),
            Act::Refuses(status) => faults::refusal(status),
            Act::Fails(kind) => faults::first_event(kind),
        }
    }

    /// Whether the bot is there to fail.
    pub fn is_failure(&self) -> bool {
        FAILING.iter().any(|bot| bot.name == self.name)
    }
}

const fn plays(
    name: &'static str,
    traits: &'static Traits,
    script: fn(&Turn) -> Script,
    about: &'static str,
) -> Bot {
    Bot { name, about, traits, act: Act::Plays(script) }
}

const fn refuses(name: &'static str, status: u16, about: &'static str) -> Bot {
    Bot { name, about, traits: &TEXT, act: Act::Refuses(status) }
}

const fn fails(name: &'static str, kind: &'static str, about: &'static str) -> Bot {
    Bot { name, about, traits: &TEXT, act: Act::Fails(kind) }
}

/// All bots.
pub fn all() -> impl Iterator<Item = &'static Bot> {
    WORKING.iter().chain(FAILING)
}

/// The bot of this name in any case, also one that the model list does not name.
pub fn find(name: &str) -> Option<&'static Bot> {
    all().chain(PRIVATE).find(|bot| bot.name.eq_ignore_ascii_case(name))
}

/// Bots that answer.
const WORKING: &[Bot] = &[
    plays("demo-echo", &TEXT, talk::echo, "Repeats what you say and lists your attachments."),
    plays("demo-story", &TEXT, talk::story, "Writes a short story, word by word."),
    plays("demo-coder", &TEXT, talk::coder, "Completes your code, in a Markdown fence."),
    plays("demo-fast", &TEXT, talk::fast, "Sends as many text events as you name, without a pause."),
    plays("demo-long", &TEXT, talk::long, "Gives a very long answer."),
    plays("demo-stop", &TEXT, talk::count, "Counts from one to twenty and ignores stop texts."),
    plays("demo-markup", &TEXT, talk::markup, "Writes plain text that is full of tags."),
    plays(
        "demo-parameters",
        &TEXT,
        talk::parameters,
        "Shows the parameters and attachments that reached it.",
    ),
    plays("demo-query", &TEXT, talk::whole_query, "Shows the whole query that reached it."),
    plays("demo-suggest", &TEXT, talk::suggest, "Suggests replies and leaves a note in the metadata."),
    plays("demo-multi", &TEXT, talk::multi, "Gives two answers at the same time."),
    plays("demo-wire", &TEXT, talk::wire, "Uses every liberty that the event stream standard gives."),
    plays("demo-pings", &TEXT, talk::pings, "Pings for some seconds and then answers."),
    plays("demo-slow-start", &TEXT, talk::slow_start, "Thinks three seconds before the first word."),
    plays("demo-linger", &TEXT, talk::linger, "Answers and keeps the connection open for half a minute."),
    plays("demo-think", &TEXT, thought::think, "Thinks aloud before it answers."),
    plays("demo-think-plain", &TEXT, thought::think_plain, "Thinks aloud in the other spelling."),
    plays("demo-think-tags", &TEXT, thought::think_tags, "Thinks aloud between tags."),
    plays(
        "demo-think-unopened",
        &TEXT,
        thought::think_unopened,
        "Thinks aloud in front of a closing tag that nothing opened.",
    ),
    plays(
        "demo-not-thinking",
        &TEXT,
        thought::not_thinking,
        "Uses the marks of thought where they mean none.",
    ),
    plays("demo-progress", &TEXT, thought::progress, "Counts the seconds of its thought, then answers."),
    plays("demo-growing", &TEXT, thought::growing, "Replaces its answer by a longer one, again and again."),
    plays("demo-rewrite", &TEXT, thought::rewrite, "Takes back its first draft."),
    plays("demo-painter", &IMAGE, media::image_bot, "Paints a cat."),
    plays("demo-painter-late", &IMAGE, media::late, "Speaks of a picture before it sends it."),
    plays("demo-painter-link", &IMAGE, media::link, "Answers with the bare link of a picture."),
    plays(
        "demo-painter-elsewhere",
        &IMAGE,
        media::foreign,
        "Answers with a picture that does not lie at Poe.",
    ),
    plays("demo-voice", &AUDIO, media::voice, "Hums."),
    plays("demo-voice-link", &AUDIO, media::voice_link, "Hums, and answers with the bare link."),
    plays("demo-video", &VIDEO, media::video, "Makes a video of one second."),
    plays("demo-video-link", &VIDEO, media::video_link, "Answers with the bare link of a video."),
    plays("demo-reporter", &TEXT, media::reporter, "Sends two files, one of which it never mentions."),
    plays("demo-dead-file", &TEXT, media::dead_file, "Refuses attachments that have expired."),
    plays("demo-tools", &TOOLS, native::tools, "Calls your functions."),
    plays(
        "demo-tools-unfinished",
        &TOOLS,
        native::unfinished,
        "Calls functions and never says that it finished.",
    ),
    plays("demo-tools-odd", &TOOLS, native::odd, "Calls functions with missing and repeated ids."),
    plays("demo-tools-shy", &TOOLS, native::shy, "Calls functions only when asked a second time."),
    plays(
        "demo-tools-refused",
        &TOOLS,
        native::refused,
        "Is listed with tools, but refuses them in an event.",
    ),
    plays(
        "demo-tools-refused-http",
        &TOOLS,
        native::refused_http,
        "Is listed with tools, but refuses them with 400.",
    ),
    plays("demo-xml-tools", &TEXT, xml::tools, "Calls functions in XML, for it has no other way."),
    plays("demo-xml-tools-bare", &TEXT, xml::bare, "Leaves out the outer tag of its calls."),
    plays("demo-xml-tools-named", &TEXT, xml::named, "Uses the function's name as the tag."),
    plays("demo-xml-tools-cdata", &TEXT, xml::cdata, "Wraps text in CDATA instead of escaping it."),
    plays("demo-xml-tools-shy", &TEXT, xml::shy, "Calls functions only when asked a second time."),
    plays(
        "demo-json",
        &TEXT,
        structured::json,
        "Answers JSON that fits your schema, in a fence and with prose.",
    ),
    plays("demo-json-late", &TEXT, structured::late, "Answers JSON that fits only after a complaint."),
    plays("demo-json-never", &TEXT, structured::never, "Answers JSON that never fits."),
    plays("demo-agent", &TOOLS, agent::native, "Does small jobs in coding agents: creates and reads a file."),
    plays("demo-agent-xml", &TEXT, agent::xml, "The same for agents, with calls in XML."),
    plays("demo-gpt", &GPT, thought::rich, "Looks like GPT: tools, effort, search, a large context."),
    plays(
        "demo-claude",
        &CLAUDE,
        thought::rich,
        "Looks like Claude: effort of output and budget of thought.",
    ),
    plays("demo-gemini", &GEMINI, thought::rich, "Looks like Gemini: level of thought, search."),
    plays(
        "demo-native",
        &ENDPOINTS,
        native::endpoint,
        "Answers at every native endpoint: repeats what you say, calls your functions.",
    ),
    plays("demo-native-story", &ENDPOINTS, talk::story, "Writes a short story at every native endpoint."),
    plays("demo-native-unknown", &ENDPOINTS, talk::echo, "Is listed with endpoints that do not know it."),
    plays(
        "demo-native-picky",
        &ENDPOINTS,
        talk::echo,
        "Is listed with endpoints that take no temperature, no hints and no top_p of 0.",
    ),
];

/// Bots that answer and that the model list does not name, as private bots.
const PRIVATE: &[Bot] = &[
    plays("demo-private-tools", &TEXT, xml::tools, "Calls functions in XML."),
    plays("demo-private-agent", &TEXT, agent::xml, "Does small jobs in coding agents, with calls in XML."),
];

/// Bots that fail, one for each way that is documented or was seen.
const FAILING: &[Bot] = &[
    plays("demo-video-slow", &VIDEO, media::video_slow, "Gets no further than half of a video."),
    refuses("demo-error-http-400", 400, "Answers 400: the request is at fault."),
    refuses("demo-error-http-401", 401, "Answers 401: the key is not accepted."),
    refuses("demo-error-http-402", 402, "Answers 402: not enough points."),
    refuses("demo-error-http-403", 403, "Answers 403: the content was refused."),
    refuses("demo-error-http-404", 404, "Answers 404: no such bot."),
    refuses("demo-error-http-408", 408, "Answers 408: the model did not start."),
    refuses("demo-error-http-413", 413, "Answers 413: the request is too large."),
    refuses("demo-error-http-429", 429, "Answers 429 with Retry-After."),
    refuses("demo-error-http-500", 500, "Answers 500."),
    refuses("demo-error-http-502", 502, "Answers 502."),
    refuses("demo-error-http-503", 503, "Answers 503."),
    refuses("demo-error-http-529", 529, "Answers 529: overloaded."),
    fails("demo-error-user_message_too_long", "user_message_too_long", "Says that the message is too long."),
    fails("demo-error-insufficient_fund", "insufficient_fund", "Says that the points do not suffice."),
    fails("demo-error-user_caused_error", "user_caused_error", "Says that the user is at fault."),
    fails(
        "demo-error-privacy_authorization_error",
        "privacy_authorization_error",
        "Says that consent is missing.",
    ),
    plays("demo-error-internal", &TEXT, faults::nothing_said, "Says only: Internal server error."),
    plays("demo-error-final", &TEXT, faults::in_vain, "Fails and says that another try would be in vain."),
    plays("demo-error-words", &TEXT, faults::only_words, "Lacks points and says so in words alone."),
    plays("demo-error-late", &TEXT, faults::late, "Fails after some text."),
    plays("demo-flaky", &TEXT, faults::flaky, "Fails in an event at first and answers the second time."),
    plays("demo-flaky-http", &TEXT, faults::flaky_http, "Answers 503 at first and properly the second time."),
    plays("demo-drop", &TEXT, faults::drop, "Hangs up at first and answers the second time."),
    plays("demo-empty", &TEXT, faults::empty, "Ends properly without having said a word."),
    plays("demo-truncated", &TEXT, faults::truncated, "Ends cleanly, but never says that it is done."),
    plays("demo-broken", &TEXT, faults::broken, "Breaks off in mid text."),
    plays("demo-stall", &TEXT, faults::stall, "Falls silent before the first event."),
    plays("demo-stall-headers", &TEXT, faults::stall_headers, "Does not even send a head."),
    plays("demo-stall-late", &TEXT, faults::stall_late, "Falls silent after some text."),
    plays("demo-native-402", &ENDPOINTS, |_| faults::refusal(402), "Has no points left, at every endpoint."),
    plays("demo-native-429", &ENDPOINTS, |_| faults::refusal(429), "Answers 429 at every endpoint."),
    plays("demo-native-503", &ENDPOINTS, |_| faults::refusal(503), "Answers 503 at every endpoint."),
    plays("demo-native-flaky", &ENDPOINTS, faults::flaky_http, "Answers 503 at first, at every endpoint."),
    plays("demo-native-late", &ENDPOINTS, faults::late, "Fails after some text, at every endpoint."),
    plays(
        "demo-native-truncated",
        &ENDPOINTS,
        faults::truncated,
        "Never says that it is done, at any endpoint.",
    ),
    plays("demo-native-broken", &ENDPOINTS, faults::broken, "Breaks off in mid text, at every endpoint."),
    plays(
        "demo-native-stall",
        &ENDPOINTS,
        faults::stall,
        "Falls silent before the first event, at every endpoint.",
    ),
    plays("demo-native-stall-headers", &ENDPOINTS, faults::stall_headers, "Sends no head, at any endpoint."),
    plays(
        "demo-native-stall-late",
        &ENDPOINTS,
        faults::stall_late,
        "Falls silent after some text, at every endpoint.",
    ),
];

#[cfg(test)]
pub mod tests {
    use super::super::query::tests::{asking, with};
    use super::super::script::Step;

    use super::*;
    use serde_json::{Value, json};

    /// The steps with which the bot answers, the first time.
    pub fn steps(bot: &str, query: &Query) -> Vec<Step> {
        nth_steps(bot, query, 1)
    }

    pub fn nth_script(bot: &str, query: &Query, nth: u32) -> Script {
        let turn = Turn { query, nth, base: "http://poe", dead_file: None };
        find(bot).unwrap().script(&turn)
    }

    pub fn nth_steps(bot: &str, query: &Query, nth: u32) -> Vec<Step> {
        match nth_script(bot, query, nth) {
            Script::Stream(steps) => steps.collect(),
            _ => panic!("{bot} does not stream"),
        }
    }

    /// The text that a reader who follows the protocol is left with.
    pub fn text(steps: &[Step]) -> String {
        let mut whole = String::new();
        for step in steps {
            if let Step::Event { name, data } = step {
                let piece = data["text"].as_str().unwrap_or("");
                match *name {
                    "text" => whole.push_str(piece),
                    "replace_response" => whole = piece.into(),
                    "json" => whole.push_str(data["choices"][0]["delta"]["content"].as_str().unwrap_or("")),
                    _ => {}
                }
            }
        }
        whole
    }

    /// The calls in `json` events: id, name, arguments.
    pub fn calls(steps: &[Step]) -> Vec<(String, String, Value)> {
        let mut calls: Vec<(String, String, String)> = Vec::new();
        for step in steps {
            let Step::Event { name: "json", data } = step else { continue };
            for delta in data["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
                let function = &delta["function"];
                let index = delta["index"].as_u64().unwrap() as usize;
                if index == calls.len() {
                    let first = |value: &Value| value.as_str().unwrap_or("").to_string();
                    calls.push((first(&delta["id"]), first(&function["name"]), String::new()));
                }
                calls[index].2.push_str(function["arguments"].as_str().unwrap());
            }
        }
        calls.into_iter().map(|(id, name, json)| (id, name, serde_json::from_str(&json).unwrap())).collect()
    }

    pub fn tool(name: &str, parameters: Value) -> Value {
        json!({"type": "function", "function": {"name": name, "description": "", "parameters": parameters}})
    }

    #[test]
    fn names_are_unique_and_found_in_any_case() {
        let mut names: Vec<_> = all().map(|bot| bot.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| name.starts_with("demo-") && *name == name.to_lowercase()));
        assert_eq!(find("Demo-ECHO").map(|bot| bot.name), Some("demo-echo"));
        assert!(find("gpt-5").is_none());
    }

    #[test]
    fn every_working_bot_says_or_sends_something_and_is_done() {
        for bot in WORKING {
            let steps = steps(bot.name, &asking("make JSON 3"));
            let last = steps.iter().rev().find(|step| matches!(step, Step::Event { .. }));
            assert_eq!(last, Some(&super::super::script::done()), "{}", bot.name);
            let made = |step: &Step| matches!(step, Step::Raw(_) | Step::Event { name: "file", .. });
            assert!(steps.iter().any(made) || !text(&steps).is_empty(), "{}", bot.name);
        }
    }

    #[test]
    fn failing_bots_never_end_as_if_all_were_well() {
        for bot in FAILING.iter().filter(|bot| bot.name != "demo-empty") {
            if let Script::Stream(steps) = nth_script(bot.name, &asking("hi"), 1) {
                assert!(!steps.collect::<Vec<_>>().contains(&super::super::script::done()), "{}", bot.name);
            }
        }
    }

    #[test]
    fn bots_that_look_like_models_reason_when_instructed() {
        let chat_request = |parameters: Value| {
            with(json!({"query": [{"role": "user", "content": "hi", "parameters": parameters}]}))
        };
        let thought =
            |bot: &str, parameters| text(&steps(bot, &chat_request(parameters))).starts_with("*Thinking");
        assert!(thought("demo-gpt", json!({"reasoning_effort": "high"})));
        assert!(!thought("demo-gpt", json!({"reasoning_effort": "none"})));
        assert!(thought("demo-claude", json!({"thinking_budget": 1024})));
        assert!(!thought("demo-claude", json!({"thinking_budget": 0})));
        assert!(thought("demo-gemini", json!({"thinking_level": "low"})));
        assert_eq!(text(&steps("demo-gpt", &chat_request(json!({})))), "hi");
    }
}
