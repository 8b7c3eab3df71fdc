//! One request's life, in reading order: start reading here.
//!
//! The body is decoded into an `Ask`; an `Order` makes it ready and asks Poe, and what comes back rises through the
//! order's stages and is folded into one answer or streamed. Until the first byte has left, a fault is an answer with its true status;
//! after it, an error event inside the stream.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, UNIX_EPOCH};

use super::answer::Answer;
use super::connection::{Call, stopped};
use super::native::{Native, Outcome};
use super::order::{self, Manner, Order};
use super::outlet::Outlet;
use super::record::Record;
use super::router::{poe_key, refuse, send};
use super::seats::Going;
use crate::app::App;
use crate::dialect::{Question, Stamp, messages};
use crate::error::{Error, Kind, Result};
use crate::exchange::{Ask, Event, Reply};
use crate::ids::id;
use crate::poe::{self, Watch};

/// As many as one request may ask for.
const MAX_CHOICES: usize = 8;

/// Answers a question of any dialect: `decode` makes it of the body, for the owner of the Poe key.
pub fn answer(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    decode: impl FnOnce(&str, &[u8], &Stamp<'_>) -> Result<Question>,
) -> io::Result<()> {
    let (key, question, body) = match asked(app, call, record, decode) {
        Ok(decoded) => decoded,
        Err(error) => return refuse(call, record, &error),
    };
    record.model = question.asks.first().map(|ask| ask.model.clone());
    record.stream = question.stream;
    record.show();
    let native = match Native::find(app, call, &question, body, &watch_client(call)) {
        Ok(native) => native,
        Err(error) => return refuse(call, record, &error),
    };
    call.body_is_decoded();
    match question.stream {
        true => stream(app, call, record, &key, question, native),
        false => whole(app, call, record, &key, question, native),
    }
}

/// Who asks, and what.
pub fn question<Q>(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    decode: impl FnOnce(&str, &[u8], &Stamp<'_>) -> Result<Q>,
) -> Result<(String, Q)> {
    asked(app, call, record, decode).map(|(key, question, _)| (key, question))
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
    record.hear_request(app, &key, &body);
    let question = decode(&key, &body, &Stamp { now: now(), make_id: &id })?;
    Ok((key, question, body))
}

/// Seconds since 1970.
pub fn now() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |time: Duration| time.as_secs())
}

/// Counts the tokens of a question of Anthropic's dialect. Nobody is asked, but whoever wants to know must have a key.
pub fn count_tokens(app: &App, call: &mut Call<'_>) -> Result<Answer> {
    poe_key(app, call.head())?;
    let ask = messages::decode_count(&body(app, call)?)?;
    let tokens = order::count_tokens(app, ask, &watch_client(call))?;
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
    question: Question,
    native: Option<Native>,
) -> io::Result<()> {
    let Question { asks, mut encoder, .. } = question;
    let watch = watch_client(call);
    match native.map_or(Ok(Outcome::Bot), |native| native.whole(app, key, &asks, record, &watch)) {
        Ok(Outcome::Whole(body)) => {
            encoder.told(&body);
            return send(call, record, Answer::json(200, body));
        }
        Ok(Outcome::Refused(answer, _)) => return send(call, record, answer),
        Ok(Outcome::Streamed) => return Ok(()),
        Ok(Outcome::Bot) => {}
        Err(error) => return refuse(call, record, &error),
    }
    let replies = replies(app, record, key, asks, &watch);
    match replies.and_then(|replies| encoder.fault(&replies).map_or(Ok(replies), Err)) {
        Ok(replies) => {
            let body = encoder.whole(&replies);
            record.hear_body(&body);
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
    asks: Vec<Ask>,
    watch: &Watch,
) -> Result<Vec<Reply>> {
    let orders = prepare(app, record, key, asks, watch)?;
    let choices = choices(&orders);
    let replies = poe::aside(choices.clone(), MAX_CHOICES, watch, |choice, watch| choice.order.reply(watch));
    let replies: Vec<Reply> = replies.into_iter().collect::<Result<_>>()?;
    for (choice, reply) in choices.iter().zip(&replies) {
        record.add_usage(reply.finish.usage, choice.is_first);
    }
    Ok(replies)
}

/// One choice of the answer.
#[derive(Clone, Copy)]
struct Choice<'o> {
    order: &'o Order<'o>,
    /// The first of those that answer the same question.
    is_first: bool,
}

fn prepare<'a>(
    app: &'a App,
    record: &mut Record,
    key: &'a str,
    asks: Vec<Ask>,
    watch: &Watch,
) -> Result<Vec<Order<'a>>> {
    let orders: Vec<_> =
        asks.into_iter().map(|ask| Order::prepare(app, key, ask, watch)).collect::<Result<_>>()?;
    if let Some(order) = orders.first() {
        record.asks(order.bot());
    }
    Ok(orders)
}

/// All choices in the order in which the answer has them: those of the first ask, then those of the next.
fn choices<'o>(orders: &'o [Order<'o>]) -> Vec<Choice<'o>> {
    let of_one =
        |order: &'o Order<'o>| (0..order.choices()).map(move |at| Choice { order, is_first: at == 0 });
    orders.iter().flat_map(of_one).collect()
}

/// The answer as a stream, one flush per event.
fn stream(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    key: &str,
    question: Question,
    native: Option<Native>,
) -> io::Result<()> {
    let Question { asks, encoder, .. } = question;
    let outlet = Outlet::shared(call.stream(encoder.content_type()), encoder, app.settings.keep_alive);
    let watch = watch_stream(call, &outlet);
    let natively =
        native.map_or(Ok(Outcome::Bot), |native| native.stream(app, key, &asks, &outlet, record, &watch));
    let told = match natively {
        Ok(Outcome::Bot) => by_bot_protocol(app, key, asks, &outlet, record, &watch),
        Ok(Outcome::Streamed | Outcome::Whole(_)) => Ok(()),
        Ok(Outcome::Refused(answer, _)) if !outlet.borrow().has_begun() => return send(call, record, answer),
        // signs of life have made it a stream
        Ok(Outcome::Refused(_, error)) => Err(Fault::Answer(error)),
        Err(error) => Err(Fault::from(error)),
    };
    match told {
        Ok(()) => Ok(()),
        Err(Fault::Answer(error)) if !outlet.borrow().has_begun() => refuse(call, record, &error),
        Err(Fault::Answer(error)) => {
            record.status = 200; // perhaps only signs of life so far
            record.fault = Some(error.message.clone());
            outlet.borrow_mut().fail(&error)
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
    asks: Vec<Ask>,
    outlet: &RefCell<Outlet>,
    record: &mut Record,
    watch: &Watch,
) -> Result<(), Fault> {
    let orders = prepare(app, record, key, asks, watch)?;
    match choices(&orders).as_slice() {
        [] => {
            record.status = 200;
            outlet.borrow_mut().end().map_err(Fault::Client)
        }
        [only] => one_choice(only.order, outlet, record, watch),
        choices => several_choices(choices, outlet, record, watch),
    }
}

/// Passes every event on as it comes.
fn one_choice(
    order: &Order<'_>,
    outlet: &RefCell<Outlet>,
    record: &mut Record,
    watch: &Watch,
) -> Result<(), Fault> {
    let mut events = order.place(Manner::Stream, watch)?;
    outlet.borrow_mut().begin(&|| order.prompt_tokens());
    let mut judged = order.insists_on_json().then(Reply::default);
    for event in &mut events {
        let event = event?;
        let is_last = matches!(event, Event::Finish(_));
        judge(order, judged.as_mut(), &event)?;
        pass(outlet, record, 0, true, &event)?;
        if is_last {
            break;
        }
    }
    // the client has its end before `events` is dropped and puts Poe's connection in order
    outlet.borrow_mut().end().map_err(Fault::Client)
}

/// Asks for all choices side by side and passes their events on as they come.
fn several_choices(
    choices: &[Choice<'_>],
    outlet: &RefCell<Outlet>,
    record: &mut Record,
    watch: &Watch,
) -> Result<(), Fault> {
    let next = AtomicUsize::new(0);
    let worker = |watch: &Watch, told: &SyncSender<(usize, Result<Event>)>| {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let tell = |event| told.send((index, event)).is_ok();
        match choices[index].order.place(Manner::Stream, watch) {
            Ok(mut events) => while events.next().is_some_and(tell) {},
            Err(error) => drop(tell(Err(error))),
        }
    };
    let insists = |choice: &Choice<'_>| choice.order.insists_on_json().then(Reply::default);
    let mut judged: Vec<_> = choices.iter().map(insists).collect();
    let mut left = Ok(());
    let told = poe::listen(choices.len(), watch, worker, |(index, event)| {
        let (event, choice) = (event?, &choices[index]);
        judge(choice.order, judged[index].as_mut(), &event)?;
        pass(outlet, record, index, choice.is_first, &event).map_err(|fault| match fault {
            Fault::Answer(error) => error,
            Fault::Client(error) => {
                left = Err(Fault::Client(error));
                Error::new(Kind::ClientGone, "the client has left")
            }
        })
    });
    left?;
    told?;
    outlet.borrow_mut().end().map_err(Fault::Client)
}

fn pass(
    outlet: &RefCell<Outlet>,
    record: &mut Record,
    index: usize,
    is_first: bool,
    event: &Event,
) -> Result<(), Fault> {
    outlet.borrow_mut().send(index, event).map_err(Fault::Client)?;
    record.status = 200;
    record.first_byte();
    record.hear(event);
    if let Event::Finish(finish) = event {
        record.add_usage(finish.usage, is_first);
    }
    Ok(())
}

/// Keeps the text of an answer that must be JSON, and judges it before its end is told.
fn judge(order: &Order<'_>, reply: Option<&mut Reply>, event: &Event) -> Result<()> {
    let Some(reply) = reply else { return Ok(()) };
    match event {
        Event::Text(_) => reply.push(event.clone())?,
        Event::Finish(finish) => {
            reply.finish = finish.clone();
            order.judge(reply)?;
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
pub fn watch_client(call: &Call<'_>) -> Watch {
    let (client, stop, halt) = (call.client(), call.stop().clone(), Arc::clone(call.halt()));
    Rc::new(move || {
        if client.is_gone() {
            return Err(Error::new(Kind::ClientGone, "the client has left"));
        }
        if halt.is_wanted() {
            return Err(stopped());
        }
        match stop.going() {
            Going::Ending => Err(Error::new(Kind::Overloaded, "the server is shutting down")),
            Going::On | Going::Draining => Ok(()),
        }
    })
}

/// The same for a stream, which also needs a sign of life now and then.
fn watch_stream(call: &Call<'_>, outlet: &Rc<RefCell<Outlet>>) -> Watch {
    let (client, outlet) = (watch_client(call), Rc::clone(outlet));
    Rc::new(move || {
        client()?;
        let sign = outlet.borrow_mut().keep_alive();
        sign.map_err(|_| Error::new(Kind::ClientGone, "the client has left"))
    })
}
