//! Handling of one request from body to answer, in reading order: start reading here.
//!
//! The body is decoded into a `ChatRequest`; a `PreparedRequest` prepares and sends it to Poe, and the events of the answer pass the stages,
//! which `PreparedRequest::stages` lists in their order, and are folded into one answer or streamed. Until the first byte has left, a fault is an answer with its true status;
//! after it, an error event inside the stream.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, UNIX_EPOCH};

use super::context::{Authenticated, Exchange};
use super::native::{Native, Outcome};
use super::prepared_request::{PreparedRequest, ResponseMode};
use super::quota::{admit, files};
use super::stream_writer::StreamWriter;
use crate::dialect::{DecodedRequest, Stamp};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::ids::id;
use crate::pipeline::{ChatRequest, Event, Reply};
use crate::poe::{self, CancelCheck};
use crate::server::answer::Answer;

/// How many choices are requested from Poe at once; the dialects allow no more.
const MAX_PARALLEL: usize = 8;

/// Answers a question of any dialect: `decode` makes it of the body.
pub fn answer(
    mut request: Authenticated<'_, '_>,
    decode: impl FnOnce(&[u8], &Stamp<'_>) -> Result<DecodedRequest>,
) -> io::Result<()> {
    let (decoded, native) = match asked(&mut request, decode) {
        Ok(asked) => asked,
        Err(error) => return request.refuse(&error),
    };
    request.body_is_decoded();
    match decoded.stream {
        true => stream(&mut request, decoded, native),
        false => whole(&mut request, decoded, native),
    }
}

/// What is asked, and its way through a native endpoint if it is to take one.
fn asked(
    request: &mut Authenticated<'_, '_>,
    decode: impl FnOnce(&[u8], &Stamp<'_>) -> Result<DecodedRequest>,
) -> Result<(DecodedRequest, Option<Native>)> {
    let (mut decoded, body) = decoded(request, decode)?;
    request.record.model = decoded.chats.first().map(|chat| chat.model.clone());
    request.record.stream = decoded.stream;
    request.record.show();
    let cancel = request.cancel_check();
    if let Some(name) = &decoded.named {
        request.app().model(name, request.client(), &cancel)?;
    }
    admit(request, &decoded.chats, &cancel)?;
    let native = Native::find(request, &mut decoded, body, &cancel)?;
    Ok((decoded, native))
}

/// The decoded body, and the body as it came.
pub fn decoded<Q>(
    request: &mut Authenticated<'_, '_>,
    decode: impl FnOnce(&[u8], &Stamp<'_>) -> Result<Q>,
) -> Result<(Q, Vec<u8>)> {
    request.record.is_counted = true;
    let body = request.body()?;
    let (app, key) = (request.app(), request.key());
    request.record.capture_request(app, &key, &body);
    let decoded = decode(&body, &Stamp { now: now(), make_id: &id })?;
    Ok((decoded, body))
}

/// Seconds since 1970.
pub fn now() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |time: Duration| time.as_secs())
}

/// The answer as one piece.
fn whole(
    request: &mut Authenticated<'_, '_>,
    decoded: DecodedRequest,
    native: Option<Native>,
) -> io::Result<()> {
    let DecodedRequest { chats, mut encoder, .. } = decoded;
    let cancel = request.cancel_check();
    match native.map_or(Ok(Outcome::Bot), |native| native.whole(request, &chats, &cancel)) {
        Ok(Outcome::Answered(body)) => {
            encoder.rendered(&body);
            return request.send(Answer::json(200, body));
        }
        Ok(Outcome::Refused(answer, _)) => return request.send(answer),
        Ok(Outcome::Bot) => {}
        Err(error) => return request.refuse(&error),
    }
    let replies = replies(request, chats, &cancel);
    match replies.and_then(|replies| encoder.fault(&replies).map_or(Ok(replies), Err)) {
        Ok(replies) => {
            let body = encoder.whole(&replies);
            request.record.capture_body(&body);
            request.send(Answer::json(200, body))
        }
        Err(error) => request.refuse(&error),
    }
}

/// The replies to all asks, asked for side by side.
pub fn replies(
    request: &mut Authenticated<'_, '_>,
    chats: Vec<ChatRequest>,
    cancel: &CancelCheck,
) -> Result<Vec<Reply>> {
    let key = request.key();
    admit(request, &chats, cancel)?;
    let all_prepared = prepare(request, &key, chats, cancel)?;
    let choices = choices(&all_prepared);
    let replies = poe::run_parallel(choices.clone(), MAX_PARALLEL, cancel, |choice, cancel| {
        choice.prepared.reply(cancel)
    });
    let replies: Vec<Reply> = replies.into_iter().collect::<Result<_>>()?;
    for (choice, reply) in choices.iter().zip(&replies) {
        request.record.add_usage(reply.finish.usage, choice.is_first);
        request.record.add_files(&reply.files);
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

fn prepare<'a: 'o, 'o>(
    request: &mut Exchange<'a, '_>,
    key: &'o str,
    chats: Vec<ChatRequest>,
    cancel: &CancelCheck,
) -> Result<Vec<PreparedRequest<'o>>> {
    let app: &'o App = request.app();
    let (address, client, failed) =
        (request.record.address, request.client().clone(), request.failed_endpoint);
    request.record.uploads += chats.iter().map(files).sum::<u64>();
    let all_prepared: Vec<_> = chats
        .into_iter()
        .map(|chat| Ok(PreparedRequest::prepare(app, key, (address, &client), chat, cancel)?.after(failed)))
        .collect::<Result<_>>()?;
    if let Some(prepared) = all_prepared.first() {
        request.record.chats(prepared.bot());
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
    request: &mut Authenticated<'_, '_>,
    decoded: DecodedRequest,
    native: Option<Native>,
) -> io::Result<()> {
    let DecodedRequest { chats, encoder, .. } = decoded;
    let interval = request.app().settings.keep_alive;
    let writer = StreamWriter::shared(request.stream(encoder.content_type()), encoder, interval);
    let cancel = cancel_on_stream_disconnect(request, &writer);
    let natively = native.map_or(Ok(Outcome::Bot), |native| native.stream(request, &chats, &writer, &cancel));
    let rendered = match natively {
        Ok(Outcome::Bot) => by_bot_protocol(request, chats, &writer, &cancel),
        Ok(Outcome::Answered(())) => Ok(()),
        Ok(Outcome::Refused(answer, _)) if !writer.borrow().has_begun() => return request.send(answer),
        // signs of life have made it a stream
        Ok(Outcome::Refused(_, error)) => Err(Fault::Answer(error)),
        Err(error) => Err(Fault::from(error)),
    };
    match rendered {
        Ok(()) => Ok(()),
        Err(Fault::Answer(error)) if !writer.borrow().has_begun() => request.refuse(&error),
        Err(Fault::Answer(error)) => {
            request.record.status = 200; // perhaps only signs of life so far
            request.record.failed(&error);
            writer.borrow_mut().fail(&error)
        }
        Err(Fault::Client(error)) => {
            request.record.status = Kind::ClientGone.status();
            Err(error)
        }
    }
}

fn by_bot_protocol(
    request: &mut Authenticated<'_, '_>,
    chats: Vec<ChatRequest>,
    writer: &RefCell<StreamWriter>,
    cancel: &CancelCheck,
) -> Result<(), Fault> {
    let key = request.key();
    let all_prepared = prepare(request, &key, chats, cancel)?;
    match choices(&all_prepared).as_slice() {
        [] => {
            request.record.status = 200;
            writer.borrow_mut().end().map_err(Fault::Client)
        }
        [only] => one_choice(request, only.prepared, writer, cancel),
        choices => several_choices(request, choices, writer, cancel),
    }
}

/// Passes every event on as it comes.
fn one_choice(
    request: &mut Exchange<'_, '_>,
    prepared: &PreparedRequest<'_>,
    writer: &RefCell<StreamWriter>,
    cancel: &CancelCheck,
) -> Result<(), Fault> {
    let mut events = prepared.place(ResponseMode::Stream, cancel)?;
    // the stream's own check would borrow the writer again
    let client = request.cancel_check();
    writer.borrow_mut().begin(&|| prepared.prompt_tokens(&client));
    let mut judged = prepared.insists_on_json().then(Reply::default);
    for event in &mut events {
        let event = event?;
        let is_last = matches!(event, Event::Finish(_));
        judge(prepared, judged.as_mut(), &event)?;
        pass(request, writer, 0, true, &event)?;
        if is_last {
            break;
        }
    }
    // the client has its end before `events` is dropped and puts Poe's connection in order
    writer.borrow_mut().end().map_err(Fault::Client)
}

/// Asks for all choices side by side and passes their events on as they come.
fn several_choices(
    request: &mut Exchange<'_, '_>,
    choices: &[Choice<'_>],
    writer: &RefCell<StreamWriter>,
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
        pass(request, writer, index, choice.is_first, &event).map_err(|fault| match fault {
            Fault::Answer(error) => error,
            Fault::Client(error) => {
                left = Err(Fault::Client(error));
                Error::new(Kind::ClientGone, "the client disconnected")
            }
        })
    });
    left?;
    rendered?;
    writer.borrow_mut().end().map_err(Fault::Client)
}

fn pass(
    request: &mut Exchange<'_, '_>,
    writer: &RefCell<StreamWriter>,
    index: usize,
    is_first: bool,
    event: &Event,
) -> Result<(), Fault> {
    writer.borrow_mut().send(index, event).map_err(Fault::Client)?;
    request.record.status = 200;
    request.record.first_byte();
    request.record.capture_event(event);
    if let Event::Finish(finish) = event {
        request.record.add_usage(finish.usage, is_first);
    }
    Ok(())
}

/// Keeps the text of an answer that must be JSON, and judges it before its end is sent.
fn judge(prepared: &PreparedRequest<'_>, reply: Option<&mut Reply>, event: &Event) -> Result<()> {
    let Some(reply) = reply else { return Ok(()) };
    match event {
        Event::Text(_) => reply.push(event.clone())?,
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

/// Ends a wait as [`Exchange::cancel_check`] does, and sends the stream's sign of life when it is time.
fn cancel_on_stream_disconnect(
    request: &Exchange<'_, '_>,
    writer: &Rc<RefCell<StreamWriter>>,
) -> CancelCheck {
    let (client, writer) = (request.cancel_check(), Rc::clone(writer));
    Rc::new(move || {
        client()?;
        let sign = writer.borrow_mut().keep_alive();
        sign.map_err(|_| Error::new(Kind::ClientGone, "the client disconnected"))
    })
}
