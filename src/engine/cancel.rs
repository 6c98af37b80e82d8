//! A request to stop, made by a signal.

use crate::sys::signals;
use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells whether a stop was asked for, and lets others wait for it.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<Option<i32>>);

impl Cancel {
    /// Listens for TERM, INT, HUP and QUIT from now on.
    ///
    /// # Errors
    /// A handler can't be installed.
    pub fn on_signals() -> io::Result<Self> {
        let (tell, told) = watch::channel(None);
        for kind in [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ] {
            let mut stream = signal(kind)?;
            let tell = tell.clone();
            tokio::spawn(async move {
                if stream.recv().await.is_some() {
                    tell.send_if_modified(|current| {
                        current.is_none().then(|| *current = Some(kind.as_raw_value())).is_some()
                    });
                }
            });
        }
        Ok(Self(told))
    }

    /// The signal's name, where a stop was asked for.
    pub fn requested(&self) -> Option<String> {
        (*self.0.borrow()).map(signals::name)
    }

    /// Waits until a stop is asked for.
    pub async fn wait(&self) {
        let mut told = self.0.clone();
        if told.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
