//! The error type of requests: kind, message, the field concerned, and what Poe reported.

use std::fmt;
use std::time::Duration;

/// The result of anything that a request waits for.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the terms every dialect can render. The status codes are OpenAI's and Poe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is at fault: 400.
    InvalidRequest,
    /// The conversation does not fit the model: 400 `context_length_exceeded`.
    ContextTooLong,
    /// The request wants a conversation that is kept here, and none is: 400 `thread_unsupported_request`.
    ThreadUnsupported,
    /// The bot cannot do what was asked, for example call tools: 400 `unsupported_feature_for_model`.
    Unsupported,
    /// A file of the conversation cannot be had any more: 400 `file_unavailable`.
    FileUnavailable,
    /// The content was refused by a filter of Poe's or the model's: 400 `content_filter`.
    ContentFilter,
    /// No key, a malformed key or a key that Poe refuses: 401.
    Unauthorized,
    /// The account has no points left: 402 `insufficient_quota`.
    InsufficientQuota,
    /// The key may not do this: 403.
    Forbidden,
    /// The operator of this server stopped the request: 403, which no client sends again by itself.
    Stopped,
    /// No route or object of that name: 404.
    NotFound,
    /// No bot of that name: 404 `model_not_found`.
    ModelNotFound,
    /// The response that a request goes on from is not kept: 400 `previous_response_not_found`.
    PreviousNotFound,
    /// The path exists, the method does not: 405.
    MethodNotAllowed,
    /// The client was too slow in sending its request: 408.
    RequestTimeout,
    /// The model did not start in time, in Poe's words: 408.
    ModelTimeout,
    /// What was to be changed has changed meanwhile: 409.
    Conflict,
    /// The request is larger than the limit: 413.
    TooLarge,
    /// A body in an encoding we do not read: 415.
    UnsupportedEncoding,
    /// Too many requests, here or at Poe: 429.
    RateLimited,
    /// The client hung up before the answer: 499, seen only in the log.
    ClientGone,
    /// A fault of ours: 500.
    Internal,
    /// A feature of HTTP that this server leaves out: 501.
    NotImplemented,
    /// Poe failed, broke off or made no sense: 502.
    Upstream,
    /// The server is full or going down, or Poe is: 503.
    Overloaded,
    /// Poe stayed silent for too long: 504.
    UpstreamTimeout,
}

impl Kind {
    /// The HTTP status that an answer of this kind carries while nothing has been sent yet.
    pub fn status(self) -> u16 {
        match self {
            Kind::InvalidRequest | Kind::ContextTooLong | Kind::ThreadUnsupported => 400,
            Kind::Unsupported | Kind::FileUnavailable | Kind::PreviousNotFound | Kind::ContentFilter => 400,
            Kind::Unauthorized => 401,
            Kind::InsufficientQuota => 402,
            Kind::Forbidden | Kind::Stopped => 403,
            Kind::NotFound | Kind::ModelNotFound => 404,
            Kind::MethodNotAllowed => 405,
            Kind::RequestTimeout | Kind::ModelTimeout => 408,
            Kind::Conflict => 409,
            Kind::TooLarge => 413,
            Kind::UnsupportedEncoding => 415,
            Kind::RateLimited => 429,
            Kind::ClientGone => 499,
            Kind::Internal => 500,
            Kind::NotImplemented => 501,
            Kind::Upstream => 502,
            Kind::Overloaded => 503,
            Kind::UpstreamTimeout => 504,
        }
    }
}

/// Why a request failed. Only the dialects render it as JSON, whole or inside a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// What went wrong.
    pub kind: Kind,
    /// The sentence the user reads; Poe's own words where they come from Poe.
    pub message: String,
    /// The field of the request at fault, as a path such as `messages[0].content`.
    pub param: Option<String>,
    /// When a new try makes sense.
    pub retry_after: Option<Duration>,
    /// The upstream said that the same request may work if sent again.
    pub transient: bool,
    /// The upstream said that the same request will fail again: clients are sent not to send it by themselves.
    pub is_final: bool,
    /// By how much a conversation is too long, once counted; each dialect has its own words for it.
    pub excess: Option<Excess>,
}

/// How long a conversation is that does not fit its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// Its tokens, counted by o200k_base.
    pub tokens: u64,
    /// The most tokens that the model takes, where its entry in Poe's list says so.
    pub limit: Option<u64>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error {
            kind,
            message: message.into(),
            param: None,
            retry_after: None,
            transient: false,
            is_final: false,
            excess: None,
        }
    }

    /// A request at fault in the field `param`.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Error {
        Error { param: Some(param.into()), ..Error::new(Kind::InvalidRequest, message) }
    }

    /// Whether the caller no longer waits for the answer, so that the error says nothing about Poe.
    pub fn is_withdrawn(&self) -> bool {
        matches!(self.kind, Kind::ClientGone | Kind::Stopped)
    }

    /// The same error, about the field `param`.
    pub fn about(self, param: impl Into<String>) -> Error {
        Error { param: Some(param.into()), ..self }
    }

    /// The same error, with the time after which a new try makes sense.
    pub fn retry_after(self, wait: Duration) -> Error {
        Error { retry_after: Some(wait), ..self }
    }

    /// The same error, marked as one that a second try would only repeat, at the same price.
    pub fn for_good(self) -> Error {
        Error { is_final: true, ..self }
    }

    /// The same error, marked as one that a second try may cure.
    pub fn transient(self) -> Error {
        Error { transient: true, ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
