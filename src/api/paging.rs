//! The parameters of OpenAI's lists: `limit`, `order` and `after`.

use crate::error::{Error, Result};
use crate::gateway::context::Exchange;

/// How many entries a page has, unless the client says.
const PAGE: usize = 20;
const MOST: usize = 100;

/// Which page of a list is wanted.
pub struct Page {
    limit: usize,
    is_ascending: bool,
    after: Option<String>,
}

impl Page {
    /// The page that the request's query names. Errors name the parameter.
    pub fn of(request: &Exchange<'_, '_>) -> Result<Page> {
        let is_ascending = match request.query("order").as_deref() {
            None | Some("desc") => false,
            Some("asc") => true,
            Some(_) => return Err(Error::invalid("order", "order must be asc or desc")),
        };
        let limit = match request.query("limit").map(|text| text.parse()) {
            None => PAGE,
            Some(Ok(limit @ 1..=MOST)) => limit,
            Some(_) => return Err(Error::invalid("limit", format!("limit must be 1 to {MOST}"))),
        };
        Ok(Page { limit, is_ascending, after: request.query("after") })
    }

    /// The entries of the page, out of `all` from the oldest to the newest, and whether more follow.
    pub fn cut<'a, T: 'a>(
        &self,
        all: impl DoubleEndedIterator<Item = T> + 'a,
        has_id: impl Fn(&T, &str) -> bool,
    ) -> Result<(Vec<T>, bool)> {
        let mut entries: Box<dyn Iterator<Item = T> + 'a> = match self.is_ascending {
            true => Box::new(all),
            false => Box::new(all.rev()),
        };
        if let Some(after) = &self.after
            && !entries.any(|entry| has_id(&entry, after))
        {
            return Err(Error::invalid("after", "after must be the id of an item of this list"));
        }
        let page = entries.by_ref().take(self.limit).collect();
        Ok((page, entries.next().is_some()))
    }
}
