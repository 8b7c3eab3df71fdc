//! Record of one request: its log line, its row on the admin page and its metrics; never a key.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::kv::Value;

use crate::clock;
use crate::dialect::Dialect;
use crate::dialect::openai::kind_and_code;
use crate::error::{Error, Kind};
use crate::gateway::app::{App, Client, Expected, Quota};
use crate::pipeline::{Attachment, Event, TokenUsage};
use crate::poe::Consumption;
use crate::server::connection::Call;
use crate::state::budgets::Millipoints;
use crate::state::usage::{Amounts, Code, Histogram, Labels};
use crate::telemetry::activity::{Notes, Running, Stop};
use crate::telemetry::inspection::Capture;
use crate::telemetry::metrics::{Done, OTHER};

/// Where a request went that no route answers.
pub const NO_ENDPOINT: &str = "other";
/// The most letters that are kept of what a client calls itself, its path or its model.
const MAX_NAME: usize = 200;
/// How much of an error is written down, in letters.
const MAX_FAULT: usize = 500;
/// How many bytes of an answer that broke off are taken for a token.
const BYTES_A_TOKEN: u64 = 4;

/// The notes on one request.
pub struct Record {
    start: Instant,
    /// The request's id.
    pub id: String,
    /// In whose words errors are sent.
    pub dialect: Dialect,
    /// Which route: a path without anything that clients make up.
    pub endpoint: &'static str,
    /// The model asked for, once known.
    pub model: Option<String>,
    /// The bot behind it, once known.
    pub bot: Option<String>,
    /// By which of Poe's endpoints: `bot` or `native`.
    pub route: Option<&'static str>,
    /// Whether the answer is wanted as a stream.
    pub stream: bool,
    /// The HTTP status; 0 while nothing has been answered.
    pub status: u16,
    /// What it took, once counted.
    pub usage: Option<TokenUsage>,
    /// How much of the question came out of Poe's cache, if Poe reported it.
    pub cached: u64,
    /// Why it failed, if it did.
    pub fault: Option<String>,
    /// What kind of fault that is, where it is known.
    pub kind: Option<Kind>,
    /// Who asks.
    pub caller: Client,
    /// Whether it counts as usage.
    pub is_counted: bool,
    /// What it is expected to take.
    pub quota: Option<Quota>,
    /// How many files it needed at Poe.
    pub uploads: u64,
    /// How much of the answer has been sent, in bytes of text; for those that break off.
    sent: u64,
    /// How many pictures it brought.
    pictures: u64,
    /// What it took.
    points: Option<Millipoints>,
    /// Whether success is not logged at info, because such requests arrive every few seconds.
    pub is_routine: bool,
    first_byte: Option<Duration>,
    /// Where the client connects from.
    pub address: Option<IpAddr>,
    client: String,
    method: String,
    path: String,
    running: Option<Arc<Running>>,
    /// What was said, while the operator looks, and the key that must not be seen in it.
    capture: Option<(Capture, String)>,
}

impl Record {
    /// A request that begins now.
    pub fn new(call: &Call<'_>, id: String) -> Record {
        let address = call.client().address().map(|address| address.to_canonical());
        Record {
            start: Instant::now(),
            id,
            dialect: Dialect::default(),
            endpoint: NO_ENDPOINT,
            model: None,
            bot: None,
            route: None,
            stream: false,
            status: 0,
            usage: None,
            cached: 0,
            fault: None,
            kind: None,
            caller: Client::default(),
            is_counted: false,
            quota: None,
            uploads: 0,
            sent: 0,
            pictures: 0,
            points: None,
            is_routine: false,
            first_byte: None,
            address,
            client: address.map(|address| address.to_string()).unwrap_or_default(),
            method: call.head().method.clone(),
            path: call.head().path.clone(),
            running: None,
            capture: None,
        }
    }

    /// The record of the job `id` that goes on after the request: it counts in place of the request, and settles what
    /// that has reserved.
    pub fn of_job(&mut self, id: &str, model: &str) -> Record {
        let is_counted = std::mem::take(&mut self.is_counted);
        Record {
            start: Instant::now(),
            id: id.to_owned(),
            endpoint: "video job",
            model: Some(model.to_owned()),
            bot: None,
            route: None,
            usage: None,
            fault: None,
            first_byte: None,
            client: self.client.clone(),
            method: "JOB".to_owned(),
            path: format!("{}/{id}", self.path),
            caller: self.caller.clone(),
            is_counted,
            quota: self.quota.take(),
            running: None,
            capture: None,
            ..*self
        }
    }

    /// From here on the operator sees the request, and can stop it.
    pub fn begin(&mut self, app: &App, call: &Call<'_>) {
        let abort = Arc::clone(call.abort());
        let agent = call.head().header("user-agent").unwrap_or_default();
        self.begin_job(app, agent, Box::new(move || abort.stop()));
    }

    /// The same for a job, which `stop` ends.
    pub fn begin_job(&mut self, app: &App, agent: &str, stop: Stop) {
        let time = clock::now().as_millis();
        let mut notes = Notes {
            id: self.id.clone(),
            time: u64::try_from(time).unwrap_or(u64::MAX),
            client: self.client.clone(),
            agent: cut(agent),
            endpoint: match self.endpoint {
                NO_ENDPOINT => cut(&self.path),
                known => known.to_owned(),
            },
            method: cut(&self.method),
            ..Notes::default()
        };
        self.render(&mut notes);
        self.running = Some(app.activity.begin(notes, stop));
    }

    /// What is known by now is there to be seen.
    pub fn show(&self) {
        if let Some(running) = &self.running {
            running.change(|notes| self.render(notes));
        }
    }

    /// Who asks is known now.
    pub fn identify(&mut self, client: Client) {
        self.caller = client;
        self.show();
    }

    /// Notes why it failed.
    pub fn failed(&mut self, error: &Error) {
        self.kind = Some(error.kind);
        self.fault = Some(error.message.clone());
    }

    /// The bot that is asked through Poe's native endpoint for the client's dialect.
    pub fn uses_native_endpoint(&mut self, bot: &str) {
        self.route = Some("native");
        self.chats(bot);
    }

    /// The bot that is asked.
    pub fn chats(&mut self, bot: &str) {
        self.bot = Some(bot.to_owned());
        self.route.get_or_insert("bot");
        self.show();
    }

    /// The first byte of the answer leaves now.
    pub fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.start.elapsed());
            self.show();
        }
    }

    /// Adds what one choice took. A question counts once, with the first choice that answers it.
    pub fn add_usage(&mut self, usage: Option<TokenUsage>, is_first: bool) {
        let Some(usage) = usage else { return };
        let sum = self.usage.get_or_insert_default();
        sum.prompt += if is_first { usage.prompt } else { 0 };
        sum.completion += usage.completion;
        sum.reasoning += usage.reasoning;
    }

    /// Notes the files that an answer brought.
    pub fn add_files(&mut self, files: &[Attachment]) {
        let pictures = files.iter().filter(|file| file.content_type.starts_with("image/"));
        self.pictures += pictures.count() as u64;
    }

    /// Keeps the request's body, if the operator looks; `key` will not be seen in it.
    pub fn capture_request(&mut self, app: &App, key: &str, body: &[u8]) {
        if app.activity.inspects() && self.running.is_some() {
            let mut capture = Capture::default();
            capture.request(body);
            self.capture = Some((capture, key.to_owned()));
        }
    }

    /// Notes a piece of the answer, and keeps it if the operator looks.
    pub fn capture_event(&mut self, event: &Event) {
        match event {
            Event::Text(text) | Event::Thinking(text) => self.sent += text.len() as u64,
            Event::ToolCall(delta) => self.sent += delta.arguments.len() as u64,
            Event::File(file) => self.add_files(std::slice::from_ref(file)),
            _ => {}
        }
        let Some((capture, _)) = &mut self.capture else { return };
        match event {
            Event::Text(text) | Event::Thinking(text) => capture.answer(text),
            Event::ToolCall(delta) => {
                if let Some(name) = &delta.name {
                    capture.answer("\n");
                    capture.answer(name);
                    capture.answer(" ");
                }
                capture.answer(&delta.arguments);
            }
            Event::File(file) => capture.answer(&format!("\n[{}]\n", file.name)),
            Event::Retract => capture.retract(),
            Event::Suggestion(_) | Event::Metadata(_) | Event::Finish(_) => {}
        }
    }

    /// Keeps what was answered as it leaves, if the operator looks.
    pub fn capture_body(&mut self, body: &[u8]) {
        if let Some((capture, _)) = &mut self.capture {
            capture.answer(&String::from_utf8_lossy(body));
        }
    }

    /// The request is over: it is logged, counted, and no longer one of those that run.
    pub fn end(&mut self, app: &App) {
        let duration = self.start.elapsed();
        self.estimate_usage();
        self.log(duration);
        let name = self.bot.clone().or_else(|| self.model.clone());
        let listed = name.as_deref().and_then(|name| app.listed_name(name));
        self.account(app, listed.as_deref(), duration);
        app.metrics.count(&Done {
            endpoint: self.endpoint,
            model: listed.as_deref(),
            key: self.caller.is_named.then_some(&*self.caller.name),
            status: self.status,
            first_byte: self.first_byte,
            duration,
            tokens: self.usage.map(|usage| [usage.prompt, usage.completion, usage.reasoning]),
        });
        let Some(running) = self.running.take() else { return };
        let mut notes = running.notes();
        self.render(&mut notes);
        notes.status = self.status;
        notes.duration_ms = millis(duration);
        if let Some((mut capture, key)) = self.capture.take() {
            let models = app.models();
            let mut secrets = app.secrets(&models);
            secrets.push(&key);
            notes.inspection = Some(capture.keep(&secrets));
        }
        app.activity.end(&running, notes, name.map(|_| listed.as_deref().unwrap_or(OTHER)));
    }

    /// A request that broke off has no count of tokens; Poe takes points for it all the same.
    fn estimate_usage(&mut self) {
        let Some(quota) = self.quota.as_ref().filter(|_| self.usage.is_none() && self.bot.is_some()) else {
            return;
        };
        let is_withdrawn =
            matches!(self.kind, Some(Kind::Stopped)) || self.status == Kind::ClientGone.status();
        if self.sent > 0 || is_withdrawn {
            let completion = self.sent / BYTES_A_TOKEN;
            self.usage = Some(TokenUsage { prompt: quota.input, completion, reasoning: 0 });
        }
    }

    /// Settles what was reserved, and adds the request to the totals.
    fn account(&mut self, app: &App, listed: Option<&str>, duration: Duration) {
        let (usage, now) = (self.usage.unwrap_or_default(), clock::now());
        let amount = Consumption {
            input: usage.prompt,
            cached: self.cached,
            output: usage.completion,
            answers: self.quota.as_ref().map_or(0, |quota| quota.answers),
            pictures: self.pictures,
        };
        let took = self.usage.and(self.quota.as_ref()).map_or((0, 0), |quota| quota.millipoints(&amount));
        if let Some(quota) = self.quota.take() {
            self.points = Some(took.1);
            if self.caller.key.is_some() {
                app.clients.budgets.settle(&self.caller.id, quota.reserved, took.1, now.as_secs());
            }
            self.look_for_charge(app, quota, (listed, took), (now.saturating_sub(duration), now));
        }
        if self.is_counted {
            let model = listed.unwrap_or(OTHER);
            let labels = Labels { model, key: &self.caller.id, endpoint: self.endpoint };
            let amounts = Amounts {
                requests: 1,
                uploads: u32::try_from(self.uploads).unwrap_or(u32::MAX),
                input: usage.prompt,
                output: usage.completion,
                reasoning: usage.reasoning,
                cached: self.cached,
                exact: 0,
                estimated: took.1,
                first_token: self.first_byte.filter(|_| self.stream).map(Histogram::of).unwrap_or_default(),
                total: Histogram::of(duration),
                errors: self.error_code().map(|code| (Code::of(code), 1)).into_iter().collect(),
            };
            app.clients.usage.add(now.as_secs(), labels, &self.caller.name, &amounts);
        }
    }

    /// Looks for what it really took in Poe's history, where that can be read: with the server's own key.
    fn look_for_charge(
        &self,
        app: &App,
        quota: Quota,
        (listed, (by_list, estimate)): (Option<&str>, (Millipoints, Millipoints)),
        time: (Duration, Duration),
    ) {
        if self.usage.is_none() || &*self.caller.id == Client::OWN.0 || app.own_poe_key().is_none() {
            return;
        }
        let labels = (listed.unwrap_or(OTHER).to_owned(), Arc::clone(&self.caller.id), self.endpoint);
        let (bot, answers) = (self.bot.clone().unwrap_or(quota.bot), quota.answers);
        app.clients.points.look_for(Expected { bot, time, answers, labels, estimate, by_list });
    }

    /// The code of the error that it ended with.
    fn error_code(&self) -> Option<&'static str> {
        let gone = Kind::ClientGone;
        let kind = if self.status == gone.status() { Some(gone) } else { self.kind };
        let has_failed = self.status >= 400 || self.fault.is_some();
        has_failed.then(|| {
            let (type_, code) = kind_and_code(kind.unwrap_or(Kind::Upstream));
            code.unwrap_or(type_)
        })
    }

    fn render(&self, notes: &mut Notes) {
        notes.key = self.caller.is_named.then(|| self.caller.name.to_string());
        notes.key_id = Some(self.caller.id.to_string());
        notes.uploads = self.uploads;
        notes.cached_tokens = self.cached;
        notes.points = self.points.map(|points| points as f64 / 1000.0);
        notes.model = self.model.as_deref().map(cut);
        notes.bot = self.bot.as_deref().map(cut);
        notes.route = self.route;
        notes.stream = self.stream;
        notes.first_byte_ms = self.first_byte.map(millis);
        notes.prompt_tokens = self.usage.map(|usage| usage.prompt);
        notes.completion_tokens = self.usage.map(|usage| usage.completion);
        notes.reasoning_tokens = self.usage.map(|usage| usage.reasoning);
        notes.error = self.fault.as_deref().map(shortened);
    }

    /// Writes the line.
    fn log(&self, duration: Duration) {
        let path = shortened(&self.path);
        let mut pairs: Vec<(&str, Value<'_>)> =
            vec![("method", Value::from(self.method.as_str())), ("path", Value::from(path.as_str()))];
        let [model, bot] = [&self.model, &self.bot].map(|name| name.as_deref().map(cut));
        let fault = self.fault.as_deref().map(shortened);
        let texts = [("model", model.as_deref()), ("route", self.route)];
        pairs.extend(texts.into_iter().filter_map(|(name, text)| Some((name, Value::from(text?)))));
        pairs.push(("status", Value::from(self.status)));
        pairs.push(("first_ms", Value::from(millis(self.first_byte.unwrap_or(duration)))));
        pairs.push(("total_ms", Value::from(millis(duration))));
        if let Some(usage) = self.usage {
            pairs.push(("prompt_tokens", Value::from(usage.prompt)));
            pairs.push(("completion_tokens", Value::from(usage.completion)));
        }
        if self.cached > 0 {
            pairs.push(("cached_tokens", Value::from(self.cached)));
        }
        if self.model.is_some() {
            pairs.push(("stream", Value::from(self.stream)));
        }
        let texts = [
            ("error", fault.as_deref()),
            ("bot", bot.as_deref()),
            ("id", Some(self.id.as_str())),
            ("client", Some(self.client.as_str())),
        ];
        pairs.extend(texts.into_iter().filter_map(|(name, text)| Some((name, Value::from(text?)))));
        let level = match self.is_routine && self.status < 400 {
            true => log::Level::Debug,
            false => log::Level::Info,
        };
        let mut record = log::Record::builder();
        let record = record.level(level).target(module_path!()).key_values(&pairs);
        log::logger().log(&record.args(format_args!("{} {path}", self.method)).build());
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// An error as it is written down: what it quotes may be long.
fn shortened(fault: &str) -> String {
    match fault.char_indices().nth(MAX_FAULT) {
        Some((end, _)) => format!("{}\u{2026}", &fault[..end]),
        None => fault.to_owned(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_NAME).collect()
}
