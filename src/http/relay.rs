//! One request's life, in reading order: start reading here.
//!
//! The body is decoded into an `Ask`; an `Order` makes it ready and asks Poe, and what comes back rises through the
//! order's stages and is folded into one answer or streamed. Until the first byte has left, a fault is an answer with its true status;
//! after it, an error event inside the stream.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, UNIX_EPOCH};

use super::answer::Answer;
use super::context::{Authenticated, Exchange};
use super::native::{Native, Outcome};
use super::order::{Manner, Order};
use super::outlet::Outlet;
use crate::app::App;
use crate::dialect::{Question, Stamp};
use crate::error::{Error, Kind, Result};
use crate::exchange::{Ask, Event, Reply};
use crate::ids::id;
use crate::poe::{self, Watch};

/// As many as one request may ask for.
const MAX_CHOICES: usize = 8;

/// Answers a question of any dialect: `decode` makes it of the body.
pub fn answer(
    mut request: Authenticated<'_, '_>,
    decode: impl FnOnce(&[u8], &Stamp<'_>) -> Result<Question>,
) -> io::Result<()> {
    let (question, native) = match asked(&mut request, decode) {
        Ok(asked) => asked,
        Err(error) => return request.refuse(&error),
    };
    request.body_is_decoded();
    match question.stream {
        true => stream(&mut request, question, native),
        false => whole(&mut request, question, native),
    }
}

/// What is asked, and its way through a native endpoint if it is to take one.
fn asked(
    request: &mut Authenticated<'_, '_>,
    decode: impl FnOnce(&[u8], &Stamp<'_>) -> Result<Question>,
) -> Result<(Question, Option<Native>)> {
    let (question, body) = decoded(request, decode)?;
    request.record.model = question.asks.first().map(|ask| ask.model.clone());
    request.record.stream = question.stream;
    request.record.show();
    let native = Native::find(request, &question, body, &request.cancel_check())?;
    Ok((question, native))
}

/// The decoded body, and the body as it came.
pub fn decoded<Q>(
    request: &mut Authenticated<'_, '_>,
    decode: impl FnOnce(&[u8], &Stamp<'_>) -> Result<Q>,
) -> Result<(Q, Vec<u8>)> {
    let body = request.body()?;
    let (app, key) = (request.app(), request.key());
    request.record.hear_request(app, &key, &body);
    let question = decode(&body, &Stamp { now: now(), make_id: &id })?;
    Ok((question, body))
}

/// Seconds since 1970.
pub fn now() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |time: Duration| time.as_secs())
}

/// The answer as one piece.
fn whole(request: &mut Authenticated<'_, '_>, question: Question, native: Option<Native>) -> io::Result<()> {
    let Question { asks, mut encoder, .. } = question;
    let watch = request.cancel_check();
    match native.map_or(Ok(Outcome::Bot), |native| native.whole(request, &asks, &watch)) {
        Ok(Outcome::Whole(body)) => {
            encoder.told(&body);
            return request.send(Answer::json(200, body));
        }
        Ok(Outcome::Refused(answer, _)) => return request.send(answer),
        Ok(Outcome::Streamed) => return Ok(()),
        Ok(Outcome::Bot) => {}
        Err(error) => return request.refuse(&error),
    }
    let replies = replies(request, asks, &watch);
    match replies.and_then(|replies| encoder.fault(&replies).map_or(Ok(replies), Err)) {
        Ok(replies) => {
            let body = encoder.whole(&replies);
            request.record.hear_body(&body);
            request.send(Answer::json(200, body))
        }
        Err(error) => request.refuse(&error),
    }
}

/// The replies to all asks, asked for side by side.
pub fn replies(request: &mut Authenticated<'_, '_>, asks: Vec<Ask>, watch: &Watch) -> Result<Vec<Reply>> {
    let key = request.key();
    let orders = prepare(request, &key, asks, watch)?;
    let choices = choices(&orders);
    let replies = poe::aside(choices.clone(), MAX_CHOICES, watch, |choice, watch| choice.order.reply(watch));
    let replies: Vec<Reply> = replies.into_iter().collect::<Result<_>>()?;
    for (choice, reply) in choices.iter().zip(&replies) {
        request.record.add_usage(reply.finish.usage, choice.is_first);
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

fn prepare<'a: 'o, 'o>(
    request: &mut Exchange<'a, '_>,
    key: &'o str,
    asks: Vec<Ask>,
    watch: &Watch,
) -> Result<Vec<Order<'o>>> {
    let app: &'o App = request.app();
    let address = request.record.address;
    let orders: Vec<_> =
        asks.into_iter().map(|ask| Order::prepare(app, key, address, ask, watch)).collect::<Result<_>>()?;
    if let Some(order) = orders.first() {
        request.record.asks(order.bot());
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
fn stream(request: &mut Authenticated<'_, '_>, question: Question, native: Option<Native>) -> io::Result<()> {
    let Question { asks, encoder, .. } = question;
    let interval = request.app().settings.keep_alive;
    let outlet = Outlet::shared(request.stream(encoder.content_type()), encoder, interval);
    let watch = watch_stream(request, &outlet);
    let natively = native.map_or(Ok(Outcome::Bot), |native| native.stream(request, &asks, &outlet, &watch));
    let told = match natively {
        Ok(Outcome::Bot) => by_bot_protocol(request, asks, &outlet, &watch),
        Ok(Outcome::Streamed | Outcome::Whole(_)) => Ok(()),
        Ok(Outcome::Refused(answer, _)) if !outlet.borrow().has_begun() => return request.send(answer),
        // signs of life have made it a stream
        Ok(Outcome::Refused(_, error)) => Err(Fault::Answer(error)),
        Err(error) => Err(Fault::from(error)),
    };
    match told {
        Ok(()) => Ok(()),
        Err(Fault::Answer(error)) if !outlet.borrow().has_begun() => request.refuse(&error),
        Err(Fault::Answer(error)) => {
            request.record.status = 200; // perhaps only signs of life so far
            request.record.fault = Some(error.message.clone());
            outlet.borrow_mut().fail(&error)
        }
        Err(Fault::Client(error)) => {
            request.record.status = Kind::ClientGone.status();
            Err(error)
        }
    }
}

fn by_bot_protocol(
    request: &mut Authenticated<'_, '_>,
    asks: Vec<Ask>,
    outlet: &RefCell<Outlet>,
    watch: &Watch,
) -> Result<(), Fault> {
    let key = request.key();
    let orders = prepare(request, &key, asks, watch)?;
    match choices(&orders).as_slice() {
        [] => {
            request.record.status = 200;
            outlet.borrow_mut().end().map_err(Fault::Client)
        }
        [only] => one_choice(request, only.order, outlet, watch),
        choices => several_choices(request, choices, outlet, watch),
    }
}

/// Passes every event on as it comes.
fn one_choice(
    request: &mut Exchange<'_, '_>,
    order: &Order<'_>,
    outlet: &RefCell<Outlet>,
    watch: &Watch,
) -> Result<(), Fault> {
    let mut events = order.place(Manner::Stream, watch)?;
    outlet.borrow_mut().begin(&|| order.prompt_tokens());
    let mut judged = order.insists_on_json().then(Reply::default);
    for event in &mut events {
        let event = event?;
        let is_last = matches!(event, Event::Finish(_));
        judge(order, judged.as_mut(), &event)?;
        pass(request, outlet, 0, true, &event)?;
        if is_last {
            break;
        }
    }
    // the client has its end before `events` is dropped and puts Poe's connection in order
    outlet.borrow_mut().end().map_err(Fault::Client)
}

/// Asks for all choices side by side and passes their events on as they come.
fn several_choices(
    request: &mut Exchange<'_, '_>,
    choices: &[Choice<'_>],
    outlet: &RefCell<Outlet>,
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
        pass(request, outlet, index, choice.is_first, &event).map_err(|fault| match fault {
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
    request: &mut Exchange<'_, '_>,
    outlet: &RefCell<Outlet>,
    index: usize,
    is_first: bool,
    event: &Event,
) -> Result<(), Fault> {
    outlet.borrow_mut().send(index, event).map_err(Fault::Client)?;
    request.record.status = 200;
    request.record.first_byte();
    request.record.hear(event);
    if let Event::Finish(finish) = event {
        request.record.add_usage(finish.usage, is_first);
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

/// Ends a wait as [`Exchange::cancel_check`] does, and sends the stream's sign of life when it is time.
fn watch_stream(request: &Exchange<'_, '_>, outlet: &Rc<RefCell<Outlet>>) -> Watch {
    let (client, outlet) = (request.cancel_check(), Rc::clone(outlet));
    Rc::new(move || {
        client()?;
        let sign = outlet.borrow_mut().keep_alive();
        sign.map_err(|_| Error::new(Kind::ClientGone, "the client has left"))
    })
}
