//! The real server, in this process, on a port of its own, with Poe wherever a test says.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use poe2openai::api::Api;
use poe2openai::gateway::app::App;
use poe2openai::server::{Limits, Server, ShutdownPhase, Stop};
use poe2openai::settings::{self, Command};

/// What all requests of a server share, with Poe at `poe`, `models.yaml` from `config` and `more` settings.
pub fn app(poe: &str, config: &Path, more: &[(&str, &str)]) -> Arc<App> {
    let upload = format!("{poe}/upload");
    let config = config.to_str().expect("a path in UTF-8");
    let fixed = [
        ("POE_BASE_URL", poe),
        ("POE_FILE_UPLOAD_URL", &upload),
        ("CONFIG_DIR", config),
        ("RATE_LIMIT_MS", "0"),
        ("DEMO", "true"), // Poe is on this machine: proxies are not used
    ];
    let all = || more.iter().chain(&fixed);
    let value = |name: &str| all().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
    match settings::parse(std::iter::empty(), &value) {
        Ok(Command::Serve(settings)) => Arc::new(App::open(settings).expect("the shared state")),
        other => panic!("bad settings: {other:?}"),
    }
}

/// A running server that ends when dropped.
pub struct TestServer {
    base_url: String,
    stop: Stop,
    agent: ureq::Agent,
}

/// A whole HTTP answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its `Retry-After`.
    pub retry_after: Option<String>,
    /// Its body.
    pub body: String,
}

impl TestServer {
    /// Opens the endpoints of `app`.
    pub fn open(app: &Arc<App>) -> TestServer {
        let fresh = Arc::clone(app);
        thread::spawn(move || fresh.refresh_catalog());
        let server = Server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Limits::default());
        let server = server.expect("a free port");
        let base_url = format!("http://{}", server.local_addr().expect("an address"));
        let stop = Stop::new().expect("a stop");
        let (endpoint, until) = (Arc::new(Api::new(Arc::clone(app))), stop.clone());
        thread::spawn(move || server.serve(endpoint, &until));
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        TestServer { base_url, stop, agent }
    }

    /// The answer to a chat request that shows `key`.
    pub fn chat(&self, key: &str, body: &str) -> Reply {
        self.send(key, &[("Content-Type", "application/json")], body.as_bytes())
    }

    /// The answer to a chat request with headers of its own.
    pub fn send(&self, key: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.post("/v1/chat/completions", key, headers, body)
    }

    /// The answer to what is posted to `path`.
    pub fn post(&self, path: &str, key: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let url = format!("{}{path}", self.base_url);
        let request = self.agent.post(url).header("Authorization", format!("Bearer {key}"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut reply = request.send(body).expect("an answer");
        let retry_after = reply.headers().get("retry-after");
        Reply {
            status: reply.status().as_u16(),
            retry_after: retry_after.map(|value| value.to_str().expect("text").to_owned()),
            body: reply.body_mut().read_to_string().expect("a body in UTF-8"),
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.go(ShutdownPhase::Ending);
    }
}
