//! A request prepared for Poe: the bot, its parameters, its files, and how its tools are sent.
//!
//! A [`PreparedRequest`] can be sent more than once: for several choices in parallel, and again when the first answer was
//! not what the client insists on.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use crate::config::models::Tools;
use crate::dialect::count;
use crate::error::{Error, Kind, Result};
use crate::gateway::app::{App, Client};
use crate::gateway::attachments::{ReusedUploads, attach, to_user_turns};
use crate::gateway::model_directory::Model;
use crate::ids::id;
use crate::pipeline::json::format;
use crate::pipeline::stages::{
    BufferAll, CountRunning, FileRefs, Limits, ProgressReports, Retractions, Thinking, ToolCalls, Unfence,
    UnopenedThought, Usage, pictures_into_user_turns, prompt_tokens,
};
use crate::pipeline::tools::{
    check_tool_turns, insist_on_call, name_results, results_behind_calls, tools_into_prompt, unique_call_ids,
};
use crate::pipeline::{
    ChatRequest, Event, Format, Message, Reasoning, Reply, Stages, Tool, ToolChoice, ToolXml,
};
use crate::poe::{self, BotStream, CancelCheck};
use crate::tokens::{self, Running};

/// The events of one answer, through all stages.
pub type Answer = Box<dyn Iterator<Item = Result<Event>>>;

/// How an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseMode {
    /// As one piece.
    Whole,
    /// Bit by bit: what was said cannot be taken back.
    Stream,
}

/// How tools reach the bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToolMode {
    /// There are none.
    Absent,
    /// In Poe's own fields.
    Native,
    /// In the conversation itself.
    Prompt,
}

/// A request made ready.
pub struct PreparedRequest<'a> {
    app: &'a App,
    key: &'a str,
    /// Where the client connects from.
    address: Option<IpAddr>,
    model: Model,
    choices: usize,
    format: Format,
    /// The native endpoint that has failed: this is the second try.
    failed_endpoint: Option<&'static str>,
    /// The question as it was sent last.
    sent: Mutex<Option<Arc<Sent>>>,
    /// What all choices and tries have in common; what one of them learns counts for the others.
    state: Mutex<State>,
    /// The turns as the client sent them, and what they rely on, while files lie in them.
    files: Option<(Vec<Message>, ReusedUploads)>,
    /// Whether the first query has waited for its turn already.
    has_turn: AtomicBool,
    /// Is told how far the bot is.
    report: Option<Report>,
}

/// Takes the percentage that a bot states.
pub type Report = Arc<dyn Fn(u8) + Send + Sync>;

/// A request as it was sent, and its tokens, counted on first use.
struct Sent {
    chat: Arc<ChatRequest>,
    tokens: OnceLock<u64>,
}

impl Sent {
    /// The tokens; 0 if `cancel` ends the count.
    fn tokens_unless(&self, cancel: &CancelCheck) -> u64 {
        let count = || watched(cancel, |count| prompt_tokens(&self.chat, count));
        match self.tokens.get() {
            Some(tokens) => *tokens,
            None => count().map_or(0, |tokens| *self.tokens.get_or_init(|| tokens)),
        }
    }
}

/// So many bytes are counted between two looks at the client.
const COUNTED_AT_ONCE: usize = 256 << 10;

/// Counts tokens by `work`, unless `cancel` ends it: a prompt may be so long that its count takes seconds.
pub fn watched(cancel: &CancelCheck, work: impl FnOnce(&mut dyn FnMut(&str) -> usize) -> u64) -> Result<u64> {
    let (mut ended, mut room) = (Ok(()), COUNTED_AT_ONCE);
    let total = work(&mut |text| {
        let mut running = Running::new();
        let mut rest = text;
        while !rest.is_empty() && ended.is_ok() {
            let end = (rest.len().min(room)..rest.len()).find(|end| rest.is_char_boundary(*end));
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            if piece.len() == text.len() {
                room = room.saturating_sub(text.len());
                return tokens::count(text);
            }
            running.push(piece);
            (ended, room, rest) = (cancel(), COUNTED_AT_ONCE, after);
        }
        running.total()
    });
    ended.map(|()| total)
}

#[derive(Clone)]
struct State {
    chat: Arc<ChatRequest>,
    tool_mode: ToolMode,
    files: Freshness,
}

/// Whether files that lie at Poe from an earlier request have been uploaded anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Freshness {
    Kept,
    Fresh,
}

/// What a second try is sent on top of the question.
enum Correction {
    /// That a call must be made.
    Call,
    /// What was wrong with this answer.
    Json { answer: String, fault: String },
}

impl<'a> PreparedRequest<'a> {
    /// Makes `chat` of `client`, who connects from `address`, ready. Files are brought to Poe here.
    pub fn prepare(
        app: &'a App,
        key: &'a str,
        (address, client): (Option<IpAddr>, &Client),
        mut chat: ChatRequest,
        cancel: &CancelCheck,
    ) -> Result<PreparedRequest<'a>> {
        let model = app.model(&chat.model, client, cancel)?;
        chat.bot.clone_from(&model.bot);
        if let Some(effort) = model.effort {
            chat.reasoning.get_or_insert_with(Reasoning::default).effort = Some(effort.to_owned());
        }
        meet_tool_choice(&mut chat, model.entry.as_ref())?;
        poe::fit_parameters(&mut chat, model.entry.as_ref());
        for (name, value) in &model.config.parameters {
            chat.parameters.entry(name).or_insert_with(|| value.clone());
        }
        name_results(&mut chat.messages);
        check_tool_turns(&chat.messages)?;
        let (attached, reused_uploads) = attach(&chat, &app.poe, &*app.files, key, cancel)?;
        let sent = std::mem::replace(&mut chat.messages, attached);
        let files = (!reused_uploads.is_empty()).then_some((sent, reused_uploads));
        arrange(&mut chat);
        let tool_mode = tool_mode(app, &model, &chat);
        let (choices, format) = (chat.choices, chat.format.clone());
        let state = Mutex::new(State { chat: Arc::new(chat), tool_mode, files: Freshness::Kept });
        Ok(PreparedRequest {
            app,
            key,
            address,
            model,
            choices,
            format,
            failed_endpoint: None,
            sent: Mutex::default(),
            state,
            files,
            has_turn: AtomicBool::new(false),
            report: None,
        })
    }

    /// The same request, which has waited for its turn.
    pub fn with_turn(self) -> PreparedRequest<'a> {
        PreparedRequest { has_turn: AtomicBool::new(true), ..self }
    }

    /// The same request, which reports how far the bot is.
    pub fn reporting(self, report: Report) -> PreparedRequest<'a> {
        PreparedRequest { report: Some(report), ..self }
    }

    /// The same request as the second try after this native endpoint, if there was one: it has none of its own.
    pub fn after(self, failed_endpoint: Option<&'static str>) -> PreparedRequest<'a> {
        PreparedRequest { failed_endpoint, ..self }
    }

    /// The bot that is asked.
    pub fn bot(&self) -> &str {
        &self.model.bot
    }

    /// How many choices are wanted.
    pub fn choices(&self) -> usize {
        self.choices
    }

    /// Asks Poe and puts the stages behind its answer. The first event has arrived when this returns.
    pub fn place(&self, mode: ResponseMode, cancel: &CancelCheck) -> Result<Answer> {
        self.send_with(None, mode, cancel)
    }

    fn send_with(
        &self,
        correction: Option<&Correction>,
        mode: ResponseMode,
        cancel: &CancelCheck,
    ) -> Result<Answer> {
        loop {
            let state = self.lock().clone();
            let chat = match correction {
                Some(correction) => Arc::new(corrected(&state, correction)),
                None => Arc::clone(&state.chat),
            };
            let error = match self.send_once(chat, state.tool_mode, mode, cancel) {
                Ok(answer) => {
                    if state.chat.bot != self.model.bot {
                        self.app.remember_spelling(&self.model.bot, &state.chat.bot);
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if !self.learn(&state, &error, cancel)? {
                let tokens = || watched(cancel, |count| prompt_tokens(&state.chat, count)).unwrap_or(0);
                return Err(self.app.explain(error, &self.model, &state.chat.model, tokens));
            }
        }
    }

    /// Whether after `error` another try makes sense, because something can be done in another way.
    fn learn(&self, tried: &State, error: &Error, cancel: &CancelCheck) -> Result<bool> {
        let mut state = self.lock();
        match (error.kind, &self.files) {
            (Kind::Unsupported, _)
                if tried.tool_mode == ToolMode::Native && self.model.config.tools == Tools::Auto =>
            {
                log::debug!("{} rejects tools; they are sent in the prompt: {error}", self.model.bot);
                self.app.remember_no_tools(&self.model.bot);
                state.tool_mode = ToolMode::Prompt;
            }
            (Kind::FileUnavailable, Some((sent, reused_uploads))) if tried.files == Freshness::Kept => {
                if state.files == Freshness::Kept {
                    log::debug!("a file is no longer at Poe and is uploaded again: {error}");
                    reused_uploads.forget(&*self.app.files);
                    let mut chat = ChatRequest { messages: sent.clone(), ..ChatRequest::clone(&state.chat) };
                    chat.messages = attach(&chat, &self.app.poe, &*self.app.files, self.key, cancel)?.0;
                    arrange(&mut chat);
                    (state.chat, state.files) = (Arc::new(chat), Freshness::Fresh);
                }
            }
            (Kind::ModelNotFound | Kind::NotFound | Kind::InvalidRequest, _)
                if self.model.entry.is_none() && tried.chat.bot == self.model.bot =>
            {
                let Some(bot) = poe::plain_name(&self.model.bot) else { return Ok(false) };
                log::debug!("there is no bot `{}`; trying `{bot}`: {error}", self.model.bot);
                Arc::make_mut(&mut state.chat).bot = bot.to_owned();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_once(
        &self,
        mut chat: Arc<ChatRequest>,
        tool_mode: ToolMode,
        mode: ResponseMode,
        cancel: &CancelCheck,
    ) -> Result<Answer> {
        // bots with native tools write calls into their text, too
        let offered = match tool_mode {
            ToolMode::Prompt => tools_into_prompt(Arc::make_mut(&mut chat)),
            ToolMode::Native if chat.tool_choice != ToolChoice::None => chat.tools.clone(),
            ToolMode::Native | ToolMode::Absent => Vec::new(),
        };
        if !self.has_turn.swap(false, Ordering::Relaxed) {
            wait_turn(self.app, self.key, self.address, cancel)?;
        }
        cancel()?;
        let query = poe::encode_query(&chat)
            .map_err(|error| Error::new(Kind::Internal, format!("cannot encode the query: {error}")))?;
        let bot_stream = match self.failed_endpoint {
            None => self.app.poe.chat(&chat.bot, self.key, &query, cancel),
            Some(_) => self.app.poe.chat_once(&chat.bot, self.key, &query, cancel),
        };
        if let (Some(path), Err(error)) = (self.failed_endpoint, &bot_stream)
            && !error.is_withdrawn()
        {
            self.app.endpoints.second_try_failed(&self.model.bot, path, Instant::now());
        }
        note_key(self.app, self.key, bot_stream.as_ref().err());
        let bot_stream = bot_stream?;
        Ok(self.stages(bot_stream, chat, &offered, mode, cancel))
    }

    /// Everything that happens to an event on its way up, in this order.
    fn stages(
        &self,
        bot_stream: BotStream,
        chat: Arc<ChatRequest>,
        offered: &[Tool],
        mode: ResponseMode,
        cancel: &CancelCheck,
    ) -> Answer {
        let (make_id, cancel) = (|| id("call_"), CancelCheck::clone(cancel));
        let (wants_json, is_bare) = (chat.format.is_json(), matches!(chat.format, Format::Bare));
        let format = chat.format.clone();
        let cut = Limits::new(&chat.sampling.stop, chat.sampling.max_tokens, Running::new());
        let sent = Arc::new(Sent { chat, tokens: OnceLock::new() });
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&sent));
        let report = self.report.clone();
        let answer = bot_stream
            .through(report.map(|report| ProgressReports::new(move |percent| report(percent))))
            .through(Thinking::default())
            .through(match mode {
                ResponseMode::Stream if !self.model.config.replace_response => UnopenedThought::streaming(),
                ResponseMode::Stream | ResponseMode::Whole => UnopenedThought::whole(),
            })
            .through(ToolCalls::new(make_id).offering(offered))
            .through((!offered.is_empty()).then(|| ToolXml::new(offered, make_id)))
            .through(wants_json.then(|| format::JsonOnly::new(format)))
            .through(is_bare.then(Unfence::default))
            .through(cut)
            .through(match mode {
                ResponseMode::Whole => FileRefs::whole(),
                ResponseMode::Stream => FileRefs::streaming(),
            })
            .through(Usage::new(tokens::count, move || sent.tokens_unless(&cancel)));
        match mode {
            ResponseMode::Whole => Box::new(answer),
            ResponseMode::Stream if self.model.config.replace_response => {
                Box::new(answer.through(BufferAll::default()))
            }
            ResponseMode::Stream => Box::new(answer.through(Retractions::default())),
        }
    }

    /// Tokens of the question as it was sent, 0 before and if `cancel` ends the count.
    pub fn prompt_tokens(&self, cancel: &CancelCheck) -> u64 {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sent.map_or(0, |sent| sent.tokens_unless(cancel))
    }

    /// One complete answer. One that does not meet the client's requirements is retried once, with a message about the fault.
    pub fn reply(&self, cancel: &CancelCheck) -> Result<Reply> {
        let mut reply = Reply::fold(&mut self.place(ResponseMode::Whole, cancel)?)?;
        if let Some(correction) = self.correction(&reply) {
            reply = Reply::fold(&mut self.send_with(Some(&correction), ResponseMode::Whole, cancel)?)?;
        }
        self.judge(&reply)?;
        Ok(reply)
    }

    /// What has to be said after `reply`, if it was not what the client insists on.
    fn correction(&self, reply: &Reply) -> Option<Correction> {
        if lacks_call(&self.lock().chat, reply) {
            return Some(Correction::Call);
        }
        let fault = json_fault(&self.format, reply)?;
        log::debug!("retrying {} because its answer is invalid: {fault}", self.model.bot);
        Some(Correction::Json { answer: reply.text.clone(), fault })
    }

    /// An error if `reply` should have been JSON and is not what the client wants.
    pub fn judge(&self, reply: &Reply) -> Result<()> {
        json_fault(&self.format, reply).map_or(Ok(()), |fault| Err(unfit(&fault)))
    }

    /// Whether a stream's text has to be judged at its end.
    pub fn insists_on_json(&self) -> bool {
        self.format.is_json()
    }
}

/// The question with `correction` behind it.
fn corrected(state: &State, correction: &Correction) -> ChatRequest {
    let mut chat = ChatRequest::clone(&state.chat);
    match correction {
        Correction::Json { answer, fault } => format::insist_on_json(&mut chat, answer, fault),
        Correction::Call if state.tool_mode == ToolMode::Prompt => {
            let tools = std::mem::take(&mut chat.tools); // said in the words of the form that the bot is to use
            insist_on_call(&mut chat);
            chat.tools = tools;
        }
        Correction::Call => insist_on_call(&mut chat),
    }
    chat
}

fn unfit(fault: &str) -> Error {
    // it has been asked for twice
    Error::new(Kind::Upstream, format!("the bot's answer does not fit response_format: {fault}")).for_good()
}

/// What is wrong with a reply that should have been JSON. One that calls functions, or was cut short, is not judged.
fn json_fault(format: &Format, reply: &Reply) -> Option<String> {
    use crate::pipeline::FinishReason;
    if !format.is_json() || reply.finish.reason != FinishReason::Stop {
        return None;
    }
    match format::fitting(&reply.text, format) {
        Some(json) => format::check(json, format).err(),
        None => Some("it holds no JSON".to_owned()),
    }
}

/// Whether the client insists on a call that is not there.
fn lacks_call(chat: &ChatRequest, reply: &Reply) -> bool {
    match &chat.tool_choice {
        ToolChoice::Auto | ToolChoice::None => false,
        ToolChoice::Required => !chat.tools.is_empty() && reply.tool_calls.is_empty(),
        ToolChoice::Named(name) => {
            !chat.tools.is_empty() && !reply.tool_calls.iter().any(|call| call.name == *name)
        }
    }
}

/// Refuses a choice of a tool that the bot is not offered, before Poe is asked; a model that searches the web by a
/// parameter of its own needs no call for it.
fn meet_tool_choice(chat: &mut ChatRequest, entry: Option<&poe::Entry>) -> Result<()> {
    let ToolChoice::Named(name) = &chat.tool_choice else { return Ok(()) };
    if chat.tools.iter().any(|tool| tool.name == *name) {
        return Ok(());
    }
    let is_wanted = name.starts_with("web_search") && chat.hints.contains_key("web_search_options");
    if is_wanted && entry.is_some_and(poe::Entry::searches) {
        chat.tool_choice = ToolChoice::Auto;
        return Ok(());
    }
    let message = format!(
        "tool_choice asks for `{name:.200}`, which `{}` cannot be offered: of built-in tools it can have a web search \
         where Poe's list declares one; leave tool_choice out, or name a function",
        chat.model
    );
    Err(Error::invalid("tool_choice", message))
}

/// What is done to the conversation once all its files are at Poe.
fn arrange(chat: &mut ChatRequest) {
    unique_call_ids(&mut chat.messages);
    results_behind_calls(&mut chat.messages);
    to_user_turns(&mut chat.messages);
    pictures_into_user_turns(&mut chat.messages);
    format::instruct(chat);
}

/// The tokens of `chat` as its bot would get it, files included. Poe is not called.
pub fn count_tokens(app: &App, client: &Client, mut chat: ChatRequest, cancel: &CancelCheck) -> Result<u64> {
    let model = app.model(&chat.model, client, cancel)?;
    name_results(&mut chat.messages);
    check_tool_turns(&chat.messages)?;
    arrange(&mut chat);
    if tool_mode(app, &model, &chat) == ToolMode::Prompt {
        tools_into_prompt(&mut chat);
    }
    watched(cancel, |count| count::tokens(&chat, count))
}

fn tool_mode(app: &App, model: &Model, chat: &ChatRequest) -> ToolMode {
    let is_offered = !chat.tools.is_empty() && chat.tool_choice != ToolChoice::None;
    let was_used = chat.messages.iter().any(|message| !message.tool_calls.is_empty());
    if !is_offered && !was_used {
        return ToolMode::Absent;
    }
    let declared = model.entry.as_ref().map(poe::Entry::has_tools);
    match (model.config.tools, declared) {
        (Tools::Native, _) => ToolMode::Native,
        // of a bot that is not listed nothing is known: the prompt reaches every bot
        (Tools::Prompt, _) | (Tools::Auto, Some(false) | None) => ToolMode::Prompt,
        (Tools::Auto, _) if app.refuses_tools(&model.bot) => ToolMode::Prompt,
        (Tools::Auto, _) => ToolMode::Native,
    }
}

/// Waits for the turn of a request to Poe with `key` from `address`.
pub fn wait_turn(app: &App, key: &str, address: Option<IpAddr>, cancel: &CancelCheck) -> Result<()> {
    app.limiter.wait(key, address, &**cancel)
}

/// Notes whether Poe accepts `key`: the answer has begun, or failed with `fault`.
pub fn note_key(app: &App, key: &str, fault: Option<&Error>) {
    match fault {
        None => app.limiter.accept(key),
        Some(error) if error.kind == Kind::Unauthorized => app.limiter.reject(key, error),
        Some(_) => {}
    }
}

impl CountRunning for Running {
    fn fits(&mut self, piece: &str, limit: usize) -> usize {
        Running::fits(self, piece, limit)
    }

    fn count(&self) -> usize {
        self.total()
    }
}
