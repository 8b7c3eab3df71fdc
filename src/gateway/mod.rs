//! Handling of one request: it is prepared, sent to Poe, and its answer goes through the stages. Start reading at `relay`.

mod access;
pub mod app;
pub mod attachments;
pub(crate) mod context;
pub mod model_directory;
mod native;
pub(crate) mod prepared_request;
pub(crate) mod quota;
pub(crate) mod record;
pub(crate) mod relay;
mod stream_writer;
pub mod videos;
