//! Descriptions of bots in the model list: what they take, give and declare.

use super::native::endpoint::NativeEndpoint;

/// How the model list describes a bot.
pub struct Traits {
    pub(super) output: &'static str,
    pub(super) input: &'static [&'static str],
    pub(super) features: &'static [&'static str],
    /// Tokens that fit, and tokens that one answer may have. Most entries of the real list have none.
    pub(super) context: Option<(u32, u32)>,
    pub(super) parameters: &'static [Parameter],
    /// Native endpoints of the bot. Most entries of the real list have none.
    pub(super) endpoints: &'static [NativeEndpoint],
}

impl Traits {
    /// Whether the list declares this endpoint.
    pub fn declares(&self, endpoint: NativeEndpoint) -> bool {
        self.endpoints.contains(&endpoint)
    }

    /// The names of the parameters.
    pub fn names(&self) -> Vec<&'static str> {
        self.parameters.iter().map(|parameter| parameter.name).collect()
    }
}

/// A parameter that a bot declares.
pub struct Parameter {
    pub(super) name: &'static str,
    /// JSON Schema, as JSON.
    pub(super) schema: &'static str,
    /// JSON.
    pub(super) default: &'static str,
    pub(super) about: &'static str,
}

/// A plain text bot.
pub const TEXT: Traits = Traits {
    output: "text",
    input: &["text", "image"],
    features: &[],
    context: None,
    parameters: &[],
    endpoints: &[],
};

/// A text bot with tools behind every endpoint.
pub const ENDPOINTS: Traits = Traits { endpoints: ALL_ENDPOINTS, parameters: &[SEARCH], ..TOOLS };

const ALL_ENDPOINTS: &[NativeEndpoint] =
    &[NativeEndpoint::Messages, NativeEndpoint::Responses, NativeEndpoint::Chat];
const OPENAI_ENDPOINTS: &[NativeEndpoint] = &[NativeEndpoint::Responses, NativeEndpoint::Chat];

/// A text bot with tools.
pub const TOOLS: Traits = Traits { features: &["tools"], context: Some((128_000, 16_384)), ..TEXT };

/// A bot that paints.
pub const IMAGE: Traits = Traits {
    output: "image",
    parameters: &[
        choice("aspect_ratio", r#"{"enum":["1:1","16:9","9:16"]}"#, r#""1:1""#, "Shape of the picture"),
        choice("quality", r#"{"enum":["low","medium","high"]}"#, r#""medium""#, "Quality of the picture"),
    ],
    ..TEXT
};

/// A bot that speaks.
pub const AUDIO: Traits = Traits {
    output: "audio",
    parameters: &[
        choice("voice", r#"{"enum":["Ada","Bruno"]}"#, r#""Ada""#, "Who speaks"),
        choice("speed", r#"{"enum":["0.5","1.0","2.0"]}"#, r#""1.0""#, "How fast"),
    ],
    ..TEXT
};

/// A bot that makes videos.
pub const VIDEO: Traits = Traits {
    output: "video",
    parameters: &[
        choice("aspect_ratio", r#"{"enum":["16:9","9:16"]}"#, r#""16:9""#, "Shape of the video"),
        choice("duration", r#"{"enum":["4","8","12"]}"#, r#""4""#, "Seconds"),
        choice("resolution", r#"{"enum":["720p","1080p"]}"#, r#""720p""#, "Lines"),
    ],
    ..TEXT
};

/// Knobs as GPT models have them.
pub const GPT: Traits = Traits {
    features: &["web_search", "tools"],
    context: Some((400_000, 128_000)),
    parameters: &[
        SEARCH,
        choice(
            "reasoning_effort",
            r#"{"enum":["none","low","medium","high","xhigh"]}"#,
            r#""none""#,
            "Effort of thought",
        ),
        choice("verbosity", r#"{"enum":["low","medium","high"]}"#, r#""medium""#, "Length of the answer"),
    ],
    endpoints: OPENAI_ENDPOINTS,
    ..TEXT
};

/// Knobs as Claude models have them.
pub const CLAUDE: Traits = Traits {
    features: &["web_search", "tools"],
    context: Some((200_000, 64_000)),
    parameters: &[
        SEARCH,
        choice(
            "output_effort",
            r#"{"enum":["none","low","medium","high","max"]}"#,
            r#""none""#,
            "Effort of the answer",
        ),
        choice(
            "thinking_budget",
            r#"{"type":"number","minimum":0,"maximum":63999}"#,
            "0",
            "Tokens for thought",
        ),
    ],
    endpoints: ALL_ENDPOINTS,
    ..TEXT
};

/// Knobs as Gemini models have them.
pub const GEMINI: Traits = Traits {
    features: &["web_search", "tools"],
    context: Some((1_048_576, 65_536)),
    parameters: &[
        SEARCH,
        choice("thinking_level", r#"{"enum":["minimal","low","high"]}"#, r#""minimal""#, "Level of thought"),
    ],
    endpoints: OPENAI_ENDPOINTS,
    ..TEXT
};

const SEARCH: Parameter = choice("web_search", r#"{"type":"boolean"}"#, "false", "Search the web");

const fn choice(
    name: &'static str,
    schema: &'static str,
    default: &'static str,
    about: &'static str,
) -> Parameter {
    Parameter { name, schema, default, about }
}
