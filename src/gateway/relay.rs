//! One request's life, in reading order: start reading here.
//!
//! The body is decoded into a `ChatRequest`; a `PreparedRequest` makes it ready and asks Poe, and what comes back rises through the
//! order's stages and is folded into one answer or streamed. Until the first byte has left, a fault is an answer with its true status;
//! after it, an error event inside the stream.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, UNIX_EPOCH};

use super::native::{Native, Outcome};
use super::prepared_request::{self, PreparedRequest, ResponseMode};
use super::record::Record;
use super::stream_writer::StreamWriter;
use crate::api::router::{poe_key, refuse, send};
use crate::dialect::{DecodedRequest, Stamp, messages};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::ids::id;
use crate::pipeline::{ChatRequest, Event, Reply};
use crate::poe::{self, CancelCheck};
use crate::server::answer::Answer;
use crate::server::connection::{Call, stopped};
use crate::server::connection_slots::ShutdownPhase;

/// As many as one request may ask for.
const MAX_CHOICES: usize = 8;

/// Answers a question of any dialect: `decode` makes it of the body, for the owner of the Poe key.
pub fn answer(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    decode: impl FnOnce(&str, &[u8], &Stamp<'_>) -> Result<DecodedRequest>,
) -> io::Result<()> {
    let (key, decoded, body) = match asked(app, call, record, decode) {
        Ok(decoded) => decoded,
        Err(error) => return refuse(call, record, &error),
    };
    record.model = decoded.chats.first().map(|chat| chat.model.clone());
    record.stream = decoded.stream;
    record.show();
    let native = match Native::find(app, call, &decoded, body, &cancel_on_disconnect(call)) {
        Ok(native) => native,
        Err(error) => return refuse(call, record, &error),
    };
    match decoded.stream {
        true => stream(app, call, record, &key, decoded, native),
        false => whole(app, call, record, &key, decoded, native),
    }
}

/// Who asks, and what.
pub fn decoded<Q>(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    decode: impl FnOnce(&str, &[u8], &Stamp<'_>) -> Result<Q>,
) -> Result<(String, Q)> {
    asked(app, call, record, decode).map(|(key, decoded, _)| (key, decoded))
}

/// The same, with the question as it came too.
fn asked<Q>(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    decode: impl FnOnce(&str, &[u8], &Stamp<'_>) -> Result<Q>,
) -> Result<(String, Q, Vec<u8>)> {
    let key = poe_key(app, call.head())?;
    let body = body(app, call)?;
    record.capture_request(app, &key, &body);
    let decoded = decode(&key, &body, &Stamp { now: now(), make_id: &id })?;
    Ok((key, decoded, body))
}

/// Seconds since 1970.
pub fn now() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |time: Duration| time.as_secs())
}

/// Counts the tokens of a question of Anthropic's dialect. Nobody is asked, but whoever wants to know must have a key.
pub fn count_tokens(app: &App, call: &mut Call<'_>) -> Result<Answer> {
    poe_key(app, call.head())?;
    let chat = messages::decode_count(&body(app, call)?)?;
    let tokens = prepared_request::count_tokens(app, chat, &cancel_on_disconnect(call))?;
    Ok(Answer::json(200, messages::encode_count(tokens)))
}

/// The request's body, as it was sent.
pub fn body(app: &App, call: &mut Call<'_>) -> Result<Vec<u8>> {
    limited_body(call, app.settings.max_request_size)
}

/// The request's body, as it was sent, of at most `limit` bytes.
pub fn limited_body(call: &mut Call<'_>, limit: u64) -> Result<Vec<u8>> {
    if let Some(encoding) = call.head().header("content-encoding").filter(|name| *name != "identity") {
        let message = format!("a body with Content-Encoding {encoding} is not read here: send it plain");
        return Err(Error::new(Kind::UnsupportedEncoding, message));
    }
    call.body(limit)
}

/// The answer as one piece.
fn whole(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    key: &str,
    decoded: DecodedRequest,
    native: Option<Native>,
) -> io::Result<()> {
    let DecodedRequest { chats, mut encoder, .. } = decoded;
    let cancel = cancel_on_disconnect(call);
    match native.map_or(Ok(Outcome::Bot), |native| native.whole(app, key, &chats, record, &cancel)) {
        Ok(Outcome::Whole(body)) => {
            encoder.rendered(&body);
            return send(call, record, Answer::json(200, body));
        }
        Ok(Outcome::Refused(answer, _)) => return send(call, record, answer),
        Ok(Outcome::Streamed) => return Ok(()),
        Ok(Outcome::Bot) => {}
        Err(error) => return refuse(call, record, &error),
    }
    let replies = replies(app, record, key, chats, &cancel);
    match replies.and_then(|replies| encoder.fault(&replies).map_or(Ok(replies), Err)) {
        Ok(replies) => {
            let body = encoder.whole(&replies);
            record.capture_body(&body);
            send(call, record, Answer::json(200, body))
        }
        Err(error) => refuse(call, record, &error),
    }
}

/// The replies to all asks, asked for side by side.
pub fn replies(
    app: &App,
    record: &mut Record,
    key: &str,
    chats: Vec<ChatRequest>,
    cancel: &CancelCheck,
) -> Result<Vec<Reply>> {
    let all_prepared = prepare(app, record, key, chats, cancel)?;
    let choices = choices(&all_prepared);
    let replies = poe::run_parallel(choices.clone(), MAX_CHOICES, cancel, |choice, cancel| {
        choice.prepared.reply(cancel)
    });
    let replies: Vec<Reply> = replies.into_iter().collect::<Result<_>>()?;
    for (choice, reply) in choices.iter().zip(&replies) {
        record.add_usage(reply.finish.usage, choice.is_first);
    }
    Ok(replies)
}

/// One choice of the answer.
#[derive(Clone, Copy)]
struct Choice<'o> {
    prepared: &'o PreparedRequest<'o>,
    /// The first of those that answer the same question.
    is_first: bool,
}

fn prepare<'a>(
    app: &'a App,
    record: &mut Record,
    key: &'a str,
    chats: Vec<ChatRequest>,
    cancel: &CancelCheck,
) -> Result<Vec<PreparedRequest<'a>>> {
    let all_prepared: Vec<_> = chats
        .into_iter()
        .map(|chat| PreparedRequest::prepare(app, key, chat, cancel))
        .collect::<Result<_>>()?;
    if let Some(prepared) = all_prepared.first() {
        record.chats(prepared.bot());
    }
    Ok(all_prepared)
}

/// All choices in the order in which the answer has them: those of the first ask, then those of the next.
fn choices<'o>(all_prepared: &'o [PreparedRequest<'o>]) -> Vec<Choice<'o>> {
    let of_one = |prepared: &'o PreparedRequest<'o>| {
        (0..prepared.choices()).map(move |at| Choice { prepared, is_first: at == 0 })
    };
    all_prepared.iter().flat_map(of_one).collect()
}

/// The answer as a stream, one flush per event.
fn stream(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    key: &str,
    decoded: DecodedRequest,
    native: Option<Native>,
) -> io::Result<()> {
    let DecodedRequest { chats, encoder, .. } = decoded;
    let writer = StreamWriter::shared(call.stream(encoder.content_type()), encoder, app.settings.keep_alive);
    let cancel = cancel_on_stream_disconnect(call, &writer);
    let natively =
        native.map_or(Ok(Outcome::Bot), |native| native.stream(app, key, &chats, &writer, record, &cancel));
    let rendered = match natively {
        Ok(Outcome::Bot) => by_bot_protocol(app, key, chats, &writer, record, &cancel),
        Ok(Outcome::Streamed | Outcome::Whole(_)) => Ok(()),
        Ok(Outcome::Refused(answer, _)) if !writer.borrow().has_begun() => return send(call, record, answer),
        // signs of life have made it a stream
        Ok(Outcome::Refused(_, error)) => Err(Fault::Answer(error)),
        Err(error) => Err(Fault::from(error)),
    };
    match rendered {
        Ok(()) => Ok(()),
        Err(Fault::Answer(error)) if !writer.borrow().has_begun() => refuse(call, record, &error),
        Err(Fault::Answer(error)) => {
            record.status = 200; // perhaps only signs of life so far
            record.fault = Some(error.message.clone());
            writer.borrow_mut().fail(&error)
        }
        Err(Fault::Client(error)) => {
            record.status = Kind::ClientGone.status();
            Err(error)
        }
    }
}

fn by_bot_protocol(
    app: &App,
    key: &str,
    chats: Vec<ChatRequest>,
    writer: &RefCell<StreamWriter>,
    record: &mut Record,
    cancel: &CancelCheck,
) -> Result<(), Fault> {
    let all_prepared = prepare(app, record, key, chats, cancel)?;
    match choices(&all_prepared).as_slice() {
        [] => {
            record.status = 200;
            writer.borrow_mut().end().map_err(Fault::Client)
        }
        [only] => one_choice(only.prepared, writer, record, cancel),
        choices => several_choices(choices, writer, record, cancel),
    }
}

/// Passes every event on as it comes.
fn one_choice(
    prepared: &PreparedRequest<'_>,
    writer: &RefCell<StreamWriter>,
    record: &mut Record,
    cancel: &CancelCheck,
) -> Result<(), Fault> {
    let mut events = prepared.place(ResponseMode::Stream, cancel)?;
    writer.borrow_mut().begin(&|| prepared.prompt_tokens());
    let mut judged = prepared.insists_on_json().then(Reply::default);
    for event in &mut events {
        let event = event?;
        let is_last = matches!(event, Event::Finish(_));
        judge(prepared, judged.as_mut(), &event)?;
        pass(writer, record, 0, true, &event)?;
        if is_last {
            break;
        }
    }
    // the client has its end before `events` is dropped and puts Poe's connection in order
    writer.borrow_mut().end().map_err(Fault::Client)
}

/// Asks for all choices side by side and passes their events on as they come.
fn several_choices(
    choices: &[Choice<'_>],
    writer: &RefCell<StreamWriter>,
    record: &mut Record,
    cancel: &CancelCheck,
) -> Result<(), Fault> {
    let next = AtomicUsize::new(0);
    let worker = |cancel: &CancelCheck, rendered: &SyncSender<(usize, Result<Event>)>| {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let render = |event| rendered.send((index, event)).is_ok();
        match choices[index].prepared.place(ResponseMode::Stream, cancel) {
            Ok(mut events) => while events.next().is_some_and(render) {},
            Err(error) => drop(render(Err(error))),
        }
    };
    let insists = |choice: &Choice<'_>| choice.prepared.insists_on_json().then(Reply::default);
    let mut judged: Vec<_> = choices.iter().map(insists).collect();
    let mut left = Ok(());
    let rendered = poe::fan_in(choices.len(), cancel, worker, |(index, event)| {
        let (event, choice) = (event?, &choices[index]);
        judge(choice.prepared, judged[index].as_mut(), &event)?;
        pass(writer, record, index, choice.is_first, &event).map_err(|fault| match fault {
            Fault::Answer(error) => error,
            Fault::Client(error) => {
                left = Err(Fault::Client(error));
                Error::new(Kind::ClientGone, "the client has left")
            }
        })
    });
    left?;
    rendered?;
    writer.borrow_mut().end().map_err(Fault::Client)
}

fn pass(
    writer: &RefCell<StreamWriter>,
    record: &mut Record,
    index: usize,
    is_first: bool,
    event: &Event,
) -> Result<(), Fault> {
    writer.borrow_mut().send(index, event).map_err(Fault::Client)?;
    record.status = 200;
    record.first_byte();
    record.capture_event(event);
    if let Event::Finish(finish) = event {
        record.add_usage(finish.usage, is_first);
    }
    Ok(())
}

/// Keeps the text of an answer that must be JSON, and judges it before its end is sent.
fn judge(prepared: &PreparedRequest<'_>, reply: Option<&mut Reply>, event: &Event) -> Result<()> {
    let Some(reply) = reply else { return Ok(()) };
    match event {
        Event::Text(text) => reply.text.push_str(text),
        Event::Finish(finish) => {
            reply.finish = finish.clone();
            prepared.judge(reply)?;
        }
        _ => {}
    }
    Ok(())
}

/// Why a stream ended early.
enum Fault {
    /// The answer could not be had, or broke off.
    Answer(Error),
    /// The client does not take it.
    Client(io::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        match error.kind {
            Kind::ClientGone => Fault::Client(io::ErrorKind::BrokenPipe.into()),
            _ => Fault::Answer(error),
        }
    }
}

/// Ends a wait when the client has left, the operator wants it to, or the server must stop.
pub fn cancel_on_disconnect(call: &Call<'_>) -> CancelCheck {
    let (client, stop, abort) = (call.client(), call.stop().clone(), Arc::clone(call.abort()));
    Rc::new(move || {
        if client.is_gone() {
            return Err(Error::new(Kind::ClientGone, "the client has left"));
        }
        if abort.is_requested() {
            return Err(stopped());
        }
        match stop.shutdown_phase() {
            ShutdownPhase::Ending => Err(Error::new(Kind::Overloaded, "the server is shutting down")),
            ShutdownPhase::On | ShutdownPhase::Draining => Ok(()),
        }
    })
}

/// The same for a stream, which also needs a sign of life now and then.
fn cancel_on_stream_disconnect(call: &Call<'_>, writer: &Rc<RefCell<StreamWriter>>) -> CancelCheck {
    let (client, writer) = (cancel_on_disconnect(call), Rc::clone(writer));
    Rc::new(move || {
        client()?;
        let sign = writer.borrow_mut().keep_alive();
        sign.map_err(|_| Error::new(Kind::ClientGone, "the client has left"))
    })
}
