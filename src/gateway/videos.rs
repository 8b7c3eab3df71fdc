//! Jobs that make videos: each asks a bot on a thread of its own, after its request has been answered.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::context::Authenticated;
use super::prepared_request::{PreparedRequest, wait_turn};
use super::quota::{admit, files};
use super::record::Record;
use super::relay::now;
use crate::budget::Reservation;
use crate::dialect::openai;
use crate::dialect::videos::VideoRequest;
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::ids::id;
use crate::pipeline::{Attachment, ChatRequest, FileSource, MediaKind, Part, SAID, made};
use crate::poe::CancelCheck;
use crate::server::connection::stopped;
use crate::server::connection_slots::{ShutdownPhase, Stop};
use crate::state::responses::Owner;
use crate::state::videos::{Video, VideoStage};

/// No bot takes longer than this.
const MAX_TIME: Duration = Duration::from_secs(3600);
const STACK_BYTES: usize = 1 << 20;
/// What a bot may say of a video that is kept for a day, in characters and in bytes.
const MOST_CHARACTERS: usize = 2000;
const LONGEST_URL: usize = 8 << 10;
/// How long the server's end waits for jobs to notice it.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// Starts a job; its record in the store says how far it is. The request waits for its turn, the job does not.
pub fn start(request: &mut Authenticated<'_, '_>, video_request: VideoRequest) -> Result<Video> {
    let (app, owner, key) = (request.shared_app(), request.owner(), request.key());
    let VideoRequest { chat, prompt, size, seconds } = video_request;
    let cancel = request.cancel_check();
    // a name that is not served, or not for this key, is refused at once
    admit(request, std::slice::from_ref(&chat), &cancel)?;
    let mut memory = Reservation::default();
    memory.cover_request(bytes(&chat))?;
    app.video_jobs.enter(owner)?;
    let slot = Slot { app: Arc::clone(&app), owner };
    wait_turn(&app, &key, request.record.address, &cancel)?;
    let (id, model) = (id("video_"), chat.model.clone());
    let stop_job = Arc::new(AtomicBool::new(false));
    let mut job = Job {
        record: request.record.of_job(&id, &model),
        id: id.clone(),
        stop: request.stop(),
        stop_job: Arc::clone(&stop_job),
        outcome: None,
        slot,
        _memory: memory,
    };
    let video = Video { id, model, prompt, size, seconds, created: now(), stage: VideoStage::Queued };
    app.videos.insert(owner, video.clone());
    let agent = request.head().header("user-agent").unwrap_or_default();
    job.record.begin_job(&app, agent, Box::new(move || stop_job.store(true, Ordering::Relaxed)));
    let work = move || {
        job.outcome = Some(job.make(&key, chat));
        drop(job);
    };
    let thread = thread::Builder::new().name("video".into()).stack_size(STACK_BYTES).spawn(work);
    thread.map_err(|error| Error::new(Kind::Overloaded, format!("cannot start a thread: {error}")))?;
    Ok(video)
}

/// Waits until the jobs have noticed that the server ends.
pub fn wait_for_end(app: &App) {
    let start = Instant::now();
    while app.video_jobs.count() > 0 && start.elapsed() < LAST_WAIT {
        thread::sleep(Duration::from_millis(20));
    }
}

/// What the request's text and files take.
fn bytes(chat: &ChatRequest) -> usize {
    let parts = chat.messages.iter().flat_map(|message| &message.parts);
    let size = |part: &Part| match part {
        Part::Text(text) => text.len(),
        Part::File(FileSource::Data { bytes, .. }) => bytes.len(),
        Part::File(_) => 0,
    };
    parts.map(size).sum()
}

/// The place of a job among those that run.
struct Slot {
    app: Arc<App>,
    owner: Owner,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.app.video_jobs.leave(self.owner);
    }
}

/// A job that runs. Its end is noted when it is dropped, also after a panic.
struct Job {
    id: String,
    record: Record,
    stop: Stop,
    /// Whether the operator stops it.
    stop_job: Arc<AtomicBool>,
    outcome: Option<Result<Attachment>>,
    slot: Slot,
    _memory: Reservation,
}

impl Job {
    fn make(&mut self, key: &str, chat: ChatRequest) -> Result<Attachment> {
        let (app, owner, cancel) = (Arc::clone(&self.slot.app), self.slot.owner, self.cancel_check());
        self.record.uploads += files(&chat);
        let prepared =
            PreparedRequest::prepare(&app, key, (self.record.address, &self.record.caller), chat, &cancel)?;
        self.record.chats(prepared.bot());
        app.videos.advance(owner, &self.id, VideoStage::Running(0));
        let (reporting, id) = (Arc::clone(&app), self.id.clone());
        let report = move |percent| reporting.videos.advance(owner, &id, VideoStage::Running(percent));
        let reply = prepared.with_turn().reporting(Arc::new(report)).reply(&cancel)?;
        self.record.add_usage(reply.finish.usage, true);
        let found = made(&reply, MediaKind::Video)?;
        let is_short = |file: &Attachment| file.url.len() + file.content_type.len() <= LONGEST_URL;
        let unusable = || Error::new(Kind::Upstream, "the address of the bot's video is too long");
        found.into_iter().find(is_short).ok_or_else(unusable)
    }

    /// Ends a wait when the job was deleted or takes too long, the operator stops it, or the server ends.
    fn cancel_check(&self) -> CancelCheck {
        let (app, owner, id) = (Arc::clone(&self.slot.app), self.slot.owner, self.id.clone());
        let (stop, stop_job, start) = (self.stop.clone(), Arc::clone(&self.stop_job), Instant::now());
        Rc::new(move || {
            if stop.shutdown_phase() != ShutdownPhase::On {
                return Err(Error::new(Kind::Overloaded, "the server is shutting down"));
            }
            if stop_job.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            if !app.videos.has(owner, &id) {
                return Err(Error::new(Kind::ClientGone, "the video was deleted"));
            }
            match start.elapsed() < MAX_TIME {
                true => Ok(()),
                false => Err(Error::new(Kind::UpstreamTimeout, "the video took longer than an hour")),
            }
        })
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let fault = || Err(Error::new(Kind::Internal, "a fault in this program"));
        let at = now();
        let stage = match self.outcome.take().unwrap_or_else(fault) {
            Ok(Attachment { url, content_type, .. }) => {
                self.record.status = 200;
                VideoStage::Completed { at, url, content_type }
            }
            Err(error) => {
                self.record.status = error.kind.status();
                // what a bot has said is for the client alone, not for the log
                self.record.kind = Some(error.kind);
                self.record.fault = error.message.split(SAID).next().map(str::to_owned);
                let (kind, code) = openai::kind_and_code(error.kind);
                let message = error.message.chars().take(MOST_CHARACTERS).collect();
                VideoStage::Failed { at, code: code.unwrap_or(kind).to_owned(), message }
            }
        };
        self.record.end(&self.slot.app);
        self.slot.app.videos.advance(self.slot.owner, &self.id, stage);
    }
}
