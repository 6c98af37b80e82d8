//! Work that must be done as another user, or that can hang in the kernel, is done by
//! a short-lived child of this same program: JSON in on its standard input, JSON out.

use super::context::Context;
use crate::sys::spawn;
use nix::sys::signal::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time;

/// Why a helper gave no answer.
#[derive(Debug)]
pub enum HelperError {
    /// It did not answer in time; it hangs in the kernel.
    Hung,
    /// It could not be started, or died.
    Broken(String),
    /// The boot was asked to stop.
    Cancelled,
}

impl Context<'_> {
    /// Runs `agent internal NAME` with `input`; as the sandbox user where `as_user`.
    ///
    /// # Errors
    /// It gives no answer within `deadline`.
    pub async fn helper<I: Serialize, O: DeserializeOwned>(
        &self,
        name: &str,
        input: &I,
        as_user: bool,
        deadline: Duration,
    ) -> Result<O, HelperError> {
        let broken = |e: &dyn std::fmt::Display| HelperError::Broken(e.to_string());
        let input = serde_json::to_vec(input).map_err(|e| broken(&e))?;
        let mut command = std::process::Command::new(spawn::SELF);
        command.args(["internal", name]).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let setup = spawn::Setup {
            own_group: true,
            credentials: if as_user { self.credentials() } else { None },
            parent_death: Some(Signal::SIGKILL),
            ..spawn::Setup::default()
        };
        spawn::prepare(&mut command, setup);
        let mut child =
            Command::from(command).kill_on_drop(true).spawn().map_err(|e| broken(&e))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let talk = async {
            if let Some(mut stdin) = stdin {
                stdin.write_all(&input).await?;
            }
            let mut answer = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(1 << 20).read_to_end(&mut answer).await?;
            }
            child.wait().await?;
            std::io::Result::Ok(answer)
        };
        let answer = tokio::select! {
            answer = time::timeout(deadline, talk) => answer,
            () = self.cancel.wait() => return Err(HelperError::Cancelled),
        };
        let answer = answer.map_err(|_| HelperError::Hung)?.map_err(|e| broken(&e))?;
        serde_json::from_slice(&answer)
            .map_err(|e| HelperError::Broken(format!("its answer is no answer: {e}")))
    }
}
