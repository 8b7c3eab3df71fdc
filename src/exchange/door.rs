//! Poe's own doors: other ways to a bot than the bot protocol, each in a dialect of its own.

/// One of Poe's doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

impl Door {
    /// Every door.
    pub const ALL: [Door; 3] = [Door::Chat, Door::Responses, Door::Messages];

    /// Its path at Poe, which is also how the entry of a model declares it.
    pub fn path(self) -> &'static str {
        match self {
            Door::Chat => "/v1/chat/completions",
            Door::Responses => "/v1/responses",
            Door::Messages => "/v1/messages",
        }
    }
}
