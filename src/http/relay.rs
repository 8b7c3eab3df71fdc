//! One request's life, in reading order: start reading here.
//!
//! The body is decoded into an `Ask`, waits its turn, and goes to Poe. What comes back rises through the stages and
//! is folded into one answer or streamed. Until the first byte has left, a fault is an answer with its true status;
//! after it, an error event inside the stream.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::answer::Answer;
use super::connection::Call;
use super::outlet::Outlet;
use super::record::Record;
use super::router::{refuse, send, shown_key};
use super::seats::Going;
use crate::app::App;
use crate::dialect::chat::{self, Chat, Encoder, Meta};
use crate::error::{Error, Kind, Result};
use crate::exchange::{Event, Reply, Stages, Usage, prompt_tokens};
use crate::poe::{self, Watch};
use crate::store::ids::id;
use crate::store::tokens;

/// Answers `POST /v1/chat/completions`.
pub fn chat(app: &App, call: &mut Call<'_>, record: &mut Record) -> io::Result<()> {
    let (key, chat) = match decode(app, call) {
        Ok(decoded) => decoded,
        Err(error) => return refuse(call, record, &error),
    };
    record.model = Some(chat.ask.model.clone());
    let meta = Meta {
        id: id("chatcmpl-"),
        created: UNIX_EPOCH.elapsed().map_or(0, |time: Duration| time.as_secs()),
        model: chat.ask.model.clone(),
        has_functions: chat.has_functions,
    };
    match chat.stream {
        true => stream(app, call, record, &key, &chat, meta),
        false => whole(app, call, record, &key, &chat, &meta),
    }
}

/// Who asks, and what.
fn decode(app: &App, call: &mut Call<'_>) -> Result<(String, Chat)> {
    let key = app.poe_key(shown_key(call.head())?.as_deref())?;
    if let Some(encoding) = call.head().header("content-encoding").filter(|name| *name != "identity") {
        let message = format!("a body with Content-Encoding {encoding} is not read here: send it plain");
        return Err(Error::new(Kind::UnsupportedEncoding, message));
    }
    let body = call.body(app.settings.max_request_size)?;
    Ok((key, chat::decode(&body)?))
}

/// Asks Poe, once it is this request's turn.
fn ask(app: &App, key: &str, chat: &Chat, watch: &Watch) -> Result<impl Iterator<Item = Result<Event>>> {
    wait_turn(app, watch)?;
    let query = poe::encode_query(&chat.ask)
        .map_err(|error| Error::new(Kind::Internal, format!("the query could not be written: {error}")))?;
    let live = app.poe.ask(&chat.ask.bot, key, &query, watch)?;
    Ok(live.through(Usage::new(tokens::count, prompt_tokens(&chat.ask, tokens::count))))
}

/// Takes a slot of the limiter and waits for it.
fn wait_turn(app: &App, watch: &Watch) -> Result<()> {
    let wait = app.limiter.take(Instant::now()).map_err(|wait| {
        let message = "too many requests at once for RATE_LIMIT_MS of this server";
        Error::new(Kind::RateLimited, message).retry_after(wait)
    })?;
    poe::pause(wait, watch)
}

/// The answer as one piece.
fn whole(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    key: &str,
    chat: &Chat,
    meta: &Meta,
) -> io::Result<()> {
    let watch = watch_client(call);
    let mut events = match ask(app, key, chat, &watch) {
        Ok(events) => events,
        Err(error) => return refuse(call, record, &error),
    };
    // Poe's connection is put in order, by dropping `events`, only after the client has its answer
    match Reply::fold(&mut events) {
        Ok(reply) => {
            record.usage = reply.finish.usage;
            send(call, record, Answer::json(200, chat::encode(meta, &[reply])))
        }
        Err(error) => refuse(call, record, &error),
    }
}

/// The answer as a stream, one flush per event.
fn stream(
    app: &App,
    call: &mut Call<'_>,
    record: &mut Record,
    key: &str,
    chat: &Chat,
    meta: Meta,
) -> io::Result<()> {
    let encoder = Encoder::new(meta, 1, chat.includes_usage);
    let outlet = Outlet::shared(call.event_stream(), encoder, app.settings.keep_alive);
    let watch = watch_stream(call, &outlet);
    let told = ask(app, key, chat, &watch).map_err(Fault::from).and_then(|mut events| {
        // the client has its end before `events` is dropped and puts Poe's connection in order
        tell(&mut events, &outlet, record)
    });
    match told {
        Ok(()) => Ok(()),
        Err(Fault::Answer(error)) if !outlet.borrow().has_begun() => refuse(call, record, &error),
        Err(Fault::Answer(error)) => {
            record.fault = Some(error.message.clone());
            outlet.borrow_mut().fail(&error)
        }
        Err(Fault::Client(error)) => {
            record.status = Kind::ClientGone.status();
            Err(error)
        }
    }
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

/// Passes every event on as it comes.
fn tell(
    events: &mut impl Iterator<Item = Result<Event>>,
    outlet: &RefCell<Outlet>,
    record: &mut Record,
) -> Result<(), Fault> {
    for event in events {
        let event = event?;
        outlet.borrow_mut().send(0, &event).map_err(Fault::Client)?;
        record.status = 200;
        record.first_byte();
        if let Event::Finish(finish) = event {
            record.usage = finish.usage;
            break;
        }
    }
    outlet.borrow_mut().end().map_err(Fault::Client)
}

/// Ends a wait when the client has left or the server must stop.
pub fn watch_client(call: &Call<'_>) -> Watch {
    let (client, stop) = (call.client(), call.stop().clone());
    Rc::new(move || match (client.is_gone(), stop.going()) {
        (true, _) => Err(Error::new(Kind::ClientGone, "the client has left")),
        (false, Going::Ending) => Err(Error::new(Kind::Overloaded, "the server is shutting down")),
        (false, _) => Ok(()),
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
