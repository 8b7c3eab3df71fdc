//! Request context: shared state, connection and record of one request.
//!
//! An [`Exchange`] has no body. A handler gets the body only through [`Admitted`] or [`Authenticated`], and these are
//! made here alone, after the request's keys or password have been checked.

use std::io;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::access;
pub use super::access::CHALLENGE;
use super::record::Record;
use crate::error::{Error, Kind, Result};
use crate::gateway::app::{App, Client};
use crate::ids::id;
use crate::poe::{CancelCheck, pause};
use crate::server::answer::Answer;
use crate::server::body::Limit;
use crate::server::connection::{Call, stopped};
use crate::server::connection_slots::{ConnectionSlots, ShutdownPhase, Stop};
use crate::server::event_stream::EventStream;
use crate::server::head::Head;
use crate::server::url;
use crate::state::responses::Owner;

/// The most characters of a request id that a client sends.
const MAX_ID: usize = 128;
/// Delay of a 429 for guessed passwords and keys: a client that ignores `Retry-After` cannot guess faster.
const THROTTLE_DELAY: Duration = Duration::from_millis(400);

/// One request and its answer, before it is known who asks.
pub struct Exchange<'a, 'c> {
    app: &'a Arc<App>,
    call: &'a mut Call<'c>,
    /// What is logged and counted when the request ends.
    pub record: Record,
    /// The part of the path that the route's pattern leaves open.
    pub parameter: String,
    /// The native endpoint of Poe's that has failed for this request.
    pub failed_endpoint: Option<&'static str>,
}

impl<'a, 'c> Exchange<'a, 'c> {
    /// Begins the record of a request. It is written when the exchange is dropped, also after a panic.
    pub fn new(app: &'a Arc<App>, call: &'a mut Call<'c>) -> Exchange<'a, 'c> {
        let id = request_id(call.head());
        call.name(&id);
        let record = Record::new(call, id);
        Exchange { app, call, record, parameter: String::new(), failed_endpoint: None }
    }

    /// State that all requests share.
    pub fn app(&self) -> &'a App {
        self.app
    }

    /// The same, for work that goes on after the request.
    pub fn shared_app(&self) -> Arc<App> {
        Arc::clone(self.app)
    }

    /// By which work that goes on after the request sees that the server ends.
    pub fn stop(&self) -> Stop {
        self.call.stop().clone()
    }

    /// Request line and headers.
    pub fn head(&self) -> &Head {
        self.call.head()
    }

    /// Who asks: nobody in particular before the key was checked, and where none is asked for.
    pub fn client(&self) -> &Client {
        &self.record.caller
    }

    /// The first value of a parameter of the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        self.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All parameters of the query, decoded.
    pub fn query_pairs(&self) -> impl Iterator<Item = (String, String)> {
        url::pairs(self.head().query.as_deref())
    }

    /// All connections of the server.
    pub fn connections(&self) -> &ConnectionSlots {
        self.call.slots()
    }

    /// How far the server is on its way to its end.
    pub fn shutdown_phase(&self) -> ShutdownPhase {
        self.call.stop().shutdown_phase()
    }

    /// Shows the request on the admin page, where it can be stopped.
    pub fn show_to_operator(&mut self) {
        self.record.begin(self.app, self.call);
    }

    /// Answers from here on are for the operator: no other web page may read them.
    pub fn for_operator(&mut self) {
        self.call.for_operator();
    }

    /// Ends a wait when the client disconnected, the operator stops the request, or the server ends.
    pub fn cancel_check(&self) -> CancelCheck {
        let (client, stop, abort) =
            (self.call.client(), self.call.stop().clone(), Arc::clone(self.call.abort()));
        Rc::new(move || {
            if client.is_gone() {
                return Err(Error::new(Kind::ClientGone, "the client disconnected"));
            }
            if abort.is_requested() {
                return Err(stopped());
            }
            match stop.shutdown_phase() {
                ShutdownPhase::Ending => Err(Error::new(Kind::Overloaded, "the server is shutting down")),
                ShutdownPhase::On | ShutdownPhase::Leaving | ShutdownPhase::Draining => Ok(()),
            }
        })
    }

    /// Adds headers of Poe's to a whole answer.
    pub fn pass_on(&mut self, headers: Vec<(String, String)>) {
        self.call.pass_on(headers);
    }

    /// Begins a streamed answer; nothing is sent before its first piece.
    pub fn stream(&mut self, content_type: &'static str) -> EventStream {
        self.call.stream(content_type)
    }

    /// Begins an answer whose body follows piece by piece; nothing is sent before its first piece.
    pub fn body_stream(&mut self, answer: &Answer, length: Option<usize>) -> EventStream {
        self.record.status = answer.status;
        self.record.first_byte();
        self.call.body_stream(answer, length)
    }

    /// An error in the dialect of the route, with the time after which to try again.
    pub fn error_answer(&self, error: &Error) -> Answer {
        let dialect = self.record.dialect;
        let body = dialect.error_answer(error, Some(&self.record.id));
        let mut answer = Answer::json(dialect.status(error.kind), body);
        if error.is_final {
            // the SDKs of OpenAI and Anthropic go by it
            answer = answer.header("x-should-retry", "false");
        }
        match error.retry_after {
            Some(wait) => answer.header("Retry-After", wait.as_secs_f64().ceil().max(1.0).to_string()),
            None => answer,
        }
    }

    /// Sends a whole answer.
    pub fn send(&mut self, answer: Answer) -> io::Result<()> {
        self.record.status = answer.status;
        self.record.first_byte();
        self.call.send(answer)
    }

    /// Sends an error as a whole answer.
    pub fn refuse(&mut self, error: &Error) -> io::Result<()> {
        self.refuse_with(error, |answer| answer)
    }

    /// Sends an error as a whole answer that `complete` has added headers to.
    pub fn refuse_with(&mut self, error: &Error, complete: impl FnOnce(Answer) -> Answer) -> io::Result<()> {
        self.record.status = self.record.dialect.status(error.kind);
        self.record.failed(error);
        match error.kind {
            Kind::ClientGone => Err(io::ErrorKind::BrokenPipe.into()),
            _ => self.send(complete(self.error_answer(error))),
        }
    }

    /// Sends what a handler has made, or its error.
    pub fn reply(&mut self, answer: Result<Answer>) -> io::Result<()> {
        match answer {
            Ok(answer) => self.send(answer),
            Err(error) => self.refuse(&error),
        }
    }

    /// Checks what holds for every sender, whatever it asks.
    pub fn check_sender(&self) -> Result<()> {
        access::check_sender(self.app, self.head(), self.call.client().address())
    }

    /// Goes on with `handler` if the client may read the list of models: the list is public at Poe, but a server with
    /// keys of its own shows it only to those who have one.
    pub fn admit_reader(self, handler: impl FnOnce(Admitted<'a, 'c>) -> io::Result<()>) -> io::Result<()> {
        match self.app.requires_keys() || !self.app.settings.proxy_api_keys.is_empty() {
            false => handler(Admitted { exchange: self }),
            true => self.authenticate(|request| handler(request.admitted)),
        }
    }

    /// Goes on with `handler` if the request has a key that is good here.
    pub fn authenticate(
        mut self,
        handler: impl FnOnce(Authenticated<'a, 'c>) -> io::Result<()>,
    ) -> io::Result<()> {
        match access::keys(self.app, self.head(), self.call.client().address()) {
            Ok(keys) => {
                let access::Keys { poe, owner, client } = keys;
                self.record.identify(client);
                handler(Authenticated { admitted: Admitted { exchange: self }, key: poe, owner })
            }
            Err(error) => {
                self.delay_throttled(&error)?;
                self.refuse(&error)
            }
        }
    }

    /// Goes on with `handler` if the operator asks. `page` may say it in another way than the error's JSON if not.
    pub fn authenticate_operator(
        mut self,
        handler: impl FnOnce(Admitted<'a, 'c>) -> io::Result<()>,
        page: impl FnOnce(&Exchange<'a, 'c>, &Error) -> Option<Answer>,
    ) -> io::Result<()> {
        self.for_operator();
        match access::operator(self.app, self.head(), self.call.client().address()) {
            Ok(()) => handler(Admitted { exchange: self }),
            Err(error) => {
                self.delay_throttled(&error)?;
                let page = page(&self, &error);
                self.refuse_with(&error, |answer| match error.kind {
                    Kind::Unauthorized => {
                        page.unwrap_or(answer).header("WWW-Authenticate", access::CHALLENGE)
                    }
                    Kind::MethodNotAllowed => answer.header("Allow", access::OPERATOR_METHODS),
                    _ => page.unwrap_or(answer),
                })
            }
        }
    }

    fn delay_throttled(&self, error: &Error) -> io::Result<()> {
        match error.kind {
            Kind::RateLimited => pause(THROTTLE_DELAY, &self.cancel_check())
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe)),
            _ => Ok(()),
        }
    }
}

impl Drop for Exchange<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.record.status = Kind::Internal.status();
            self.record.kind = Some(Kind::Internal);
            self.record.fault.get_or_insert_with(|| "a fault in this program".to_owned());
        }
        self.record.end(self.app);
    }
}

/// A request whose sender may be answered; its body can be read.
pub struct Admitted<'a, 'c> {
    exchange: Exchange<'a, 'c>,
}

impl<'a, 'c> Admitted<'a, 'c> {
    /// The body as it was sent.
    pub fn body(&mut self) -> Result<Vec<u8>> {
        self.limited_body(u64::MAX)
    }

    /// The body as it was sent, of at most `limit` bytes and at most `MAX_REQUEST_SIZE`.
    pub fn limited_body(&mut self, limit: u64) -> Result<Vec<u8>> {
        let encoding = self.head().header("content-encoding").filter(|name| *name != "identity");
        if let Some(encoding) = encoding {
            let message = format!("Content-Encoding {encoding} is not supported: send the body uncompressed");
            return Err(Error::new(Kind::UnsupportedEncoding, message));
        }
        let most = self.app.max_request_size();
        let setting = (limit > most).then_some("MAX_REQUEST_SIZE");
        self.exchange.call.body(Limit { bytes: limit.min(most), setting })
    }

    /// Gives back the memory that was reserved for the body: it has been decoded and dropped.
    pub fn body_is_decoded(&mut self) {
        self.exchange.call.body_is_decoded();
    }

    /// The same request of the operator, which uses `key` at Poe.
    pub fn with_key(mut self, key: &str) -> Authenticated<'a, 'c> {
        self.record.identify(Client::unnamed(Client::ADMIN));
        Authenticated { admitted: self, key: key.into(), owner: Owner::of(key) }
    }
}

impl<'a, 'c> Deref for Admitted<'a, 'c> {
    type Target = Exchange<'a, 'c>;

    fn deref(&self) -> &Exchange<'a, 'c> {
        &self.exchange
    }
}

impl DerefMut for Admitted<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.exchange
    }
}

/// A request with a key for Poe.
pub struct Authenticated<'a, 'c> {
    admitted: Admitted<'a, 'c>,
    key: Arc<str>,
    owner: Owner,
}

impl Authenticated<'_, '_> {
    /// The key for Poe.
    pub fn key(&self) -> Arc<str> {
        Arc::clone(&self.key)
    }

    /// Whose stored responses the request may read.
    pub fn owner(&self) -> Owner {
        self.owner
    }
}

impl<'a, 'c> Deref for Authenticated<'a, 'c> {
    type Target = Admitted<'a, 'c>;

    fn deref(&self) -> &Admitted<'a, 'c> {
        &self.admitted
    }
}

impl DerefMut for Authenticated<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.admitted
    }
}

/// The id that the client has given its request, else a new one.
fn request_id(head: &Head) -> String {
    let fits = |id: &&str| (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    head.header("x-request-id").filter(fits).map_or_else(|| id("req_"), str::to_owned)
}
