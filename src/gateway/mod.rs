//! One request's life: `relay` is where reading starts. A request is prepared, sent to Poe, and its answer goes through the stages.

mod access;
pub mod app;
pub mod attachments;
pub(crate) mod context;
pub mod model_directory;
mod native;
pub(crate) mod prepared_request;
pub(crate) mod record;
pub(crate) mod relay;
mod stream_writer;
