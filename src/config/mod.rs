//! Configuration on disk: models.yaml (read, checked, saved), keys.yaml and the files of `CONFIG_DIR`.

pub mod admin_password;
pub mod catalog_cache;
pub mod client_keys;
pub mod directory;
pub mod key_store;
pub mod models;
pub mod store;
