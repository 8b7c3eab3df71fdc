//! Settings of the client for Poe's API.

use std::time::Duration;

use crate::proxy::Rules;

/// Where Poe is and how long it may be silent.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Without a slash at the end.
    pub base_url: String,
    /// Where files are uploaded to.
    pub file_upload_url: String,
    /// To make a connection.
    pub connect_timeout: Duration,
    /// Until the first byte of an answer.
    pub first_byte_timeout: Duration,
    /// Between two bytes of an answer.
    pub idle_timeout: Duration,
    /// PEM text of the trusted roots, instead of the built-in ones.
    pub root_certificates: Option<Vec<u8>>,
    /// Which proxy is used for which URL.
    pub proxies: Rules,
    /// Poe is on this machine (the embedded one).
    pub is_local: bool,
}
