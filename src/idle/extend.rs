//! More time, by hand: what a request comes to, and `agent idle extend`.

use super::Sight;
use super::account::{Account, minutes, ms};
use super::store::{self, Request, Store};
use crate::config::value::Span;
use crate::survey;
use nix::unistd::geteuid;
use std::path::PathBuf;
use std::time::Duration;
use tracing::info;

/// The account with a request of `user`'s in it.
pub(super) fn taken(
    account: Account,
    request: Option<Request>,
    sight: &Sight,
    user: u32,
) -> Account {
    let Some(request) = request.filter(|r| r.start == sight.now.start) else { return account };
    let (for_, most) = (Duration::from_millis(request.for_ms), sight.config.idle.extension_max.0);
    let account = account.extended(&sight.now, user, request.asked_ms, for_, most);
    let left = account.extended_until_ms.saturating_sub(sight.now.up_ms);
    info!(user, "idle: extended by user {user}, for {} more", minutes(left));
    account
}

/// What an extension came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// It holds, for so long from now.
    For(Duration),
    /// There is none any more.
    Cancelled,
    /// It is left for the next check, which makes so much of it at most.
    Asked(Duration),
}

/// `agent idle extend`: more time, or (`None`) no more than the criteria give.
///
/// # Errors
/// This user may not, or it cannot be recorded; a sentence with the next step.
pub fn extend(file: Option<&PathBuf>, by: Option<Span>) -> Result<Extended, String> {
    let sight = Sight::of(file)?;
    let most = sight.config.idle.extension_max.0;
    let wanted = by.map_or(Duration::ZERO, |span| span.0);
    if wanted > most {
        return Err(format!(
            "{} is longer than idle.extension_max allows at once ({})",
            minutes(ms(wanted)),
            minutes(ms(most))
        ));
    }
    let user = survey::sandbox_user(&sight.config).user;
    let request =
        Request { start: sight.now.start.clone(), asked_ms: sight.now.up_ms, for_ms: ms(wanted) };
    if !geteuid().is_root() {
        let refused = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => {
                "no check has run yet since the start (`systemctl status agent-idle.timer`); next: \
                 `sudo agent idle extend`"
                    .to_owned()
            }
            std::io::ErrorKind::PermissionDenied => {
                format!("{e}: root and the sandbox user may extend; next: `sudo agent idle extend`")
            }
            _ => format!(
                "the request cannot be left in /run/agent/idle/ask: {e}; next: remove what is there, or \
                 `sudo agent idle extend`"
            ),
        };
        store::ask(&request).map_err(refused)?;
        return Ok(Extended::Asked(wanted));
    }
    let told = |e| format!("/run/agent/idle: {e}");
    let store = Store::open((user.uid, user.gid)).map_err(told)?;
    let account = sight.account(store.account());
    // An older request of the user's must not undo what root says now.
    let _ = store.take_request((user.uid, user.gid));
    let account = account.extended(&sight.now, 0, request.asked_ms, wanted, most);
    store.keep(&account).map_err(told)?;
    Ok(by.map_or(Extended::Cancelled, |_| Extended::For(wanted)))
}
