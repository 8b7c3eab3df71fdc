//! Client keys for the admin page: list, create, change, delete.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Map, Value, json};

use super::usage::{self, A_DAY, Zone, dollars, points, sum};
use crate::clock;
use crate::config::client_keys::ClientKey;
use crate::error::{Error, Kind, Result};
use crate::gateway::app::{App, Client};
use crate::gateway::context::Admitted;
use crate::gateway::quota;
use crate::server::answer::Answer;
use crate::state::usage::Amounts;

/// No call here has more to say.
const MAX_BODY: u64 = 256 << 10;

/// `GET /api/admin/keys`
pub fn list(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = Zone::read(&request).map(|zone| all(request.app(), zone));
    request.reply(answer.map(|body| rendered(200, &body)))
}

/// `POST /api/admin/keys`: the key itself is in the answer, and never shown again.
pub fn create(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = created(&mut request);
    request.reply(answer)
}

/// `PATCH /api/admin/keys/{id}`
pub fn change(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = changed(&mut request);
    request.reply(answer)
}

/// `DELETE /api/admin/keys/{id}`
pub fn delete(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let (app, id) = (request.app(), request.parameter.clone());
    let answer =
        own(&id).and_then(|()| app.delete_key(&id)).map(|()| rendered(200, &json!({"deleted": true})));
    request.reply(answer)
}

fn created(request: &mut Admitted<'_, '_>) -> Result<Answer> {
    let app = request.app();
    if app.own_poe_key().is_none() {
        let message = "this server has no POE_API_KEY: clients with a key of this server could not use Poe";
        return Err(Error::new(Kind::Conflict, message));
    }
    let fields = body(request)?;
    let zone = Zone::read(request)?;
    let (key, secret) = app.add_key(&fields)?;
    Ok(rendered(201, &json!({"key": one(app, zone, &key.id)?, "secret": secret})))
}

fn changed(request: &mut Admitted<'_, '_>) -> Result<Answer> {
    let (app, id) = (request.app(), request.parameter.clone());
    own(&id)?;
    let fields = body(request)?;
    let zone = Zone::read(request)?;
    app.change_key(&id, &fields)?;
    Ok(rendered(200, &json!({"key": one(app, zone, &id)?})))
}

fn own(id: &str) -> Result<()> {
    match id.starts_with("proxy-") {
        true => Err(Error::new(
            Kind::Forbidden,
            "this key is one of PROXY_API_KEYS, which the server does not change",
        )),
        false => Ok(()),
    }
}

fn body(request: &mut Admitted<'_, '_>) -> Result<Map<String, Value>> {
    let body = request.limited_body(MAX_BODY)?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Error::new(Kind::InvalidRequest, "expected a JSON object")),
        Err(error) => Err(Error::new(Kind::InvalidRequest, format!("the body is not valid JSON: {error}"))),
    }
}

fn one(app: &App, zone: Zone, id: &str) -> Result<Value> {
    let used = used(app, zone);
    let keys = app.clients.keys.current();
    // another program may delete it at any time
    let key =
        keys.list.by_id(id).ok_or_else(|| Error::new(Kind::NotFound, format!("there is no key {id}")))?;
    Ok(shown(app, key, &used))
}

fn all(app: &App, zone: Zone) -> Value {
    let used = used(app, zone);
    let keys = app.clients.keys.current();
    let proxy =
        (0..app.settings.proxy_api_keys.len()).map(|position| of_proxy(&Client::proxy(position), &used));
    let state = match (keys.exists, &keys.error) {
        (_, Some(_)) => "broken",
        (true, None) => "good",
        (false, None) => "none",
    };
    json!({
        "keys": proxy.chain(keys.list.keys.iter().map(|key| shown(app, key, &used))).collect::<Vec<_>>(),
        "file": {
            "path": app.clients.keys.place(), "state": state, "error": keys.error,
            "writable": app.clients.keys.is_writable(),
        },
        "required": app.requires_keys(),
        "has_poe_key": app.own_poe_key().is_some(),
    })
}

/// What was used by one key today, in 7 and in 30 days, and when last.
#[derive(Default)]
struct Used {
    sums: [Amounts; 3],
    last: Option<u64>,
}

impl Used {
    fn add_to(&self, value: &mut Value) {
        value["last_used"] = self.last.into();
        for (name, amounts) in ["today", "days7", "days30"].into_iter().zip(&self.sums) {
            value["usage"][name] = Value::Object(sum(amounts));
        }
    }
}

fn used(app: &App, zone: Zone) -> BTreeMap<String, Used> {
    let today = zone.day(clock::now().as_secs());
    let begin = [1, 7, 30].map(|days: u64| today.saturating_sub((days - 1) * A_DAY));
    let mut used: BTreeMap<String, Used> = BTreeMap::new();
    usage::visit(app, (begin[2], today + A_DAY), &mut |time, labels, row| {
        let used = used.entry(labels.key.to_owned()).or_default();
        for (begin, sum) in begin.iter().zip(&mut used.sums) {
            if time >= *begin {
                sum.add(row);
            }
        }
    });
    for (id, (_, last)) in app.clients.usage.keys() {
        used.entry(id).or_default().last = Some(last);
    }
    used
}

fn of_proxy(client: &Client, used: &BTreeMap<String, Used>) -> Value {
    let mut value = json!({
        "id": &*client.id, "name": &*client.name, "source": "PROXY_API_KEYS", "hint": null, "created": null,
        "expires": null, "models": [], "requests_per_minute": null, "daily_points": null, "monthly_points": null,
        "daily_cost": null, "monthly_cost": null, "note": "", "disabled": false, "state": "active", "budgets": [],
    });
    used.get(&*client.id).unwrap_or(&Used::default()).add_to(&mut value);
    value
}

fn shown(app: &App, key: &ClientKey, used: &BTreeMap<String, Used>) -> Value {
    let now = clock::now().as_secs();
    let state = match key {
        key if key.disabled => "disabled",
        key if key.is_expired(now) => "expired",
        _ => "active",
    };
    let spent = app.clients.budgets.spent(&key.id, now);
    let budgets = quota::budgets(key).into_iter().map(|(name, of, budget)| {
        let unit = if name.ends_with("cost") { dollars } else { points };
        json!({
            "limit": name, "of": of, "spent": unit(spent.within(budget.period)), "reserved": unit(spent.reserved),
            "resets": budget.period.end(now),
        })
    });
    let mut value = json!({
        "id": key.id, "name": key.name, "source": "keys.yaml", "hint": key.hint, "created": key.created,
        "expires": key.expires, "models": key.models, "requests_per_minute": key.requests_per_minute,
        "daily_points": key.daily_points, "monthly_points": key.monthly_points, "daily_cost": key.daily_cost,
        "monthly_cost": key.monthly_cost, "note": key.note, "disabled": key.disabled, "state": state,
        "budgets": budgets.collect::<Vec<_>>(),
    });
    used.get(&key.id).unwrap_or(&Used::default()).add_to(&mut value);
    value
}

fn rendered(status: u16, body: &Value) -> Answer {
    Answer::json(status, body.to_string().into_bytes())
}
