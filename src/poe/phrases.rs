//! Patterns that classify an error by its message, when it has no type or an unspecific one.
//!
//! A pattern is a row of words that must stand in one sentence in this order. Between two of them one other word may
//! stand; at `*` up to four, at `**` up to twelve. `a|b` is either word, `exceed~` any word that begins so.

use std::time::Duration;

use crate::error::Kind;

/// The most words of an error that are looked at.
const MOST_WORDS: usize = 400;

/// Patterns in the order in which they are tried; the first that is found counts. `None`: the words say nothing that a
/// later pattern could take them for.
const PATTERNS: &[(&str, Option<Kind>)] = &[
    // tools
    ("not|doesnt|dont|cannot support~ * tool|tools|function|functions", Some(Kind::Unsupported)),
    (
        "tool~|function|functions|function_call * not|isnt|arent supported|enabled|available",
        Some(Kind::Unsupported),
    ),
    ("tool~|function|functions|function_call * unsupported", Some(Kind::Unsupported)),
    ("only supported * function|tool|tools calling|call|models", Some(Kind::Unsupported)),
    ("unsupported parameter|parameters|field|feature * tools|functions|tool", Some(Kind::Unsupported)),
    // files
    ("fetch|download|retrieve attachment|attachments", Some(Kind::FileUnavailable)),
    ("attachment|attachments|file * no longer", Some(Kind::FileUnavailable)),
    ("attachment|attachments|file * expired", Some(Kind::FileUnavailable)),
    ("invalid attachment|attachments", Some(Kind::FileUnavailable)),
    ("file|attachment|attachments|image|video|audio|upload * too large|big|long", Some(Kind::TooLarge)),
    ("file|attachment|attachments|image|upload * exceed~ * size|limit|maximum", Some(Kind::TooLarge)),
    // limits that pass with time, in words of limits that do not
    ("request too large", Some(Kind::ContextTooLong)),
    ("too many tokens * wait|minute|second|seconds", Some(Kind::RateLimited)),
    ("tokens|token|requests|request|messages|quota * per minute|min|second|hour", Some(Kind::RateLimited)),
    // the length of the conversation
    ("maximum|max|allowed output|completion tokens", None),
    (
        "prompt|input|inputs|message|messages|conversation|context|history|query|text * too long|large|big",
        Some(Kind::ContextTooLong),
    ),
    ("payload|body|entity too large", Some(Kind::ContextTooLong)),
    ("context length|window|limit|size|overflow~", Some(Kind::ContextTooLong)),
    ("maximum|max context", Some(Kind::ContextTooLong)),
    ("too many tokens", Some(Kind::ContextTooLong)),
    ("exceed~ * token|tokens limit|maximum|count", Some(Kind::ContextTooLong)),
    ("input tokens|token * exceed~|count", Some(Kind::ContextTooLong)),
    ("token|tokens count|limit|number * exceed~", Some(Kind::ContextTooLong)),
    ("exceed~ * maximum|max|allowed * length|tokens|context", Some(Kind::ContextTooLong)),
    ("exceed~ max seq|model len", Some(Kind::ContextTooLong)),
    ("reduce * length|prompt|input", Some(Kind::ContextTooLong)),
    ("input|prompt length", Some(Kind::ContextTooLong)),
    ("message exceed~ * length|limit|characters", Some(Kind::ContextTooLong)),
    // points and money
    (
        "not|dont|isnt enough|sufficient * point|points|credit|credits|balance|fund|funds|quota",
        Some(Kind::InsufficientQuota),
    ),
    ("insufficient * point|points|credit|credits|fund|funds|balance|quota", Some(Kind::InsufficientQuota)),
    ("need|needs|require|requires more points|credits", Some(Kind::InsufficientQuota)),
    (
        "used|use|spent up|all * points|credits|quota|balance|allowance|messages",
        Some(Kind::InsufficientQuota),
    ),
    ("out of points|credits|funds|messages|quota", Some(Kind::InsufficientQuota)),
    ("exceed~|over * quota|budget|allowance|spending|balance", Some(Kind::InsufficientQuota)),
    ("quota|budget|allowance|balance * exceeded|reached|exhausted|depleted", Some(Kind::InsufficientQuota)),
    ("daily|weekly|monthly * limit|quota|budget|allowance|cap", Some(Kind::InsufficientQuota)),
    ("limit * today|day|month", Some(Kind::InsufficientQuota)),
    ("usage limit|cap", Some(Kind::InsufficientQuota)),
    ("points|credits * exhausted|depleted|insufficient", Some(Kind::InsufficientQuota)),
    ("subscri~ * required|needed|only", Some(Kind::InsufficientQuota)),
    ("require|requires|need|needs|only * subscri~", Some(Kind::InsufficientQuota)),
    ("subscribe to access|use|continue|unlock|poe", Some(Kind::InsufficientQuota)),
    ("upgrade * plan|subscription|account", Some(Kind::InsufficientQuota)),
    ("payment required", Some(Kind::InsufficientQuota)),
    ("plan and billing", Some(Kind::InsufficientQuota)),
    ("only|cannot afford", Some(Kind::InsufficientQuota)),
    // too much at once
    ("rate limit|limits|limited|limiting|limiter", Some(Kind::RateLimited)),
    ("ratelimit|ratelimited|throttl~", Some(Kind::RateLimited)),
    ("too many requests|messages|queries|calls", Some(Kind::RateLimited)),
    ("slow down", Some(Kind::RateLimited)),
    ("concurren~ * limit|requests|many", Some(Kind::RateLimited)),
    // the content
    ("content|usage * polic~|filter~|moderation", Some(Kind::ContentFilter)),
    ("violat~ * polic~|guideline~|terms|rules", Some(Kind::ContentFilter)),
    (
        "flagged|blocked|rejected|refused * safety|moderation|polic~|filter~|inappropriate",
        Some(Kind::ContentFilter),
    ),
    ("safety|moderation system|filter~|check~|setting~", Some(Kind::ContentFilter)),
    ("safety|moderation|filter~ * flagged|blocked|rejected|refused|triggered", Some(Kind::ContentFilter)),
    ("inappropriate|sensitive|prohibited|unsafe|harmful content", Some(Kind::ContentFilter)),
    ("content * inappropriate|sensitive|prohibited|unsafe|harmful", Some(Kind::ContentFilter)),
    // the key
    ("invalid token * json|position", None),
    ("invalid|expired|revoked token", Some(Kind::Unauthorized)),
    ("unauthorized|unauthorised|unauthenticated", Some(Kind::Unauthorized)),
    ("authentication|authorization * failed|required|error|missing|invalid", Some(Kind::Unauthorized)),
    ("invalid|incorrect|wrong|expired|revoked|missing|bad|unknown|no api key", Some(Kind::Unauthorized)),
    (
        "api key * invalid|incorrect|wrong|expired|revoked|missing|required|valid|disabled",
        Some(Kind::Unauthorized),
    ),
    ("not authenticated|authenticate|validate * credentials", Some(Kind::Unauthorized)),
    ("not authenticated", Some(Kind::Unauthorized)),
    ("invalid|bad|missing * credentials", Some(Kind::Unauthorized)),
    // the bot
    (
        "file|files|attachment|image|page|url|tool|function|message|conversation|parameter|item not found|exist",
        None,
    ),
    ("cannot|not|cant access * private bot|bots", Some(Kind::Forbidden)),
    ("not|dont|no have|has|allowed|permission|access * access|permission|bot|model", Some(Kind::Forbidden)),
    ("permission|access denied", Some(Kind::Forbidden)),
    ("bot|bots|model|models|deployment ** not found|exist|exists|available", Some(Kind::ModelNotFound)),
    ("bot|model ** doesnt|isnt exist|available", Some(Kind::ModelNotFound)),
    ("not found or unavailable", Some(Kind::ModelNotFound)),
    ("no such bot|model", Some(Kind::ModelNotFound)),
    ("unknown|unrecognized|nonexistent bot|model", Some(Kind::ModelNotFound)),
    ("invalid bot|model name|id|identifier|handle|specified|requested", Some(Kind::ModelNotFound)),
    ("no bot|model named|called|with", Some(Kind::ModelNotFound)),
    ("not|couldnt|cant|cannot find * bot|model", Some(Kind::ModelNotFound)),
    (
        "bot|model ** deleted|deprecated|discontinued|retired|removed|decommissioned",
        Some(Kind::ModelNotFound),
    ),
    // the servers
    ("overload~", Some(Kind::Overloaded)),
    ("high|heavy|peak|unusual|increased demand|traffic|load|volume", Some(Kind::Overloaded)),
    ("experienc~ * demand|traffic|load|volume", Some(Kind::Overloaded)),
    ("at|over|exceed~|no|insufficient|enough|limited * capacity", Some(Kind::Overloaded)),
    ("insufficient|enough|exhausted * resource|resources", Some(Kind::Overloaded)),
    ("resource|resources exhausted", Some(Kind::Overloaded)),
    ("service|temporarily|currently unavailable", Some(Kind::Overloaded)),
    ("server|servers|model|bot|service * busy", Some(Kind::Overloaded)),
    ("no healthy upstream", Some(Kind::Overloaded)),
    ("timed|time out", Some(Kind::ModelTimeout)),
    ("timeout|timeouts", Some(Kind::ModelTimeout)),
    ("deadline exceeded", Some(Kind::ModelTimeout)),
    ("took too long", Some(Kind::ModelTimeout)),
    ("not|didnt respond|start|answer * time", Some(Kind::ModelTimeout)),
];

/// What `text` means by its words.
pub fn kind(text: &str) -> Option<Kind> {
    let words = words(text);
    let found = PATTERNS.iter().find(|(pattern, _)| {
        let pattern: Vec<&str> = pattern.split(' ').collect();
        (0..words.len()).any(|at| stands(&words, at, &pattern))
    });
    found.and_then(|(_, kind)| *kind)
}

/// The status of HTTP that `text` names, such as `Error code: 429`.
pub fn status(text: &str) -> Option<u16> {
    let words = words(text);
    let names = |word: &String| matches!(word.as_str(), "code" | "status" | "http" | "error");
    words.iter().enumerate().filter(|(_, word)| names(word)).find_map(|(at, _)| {
        let next = words.get(at + 1)?;
        next.parse::<u16>().ok().filter(|status| (400..600).contains(status) && next.len() == 3)
    })
}

/// Words behind which a text says how long to wait.
const WAITS: &[&str] = &[
    "try again in",
    "try again after",
    "retry in",
    "retry after",
    "wait for",
    "wait",
    "reset in",
    "resets in",
];

/// The wait that `text` names, such as `Please try again in 1m7.5s`.
pub fn wait(text: &str) -> Option<Duration> {
    let text = text.to_lowercase();
    WAITS
        .iter()
        .flat_map(|words| text.match_indices(words).map(|(at, _)| &text[at + words.len()..]))
        .find_map(duration)
}

/// The time at the start of `text`: numbers with units, the first unit being seconds if it is left out.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text.trim_start_matches([' ', ':']), None);
    while let Some(end) =
        rest.find(|c: char| !c.is_ascii_digit() && c != '.').or(Some(rest.len())).filter(|end| *end > 0)
    {
        let Ok(number) = rest[..end].trim_end_matches('.').parse::<f64>() else { break };
        let behind = rest[end..].trim_start();
        let unit = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let seconds = match &behind[..unit] {
            "ms" | "msec" | "millisecond" | "milliseconds" => 0.001,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3600.0,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            _ if total.is_none() => 1.0,
            _ => break,
        };
        total = Some(total.unwrap_or(0.0) + number * seconds);
        rest = behind[unit..].trim_start_matches([' ', ',']).trim_start_matches("and ");
    }
    total.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// The words in lower case; an empty one ends a sentence.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut chars) = (String::new(), text.chars().peekable());
    while let Some(char) = chars.next() {
        match char {
            '\'' | '’' if !word.is_empty() => continue,
            char if char.is_alphanumeric() => {
                word.extend(char.to_lowercase());
                continue;
            }
            _ => {}
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        let ends = match char {
            '.' | '!' | '?' => chars.peek().is_none_or(|next| next.is_whitespace()),
            '\n' | ';' => true,
            _ => false,
        };
        if ends && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if words.len() > MOST_WORDS {
            return words;
        }
    }
    words.push(word);
    words
}

/// Whether `pattern` stands in `words` from `at` on.
fn stands(words: &[String], at: usize, pattern: &[&str]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return true };
    if !words.get(at).is_some_and(|word| fits(word, first)) {
        return false;
    }
    let (most, rest) = match rest.split_first() {
        Some((&"*", rest)) => (4, rest),
        Some((&"**", rest)) => (12, rest),
        _ => (1, rest),
    };
    if rest.is_empty() {
        return true;
    }
    let sentence = words[at + 1..].iter().take_while(|word| !word.is_empty()).count();
    (at + 1..=at + sentence.min(most + 1)).any(|next| stands(words, next, rest))
}

fn fits(word: &str, pattern: &str) -> bool {
    !word.is_empty()
        && pattern.split('|').any(|one| match one.strip_suffix('~') {
            Some(start) => word.starts_with(start),
            None => word == one,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Poe, makers of models and gateways put it, with words in between.
    const SAID: &[(Kind, &[&str])] = &[
        (
            Kind::Unsupported,
            &[
                "Model kimi-k2.5-fw does not support tool calling. Use a tool-capable model.",
                "This model doesn't support tools",
                "tool calling is not supported",
                "Tools are only supported for function calling models",
                "Function calling is not enabled for models/gemma-3-27b-it",
                "`tools` is not supported with this model",
                "does not support the use of functions",
                "Unsupported parameter: 'tools'",
            ],
        ),
        (
            Kind::FileUnavailable,
            &[
                "Failed to fetch attachment",
                "Could not download the attachment",
                "The attachment has expired",
                "The file is no longer available",
            ],
        ),
        (Kind::TooLarge, &["The image is too large", "File exceeds the maximum size of 50 MB"]),
        (
            Kind::ContextTooLong,
            &[
                "prompt is too long: 215000 tokens > 200000 maximum",
                "Prompt too long: 5152 tokens exceeds max_seq_len 2048 (leave room for output tokens)",
                "Message too large",
                "Your message is much too long",
                "message exceeds the maximum length",
                "This model's maximum context length is 8192 tokens. However, you requested 0 output tokens",
                "Input length 131393 exceeds the maximum allowed input length of 131040 tokens.",
                "Input length (265330) exceeds model's maximum context length (262144).",
                "The input (263000 tokens) is longer than the model's context length (262144 tokens).",
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                "Input tokens exceed the configured limit of 272000 tokens.",
                "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
                "Range of input length should be [1, 129024]",
                "Please reduce the length of the messages",
                "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 50000",
                "Requested token count exceeds the model's maximum context length",
                "context_length_exceeded",
            ],
        ),
        (
            Kind::InsufficientQuota,
            &[
                "You do not have enough points to send this message.",
                "You don't have enough compute points",
                "Insufficient points",
                "insufficient account balance",
                "This bot needs more points than you have",
                "You have used up all of your points",
                "You are out of points",
                "Daily limit reached for gpt4_o.",
                "You have reached your daily message limit",
                "This message exceeds your daily message budget",
                "Quota exceeded",
                "You exceeded your current quota, please check your plan and billing details.",
                "A subscription is required to use this bot",
                "This bot requires an active Poe subscription",
                "Please upgrade your plan",
                "This request requires more credits, or fewer max_tokens.",
            ],
        ),
        (
            Kind::RateLimited,
            &[
                "Rate limit exceeded",
                "rate_limit_exceeded",
                "You are being rate limited",
                "Too many requests",
                "ThrottlingException: Too many tokens, please wait before trying again.",
                "Quota exceeded for requests per minute",
                "Too many concurrent requests",
            ],
        ),
        (
            Kind::ContentFilter,
            &[
                "Your request was flagged by our moderation",
                "The response was filtered due to Azure OpenAI's content management policy",
                "This violates our usage policies",
                "Your request was rejected as a result of our safety system.",
                "Input data may contain inappropriate content.",
            ],
        ),
        (
            Kind::Unauthorized,
            &[
                "Invalid token: Unauthorized",
                "Invalid Poe API key",
                "Incorrect API key provided: sk-…",
                "The API key is not valid",
                "Unauthorized",
                "Authentication failed",
                "Could not validate your credentials",
            ],
        ),
        (
            Kind::Forbidden,
            &["Cannot access private bots", "You do not have access to this bot", "Permission denied"],
        ),
        (
            Kind::ModelNotFound,
            &[
                "Model `claude-3-7-sonnet-20250219` not found",
                "The model `x` does not exist or you do not have it",
                "Bot not found",
                "The bot you requested was not found",
                "bot does not exist",
                "x: not found or unavailable",
                "No such bot",
                "Unknown model: x",
                "Could not find the bot x",
                "The model x has been deprecated",
            ],
        ),
        (
            Kind::Overloaded,
            &[
                "Overloaded",
                "The model is overloaded. Please try again later.",
                "This bot is experiencing high demand",
                "We're experiencing unusually heavy traffic",
                "The service is temporarily unavailable",
                "Server busy, try later",
                "no healthy upstream",
                "The engine is at capacity",
            ],
        ),
        (
            Kind::ModelTimeout,
            &[
                "Timed out waiting for the bot",
                "Request timed out.",
                "Gateway Timeout",
                "The bot did not respond in time",
            ],
        ),
    ];

    #[test]
    fn what_is_said_is_understood_wherever_it_stands() {
        for (expected, texts) in SAID {
            for text in *texts {
                for rendered in [
                    text.to_string(),
                    text.to_uppercase(),
                    format!("Sorry. {text} (id 7)"),
                    format!("Error: {text}"),
                ] {
                    assert_eq!(kind(&rendered), Some(*expected), "{rendered}");
                }
            }
        }
    }

    #[test]
    fn one_word_in_between_does_not_matter() {
        for (expected, text) in [
            (Kind::InsufficientQuota, "not really enough compute points"),
            (Kind::InsufficientQuota, "Daily free limit was reached"),
            (Kind::RateLimited, "rate request limit"),
            (Kind::ModelNotFound, "Model `x` was not ever found"),
            (Kind::ContextTooLong, "message is somewhat too large"),
            (Kind::Overloaded, "experiencing extremely high demand"),
            (Kind::ModelTimeout, "timed completely out"),
        ] {
            assert_eq!(kind(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_says_something_else_is_not_taken_for_it() {
        for text in [
            "",
            "Internal server error",
            "Something went wrong",
            "oops",
            "Unexpected invalid token in JSON at position 3",
            "max_tokens exceeds the maximum output tokens",
            "The bot failed: file not found",
            "The context is clear. Length does not matter. The window is open.",
            "I need more information",
            "The points are not clear",
        ] {
            assert_eq!(kind(text), None, "{text}");
        }
    }

    #[test]
    fn waits_in_words() {
        for (text, milliseconds) in [
            ("Rate limit reached. Please try again in 7s.", 7000),
            ("Please try again in 1.5s", 1500),
            ("try again in 20 seconds", 20_000),
            ("Please try again in 6m0s. Visit the page.", 360_000),
            ("try again in 1 hour and 2 minutes", 3_720_000),
            ("Please retry in 250ms", 250),
            ("Retry after: 30", 30_000),
            ("Too many tokens, please wait 12 sec before trying again", 12_000),
            ("Please wait. You can try again in 3 s", 3000),
        ] {
            assert_eq!(wait(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["try again later", "Please wait a moment", "retry in ...", "500 requests", "wait -3s"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }

    #[test]
    fn statuses_in_words() {
        let rows = [
            ("Error code: 429 - {'error': {}}", Some(429)),
            ("status code 503", Some(503)),
            ("HTTP 502", Some(502)),
            ("error code: 1015", None),
            ("error 42", None),
            ("it took 429 seconds", None),
        ];
        for (text, expected) in rows {
            assert_eq!(status(text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_text_takes_no_time() {
        assert_eq!(kind(&"bot not ".repeat(1 << 16)), None);
    }
}
