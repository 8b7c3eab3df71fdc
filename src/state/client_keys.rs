//! Client keys, wherever they are stored.

use std::fmt::Debug;
use std::sync::Arc;

use crate::config::client_keys::ClientKey;
use crate::config::key_store::{KeyStore, Keys};
use crate::error::Result;

/// A store of client keys that several programs may change.
pub trait ClientKeys: Debug + Send + Sync {
    /// The keys in force; cheap.
    fn current(&self) -> Arc<Keys>;

    /// Looks whether another program has changed the keys, a few times a second. Returns whether others are in force now.
    fn reload(&self) -> bool;

    /// Changes the keys as they are stored now, and puts them in force.
    ///
    /// # Errors
    /// Those of `edit`, or the store cannot be written. Then everything is as before.
    fn change(&self, edit: &mut dyn FnMut(&mut Vec<ClientKey>) -> Result<()>) -> Result<()>;

    /// Where the keys are stored, for the operator.
    fn place(&self) -> String;

    /// Whether they can be changed, as far as one can state without trying.
    fn is_writable(&self) -> bool;
}

impl ClientKeys for KeyStore {
    fn current(&self) -> Arc<Keys> {
        KeyStore::current(self)
    }

    fn reload(&self) -> bool {
        self.reload_if_changed()
    }

    fn change(&self, edit: &mut dyn FnMut(&mut Vec<ClientKey>) -> Result<()>) -> Result<()> {
        KeyStore::change(self, edit)
    }

    fn place(&self) -> String {
        self.path().display().to_string()
    }

    fn is_writable(&self) -> bool {
        KeyStore::is_writable(self)
    }
}
