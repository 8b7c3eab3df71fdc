//! Jobs that make videos: what is kept of each, by its owner, and how many run. Bounded in number, bytes and age.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::responses::Owner;
use crate::error::{Error, Kind, Result};

/// How long a job is kept.
pub const LIFETIME_SECONDS: u64 = 24 * 3600;
/// The most jobs that are kept of one owner.
pub const MOST_OF_ONE: usize = 200;
/// The most jobs that are kept of all owners, and their bytes.
const MOST: usize = 1000;
const MOST_BYTES: usize = 8 << 20;
/// The most jobs that run at a time, of all owners and of one.
const MOST_RUNNING: usize = 32;
const MOST_RUNNING_OF_ONE: usize = 8;
/// What a job takes beside its texts.
const AROUND: usize = 512;

/// A job: what was asked, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// Its id.
    pub id: String,
    /// The model's name as the client wrote it.
    pub model: String,
    /// The words.
    pub prompt: String,
    /// The size that was asked for.
    pub size: Option<String>,
    /// The length that was asked for.
    pub seconds: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// How far it is.
    pub stage: VideoStage,
}

/// How far a job is. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum VideoStage {
    /// It has not been sent yet.
    Queued,
    /// The bot is at it, so many percent.
    Running(u8),
    /// There is a video.
    Completed {
        /// Since when.
        at: u64,
        /// Where it lies.
        url: String,
        /// Its MIME type.
        content_type: String,
    },
    /// There will be none.
    Failed {
        /// Since when.
        at: u64,
        /// The error's code.
        code: String,
        /// What happened.
        message: String,
    },
}

impl Video {
    /// Whether nothing more happens to it.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, VideoStage::Completed { .. } | VideoStage::Failed { .. })
    }

    fn size(&self) -> usize {
        let more = match &self.stage {
            VideoStage::Queued | VideoStage::Running(_) => 0,
            VideoStage::Completed { url, content_type, .. } => url.len() + content_type.len(),
            VideoStage::Failed { code, message, .. } => code.len() + message.len(),
        };
        let asked = [&self.size, &self.seconds].into_iter().flatten().map(String::len).sum::<usize>();
        AROUND + self.id.len() + self.model.len() + self.prompt.len() + asked + more
    }
}

/// The jobs that are kept. Only the owner of one finds it.
pub trait Videos: Send + Sync {
    /// Keeps a new job. Old jobs that are over make room.
    fn insert(&self, owner: Owner, video: Video);

    /// The job `id`, if it is `owner`'s and not too old.
    fn get(&self, owner: Owner, id: &str, now: u64) -> Option<Video>;

    /// Whether `owner` still has the job `id`.
    fn has(&self, owner: Owner, id: &str) -> bool;

    /// All jobs of `owner`, the oldest first.
    fn list(&self, owner: Owner, now: u64) -> Vec<Video>;

    /// Notes how far the job `id` is, unless it has been removed.
    fn advance(&self, owner: Owner, id: &str, stage: VideoStage);

    /// Removes the job `id`; whether it was there.
    fn remove(&self, owner: Owner, id: &str) -> bool;
}

/// The jobs of one process, the oldest first.
#[derive(Debug, Default)]
pub struct VideoStore {
    kept: Mutex<Vec<(Owner, Video)>>,
}

impl VideoStore {
    /// The jobs, without those that are too old at `now`.
    fn lock(&self, now: u64) -> MutexGuard<'_, Vec<(Owner, Video)>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, video)| !video.is_over() || video.created + LIFETIME_SECONDS > now);
        kept
    }
}

impl Videos for VideoStore {
    fn insert(&self, owner: Owner, video: Video) {
        let mut kept = self.lock(video.created);
        kept.push((owner, video));
        while kept.iter().filter(|(of, _)| *of == owner).count() > MOST_OF_ONE {
            if !remove_oldest(&mut kept, |of| *of == owner) {
                break;
            }
        }
        let bytes = |kept: &[(Owner, Video)]| kept.iter().map(|(_, video)| video.size()).sum::<usize>();
        while kept.len() > MOST || bytes(&kept) > MOST_BYTES {
            if !remove_oldest(&mut kept, |_| true) {
                break;
            }
        }
    }

    fn get(&self, owner: Owner, id: &str, now: u64) -> Option<Video> {
        let kept = self.lock(now);
        kept.iter().find(|(of, video)| *of == owner && video.id == id).map(|(_, video)| video.clone())
    }

    fn has(&self, owner: Owner, id: &str) -> bool {
        self.lock(0).iter().any(|(of, video)| *of == owner && video.id == id)
    }

    fn list(&self, owner: Owner, now: u64) -> Vec<Video> {
        let kept = self.lock(now);
        kept.iter().filter(|(of, _)| *of == owner).map(|(_, video)| video.clone()).collect()
    }

    fn advance(&self, owner: Owner, id: &str, stage: VideoStage) {
        let mut kept = self.lock(0);
        if let Some((_, video)) = kept.iter_mut().find(|(of, video)| *of == owner && video.id == id) {
            video.stage = stage;
        }
    }

    fn remove(&self, owner: Owner, id: &str) -> bool {
        let mut kept = self.lock(0);
        let before = kept.len();
        kept.retain(|(of, video)| !(*of == owner && video.id == id));
        kept.len() < before
    }
}

/// Removes the oldest job that is over; false if there is none.
fn remove_oldest(kept: &mut Vec<(Owner, Video)>, of: impl Fn(&Owner) -> bool) -> bool {
    let oldest = kept.iter().position(|(owner, video)| of(owner) && video.is_over());
    oldest.map(|at| kept.remove(at)).is_some()
}

/// The jobs that run in this process.
#[derive(Debug, Default)]
pub struct RunningJobs {
    owners: Mutex<Vec<Owner>>,
}

impl RunningJobs {
    /// Begins a job. An error says that too many run.
    pub fn enter(&self, owner: Owner) -> Result<()> {
        let mut owners = self.lock();
        let own = owners.iter().filter(|of| **of == owner).count();
        if own >= MOST_RUNNING_OF_ONE {
            let message = format!("{own} videos of this key are being made: wait for one, or delete it");
            return Err(Error::new(Kind::RateLimited, message).retry_after(RETRY_AFTER));
        }
        if owners.len() >= MOST_RUNNING {
            let message = format!("{} videos are being made on this server; try again later", owners.len());
            return Err(Error::new(Kind::Overloaded, message).retry_after(RETRY_AFTER));
        }
        owners.push(owner);
        Ok(())
    }

    /// A job of `owner` has ended.
    pub fn leave(&self, owner: Owner) {
        let mut owners = self.lock();
        if let Some(at) = owners.iter().position(|of| *of == owner) {
            owners.swap_remove(at);
        }
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Owner>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a client may try again that was refused.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn video(id: usize, created: u64, stage: VideoStage) -> Video {
        let (model, prompt) = ("m".to_owned(), "a cat".to_owned());
        Video { id: id.to_string(), model, prompt, size: None, seconds: None, created, stage }
    }

    fn failed() -> VideoStage {
        VideoStage::Failed { at: 1, code: "x".into(), message: "y".into() }
    }

    #[test]
    fn a_job_belongs_to_its_owner() {
        let (store, own, other) = (VideoStore::default(), Owner::of("a"), Owner::of("b"));
        store.insert(own, video(1, 1, VideoStage::Queued));
        store.advance(own, "1", VideoStage::Running(7));
        store.advance(other, "1", failed());
        assert_eq!(store.get(own, "1", 1).unwrap().stage, VideoStage::Running(7));
        assert!(
            store.get(other, "1", 1).is_none() && store.list(other, 1).is_empty() && !store.has(other, "1")
        );
        assert!(!store.remove(other, "1") && store.remove(own, "1") && !store.remove(own, "1"));
        store.advance(own, "1", failed());
        assert!(store.list(own, 1).is_empty(), "what was removed does not come back");
    }

    #[test]
    fn jobs_that_are_over_grow_old_and_make_room() {
        let (store, own, other) = (VideoStore::default(), Owner::of("a"), Owner::of("b"));
        store.insert(other, video(0, 5, failed()));
        store.insert(own, video(0, 5, VideoStage::Queued));
        for id in 1..=MOST_OF_ONE {
            store.insert(own, video(id, 6, failed()));
        }
        let ids = |now| store.list(own, now).into_iter().map(|video| video.id).collect::<Vec<_>>();
        assert_eq!((ids(6).len(), ids(6)[0].as_str(), ids(6)[1].as_str()), (MOST_OF_ONE, "0", "2"));
        assert!(store.has(other, "0"), "a stranger's jobs do not count");
        assert_eq!(ids(6 + LIFETIME_SECONDS), ["0"], "a job that runs is not forgotten");
        assert!(!store.has(other, "0"));
    }

    #[test]
    fn bytes_are_bounded() {
        let store = VideoStore::default();
        for id in 0..400 {
            let prompt = "x".repeat(32_000);
            store.insert(Owner::of(&(id % 7).to_string()), Video { prompt, ..video(id, 1, failed()) });
        }
        let kept = store.lock(1);
        assert!(kept.iter().map(|(_, video)| video.size()).sum::<usize>() <= MOST_BYTES);
        assert!(kept.len() > 200 && kept.last().unwrap().1.id == "399");
    }

    #[test]
    fn jobs_that_run_are_bounded_for_each_key_and_for_all() {
        let running = RunningJobs::default();
        let own = Owner::of("a");
        for _ in 0..MOST_RUNNING_OF_ONE {
            running.enter(own).unwrap();
        }
        assert_eq!(running.enter(own).unwrap_err().kind, Kind::RateLimited);
        running.leave(own);
        running.enter(own).unwrap();
        let others = (0..MOST_RUNNING).map(|number| Owner::of(&number.to_string()));
        let refused: Vec<_> = others.filter_map(|other| running.enter(other).err()).collect();
        assert_eq!((running.count(), refused.len()), (MOST_RUNNING, MOST_RUNNING_OF_ONE));
        assert_eq!(refused[0].kind, Kind::Overloaded);
    }
}
