//! Endpoints that answer a conversation: OpenAI's chat and completions, Anthropic's Messages.

use std::io;

use crate::dialect::{chat, completions, messages};
use crate::error::Result;
use crate::gateway::context::Authenticated;
use crate::gateway::{prepared_request, relay};
use crate::server::answer::Answer;

/// `POST /v1/chat/completions`
pub fn chat_completions(request: Authenticated<'_, '_>) -> io::Result<()> {
    relay::answer(request, chat::decode)
}

/// `POST /v1/completions`
pub fn completions(request: Authenticated<'_, '_>) -> io::Result<()> {
    relay::answer(request, completions::decode)
}

/// `POST /v1/messages`
pub fn messages(request: Authenticated<'_, '_>) -> io::Result<()> {
    relay::answer(request, messages::decode)
}

/// `POST /v1/messages/count_tokens`: Poe is not asked, but a key must be shown.
pub fn count_tokens(mut request: Authenticated<'_, '_>) -> io::Result<()> {
    let answer = counted(&mut request);
    request.reply(answer)
}

fn counted(request: &mut Authenticated<'_, '_>) -> Result<Answer> {
    let chat = messages::decode_count(&request.body()?)?;
    let tokens =
        prepared_request::count_tokens(request.app(), request.client(), chat, &request.cancel_check())?;
    Ok(Answer::json(200, messages::encode_count(tokens)))
}
