//! The HTTP API: routes, authentication, CORS, and one file for each family of endpoints.

mod admin;
mod chat;
mod locked_page;
mod media;
mod metrics;
mod model_list;
mod ollama;
mod pages;
mod paging;
mod responses;
mod route;
mod router;
mod routes;
mod status;
mod unsupported;
mod usage;
mod videos;

pub use router::Api;
