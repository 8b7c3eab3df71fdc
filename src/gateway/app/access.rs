//! Keys and passwords of the server: which are accepted, and for what.

use std::path::PathBuf;

use ring::digest::{Digest, SHA256, digest};
use subtle::ConstantTimeEq;

use super::{App, Client};
use crate::config::admin_password::{self, AdminPassword, Made};
use crate::config::client_keys;
use crate::config::directory::Dir;
use crate::error::{Error, Kind, Result};
use crate::settings::{Settings, Source};
use crate::state::login_throttle::{KeyTries, LoginThrottle};

/// Keys of the proxy that are shorter can be guessed.
const SHORTEST_KEY: usize = 16;

/// Passwords, and who has tried wrong ones.
#[derive(Debug, Default)]
pub struct Access {
    /// The password that the server has made for its admin page.
    made: Option<AdminPassword>,
    /// The message about it for the operator at the start.
    pub announcement: Option<Announcement>,
    /// Wrong passwords for the admin page.
    pub login_throttle: LoginThrottle,
    /// Wrong keys.
    pub key_tries: KeyTries,
}

/// What the operator must know of a password that the server has made.
#[derive(Clone, PartialEq, Eq)]
pub enum Announcement {
    /// It was made at this start.
    Made(Made),
    /// It was made at an earlier start and printed then.
    Kept,
}

impl std::fmt::Debug for Announcement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Announcement")
    }
}

impl Access {
    /// Makes a password where the server needs one. An error is a message for the operator.
    pub(super) fn open(settings: &Settings, dir: &Dir) -> Result<Access, String> {
        if !is_made(settings) {
            if settings.source("ADMIN_PASSWORD") != Source::Default {
                admin_password::forget(dir);
            }
            return Ok(Access::default());
        }
        let (made, new) = match settings.demo {
            // a first try leaves no secrets behind
            true => {
                let (made, password) = AdminPassword::make()?;
                (made, Some(Made { password, unkept: Some("a demo keeps no password".to_owned()) }))
            }
            false => AdminPassword::open(dir)?,
        };
        let announcement = new.map_or(Announcement::Kept, Announcement::Made);
        Ok(Access { made: Some(made), announcement: Some(announcement), ..Access::default() })
    }
}

/// Whether the server makes the password itself: none was set, and others than this machine's users can connect.
fn is_made(settings: &Settings) -> bool {
    settings.source("ADMIN_PASSWORD") == Source::Default && !settings.host.is_loopback()
}

/// Who may open the admin page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Nothing: the page is closed, because its password is empty.
    Closed,
    /// Users of this machine: the server listens on loopback, and the built-in password is public.
    ThisMachine,
    /// Clients that send the password.
    Password,
}

impl App {
    /// Whether Poe's key is spent for anybody who gets here. Then only programs of this machine may, no web pages.
    pub fn is_keyless(&self) -> bool {
        self.settings.poe_api_key.is_some() && !self.requires_keys()
    }

    /// Whether clients show keys that are checked here.
    pub fn has_own_keys(&self) -> bool {
        self.settings.poe_api_key.is_some() && self.requires_keys()
    }

    /// Which keys clients send, in a few words for the operator.
    pub fn key_mode(&self) -> String {
        match &self.settings.poe_api_key {
            _ if self.settings.demo => "any: this is a demo".into(),
            None => "each client sends its own Poe key".into(),
            Some(_) if self.requires_keys() => {
                let count = self.settings.proxy_api_keys.len();
                format!(
                    "clients send one of {count} PROXY_API_KEYS or a key of keys.yaml; Poe gets POE_API_KEY"
                )
            }
            Some(_) => "none: programs on this machine use POE_API_KEY".into(),
        }
    }

    /// The key to ask Poe with, and who asks, for a client that shows `shown`. Where this server has keys of its own,
    /// clients show one of those and Poe's stays here; with Poe's key alone every client that can connect (from this
    /// machine only) may use it. A key that was made here is never taken for one of Poe's, not even before this replica
    /// knows of it or after the last one was deleted.
    pub fn poe_key(&self, shown: Option<&str>) -> Result<(String, Client)> {
        if !self.requires_keys() && !shown.is_some_and(client_keys::is_made_here) {
            return match &self.settings.poe_api_key {
                Some(key) => Ok((key.expose().to_owned(), Client::default())),
                None => Ok((shown.ok_or_else(no_key)?.to_owned(), Client::unnamed(Client::OWN))),
            };
        }
        let client = self.client(shown.ok_or_else(no_key)?)?;
        let without = || {
            let message = "this server has keys for its clients, but no POE_API_KEY to ask Poe with";
            Error::new(Kind::Unauthorized, message)
        };
        Ok((self.own_poe_key().ok_or_else(without)?.to_owned(), client))
    }

    /// How many of `PROXY_API_KEYS` are so short that they can be guessed.
    pub fn short_keys(&self) -> usize {
        let keys = self.settings.proxy_api_keys.iter();
        keys.filter(|key| key.expose().len() < SHORTEST_KEY).count()
    }

    /// Where the hash of a password lies that the server has made.
    pub fn password_file(&self) -> PathBuf {
        self.dir.at(admin_password::FILE_NAME)
    }

    /// Who may open the admin page.
    pub fn lock(&self) -> Lock {
        match (self.settings.admin_password.is_empty(), self.settings.source("ADMIN_PASSWORD")) {
            (true, _) => Lock::Closed,
            (false, Source::Default) if self.access.made.is_none() => Lock::ThisMachine,
            (false, _) => Lock::Password,
        }
    }

    /// Whether the admin page's password is the built-in one, which is public.
    pub fn has_default_password(&self) -> bool {
        self.access.made.is_none() && self.settings.admin_password == Settings::default().admin_password
    }

    /// Whether user name and password open the admin page. Both are always compared, and in constant time.
    pub fn opens(&self, user: &str, password: &str) -> bool {
        let same = |shown: &str, known: &str| hash(shown).as_ref().ct_eq(hash(known).as_ref());
        let user = bool::from(same(user, &self.settings.admin_username));
        let password = match &self.access.made {
            Some(made) => made.is(password),
            None => same(password, self.settings.admin_password.expose()).into(),
        };
        user & password
    }
}

fn hash(text: &str) -> Digest {
    digest(&SHA256, text.as_bytes())
}

fn no_key() -> Error {
    let message = "no API key was given: send it as `Authorization: Bearer YOUR_KEY`";
    Error::new(Kind::Unauthorized, message)
}
