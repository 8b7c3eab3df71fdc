//! What systemd passes to a service: a listening socket, and a socket for notifications of the service's state.

use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use listenfd::ListenFd;

/// The listening socket that was passed at the start (socket activation), if there is one.
pub fn inherited() -> io::Result<Option<TcpListener>> {
    ListenFd::from_env().take_tcp_listener(0)
}

/// Sends `state`, such as `READY=1`, to the notification socket at `path`.
pub fn notify(path: &OsStr, state: &str) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address(path)?).map(drop)
}

/// A name that begins with `@` is no file: Linux has such sockets in a name space of their own.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let [b'@', name @ ..] = path.as_encoded_bytes() {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_arrives_at_a_file_and_at_an_abstract_name() {
        let name = format!("poe2openai-notify-{}", std::process::id());
        let file = std::env::temp_dir().join(&name);
        let mut places = vec![(file.clone().into_os_string(), UnixDatagram::bind(&file).unwrap())];
        #[cfg(target_os = "linux")]
        places.push((
            format!("@{name}").into(),
            UnixDatagram::bind_addr(&address(OsStr::new(&format!("@{name}"))).unwrap()).unwrap(),
        ));
        for (path, socket) in &places {
            notify(path, "READY=1").unwrap();
            let mut state = [0; 64];
            let length = socket.recv(&mut state).unwrap();
            assert_eq!(&state[..length], b"READY=1", "{path:?}");
        }
        std::fs::remove_file(file).unwrap();
        assert!(notify(OsStr::new("/nowhere/notify"), "READY=1").is_err());
    }
}
