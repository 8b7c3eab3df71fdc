//! Poe's native endpoints: alternatives to the bot protocol, one for each dialect.

/// One of Poe's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NativeEndpoint {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

impl NativeEndpoint {
    /// Every endpoint.
    pub const ALL: [NativeEndpoint; 3] =
        [NativeEndpoint::Chat, NativeEndpoint::Responses, NativeEndpoint::Messages];

    /// Its path at Poe, which is also how the entry of a model declares it.
    pub fn path(self) -> &'static str {
        match self {
            NativeEndpoint::Chat => "/v1/chat/completions",
            NativeEndpoint::Responses => "/v1/responses",
            NativeEndpoint::Messages => "/v1/messages",
        }
    }
}
