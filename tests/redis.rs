//! State that replicas share through Redis: the same tests for the stores in memory and in Redis, replicas that act as one
//! server, and every way in which Redis can fail. Each test starts a Redis server of its own.

#![cfg(feature = "redis")]

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::tls::TLS_FILES;
use common::*;
use poe2openai::config::client_keys::{ClientKey, KeyHash};
use poe2openai::config::directory::Dir;
use poe2openai::config::key_store::KeyStore;
use poe2openai::error::{Error, Kind};
use poe2openai::state::budgets::{Budget, Budgets, LocalBudgets, Period, Spent, Verdict};
use poe2openai::state::client_keys::ClientKeys;
use poe2openai::state::limiter::{Limiter, RateLimiter};
use poe2openai::state::responses::{MemoryResponseStore, Owner, Response, ResponseStore};
use poe2openai::state::shared::SharedStore;
use poe2openai::state::upload_cache::{FileKey, Found, Kept, MemoryUploadCache, Portable, UploadCache};
use poe2openai::state::usage::{Amounts, Labels, LocalUsage, Step, UsageTotals};
use poe2openai::state::videos::{Video, VideoStage, VideoStore, Videos};
use poe2openai::state::{
    Address, Place, RedisBudgets, RedisClientKeys, RedisLink, RedisResponseStore, RedisSlots,
    RedisUploadCache, RedisUsage, RedisVideos,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);
/// A time limit that a machine under load keeps.
const SOON: Duration = Duration::from_secs(5);

/// A Redis or Valkey server.
struct Redis {
    child: Child,
    port: u16,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

impl Redis {
    /// Nothing, with the reason, where none is installed.
    fn start() -> Option<Redis> {
        Redis::on(free_port(), &[])
    }

    fn on(port: u16, arguments: &[&str]) -> Option<Redis> {
        let started = ["redis-server", "valkey-server"].iter().find_map(|program| {
            let mut command = Command::new(program);
            command.args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ]);
            command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        });
        let Some(child) = started else {
            skipped("neither redis-server nor valkey-server is installed");
            return None;
        };
        let redis = Redis { child, port };
        eventually(PATIENCE, "Redis answers", || TcpStream::connect(("127.0.0.1", port)).ok());
        Some(redis)
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn address(&self) -> Address {
        let place = Place::Tcp("127.0.0.1".into(), self.port);
        Address { place, user: None, password: None, database: 0, root_certificates: None }
    }

    fn link(&self) -> Arc<RedisLink> {
        RedisLink::open(self.address(), "test".into(), SOON).expect("an address")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Sends one command and returns the answer as it came.
    fn command(&self, words: &[&str]) -> String {
        command_at(self.port, words)
    }

    fn names(&self) -> Vec<String> {
        let answer = self.command(&["KEYS", "*"]);
        answer.lines().filter(|line| !line.starts_with(['$', '*'])).map(str::to_owned).collect()
    }
}

fn command_at(port: u16, words: &[&str]) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("Redis");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut request = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
    request += "*1\r\n$4\r\nQUIT\r\n";
    socket.write_all(request.as_bytes()).expect("Redis");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("Redis");
    String::from_utf8_lossy(&answer).trim_end_matches("+OK\r\n").to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

// ---- what both versions of each store do

#[derive(Debug, Clone, PartialEq)]
struct Text(String);

impl Kept for Text {
    fn size(&self) -> usize {
        self.0.len()
    }
}

impl Portable for Text {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.clone().into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Text> {
        String::from_utf8(bytes.to_vec()).ok().map(Text)
    }
}

fn file(content: &str) -> FileKey {
    FileKey::new("api key", "image/png", content.as_bytes())
}

fn upload(files: &dyn UploadCache<Text>, content: &str) -> Found<Text> {
    files.get(file(content), &|| Ok(()), &mut || Ok(Text(content.to_owned()))).expect("an upload")
}

fn an_upload_cache(files: &dyn UploadCache<Text>) {
    assert!(!upload(files, "a").was_kept && upload(files, "a").was_kept);
    assert!(!upload(files, "b").was_kept, "the whole content counts");
    files.forget(file("a"));
    assert!(!upload(files, "a").was_kept && upload(files, "b").was_kept);
    let failed = files.get(file("c"), &|| Ok(()), &mut || Err(Error::new(Kind::Upstream, "no")));
    assert_eq!(failed.expect_err("the error of the upload").kind, Kind::Upstream);
    assert!(!upload(files, "c").was_kept, "a failed upload is not kept");
    let uploads = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let found = files.get(file("joined"), &|| Ok(()), &mut || {
                    uploads.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(50)); // an upload that takes its time
                    Ok(Text("joined".into()))
                });
                assert_eq!(found.expect("an upload").value.0, "joined");
            });
        }
    });
    assert_eq!(uploads.into_inner(), 1, "concurrent uploads of one file are one");
}

fn response(previous: Option<&str>, size: usize) -> Response {
    let previous = previous.map(Into::into);
    Response { previous, input: vec![b' '; size], response: b"{}".to_vec(), names: Vec::new() }
}

/// With room for three responses of 1000 bytes.
const ROOM: usize = 4000;

fn a_response_store(responses: &dyn ResponseStore) {
    let (owner, other) = (Owner::of("a"), Owner::of("b"));
    for (id, previous) in [("1", None), ("2", Some("1")), ("3", Some("2"))] {
        responses.keep(owner, id, response(previous, id.len()));
    }
    let found = responses.conversation(owner, "3").expect("a conversation");
    let previous: Vec<_> = found.iter().map(|response| response.previous.as_deref()).collect();
    assert_eq!(previous, [None, Some("1"), Some("2")]);
    assert!(responses.get(other, "1").is_none() && !responses.forget(other, "1"), "it is not theirs");
    assert!(responses.conversation(other, "3").is_none());
    assert!(responses.forget(owner, "1") && !responses.forget(owner, "1"));
    assert!(responses.conversation(owner, "3").is_none(), "a part of it is gone");
    assert!(responses.get(owner, "3").is_some() && responses.get(owner, "1").is_none());

    let named = |size| Response { names: vec!["msg_1".into()], ..response(None, size) };
    responses.keep(owner, "n1", named(1));
    let size = |owner, name| responses.called(owner, name).map(|found| found.input.len());
    assert_eq!((size(owner, "n1"), size(owner, "msg_1")), (Some(1), Some(1)));
    assert_eq!((size(other, "msg_1"), size(owner, "msg_2")), (None, None));
    assert!(responses.get(owner, "msg_1").is_none(), "a name is no id");
    responses.keep(owner, "n2", named(2));
    assert!(responses.forget(owner, "n1"));
    assert_eq!(size(owner, "msg_1"), Some(2), "the later one has it now");
    assert!(responses.forget(owner, "n2") && size(owner, "msg_1").is_none());

    let bounded = Owner::of("bounded");
    for id in ["1", "2", "3"] {
        responses.keep(bounded, id, response(None, 1000));
        thread::sleep(Duration::from_millis(2)); // the clock of uses counts milliseconds
    }
    assert!(responses.get(bounded, "1").is_some());
    thread::sleep(Duration::from_millis(2));
    responses.keep(bounded, "4", response(None, 1000));
    let is_kept = |id: &str| responses.get(bounded, id).is_some();
    assert_eq!(["1", "2", "3", "4"].map(is_kept), [true, false, true, true], "what was used stays");
    responses.keep(bounded, "large", response(None, 2 * ROOM));
    assert!(!is_kept("large") && is_kept("4"));
    responses.keep(bounded, "4", response(None, 3));
    assert_eq!(responses.get(bounded, "4").map(|found| found.input.len()), Some(3), "the later one");
}

fn a_limiter(limiter: impl Fn(Duration, u32, Duration) -> Box<dyn RateLimiter>) {
    let stays = || Ok(());
    let interval = Duration::from_millis(40);
    for (burst, intervals) in [(1, 4), (3, 2)] {
        let limiter = limiter(interval, burst, HOUR);
        let start = Instant::now();
        for _ in 0..5 {
            limiter.wait("a", None, &stays).expect("a slot");
        }
        assert!(start.elapsed() >= interval * intervals, "{:?} for a burst of {burst}", start.elapsed());
    }
    let limiter = limiter(HOUR, 1, Duration::from_millis(100));
    limiter.wait("a", None, &stays).expect("the first slot");
    let error = limiter.wait("a", None, &stays).expect_err("an hour is too long");
    assert_eq!(error.kind, Kind::RateLimited);
    assert!(error.retry_after.is_some());
    let refused = Error::new(Kind::Unauthorized, "no such key");
    limiter.reject("b", &refused);
    assert_eq!(limiter.wait("b", None, &stays), Err(refused));
    assert_eq!((limiter.counts().waiting, limiter.counts().refused), (0, 1));
}

fn video(id: &str) -> Video {
    let (model, prompt) = ("m".to_owned(), "a cat".to_owned());
    Video { id: id.into(), model, prompt, size: None, seconds: None, created: 7, stage: VideoStage::Queued }
}

fn failed() -> VideoStage {
    VideoStage::Failed { at: 1, code: "x".into(), message: "y".into() }
}

fn a_video_store(videos: &dyn Videos) {
    let (own, other) = (Owner::of("a"), Owner::of("b"));
    videos.insert(own, video("1"));
    videos.insert(own, video("2"));
    videos.advance(own, "1", VideoStage::Running(7));
    videos.advance(other, "1", failed());
    assert_eq!(videos.get(own, "1", 7).map(|video| video.stage), Some(VideoStage::Running(7)));
    assert!(videos.get(other, "1", 7).is_none() && !videos.has(other, "1") && videos.has(own, "1"));
    let ids = |owner| videos.list(owner, 7).into_iter().map(|video| video.id).collect::<Vec<_>>();
    assert_eq!((ids(own), ids(other)), (vec!["1".to_owned(), "2".to_owned()], Vec::new()));
    assert!(!videos.remove(other, "1") && videos.remove(own, "1") && !videos.remove(own, "1"));
    videos.advance(own, "1", failed());
    assert!(
        videos.get(own, "1", 7).is_none() && !videos.has(own, "1"),
        "what was removed does not come back"
    );
    videos.advance(own, "2", failed());
    assert_eq!(videos.get(own, "2", 7).map(|video| video.stage), Some(failed()));
}

const NOON: u64 = 1_795_392_000 + 12 * 3600; // 2026-11-23
const DAY: Budget = Budget { period: Period::Day, most: 100 };

fn a_budget(budgets: &dyn Budgets) {
    let reserve = |estimate| budgets.reserve("k", &[DAY], estimate, NOON);
    assert_eq!(
        [reserve(60), reserve(60), reserve(60)],
        [Verdict::Reserved, Verdict::Reserved, Verdict::Busy(0)]
    );
    budgets.settle("k", 60, 30, NOON);
    assert_eq!((reserve(60), reserve(60)), (Verdict::Reserved, Verdict::Busy(0)));
    budgets.settle("k", 60, 60, NOON);
    budgets.settle("k", 60, 60, NOON);
    assert_eq!(reserve(1), Verdict::Exhausted(0));
    assert_eq!(budgets.spent("k", NOON), Spent { day: 150, month: 150, reserved: 0 });
    assert_eq!(budgets.reserve("other", &[DAY], 60, NOON), Verdict::Reserved);
    budgets.correct("k", NOON, 60, 20, NOON + 60);
    assert_eq!(budgets.spent("k", NOON).day, 110);

    let month = Budget { period: Period::Month, most: 150 };
    let later = |now| budgets.reserve("periods", &[DAY, month], 1, now);
    budgets.settle("periods", 0, 100, NOON);
    assert_eq!(later(NOON), Verdict::Exhausted(0));
    let tomorrow = Period::Day.end(NOON);
    assert_eq!(later(tomorrow), Verdict::Reserved);
    budgets.settle("periods", 1, 50, tomorrow);
    assert_eq!(later(tomorrow), Verdict::Exhausted(1));
    assert_eq!(later(Period::Month.end(NOON)), Verdict::Reserved);

    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock");
    let count = || budgets.count("minute", 2, now());
    assert_eq!([count(), count()], [None, None]);
    assert!(count().is_some_and(|wait| wait > Duration::ZERO && wait <= Duration::from_secs(60)));
    assert_eq!(budgets.count("other", 1, now()), None);
}

#[test]
fn the_stores_in_memory_do_what_they_must() {
    a_budget(&LocalBudgets::default());
    a_video_store(&VideoStore::default());
    an_upload_cache(&MemoryUploadCache::new(HOUR, 1 << 20));
    a_response_store(&MemoryResponseStore::new(HOUR, ROOM));
    a_limiter(|interval, burst, max_wait| Box::new(Limiter::new(interval, burst, max_wait)));
}

#[test]
fn the_stores_in_redis_do_the_same() {
    let Some(redis) = Redis::start() else { return };
    let link = redis.link();
    an_upload_cache(&files(&link));
    a_video_store(&RedisVideos::new(Arc::clone(&link)));
    a_budget(&RedisBudgets::new(Arc::default(), Arc::clone(&link)));
    a_response_store(&RedisResponseStore::new(MemoryResponseStore::new(HOUR, ROOM), link, HOUR, ROOM));
    a_limiter(|interval, burst, max_wait| Box::new(limiter(&redis, interval, burst, max_wait)));
}

#[test]
fn the_stores_in_redis_do_the_same_while_redis_is_gone() {
    let Some(redis) = Redis::start() else { return };
    let (link, lost) =
        (redis.link(), RedisLink::open(redis.address(), "lost".into(), SOON).expect("an address"));
    drop(redis);
    an_upload_cache(&files(&link));
    a_video_store(&RedisVideos::new(Arc::clone(&link)));
    a_budget(&RedisBudgets::new(Arc::default(), Arc::clone(&link)));
    a_response_store(&RedisResponseStore::new(MemoryResponseStore::new(HOUR, ROOM), link, HOUR, ROOM));
    a_limiter(|interval, burst, max_wait| {
        let slots = RedisSlots::new(Arc::clone(&lost), interval, burst);
        Box::new(Limiter::new(interval, burst, max_wait).with_slots(Box::new(slots)))
    });
}

fn files(link: &Arc<RedisLink>) -> RedisUploadCache<Text> {
    RedisUploadCache::new(MemoryUploadCache::new(HOUR, 1 << 20), Arc::clone(link), HOUR)
}

/// A limiter of one replica; those of the same interval share their slots.
fn limiter(redis: &Redis, interval: Duration, burst: u32, max_wait: Duration) -> Limiter {
    let prefix = format!("limit-{}-{burst}", interval.as_millis());
    let link = RedisLink::open(redis.address(), prefix, SOON).expect("an address");
    let slots = RedisSlots::new(link, interval, burst);
    Limiter::new(interval, burst, max_wait).with_slots(Box::new(slots))
}

// ---- what several replicas share

#[test]
fn a_file_of_one_replica_is_a_hit_on_the_others() {
    let Some(redis) = Redis::start() else { return };
    let [a, b, c] = [0; 3].map(|_| files(&redis.link()));
    assert!(!upload(&a, "x").was_kept && upload(&b, "x").was_kept && upload(&b, "x").was_kept);
    assert_eq!(b.counters().hits.load(Ordering::Relaxed), 2);
    // dead at Poe: one finds out and uploads again, and what it has uploaded survives the others' finding out
    a.forget(file("x"));
    let again = a.get(file("x"), &|| Ok(()), &mut || Ok(Text("new".into()))).expect("an upload");
    assert!(!again.was_kept);
    b.forget(file("x"));
    assert_eq!((upload(&b, "x").value.0.as_str(), upload(&c, "x").value.0.as_str()), ("new", "new"));
}

#[test]
fn concurrent_uploads_of_all_replicas_are_one() {
    let Some(redis) = Redis::start() else { return };
    let replicas = [0; 3].map(|_| files(&redis.link()));
    let uploads = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..12 {
            let (replica, uploads) = (&replicas[number % 3], &uploads);
            scope.spawn(move || {
                let found = replica.get(file("x"), &|| Ok(()), &mut || {
                    uploads.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_secs(3)); // longer than a lock lasts by itself
                    Ok(Text("there".into()))
                });
                assert_eq!(found.expect("an upload").value.0, "there");
            });
        }
    });
    assert_eq!(uploads.into_inner(), 1);
}

#[test]
fn the_lock_of_a_replica_that_died_ends_by_itself() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (files(&redis.link()), files(&redis.link()));
    let lock = thread::scope(|scope| {
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            let _ = a.get(file("x"), &|| Ok(()), &mut || {
                let _ = may_go.recv();
                Err(Error::new(Kind::ClientGone, "left"))
            });
        });
        let is_lock = |name: &String| name.contains(":lock:");
        let lock = eventually(PATIENCE, "a lock", || redis.names().into_iter().find(is_lock));
        drop(go);
        lock
    });
    // as the one that died left it: nobody prolongs it
    let left: u64 = 1500;
    redis.command(&["SET", &lock, "of a replica that died", "PX", &left.to_string()]);
    let looks = AtomicUsize::new(0);
    let watch = || {
        looks.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let found = b.get(file("x"), &watch, &mut || Ok(Text("mine".into()))).expect("an upload");
    assert_eq!((found.value.0.as_str(), found.was_kept), ("mine", false));
    assert!((1..=40).contains(&looks.into_inner()), "less than two seconds of looks every 50 ms");
}

#[test]
fn a_client_that_left_does_not_wait_for_another_replicas_upload() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (files(&redis.link()), files(&redis.link()));
    thread::scope(|scope| {
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            let _ = a.get(file("x"), &|| Ok(()), &mut || {
                let _ = may_go.recv();
                Ok(Text("late".into()))
            });
        });
        eventually(PATIENCE, "a lock", || redis.names().into_iter().find(|name| name.contains(":lock:")));
        let left = || Err(Error::new(Kind::ClientGone, "left"));
        let outcome = b.get(file("x"), &left, &mut || panic!("a second upload"));
        assert_eq!(outcome.expect_err("the wait ends").kind, Kind::ClientGone);
        drop(go);
    });
}

#[test]
fn responses_made_while_redis_was_gone_are_found_afterwards() {
    let Some(redis) = Redis::start() else { return };
    let (port, link) = (redis.port, redis.link());
    let store =
        RedisResponseStore::new(MemoryResponseStore::new(HOUR, 1 << 20), Arc::clone(&link), HOUR, 1 << 20);
    let owner = Owner::of("a");
    store.keep(owner, "1", response(None, 1));
    redis.signal(Signal::KILL);
    drop(redis);
    eventually(PATIENCE, "the breaker opens", || {
        assert!(store.get(owner, "1").is_some(), "a copy of it is here");
        link.status().fault
    });
    store.keep(owner, "2", response(Some("1"), 2));
    assert_eq!(store.conversation(owner, "2").map(|found| found.len()), Some(2));
    let Some(_redis) = Redis::on(port, &[]) else { return };
    eventually(PATIENCE, "Redis is used again", || link.status().fault.is_none().then_some(()));
    assert!(store.get(owner, "2").is_some());
    assert!(store.get(owner, "1").is_none(), "Redis lost it: a replica may have deleted it");
    store.keep(owner, "3", response(Some("2"), 3));
    assert_eq!(store.conversation(owner, "3").map(|found| found.len()), None);
    store.keep(owner, "1", response(None, 1));
    assert_eq!(store.conversation(owner, "3").map(|found| found.len()), Some(3), "of both places");
}

#[test]
fn any_replica_says_how_far_a_video_is_and_may_delete_it() {
    let Some(redis) = Redis::start() else { return };
    let (first, owner) = (redis.link(), Owner::of("a"));
    let (a, b) = (RedisVideos::new(Arc::clone(&first)), RedisVideos::new(redis.link()));
    ["1", "2", "3"].into_iter().for_each(|id| a.insert(owner, video(id)));
    a.advance(owner, "1", VideoStage::Running(50));
    let there = |id: &str| b.get(owner, id, 7).map(|video| video.stage);
    eventually(PATIENCE, "the first replica says that it lives", || {
        redis.names().into_iter().find(|name| name.contains(":alive:"))
    });
    assert_eq!((there("1"), there("2")), (Some(VideoStage::Running(50)), Some(VideoStage::Queued)));
    assert!(b.get(Owner::of("b"), "1", 7).is_none());
    assert!(b.remove(owner, "1") && a.get(owner, "1", 7).is_none());
    eventually(PATIENCE, "the job notices", || (!a.has(owner, "1")).then_some(()));
    a.advance(owner, "1", failed());
    a.advance(owner, "2", failed());
    assert_eq!((there("1"), there("2")), (None, Some(failed())));
    assert_eq!(b.list(owner, 7).len(), 2);
    // a replica that has ended makes no video any more
    drop((a, first));
    eventually(PATIENCE, "the first replica has ended", || {
        redis.command(&["DEL", &redis.names().into_iter().find(|name| name.contains(":alive:"))?]);
        matches!(there("3"), Some(VideoStage::Failed { .. })).then_some(())
    });
}

#[test]
fn a_budget_is_that_of_all_replicas_and_survives_redis() {
    let Some(redis) = Redis::start() else { return };
    let (port, links) = (redis.port, [0; 2].map(|_| redis.link()));
    let [a, b] = [0, 1].map(|at| RedisBudgets::new(Arc::default(), Arc::clone(&links[at])));
    let alive = || redis.names().into_iter().filter(|name| name.contains(":alive:")).collect::<Vec<_>>();
    eventually(PATIENCE, "both replicas say that they live", || (alive().len() == 2).then_some(()));
    let reserve = |budgets: &RedisBudgets| budgets.reserve("k", &[DAY], 60, NOON);
    assert_eq!(
        [reserve(&a), reserve(&b), reserve(&a)],
        [Verdict::Reserved, Verdict::Reserved, Verdict::Busy(0)]
    );
    a.settle("k", 60, 10, NOON);
    assert_eq!(b.spent("k", NOON), Spent { day: 10, month: 10, reserved: 60 });
    // the reservations of a replica that has ended do not count
    for name in alive() {
        if name.ends_with(&links[1].status().replica) {
            redis.command(&["DEL", &name]);
        }
    }
    assert!(a.spent("k", NOON).reserved <= 60);
    b.settle("k", 60, 20, NOON);
    drop(redis);
    // each goes on from what all have spent, and what it counts meanwhile is not lost
    assert_eq!(a.spent("k", NOON).day, 10);
    a.settle("k", 0, 30, NOON);
    a.settle("k", 0, 5, NOON);
    let Some(_redis) = Redis::on(port, &[]) else { return };
    for link in &links {
        eventually(PATIENCE, "Redis is used again", || link.status().fault.is_none().then_some(()));
    }
    assert!(b.spent("k", NOON).day >= 30);
    assert!(a.spent("k", NOON).day >= 30 + 35);
    assert_eq!(a.reserve("k", &[Budget { most: 60, ..DAY }], 1, NOON), Verdict::Exhausted(0));
}

fn key_store(link: &Arc<RedisLink>) -> (RedisClientKeys, std::path::PathBuf) {
    let path = fresh_path("keys");
    std::fs::create_dir_all(&path).expect("a directory");
    (RedisClientKeys::new(KeyStore::open(Arc::new(Dir::new(&path))), Arc::clone(link)), path)
}

fn add_client_key(keys: &dyn ClientKeys, name: &str) -> String {
    let (key, secret) = ClientKey::make(name, 0).expect("a key");
    let added = keys.change(&mut |keys| {
        keys.push(key.clone());
        Ok(())
    });
    added.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    secret
}

#[test]
fn client_keys_of_one_replica_hold_on_all() {
    let Some(redis) = Redis::start() else { return };
    let link = redis.link();
    // a file from the time before is taken over once
    let path = fresh_path("keys");
    std::fs::create_dir_all(&path).expect("a directory");
    let file = || KeyStore::open(Arc::new(Dir::new(&path)));
    let secret = add_client_key(&file(), "from the file");
    let a = RedisClientKeys::new(file(), Arc::clone(&link));
    let (b, other) = key_store(&redis.link());
    let has = |keys: &dyn ClientKeys, secret: &str| keys.current().list.find(&KeyHash::of(secret)).is_some();
    assert!(has(&a, &secret) && has(&b, &secret));
    let second = add_client_key(&b, "second");
    assert!(!has(&a, &second) && a.reload() && has(&a, &second), "at the next look");
    thread::scope(|scope| {
        for keys in [&a, &b] {
            scope.spawn(move || {
                (0..4).for_each(|number| {
                    let name = format!("{} {number}", std::ptr::from_ref(keys).addr());
                    // another replica may come before a few times
                    eventually(PATIENCE, "a key is added", || {
                        let (key, _) = ClientKey::make(&name, 0).expect("a key");
                        keys.change(&mut |keys| {
                            keys.push(key.clone());
                            Ok(())
                        })
                        .ok()
                    });
                })
            });
        }
    });
    a.reload();
    b.reload();
    assert_eq!((a.current().list.keys.len(), b.current().list.keys.len()), (10, 10), "none was lost");
    let deleted = a.change(&mut |keys| {
        keys.retain(|key| key.name != "second");
        Ok(())
    });
    assert!(deleted.is_ok() && b.reload() && !has(&b, &second));
    // an edit of the file counts for all, too
    let edited = KeyStore::open(Arc::new(Dir::new(&other)));
    let third = add_client_key(&edited, "third");
    eventually(PATIENCE, "the edit is applied", || {
        b.reload();
        a.reload();
        (has(&a, &third) && has(&b, &third) && has(&a, &secret)).then_some(())
    });
    for name in redis.names() {
        let dump = redis.command(&["DUMP", &name]);
        assert!([&secret, &second, &third].iter().all(|secret| !dump.contains(secret.as_str())), "{name}");
        assert!(!redis.command(&["PTTL", &name]).starts_with(":-1"), "{name} has no end");
    }
    // without Redis all keys stay in force, and none can be changed
    drop(redis);
    a.reload();
    assert!(has(&a, &secret) && has(&a, &third));
    let refused = a.change(&mut |keys| {
        keys.clear();
        Ok(())
    });
    assert_eq!(refused.expect_err("Redis is gone").kind, Kind::Overloaded);
    assert!(has(&KeyStore::open(Arc::new(Dir::new(&path))), &third), "the file is a copy");
    for path in [path, other] {
        let _ = std::fs::remove_dir_all(path);
    }
}

#[test]
fn usage_is_the_sum_of_all_replicas() {
    let Some(redis) = Redis::start() else { return };
    let [a, b] = [0; 2].map(|_| RedisUsage::new(Arc::<LocalUsage>::default(), redis.link()));
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    let amounts = Amounts { requests: 1, input: 3, ..Amounts::default() };
    for (usage, count) in [(&a, 2), (&b, 5)] {
        for _ in 0..count {
            usage.add(now, Labels { model: "m", key: "k", endpoint: "e" }, "Kay", &amounts);
        }
        assert!(usage.store());
    }
    let requests = |usage: &RedisUsage, step| {
        let mut sum = 0;
        usage.visit(step, 0, u64::MAX, &mut |_, _, row| sum += row.requests);
        sum
    };
    for usage in [&a, &b] {
        eventually(PATIENCE, "the rows of both", || (requests(usage, Step::Hour) == 7).then_some(()));
        assert_eq!(requests(usage, Step::Day), 7);
        assert_eq!(usage.keys()["k"].0, "Kay");
    }
    let mut shares: Vec<u32> = a.replicas(0).into_iter().map(|(_, row)| row.requests).collect();
    shares.sort_unstable();
    assert_eq!(shares, [2, 5]);
    drop(redis);
    assert_eq!(requests(&a, Step::Hour), 7, "as it was last seen");
}

#[test]
fn slots_are_an_interval_apart_over_all_replicas() {
    let Some(redis) = Redis::start() else { return };
    let interval = Duration::from_millis(25);
    let replicas = [0; 3].map(|_| limiter(&redis, interval, 1, HOUR));
    let start = Instant::now();
    let served: [AtomicUsize; 3] = Default::default();
    thread::scope(|scope| {
        for number in 0..30 {
            let (replica, served) = (&replicas[number % 3], &served[number % 3]);
            scope.spawn(move || {
                replica.wait("a", None, &|| Ok(())).expect("a slot");
                served.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    println!("30 requests of 3 replicas, one each {interval:?}: {:?}", start.elapsed());
    assert!(start.elapsed() >= interval * 29);
    assert_eq!(served.map(AtomicUsize::into_inner), [10; 3]);
}

#[test]
fn a_wait_that_the_other_replicas_make_too_long_is_refused() {
    let Some(redis) = Redis::start() else { return };
    let [a, b] = [0; 2].map(|_| limiter(&redis, HOUR, 1, Duration::from_millis(100)));
    a.wait("a", None, &|| Ok(())).expect("the first slot");
    for _ in 0..2 {
        let error = b.wait("a", None, &|| Ok(())).expect_err("an hour is too long");
        assert_eq!(error.kind, Kind::RateLimited);
        assert!(error.retry_after.is_some_and(|wait| wait > Duration::from_secs(60)), "{error:?}");
    }
}

#[test]
fn connections_are_bounded() {
    let Some(redis) = Redis::start() else { return };
    let link = redis.link();
    let store =
        RedisResponseStore::new(MemoryResponseStore::new(HOUR, 1 << 20), Arc::clone(&link), HOUR, 1 << 20);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| (0..20).for_each(|_| drop(store.get(Owner::of("a"), "1"))));
        }
    });
    assert!((1..=16).contains(&link.status().connections), "{:?}", link.status());
    let clients = redis.command(&["CLIENT", "LIST"]);
    assert!(clients.matches(" addr=").count() <= 16 + 1, "{clients}");
    assert_eq!(link.status().failures, 0);
}

// ---- the program

const KEY: &str = "a-poe-key-of-a-client";

fn replica(poe: &Poe, redis_url: &str, more: &[&str]) -> TestServer {
    let uploads = poe.at.upload_url.clone();
    let all =
        [&["--redis-url", redis_url, "--poe-file-upload-url", &uploads, "--admin-password", "pass"], more];
    TestServer::before(poe, &all.concat())
}

/// Replicas that go by Redis however slow the machine is.
fn patient(poe: &Poe, redis: &Redis, more: &[&str]) -> TestServer {
    replica(poe, &redis.url(), &[&["--redis-timeout-ms", "5000"], more].concat())
}

fn respond(server: &TestServer, key: &str, body: &Value) -> Answer {
    let key = format!("Authorization: Bearer {key}");
    server.ask(&post("/v1/responses", &[&key], &body.to_string()))
}

fn on_response(server: &TestServer, key: &str, method: &str, path: &str) -> Answer {
    let head = format!(
        "{method} /v1/responses/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
    );
    server.ask(&head)
}

fn redis_line(server: &TestServer) -> Value {
    let ready = server.ask(&get("/ready"));
    assert_eq!(ready.status, 200, "a server is ready without Redis, too: {}", ready.text());
    ready.json()["redis"].clone()
}

fn picture(words: &str) -> Value {
    let url = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    json!({"model": "demo-echo", "messages": [{"role": "user", "content": [
        {"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": url}},
    ]}]})
}

#[test]
fn three_replicas_act_as_one() {
    let Some(redis) = Redis::start() else { return };
    let poe = Poe::start();
    let replicas = [0; 3].map(|_| patient(&poe, &redis, &[]));
    for replica in &replicas {
        assert_eq!(redis_line(replica), "ok");
        assert_eq!(replica.chat(&picture("look")).status, 200);
    }
    assert_eq!(poe.stats()["uploads"]["total"], 1, "the upload of one is a hit on the others");
    assert!(replicas[2].ask(&get("/metrics")).text().contains("poe2openai_upload_cache_hits_total 1"));

    let mut previous = Value::Null;
    for round in 0..6 {
        let body =
            json!({"model": "demo-echo", "input": format!("turn {round}"), "previous_response_id": previous});
        let answer = respond(&replicas[round % 3], KEY, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        previous = answer.json()["id"].clone();
    }
    let sent = poe.last_query()["query"].to_string();
    assert!((0..6).all(|round| sent.contains(&format!("turn {round}"))), "{sent}");
    let id = previous.as_str().expect("an id");
    for replica in &replicas {
        assert_eq!(on_response(replica, KEY, "GET", id).status, 200);
        let items = on_response(replica, KEY, "GET", &format!("{id}/input_items?limit=100"));
        assert_eq!(items.json()["data"].as_array().map(Vec::len), Some(11));
        assert_eq!(on_response(replica, "another-key", "GET", id).status, 404);
    }
    assert_eq!(on_response(&replicas[1], KEY, "DELETE", id).status, 200);
    assert!(replicas.iter().all(|replica| on_response(replica, KEY, "GET", id).status == 404));

    let settings = replicas[0].ask(&common_admin("/api/admin/settings")).json();
    assert_eq!(settings["health"]["redis"]["error"], Value::Null, "{settings}");
    assert_eq!(settings["health"]["redis"]["place"], format!("127.0.0.1:{}", redis.port));
    for replica in &replicas {
        let metrics = replica.ask(&get("/metrics")).text();
        assert!(
            metrics.contains("poe2openai_redis_up 1")
                && metrics.contains("poe2openai_redis_failures_total 0")
        );
    }
    entries_are_private_and_end(&redis);
}

fn common_admin(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YWRtaW46cGFzcw==\r\n\r\n")
}

fn entries_are_private_and_end(redis: &Redis) {
    let names = redis.names();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(name.starts_with("poe2openai:"), "{name}");
        assert!(!redis.command(&["PTTL", &name]).starts_with(":-1"), "{name} has no end");
        let dump = redis.command(&["DUMP", &name]);
        for secret in [KEY, "some-key", "another-key", "turn", "demo-echo", "/demo/", "http", "pass"] {
            assert!(!name.contains(secret) && !dump.contains(secret), "{secret} in {name}");
        }
    }
}

/// Asks the admin API and returns status and answer.
fn operator(server: &TestServer, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let answer = server.ask(&format!(
        "{method} /api/admin/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YWRtaW46cGFzcw==\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    ));
    (answer.status, answer.json())
}

#[test]
fn a_client_key_made_on_one_replica_works_on_all_with_one_budget() {
    let Some(redis) = Redis::start() else { return };
    let poe = Poe::start();
    let [a, b] =
        [0; 2].map(|_| patient(&poe, &redis, &["--poe-api-key", "demo", "--proxy-api-keys", "of-the-proxy"]));
    let (status, made) = operator(&a, "POST", "keys", &json!({"name": "Kay", "requests_per_minute": 3}));
    assert_eq!(status, 201, "{made}");
    let (id, secret) = (made["key"]["id"].as_str().expect("an id"), made["secret"].as_str().expect("a key"));
    let ask = |server: &TestServer| {
        let key = format!("Authorization: Bearer {secret}");
        server.ask(&post("/v1/chat/completions", &[&key], &picture("hello").to_string())).status
    };
    eventually(SOON, "the key is known to the other replica", || (ask(&b) == 200).then_some(()));
    assert_eq!(
        (ask(&a), ask(&b), ask(&a), ask(&b)),
        (200, 200, 429, 429),
        "three a minute, whichever replica"
    );
    eventually(PATIENCE, "the usage of both", || {
        let overview = operator(&b, "GET", "overview", &Value::Null).1;
        let requests = |row: &Value| row["requests"].as_u64().filter(|count| *count > 0);
        let replicas = overview["replicas"].as_array().expect("a list");
        let all: Vec<u64> = replicas.iter().filter_map(requests).collect();
        (all.len() == 2 && overview["today"]["requests"].as_u64() == Some(all.iter().sum())).then_some(())
    });
    assert_eq!(operator(&b, "PATCH", &format!("keys/{id}"), &json!({"disabled": true})).0, 200);
    eventually(SOON, "the key is disabled on the other replica", || (ask(&a) == 401).then_some(()));
    for name in redis.names() {
        assert!(!name.contains(secret) && !redis.command(&["DUMP", &name]).contains(secret), "{name}");
        assert!(!redis.command(&["PTTL", &name]).starts_with(":-1"), "{name} has no end");
    }
}

#[test]
fn parallel_requests_exceed_the_budget_of_three_replicas_by_one_each_at_most() {
    let Some(redis) = Redis::start() else { return };
    let poe = Poe::start();
    let replicas = [0; 3].map(|_| patient(&poe, &redis, &["--poe-api-key", "demo"]));
    // one of these requests takes about 0.9 points by the price of the list
    let (status, made) = operator(&replicas[0], "POST", "keys", &json!({"name": "Kay", "daily_points": 6}));
    assert_eq!(status, 201, "{made}");
    let secret = made["secret"].as_str().expect("a key");
    let header = format!("Authorization: Bearer {secret}");
    let body = json!({"model": "demo-gpt", "messages": [{"role": "user", "content": "hello"}]}).to_string();
    let ask = |server: &TestServer| server.ask(&post("/v1/chat/completions", &[&header], &body)).status;
    for replica in &replicas {
        let listed = || operator(replica, "GET", "keys", &Value::Null).1["keys"][0]["name"] == "Kay";
        eventually(SOON, "the key is known", || listed().then_some(()));
    }
    let statuses: Vec<u16> = thread::scope(|scope| {
        let (ask, replicas) = (&ask, &replicas);
        let asked: Vec<_> = (0..60).map(|index| scope.spawn(move || ask(&replicas[index % 3]))).collect();
        asked.into_iter().map(|one| one.join().expect("an answer")).collect()
    });
    let good = statuses.iter().filter(|status| **status == 200).count();
    assert!(good > 0 && statuses.iter().all(|status| [200, 402].contains(status)), "{statuses:?}");
    assert_eq!(poe.queries(), good as u64, "what is refused is not asked");
    let (_, shown) = operator(&replicas[2], "GET", "keys", &Value::Null);
    let key = shown["keys"].as_array().and_then(|keys| keys.iter().find(|key| key["name"] == "Kay"));
    let budget = &key.expect("the key")["budgets"][0];
    let spent = budget["spent"].as_f64().expect("points");
    let one = spent / good as f64;
    assert!(spent >= 6.0 && spent < 6.0 + 3.0 * one && budget["reserved"] == 0.0, "{good}: {budget}");
    assert!(replicas.iter().all(|replica| ask(replica) == 402), "the budget is used up on every replica");
}

#[test]
fn a_redis_url_that_is_none_ends_the_start_by_name() {
    for url in ["nonsense", "http://localhost", "redis://:secret-word@"] {
        let output = run(&["--redis-url", url], &[]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("--redis-url") && text.contains("expected redis://"), "{text}");
        assert!(!text.contains("secret-word"), "{text}");
    }
}

/// How many lines of the log contain `words`.
fn lines_with(server: &TestServer, words: &str) -> usize {
    server.output().lines().filter(|line| line.contains(words)).count()
}

const GONE: &str = "is not usable";
const BACK: &str = "is usable again";

/// Requests of every kind are answered while Redis has this fault, and state is shared again after it.
fn survives(server: &TestServer, what: &str, fault: impl FnOnce(), repair: impl FnOnce()) {
    let (gone, back) = (lines_with(server, GONE), lines_with(server, BACK));
    let usual = timed(|| server.chat(&picture(&format!("{what}, before")))).1;
    fault();
    let mut slowest = Duration::ZERO;
    for round in 0..12 {
        let (answer, took) = timed(|| match round % 2 {
            0 => server.chat(&picture(&format!("{what} {round}"))),
            _ => respond(server, KEY, &json!({"model": "demo-echo", "input": "hello"})),
        });
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        slowest = slowest.max(took);
    }
    eventually(PATIENCE, "the server notices", || {
        assert_eq!(server.chat(&picture(what)).status, 200);
        (redis_line(server) == "unavailable").then_some(())
    });
    println!("{what}: the slowest request took {slowest:?}, {usual:?} before");
    assert_eq!(lines_with(server, GONE), gone + 1, "{what}: one warning");
    repair();
    eventually(PATIENCE, "state is shared again", || (redis_line(server) == "ok").then_some(()));
    assert_eq!(server.chat(&picture(what)).status, 200);
    assert_eq!(lines_with(server, BACK), back + 1, "{what}: one warning");
}

#[test]
fn no_fault_of_redis_costs_a_request() {
    let Some(redis) = Redis::start() else { return };
    let Some(primary) = Redis::start() else { return };
    let poe = Poe::start();
    let server = replica(&poe, &redis.url(), &["--rate-limit-ms", "1"]);
    let set = |name, value| move |redis: &Redis| drop(redis.command(&["CONFIG", "SET", name, value]));

    survives(&server, "paused", || redis.signal(Signal::STOP), || redis.signal(Signal::CONT));
    survives(&server, "full", || set("maxmemory", "1")(&redis), || set("maxmemory", "0")(&redis));
    let port = primary.port.to_string();
    survives(
        &server,
        "a read-only replica",
        || drop(redis.command(&["REPLICAOF", "127.0.0.1", &port])),
        || drop(redis.command(&["REPLICAOF", "NO", "ONE"])),
    );
    let (at, mut redis) = (redis.port, Some(redis));
    let mut restarted = None;
    survives(&server, "gone", || drop(redis.take()), || restarted = Redis::on(at, &[]));
    let redis = restarted.expect("Redis is installed");
    // connections that an idle time limit or a restart has closed cost nothing at all
    let gone = lines_with(&server, GONE);
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(server.chat(&picture("closed")).status, 200);
    assert_eq!((redis_line(&server), lines_with(&server, GONE)), (json!("ok"), gone));
    survives(
        &server,
        "password changed",
        || drop(inline(at, "CONFIG SET requirepass new\r\nCLIENT KILL TYPE normal SKIPME yes\r\n")),
        || drop(inline(at, "AUTH new\r\nCONFIG SET requirepass \"\"\r\n")),
    );
}

/// Sends commands on one connection.
fn inline(port: u16, commands: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("Redis");
    socket.write_all(format!("{commands}QUIT\r\n").as_bytes()).expect("Redis");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("Redis");
    answer
}

#[test]
fn a_start_without_redis_works_and_takes_it_once_it_is_there() {
    let port = free_port();
    let poe = Poe::start();
    let server = replica(&poe, &format!("redis://:hidden-password@127.0.0.1:{port}/3"), &[]);
    assert_eq!(server.chat(&picture("hello")).status, 200);
    assert_eq!(redis_line(&server), "unavailable");
    let Some(redis) = Redis::on(port, &["--requirepass", "wrong"]) else { return };
    assert_eq!(server.chat(&picture("hello")).status, 200);
    drop(redis);
    let Some(_redis) = Redis::on(port, &["--requirepass", "hidden-password"]) else { return };
    eventually(PATIENCE, "Redis is used", || (redis_line(&server) == "ok").then_some(()));
    assert!(!server.output().contains("hidden-password"));
    let settings = server.ask(&common_admin("/api/admin/settings")).text();
    assert!(settings.contains(&format!("127.0.0.1:{port}/3")) && !settings.contains("hidden-password"));
    assert_eq!((lines_with(&server, GONE), lines_with(&server, BACK)), (1, 1));
}

#[test]
fn a_socket_and_a_database_are_used() {
    let socket = fresh_path("redis").with_extension("sock");
    // the path of a socket is short
    let socket = std::env::temp_dir().join(socket.file_name().expect("a name"));
    let path = socket.to_str().expect("a path");
    let Some(redis) = Redis::on(free_port(), &["--unixsocket", path]) else { return };
    let poe = Poe::start();
    let server = replica(&poe, &format!("unix://{path}?db=2"), &["--redis-timeout-ms", "5000"]);
    assert_eq!(server.chat(&picture("hello")).status, 200);
    assert_eq!(redis_line(&server), "ok");
    assert!(redis.command(&["INFO", "keyspace"]).contains("db2:"));
    let _ = std::fs::remove_file(&socket); // Redis may have done it
}

#[test]
fn tls_with_a_user_and_a_password_is_used_and_a_certificate_is_verified() {
    let tls_port = free_port();
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| format!("{TLS_FILES}{name}"));
    let port = tls_port.to_string();
    let mut arguments = vec!["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key];
    arguments.extend(["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"]);
    arguments.extend(["--user", "kay", "on", ">hidden-password", "~*", "&*", "+@all"]);
    let Some(redis) = Redis::on(free_port(), &arguments) else { return };
    let poe = Poe::start();
    let url = format!("rediss://kay:hidden-password@localhost:{port}/4");
    let trusting = replica(&poe, &url, &["--redis-timeout-ms", "5000", "--ssl-cert-file", &ca]);
    assert_eq!((trusting.chat(&picture("hello")).status, redis_line(&trusting)), (200, json!("ok")));
    assert!(redis.command(&["INFO", "keyspace"]).contains("db4:"));
    assert!(redis.command(&["CLIENT", "LIST"]).contains("user=kay"));
    // whose certificate nobody vouches for gets neither the password nor anybody's file
    let wary = replica(&poe, &url, &["--redis-timeout-ms", "5000"]);
    assert_eq!((wary.chat(&picture("hello")).status, redis_line(&wary)), (200, json!("unavailable")));
    assert!(wary.output().to_lowercase().contains("certificate"), "{}", wary.output());
    assert!(!trusting.output().contains("hidden-password") && !wary.output().contains("hidden-password"));
}

#[test]
fn a_name_that_cannot_be_resolved_delays_nobody() {
    let poe = Poe::start();
    let server = replica(&poe, "redis://no-such-host.invalid:6379", &[]);
    assert_eq!(server.chat(&picture("hello")).status, 200);
    assert_eq!(redis_line(&server), "unavailable");
}
