//! Configuration on disk: models.yaml (read, checked, saved) and the files of `CONFIG_DIR`.

pub mod admin_password;
pub mod catalog_cache;
pub mod directory;
pub mod models;
pub mod store;
