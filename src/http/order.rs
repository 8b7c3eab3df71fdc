//! What one request needs from Poe, made ready: whose bot, its parameters, its files, the way of its tools.
//!
//! An [`Order`] can be placed more than once: for several choices side by side, and again when the first answer was
//! not what the client insists on.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use crate::app::{App, Model};
use crate::attach::{Relied, attach, to_user_turns};
use crate::dialect::count;
use crate::error::{Error, Kind, Result};
use crate::exchange::{
    Ask, CountRunning, Cut, Event, FileRefs, Format, Held, Message, Reasoning, Reply, Settle, Stages,
    Thinking, Tool, ToolCalls, ToolChoice, ToolXml, Unfence, Usage, carry_in_prompt, carry_pictures,
    check_tool_turns, firmer, json_format, prompt_tokens, tell_calls_apart,
};
use crate::ids::id;
use crate::poe::{self, Live, Watch};
use crate::store::models::Tools;
use crate::store::tokens::{self, Running};

/// The events of one answer, through all stages.
pub type Answer = Box<dyn Iterator<Item = Result<Event>>>;

/// How an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As one piece.
    Whole,
    /// Bit by bit: what was said cannot be taken back.
    Stream,
}

/// How tools reach the bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carriage {
    /// There are none.
    Absent,
    /// In Poe's own fields.
    Native,
    /// In the conversation itself.
    Prompt,
}

/// A request made ready.
pub struct Order<'a> {
    app: &'a App,
    key: &'a str,
    model: Model,
    choices: usize,
    format: Format,
    /// The question as it was sent last.
    sent: Mutex<Option<Arc<Sent>>>,
    /// What all choices and tries have in common; what one of them learns counts for the others.
    state: Mutex<State>,
    /// The turns as the client sent them, and what they rely on, while files lie in them.
    files: Option<(Vec<Message>, Relied)>,
}

/// A question as it was sent, and its tokens once somebody wants to know them.
struct Sent {
    ask: Arc<Ask>,
    tokens: OnceLock<u64>,
}

impl Sent {
    fn tokens(&self) -> u64 {
        *self.tokens.get_or_init(|| prompt_tokens(&self.ask, tokens::count))
    }

    /// As [`Sent::tokens`]; 0 if `watch` ends the count.
    fn tokens_unless(&self, watch: &Watch) -> u64 {
        let count = || watched(watch, |count| prompt_tokens(&self.ask, count));
        match self.tokens.get() {
            Some(tokens) => *tokens,
            None => count().map_or(0, |tokens| *self.tokens.get_or_init(|| tokens)),
        }
    }
}

/// So many bytes are counted between two looks at the client.
const COUNTED_AT_ONCE: usize = 256 << 10;

/// Counts tokens by `work`, unless `watch` ends it: a prompt may be so long that its count takes seconds.
fn watched(watch: &Watch, work: impl FnOnce(&mut dyn FnMut(&str) -> usize) -> u64) -> Result<u64> {
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
            (ended, room, rest) = (watch(), COUNTED_AT_ONCE, after);
        }
        running.total()
    });
    ended.map(|()| total)
}

#[derive(Clone)]
struct State {
    ask: Arc<Ask>,
    carriage: Carriage,
    files: Freshness,
}

/// Whether files that lie at Poe from an earlier request have been uploaded anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Freshness {
    Kept,
    Fresh,
}

/// What a second try is told on top of the question.
enum Correction {
    /// That a call must be made.
    Call,
    /// What was wrong with this answer.
    Json { answer: String, fault: String },
}

impl<'a> Order<'a> {
    /// Makes `ask` ready. Files are brought to Poe here.
    pub fn prepare(app: &'a App, key: &'a str, mut ask: Ask, watch: &Watch) -> Result<Order<'a>> {
        let model = app.model(&ask.model, watch)?;
        ask.bot.clone_from(&model.bot);
        if let Some(effort) = model.effort {
            ask.reasoning.get_or_insert_with(Reasoning::default).effort = Some(effort.to_owned());
        }
        poe::fit_parameters(&mut ask, model.entry.as_ref());
        for (name, value) in &model.config.parameters {
            ask.parameters.entry(name).or_insert_with(|| value.clone());
        }
        check_tool_turns(&ask.messages)?;
        let (attached, relied) = attach(&ask, &app.poe, &app.files, key, watch)?;
        let sent = std::mem::replace(&mut ask.messages, attached);
        let files = (!relied.is_empty()).then_some((sent, relied));
        arrange(&mut ask);
        let carriage = carriage(app, &model, &ask);
        let (choices, format) = (ask.choices, ask.format.clone());
        let state = Mutex::new(State { ask: Arc::new(ask), carriage, files: Freshness::Kept });
        Ok(Order { app, key, model, choices, format, sent: Mutex::default(), state, files })
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
    pub fn place(&self, manner: Manner, watch: &Watch) -> Result<Answer> {
        self.place_with(None, manner, watch)
    }

    fn place_with(&self, correction: Option<&Correction>, manner: Manner, watch: &Watch) -> Result<Answer> {
        loop {
            let state = self.lock().clone();
            let ask = match correction {
                Some(correction) => Arc::new(corrected(&state, correction)),
                None => Arc::clone(&state.ask),
            };
            let error = match self.try_place(ask, state.carriage, manner, watch) {
                Ok(answer) => {
                    if state.ask.bot != self.model.bot {
                        self.app.remember_spelling(&self.model.bot, &state.ask.bot);
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if !self.learn(&state, &error, watch)? {
                let tokens = || watched(watch, |count| prompt_tokens(&state.ask, count)).unwrap_or(0);
                return Err(self.app.explain(error, &self.model, &state.ask.model, tokens));
            }
        }
    }

    /// Whether after `error` another try makes sense, because something can be done in another way.
    fn learn(&self, tried: &State, error: &Error, watch: &Watch) -> Result<bool> {
        let mut state = self.lock();
        match (error.kind, &self.files) {
            (Kind::Unsupported, _)
                if tried.carriage == Carriage::Native && self.model.config.tools == Tools::Auto =>
            {
                log::debug!("{} refuses tools, they go into the prompt: {error}", self.model.bot);
                self.app.remember_no_tools(&self.model.bot);
                state.carriage = Carriage::Prompt;
            }
            (Kind::FileUnavailable, Some((sent, relied))) if tried.files == Freshness::Kept => {
                if state.files == Freshness::Kept {
                    log::debug!("a file is no longer at Poe and is uploaded again: {error}");
                    relied.forget(&self.app.files);
                    let mut ask = Ask { messages: sent.clone(), ..Ask::clone(&state.ask) };
                    ask.messages = attach(&ask, &self.app.poe, &self.app.files, self.key, watch)?.0;
                    arrange(&mut ask);
                    (state.ask, state.files) = (Arc::new(ask), Freshness::Fresh);
                }
            }
            (Kind::ModelNotFound | Kind::NotFound | Kind::InvalidRequest, _)
                if self.model.entry.is_none() && tried.ask.bot == self.model.bot =>
            {
                let Some(bot) = poe::plain_name(&self.model.bot) else { return Ok(false) };
                log::debug!("there is no bot `{}`, `{bot}` is tried: {error}", self.model.bot);
                Arc::make_mut(&mut state.ask).bot = bot.to_owned();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_place(
        &self,
        mut ask: Arc<Ask>,
        carriage: Carriage,
        manner: Manner,
        watch: &Watch,
    ) -> Result<Answer> {
        let lifted = match carriage {
            Carriage::Prompt => carry_in_prompt(Arc::make_mut(&mut ask)),
            Carriage::Native | Carriage::Absent => Vec::new(),
        };
        wait_turn(self.app, watch)?;
        watch()?;
        let query = poe::encode_query(&ask).map_err(|error| {
            Error::new(Kind::Internal, format!("the query could not be written: {error}"))
        })?;
        let live = self.app.poe.ask(&ask.bot, self.key, &query, watch)?;
        Ok(self.stages(live, ask, &lifted, manner, watch))
    }

    /// Everything that happens to an event on its way up, in this order.
    fn stages(&self, live: Live, ask: Arc<Ask>, lifted: &[Tool], manner: Manner, watch: &Watch) -> Answer {
        let (make_id, watch) = (|| id("call_"), Watch::clone(watch));
        let (wants_json, is_bare) = (ask.format.is_json(), matches!(ask.format, Format::Bare));
        let cut = Cut::new(&ask.sampling.stop, ask.sampling.max_tokens, Running::new());
        let sent = Arc::new(Sent { ask, tokens: OnceLock::new() });
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&sent));
        let answer = live
            .through(Thinking::default())
            .through(ToolCalls::new(make_id))
            .through((!lifted.is_empty()).then(|| ToolXml::new(lifted, make_id)))
            .through(wants_json.then(json_format::JsonOnly::default))
            .through(is_bare.then(Unfence::default))
            .through(cut)
            .through(match manner {
                Manner::Whole => FileRefs::whole(),
                Manner::Stream => FileRefs::streaming(),
            })
            .through(Usage::new(tokens::count, move || sent.tokens_unless(&watch)));
        match manner {
            Manner::Whole => Box::new(answer),
            Manner::Stream if self.model.config.replace_response => Box::new(answer.through(Held::default())),
            Manner::Stream => Box::new(answer.through(Settle::default())),
        }
    }

    /// Tokens of the question as it was sent, 0 before.
    pub fn prompt_tokens(&self) -> u64 {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sent.map_or(0, |sent| sent.tokens())
    }

    /// One whole answer. One that is not what the client insists on has a second try, told what was wrong.
    pub fn reply(&self, watch: &Watch) -> Result<Reply> {
        let mut reply = Reply::fold(&mut self.place(Manner::Whole, watch)?)?;
        if let Some(correction) = self.correction(&reply) {
            reply = Reply::fold(&mut self.place_with(Some(&correction), Manner::Whole, watch)?)?;
        }
        self.judge(&reply)?;
        Ok(reply)
    }

    /// What has to be said after `reply`, if it was not what the client insists on.
    fn correction(&self, reply: &Reply) -> Option<Correction> {
        if lacks_call(&self.lock().ask, reply) {
            return Some(Correction::Call);
        }
        let fault = json_fault(&self.format, reply)?;
        log::debug!("the answer of {} is asked for again: {fault}", self.model.bot);
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
fn corrected(state: &State, correction: &Correction) -> Ask {
    let mut ask = Ask::clone(&state.ask);
    match correction {
        Correction::Json { answer, fault } => json_format::firmer(&mut ask, answer, fault),
        Correction::Call if state.carriage == Carriage::Prompt => {
            let tools = std::mem::take(&mut ask.tools); // said in the words of the form that the bot is to use
            firmer(&mut ask);
            ask.tools = tools;
        }
        Correction::Call => firmer(&mut ask),
    }
    ask
}

fn unfit(fault: &str) -> Error {
    // it has been asked for twice
    Error::new(Kind::Upstream, format!("the bot's answer does not fit response_format: {fault}")).for_good()
}

/// What is wrong with a reply that should have been JSON. One that calls functions, or was cut short, is not judged.
fn json_fault(format: &Format, reply: &Reply) -> Option<String> {
    use crate::exchange::FinishReason;
    if !format.is_json() || reply.finish.reason != FinishReason::Stop {
        return None;
    }
    match json_format::extract(&reply.text) {
        Some(json) => json_format::check(json, format).err(),
        None => Some("it holds no JSON".to_owned()),
    }
}

/// Whether the client insists on a call that is not there.
fn lacks_call(ask: &Ask, reply: &Reply) -> bool {
    match &ask.tool_choice {
        ToolChoice::Auto | ToolChoice::None => false,
        ToolChoice::Required => !ask.tools.is_empty() && reply.tool_calls.is_empty(),
        ToolChoice::Named(name) => {
            !ask.tools.is_empty() && !reply.tool_calls.iter().any(|call| call.name == *name)
        }
    }
}

/// What is done to the conversation once all its files are at Poe.
fn arrange(ask: &mut Ask) {
    tell_calls_apart(&mut ask.messages);
    to_user_turns(&mut ask.messages);
    carry_pictures(&mut ask.messages);
    json_format::instruct(ask);
}

/// The tokens of `ask` as its bot would get it, files included. Nobody is asked.
pub fn count_tokens(app: &App, mut ask: Ask, watch: &Watch) -> Result<u64> {
    let model = app.model(&ask.model, watch)?;
    check_tool_turns(&ask.messages)?;
    arrange(&mut ask);
    if carriage(app, &model, &ask) == Carriage::Prompt {
        carry_in_prompt(&mut ask);
    }
    watched(watch, |count| count::tokens(&ask, count))
}

fn carriage(app: &App, model: &Model, ask: &Ask) -> Carriage {
    let is_offered = !ask.tools.is_empty() && ask.tool_choice != ToolChoice::None;
    let was_used = ask.messages.iter().any(|message| !message.tool_calls.is_empty());
    if !is_offered && !was_used {
        return Carriage::Absent;
    }
    let declared = model.entry.as_ref().map(poe::Entry::has_tools);
    match (model.config.tools, declared) {
        (Tools::Native, _) => Carriage::Native,
        (Tools::Prompt, _) | (Tools::Auto, Some(false)) => Carriage::Prompt,
        (Tools::Auto, _) if app.refuses_tools(&model.bot) => Carriage::Prompt,
        // of a bot that is not listed nothing is known: it may say so itself
        (Tools::Auto, _) => Carriage::Native,
    }
}

/// Takes a slot of the limiter and waits for it.
pub(super) fn wait_turn(app: &App, watch: &Watch) -> Result<()> {
    let wait = app.limiter.take(Instant::now()).map_err(|wait| {
        let message = "too many requests at once for RATE_LIMIT_MS of this server";
        Error::new(Kind::RateLimited, message).retry_after(wait)
    })?;
    match wait.is_zero() {
        true => Ok(()),
        false => {
            let _waiting = app.limiter.wait();
            poe::pause(wait, watch)
        }
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
