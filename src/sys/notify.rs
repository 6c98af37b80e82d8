//! Telling the service manager how it goes (`sd_notify(3)`): one datagram a message to
//! the socket that it named. Where there is no service manager nothing is sent.

use super::environ;
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;

/// The variable that names the socket.
const VARIABLE: &str = "NOTIFY_SOCKET";

static MANAGER: OnceLock<Option<(UnixDatagram, SocketAddr)>> = OnceLock::new();

/// Takes the manager's socket out of the environment, so that no command speaks in our
/// name. Call it while the process has one thread; without it nothing is sent.
pub fn connect() {
    MANAGER.get_or_init(|| {
        let name = environ::take(VARIABLE)?;
        let socket = UnixDatagram::unbound().ok()?;
        // A full queue must not hold the boot up.
        socket.set_nonblocking(true).ok()?;
        Some((socket, address(&name)?))
    });
}

/// A name that starts with `@` lies in the abstract namespace (`unix(7)`).
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes().split_first()? {
        (b'@', rest) => SocketAddr::from_abstract_name(rest).ok(),
        (b'/', _) => SocketAddr::from_pathname(name).ok(),
        _ => None,
    }
}

/// What goes on, in one line.
pub fn status(text: &str) {
    send(&format!("STATUS={}", text.replace('\n', " ")));
}

/// The boot has ended well: what is ordered after it may start.
pub fn ready(text: &str) {
    send(&format!("READY=1\nSTATUS={}", text.replace('\n', " ")));
}

fn send(message: &str) {
    if let Some(Some((socket, manager))) = MANAGER.get() {
        let _ = socket.send_to_addr(message.as_bytes(), manager);
    }
}
