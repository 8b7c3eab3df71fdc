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
use super::connection::Call;
use super::order::{Manner, Order};
use super::outlet::Outlet;
use super::record::Record;
use super::router::{poe_key, refuse, send};
use super::seats::Going;
use crate::app::App;
use crate::dialect::{Question, Stamp};
use crate::error::{Error, Kind, Result};
use crate::exchange::{Event, Reply};
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
    let heard = |key: &str, body: &[u8], stamp: &Stamp<'_>| {
        record.hear_request(app, key, body);
        decode(key, body, stamp)
    };
    let (key, question) = match question(app, call, heard) {
        Ok(decoded) => decoded,
        Err(error) => return refuse(call, record, &error),
    };
    record.model = Some(question.ask.model.clone());
    record.stream = question.stream;
    record.show();
    match question.stream {
        true => stream(app, call, record, &key, question),
        false => whole(app, call, record, &key, question),
    }
}

/// Who asks, and what.
fn question(
    app: &App,
    call: &mut Call<'_>,
    decode: impl FnOnce(&str, &[u8], &Stamp<'_>) -> Result<Question>,
) -> Result<(String, Question)> {
    let key = poe_key(app, call.head())?;
    let body = body(app, call)?;
    let now = UNIX_EPOCH.elapsed().map_or(0, |time: Duration| time.as_secs());
    let question = decode(&key, &body, &Stamp { now, make_id: &id })?;
    Ok((key, question))
}

/// The request's body, as it was sent.
pub fn body(app: &App, call: &mut Call<'_>) -> Result<Vec<u8>> {
    if let Some(encoding) = call.head().header("content-encoding").filter(|name| *name != "identity") {
        let message = format!("a body with Content-Encoding {encoding} is not read here: send it plain");
        return Err(Error::new(Kind::UnsupportedEncoding, message));
    }
    call.body(app.settings.max_request_size)
}

/// The answer as one piece.
fn whole(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    key: &str,
    question: Question,
) -> io::Result<()> {
    let Question { ask, mut encoder, .. } = question;
    let watch = watch_client(call);
    let replies = Order::prepare(app, key, ask, &watch).and_then(|order| {
        record.asks(order.bot());
        let choices = vec![(); order.choices()];
        poe::aside(choices, MAX_CHOICES, &watch, |(), watch| order.reply(watch)).into_iter().collect()
    });
    let replies: Vec<Reply> = match replies {
        Ok(replies) => replies,
        Err(error) => return refuse(call, record, &error),
    };
    replies.iter().for_each(|reply| record.add_usage(reply.finish.usage));
    let body = encoder.whole(&replies);
    record.hear_body(&body);
    send(call, record, Answer::json(200, body))
}

/// The answer as a stream, one flush per event.
fn stream(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    key: &str,
    question: Question,
) -> io::Result<()> {
    let Question { ask, encoder, .. } = question;
    let outlet = Outlet::shared(call.event_stream(), encoder, app.settings.keep_alive);
    let watch = watch_stream(call, &outlet);
    let told = Order::prepare(app, key, ask, &watch).map_err(Fault::from).and_then(|order| {
        record.asks(order.bot());
        match order.choices() {
            1 => one_choice(&order, &outlet, record, &watch),
            _ => several_choices(&order, &outlet, record, &watch),
        }
    });
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

/// Passes every event on as it comes.
fn one_choice(
    order: &Order<'_>,
    outlet: &RefCell<Outlet>,
    record: &mut Record,
    watch: &Watch,
) -> Result<(), Fault> {
    let mut events = order.place(Manner::Stream, watch)?;
    let mut judged = order.insists_on_json().then(Reply::default);
    for event in &mut events {
        let event = event?;
        let is_last = matches!(event, Event::Finish(_));
        judge(order, judged.as_mut(), &event)?;
        pass(outlet, record, 0, &event)?;
        if is_last {
            break;
        }
    }
    // the client has its end before `events` is dropped and puts Poe's connection in order
    outlet.borrow_mut().end().map_err(Fault::Client)
}

/// Asks for all choices side by side and passes their events on as they come.
fn several_choices(
    order: &Order<'_>,
    outlet: &RefCell<Outlet>,
    record: &mut Record,
    watch: &Watch,
) -> Result<(), Fault> {
    let next = AtomicUsize::new(0);
    let worker = |watch: &Watch, told: &SyncSender<(usize, Result<Event>)>| {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let tell = |event| told.send((index, event)).is_ok();
        match order.place(Manner::Stream, watch) {
            Ok(mut events) => while events.next().is_some_and(tell) {},
            Err(error) => drop(tell(Err(error))),
        }
    };
    let mut judged: Vec<_> =
        (0..order.choices()).map(|_| order.insists_on_json().then(Reply::default)).collect();
    let mut left = Ok(());
    let told = poe::listen(order.choices(), watch, worker, |(index, event)| {
        let event = event?;
        judge(order, judged[index].as_mut(), &event)?;
        pass(outlet, record, index, &event).map_err(|fault| match fault {
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

fn pass(outlet: &RefCell<Outlet>, record: &mut Record, index: usize, event: &Event) -> Result<(), Fault> {
    outlet.borrow_mut().send(index, event).map_err(Fault::Client)?;
    record.status = 200;
    record.first_byte();
    record.hear(event);
    if let Event::Finish(finish) = event {
        record.add_usage(finish.usage);
    }
    Ok(())
}

/// Keeps the text of an answer that must be JSON, and judges it before its end is told.
fn judge(order: &Order<'_>, reply: Option<&mut Reply>, event: &Event) -> Result<()> {
    let Some(reply) = reply else { return Ok(()) };
    match event {
        Event::Text(text) => reply.text.push_str(text),
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
        if halt.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Stopped, "the operator of this server stopped the request"));
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
