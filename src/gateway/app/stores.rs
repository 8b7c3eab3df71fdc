//! Where the server keeps its state: in memory, or in Redis beside the other replicas.

use std::sync::Arc;

use crate::config::key_store::KeyStore;
use crate::pipeline::Attachment;
use crate::settings::Settings;
use crate::state::budgets::{Budgets, LocalBudgets};
use crate::state::client_keys::ClientKeys;
use crate::state::limiter::{Limiter, RateLimiter};
use crate::state::responses::{MemoryResponseStore, ResponseStore};
use crate::state::shared::SharedStore;
use crate::state::upload_cache::{MemoryUploadCache, UploadCache};
use crate::state::usage::{LocalUsage, UsageTotals};
use crate::state::videos::{VideoStore, Videos};

/// The stores of one server.
pub(super) struct Stores {
    pub files: Box<dyn UploadCache<Attachment>>,
    pub responses: Arc<dyn ResponseStore>,
    pub limiter: Box<dyn RateLimiter>,
    pub videos: Box<dyn Videos>,
    /// Makes the stores of clients.
    pub clients: OpenClients,
    /// What the replicas share, if there are any.
    pub shared: Option<Arc<dyn SharedStore>>,
}

/// Client keys, budgets and usage.
pub(super) type ClientStores = (Box<dyn ClientKeys>, Arc<dyn Budgets>, Arc<dyn UsageTotals>);
/// Makes them of those of this process.
pub(super) type OpenClients = Box<dyn FnOnce(KeyStore, Arc<LocalBudgets>, Arc<LocalUsage>) -> ClientStores>;

/// The stores that the settings ask for. Those in Redis trust the `root_certificates`, if there are any.
pub(super) fn open(settings: &Settings, root_certificates: Option<&[u8]>) -> Result<Stores, String> {
    let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
    let own = Own {
        files: MemoryUploadCache::new(settings.url_cache_ttl, size(settings.url_cache_size)),
        responses: MemoryResponseStore::new(settings.responses_ttl, size(settings.responses_max)),
        limiter: Limiter::new(settings.rate_limit, settings.rate_limit_burst, settings.rate_limit_max_wait),
    };
    match &settings.redis_url {
        None => Ok(Stores {
            files: Box::new(own.files),
            responses: Arc::new(own.responses),
            limiter: Box::new(own.limiter),
            videos: Box::new(VideoStore::default()),
            clients: Box::new(|keys, budgets, usage| (Box::new(keys), budgets, usage)),
            shared: None,
        }),
        Some(url) => replicated(own, url, settings, root_certificates),
    }
}

/// The stores of one process.
struct Own {
    files: MemoryUploadCache<Attachment>,
    responses: MemoryResponseStore,
    limiter: Limiter,
}

#[cfg(not(feature = "redis"))]
fn replicated(
    _: Own,
    _: &crate::settings::RedisUrl,
    _: &Settings,
    _: Option<&[u8]>,
) -> Result<Stores, String> {
    Err("REDIS_URL: this program was built without the feature `redis`".to_owned())
}

#[cfg(feature = "redis")]
fn replicated(
    own: Own,
    url: &crate::settings::RedisUrl,
    settings: &Settings,
    root_certificates: Option<&[u8]>,
) -> Result<Stores, String> {
    use crate::settings::{RedisPlace, Secret};
    use crate::state::{
        Address, Place, RedisLink, RedisResponseStore, RedisSlots, RedisUploadCache, RedisVideos,
    };

    let address = Address {
        place: match url.place.clone() {
            RedisPlace::Tcp(host, port) => Place::Tcp(host, port),
            RedisPlace::Tls(host, port) => Place::Tls(host, port),
            RedisPlace::Unix(path) => Place::Unix(path),
        },
        user: url.user.clone(),
        password: url.password.as_ref().map(Secret::expose).map(str::to_owned),
        database: url.database,
        root_certificates: root_certificates.map(<[u8]>::to_vec),
    };
    let link = RedisLink::open(address, settings.redis_prefix.clone(), settings.redis_timeout)
        .map_err(|error| format!("REDIS_URL: {error}"))?;
    let Own { files, responses, limiter } = own;
    let keeps_files = !settings.url_cache_ttl.is_zero() && settings.url_cache_size > 0;
    let keeps_responses = !settings.responses_ttl.is_zero() && settings.responses_max > 0;
    let most = usize::try_from(settings.responses_max).unwrap_or(usize::MAX);
    let slots = RedisSlots::new(Arc::clone(&link), settings.rate_limit, settings.rate_limit_burst);
    Ok(Stores {
        files: match keeps_files {
            true => Box::new(RedisUploadCache::new(files, Arc::clone(&link), settings.url_cache_ttl)),
            false => Box::new(files),
        },
        responses: match keeps_responses {
            true => {
                Arc::new(RedisResponseStore::new(responses, Arc::clone(&link), settings.responses_ttl, most))
            }
            false => Arc::new(responses),
        },
        limiter: Box::new(limiter.with_slots(Box::new(slots))),
        videos: Box::new(RedisVideos::new(Arc::clone(&link))),
        clients: shared_clients(Arc::clone(&link)),
        shared: Some(link),
    })
}

#[cfg(feature = "redis")]
fn shared_clients(link: Arc<crate::state::RedisLink>) -> OpenClients {
    use crate::state::{RedisBudgets, RedisClientKeys, RedisUsage};

    Box::new(move |keys, budgets, usage| {
        (
            Box::new(RedisClientKeys::new(keys, Arc::clone(&link))),
            Arc::new(RedisBudgets::new(budgets, Arc::clone(&link))),
            RedisUsage::new(usage, link),
        )
    })
}
