//! What each URL does: routes, authentication, CORS, one file for each family of endpoints.

mod admin;
mod media;
mod metrics;
mod model_list;
mod ollama;
mod pages;
mod readiness;
mod responses;
pub(crate) mod router;
mod routes;
mod unsupported;

pub use router::Api;
