//! Bots that fail, one for each failure that is documented or was observed.

use super::Turn;
use super::talk::echoed;
use crate::demo::script::{Refusal, Script, Step, error, pause, say, stream, text};

/// Status, type and words of Poe's HTTP errors.
const REFUSALS: &[(u16, &str, &str)] = &[
    (400, "invalid_request_error", "The request is malformed or misses a field"),
    (401, "authentication_error", "Incorrect API key provided"),
    (402, "insufficient_credits", "You have used up your points"),
    (403, "permission_error", "You do not have access to this bot"),
    (404, "not_found_error", "No such bot, or you may not use it"),
    (408, "timeout_error", "The model did not start within the time limit"),
    (413, "request_too_large", "The request exceeds the context window of the model"),
    (429, "rate_limit_error", "Too many requests: 500 per minute are allowed"),
    (500, "provider_error", "The provider of the model failed"),
    (502, "upstream_error", "The provider of the model cannot be reached"),
    (503, "service_unavailable", "Poe is not available at the moment"),
    (529, "overloaded_error", "Poe is overloaded at the moment"),
];

/// The whole answer with this status, in Poe's words.
pub fn refused(status: u16) -> Refusal {
    let row = REFUSALS.iter().find(|row| row.0 == status);
    let (_, kind, words) = row.copied().unwrap_or((status, "provider_error", "Unknown error"));
    let refusal = Refusal::new(status, kind, words);
    match status {
        402 => spelt_otherwise(refusal),
        429 => refusal.header("Retry-After", "7"),
        _ => refusal,
    }
}

/// Poe's pages disagree on what an empty account looks like: here a string as code and OpenAI's type.
fn spelt_otherwise(mut refusal: Refusal) -> Refusal {
    refusal.body["error"]["type"] = "insufficient_quota".into();
    refusal.body["error"]["code"] = "insufficient_points".into();
    refusal
}

/// The script of a bot that only refuses.
pub fn refusal(status: u16) -> Script {
    Script::Refuse(refused(status))
}

/// Words for each `error_type`.
const FIRST_EVENTS: &[(&str, &str)] = &[
    ("user_message_too_long", "Your message exceeds the maximum length of this bot"),
    ("insufficient_fund", "You do not have enough points to send this message"),
    ("user_caused_error", "The bot cannot answer this message as it is"),
    ("privacy_authorization_error", "You have to agree to the privacy terms of this bot first"),
];

fn internal() -> Step {
    error(true, None, "Internal server error")
}

/// An `error` event before anything else.
pub fn first_event(kind: &str) -> Script {
    let row = FIRST_EVENTS.iter().find(|row| row.0 == kind);
    stream(vec![row.map_or_else(internal, |(kind, words)| error(false, Some(kind), words))])
}

/// Most failures come without a type, like this one.
pub fn nothing_said(_: &Turn) -> Script {
    stream(vec![internal()])
}

pub fn in_vain(_: &Turn) -> Script {
    stream(vec![error(false, None, "This model is out of order")])
}

/// Without a type and marked as worth another try, though it is not: only the words state.
pub fn only_words(_: &Turn) -> Script {
    stream(vec![error(true, None, "You need more points to message this bot")])
}

pub fn late(_: &Turn) -> Script {
    stream(vec![
        text("This begins "),
        text("well"),
        pause(50),
        error(true, None, "The model stopped responding"),
    ])
}

/// Odd tries fail: asked the same again, these bots always fail first and then answer.
fn second_time(turn: &Turn, first: Script) -> Script {
    if turn.nth % 2 == 1 { first } else { say(&echoed(turn.query)) }
}

pub fn flaky(turn: &Turn) -> Script {
    second_time(turn, stream(vec![internal()]))
}

pub fn flaky_http(turn: &Turn) -> Script {
    second_time(turn, refusal(503))
}

pub fn drop(turn: &Turn) -> Script {
    second_time(turn, Script::HangUp)
}

/// The protocol wants at least one `text` or `error`.
pub fn empty(_: &Turn) -> Script {
    say("")
}

fn begun(last: Vec<Step>) -> Script {
    stream([vec![text("This is only "), text("the beginning")], last].concat())
}

pub fn truncated(_: &Turn) -> Script {
    begun(Vec::new())
}

pub fn broken(_: &Turn) -> Script {
    begun(vec![Step::Raw(b"event: text\ndata: {\"te".to_vec()), Step::BreakOff])
}

/// The head of an answer leaves with its first bytes; a comment makes it leave without an event.
pub fn stall(_: &Turn) -> Script {
    stream(vec![Step::Comment("wait"), Step::Stall])
}

pub fn stall_headers(_: &Turn) -> Script {
    Script::Silence
}

pub fn stall_late(_: &Turn) -> Script {
    begun(vec![Step::Stall])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::bots::tests::{nth_script, nth_steps, steps, text as said};
    use crate::demo::query::tests::asking;

    use serde_json::json;

    #[test]
    fn refusals_have_poes_shape() {
        let expected = json!({"error": {"code": 401, "type": "authentication_error",
            "message": "Incorrect API key provided", "metadata": {}}});
        assert_eq!(refused(401).body, expected);
        assert_eq!(refused(429).headers, [("Retry-After", "7".to_string())]);
        assert_eq!(refused(402).body["error"]["code"], "insufficient_points");
    }

    #[test]
    fn typed_errors_come_first_and_alone() {
        let [Step::Event { name: "error", data }] = &steps("demo-error-insufficient_fund", &asking("x"))[..]
        else {
            panic!("not one error")
        };
        assert_eq!(data["error_type"], "insufficient_fund");
        assert_eq!(data["allow_retry"], false);
        assert_eq!(steps("demo-error-internal", &asking("x")), [internal()]);
    }

    #[test]
    fn flaky_bots_answer_the_second_time() {
        let query = asking("hello");
        assert_eq!(nth_steps("demo-flaky", &query, 1), [internal()]);
        assert!(matches!(nth_script("demo-flaky-http", &query, 1), Script::Refuse(_)));
        assert!(matches!(nth_script("demo-drop", &query, 1), Script::HangUp));
        for bot in ["demo-flaky", "demo-flaky-http", "demo-drop"] {
            assert_eq!(said(&nth_steps(bot, &query, 2)), "hello");
        }
    }

    #[test]
    fn broken_answers_break_in_mid_frame() {
        assert_eq!(steps("demo-broken", &asking("x")).last(), Some(&Step::BreakOff));
        assert_eq!(said(&steps("demo-truncated", &asking("x"))), "This is only the beginning");
    }
}
