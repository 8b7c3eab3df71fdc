//! What a browser is shown in place of the admin page: what to do, in the page's three languages.

use crate::error::{Error, Kind};
use crate::gateway::context::Exchange;
use crate::server::answer::Answer;
use crate::server::head::Head;

/// A heading and what to do, in one language.
struct Words(&'static str, &'static str, &'static str);

const START: &str = "ADMIN_PASSWORD=choose-one poe2openai";
const DOCKER: &str = "docker run -e ADMIN_PASSWORD=choose-one …";
const LOG: &str = "docker logs poe2openai | grep password";

const PASSWORD: &[Words] = &[
    Words(
        "en",
        "Sign in to open the admin page",
        "The user name is <code>admin</code>, unless ADMIN_USERNAME says otherwise. If you have no password, start the \
         server with one of your own. Without one, the server prints a password at its first start.",
    ),
    Words(
        "zh-TW",
        "請登入以開啟管理頁面",
        "使用者名稱為 <code>admin</code>（除非設定了 ADMIN_USERNAME）。沒有密碼時，請自訂密碼後重新啟動伺服器；\
         未設定密碼的伺服器會在首次啟動時印出一組密碼。",
    ),
    Words(
        "zh-CN",
        "请登录以打开管理页面",
        "用户名为 <code>admin</code>（除非设置了 ADMIN_USERNAME）。没有密码时，请自定密码后重新启动服务器；\
         未设置密码的服务器会在首次启动时打印一个密码。",
    ),
];
const THIS_MACHINE: &[Words] = &[
    Words(
        "en",
        "The admin page opens on the server’s own machine only",
        "This holds while the built-in password is in use. Start the server with a password of your own, then sign in \
         here as <code>admin</code>:",
    ),
    Words(
        "zh-TW",
        "管理頁面目前只能在伺服器本機開啟",
        "使用內建密碼時有此限制。請以自訂密碼啟動伺服器，再以 <code>admin</code> 在此登入：",
    ),
    Words(
        "zh-CN",
        "管理页面目前只能在服务器本机打开",
        "使用内置密码时有此限制。请用自定密码启动服务器，再以 <code>admin</code> 在此登录：",
    ),
];
const CLOSED: &[Words] = &[
    Words(
        "en",
        "The admin page is closed",
        "ADMIN_PASSWORD is empty. Start the server with a password to open it:",
    ),
    Words("zh-TW", "管理頁面已關閉", "ADMIN_PASSWORD 為空。請設定密碼並重新啟動伺服器："),
    Words("zh-CN", "管理页面已关闭", "ADMIN_PASSWORD 为空。请设置密码并重新启动服务器："),
];
const WAIT: &[Words] = &[
    Words("en", "Too many wrong passwords", "Wait a minute, then open the page again."),
    Words("zh-TW", "密碼錯誤次數過多", "請等候一分鐘，再重新開啟此頁。"),
    Words("zh-CN", "密码错误次数过多", "请等待一分钟，再重新打开此页。"),
];
const SIGNED_OUT: &[Words] = &[
    Words("en", "Signed out", "<a href=\"/admin\">Sign in again</a>"),
    Words("zh-TW", "已登出", "<a href=\"/admin\">重新登入</a>"),
    Words("zh-CN", "已退出登录", "<a href=\"/admin\">重新登录</a>"),
];

/// The page for a browser that may not see the admin page; `None` for programs and for the page's own calls.
pub fn for_browser(exchange: &Exchange<'_, '_>, error: &Error) -> Option<Answer> {
    let head = exchange.head();
    if !head.path.starts_with("/admin") || !accepts_html(head) {
        return None;
    }
    let (words, commands): (_, &[&str]) = match error.kind {
        Kind::Unauthorized => (PASSWORD, &[START, DOCKER, LOG]),
        Kind::Forbidden => (THIS_MACHINE, &[START, DOCKER]),
        Kind::NotFound => (CLOSED, &[START, DOCKER]),
        Kind::RateLimited => (WAIT, &[]),
        _ => return None,
    };
    let status = exchange.record.dialect.status(error.kind);
    Some(page(status, words, commands))
}

/// The page after the password has been forgotten.
pub fn signed_out() -> Answer {
    page(401, SIGNED_OUT, &[])
}

fn accepts_html(head: &Head) -> bool {
    head.header("accept").is_some_and(|accept| accept.contains("text/html"))
}

fn page(status: u16, words: &[Words], commands: &[&str]) -> Answer {
    let commands: String = commands.iter().map(|line| format!("<pre>{line}</pre>")).collect();
    let sections: String = words
        .iter()
        .map(|Words(language, title, text)| {
            format!("<section lang=\"{language}\"><h2>{title}</h2><p>{text}</p>{commands}</section>")
        })
        .collect();
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>poe2openai</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"></head>\
         <body><main><h1>poe2openai</h1>{sections}</main></body></html>"
    );
    Answer::bytes(status, "text/html; charset=utf-8", html.into_bytes())
}
