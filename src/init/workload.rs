//! The workload: COMMAND, from its start to the end of what it leaves behind.

use super::Init;
use super::boot::pid_of;
use super::handoff::Stand;
use super::program;
use crate::sys::quiet::{Quiet, Route};
use crate::sys::signals::Ignored;
use crate::sys::users::Credentials;
use crate::sys::{signals, spawn, start, terminal};
use nix::unistd::Gid;
use std::env::consts::ARCH;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::process::{self, Command};

/// Exit status of a command that cannot be executed, and of one that is not found (POSIX sh, 2.8.2).
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// EAGAIN of fork(2).
const NO_PROCESS: &str = "no process can be started, a limit is reached; next: raise the container's limit of processes, or the user's (ulimit -u)";

impl Init {
    /// Starts COMMAND, supervises it to its end, stops what is left; returns its status.
    pub(super) fn workload(&mut self, stand: &Stand) -> u8 {
        if self.options.duties.tell_reaped || self.report.names_each() {
            self.reaper.tell(self.report);
        }
        if self.options.duties.pause {
            return self.pause(stand);
        }
        let pid = match self.start_workload(stand) {
            Ok(pid) => pid,
            Err(e) => {
                self.take_terminal_back();
                let name = self.options.command.first().cloned().unwrap_or_default();
                let found = program::find(&name, &stand.variables);
                let nowhere = e.kind() == io::ErrorKind::NotFound || found.is_none();
                let usual = if nowhere { NOT_FOUND } else { NOT_EXECUTABLE };
                let status = self.options.duties.cannot_execute.unwrap_or(usual);
                let foreign = found.as_deref().and_then(program::foreign);
                let interpreter = found.and_then(|file| program::missing_interpreter(&file));
                let why = match (e.kind(), foreign) {
                    (io::ErrorKind::NotFound, _) if interpreter.is_some() => format!(
                        "it is there, but what it needs to run is not: {}; next: install that, or take a program that was built for this image",
                        interpreter.unwrap_or_default()
                    ),
                    _ if nowhere => "not found".into(),
                    (io::ErrorKind::WouldBlock, _) => NO_PROCESS.into(),
                    (_, Some(processor)) if e.raw_os_error() == Some(libc::ENOEXEC) => format!(
                        "a program for {processor}, and this machine is {ARCH}; next: take the image, or the program, for {ARCH}"
                    ),
                    _ => e.to_string(),
                };
                self.report.error(&format!("{}: {why}", name.display()));
                self.stop_leftovers(stand);
                return status;
            }
        };
        self.let_go();
        if self.tells_steps() {
            let name = self.options.command.first().cloned().unwrap_or_default();
            self.report.info(&format!("started {} as process {pid}", name.display()));
        }
        let status = self.supervise(pid, stand);
        if self.tells_steps() {
            self.report.info(&format!("process {pid} ended with status {status}"));
        }
        self.take_terminal_back();
        if self.options.duties.drop_in && !self.first {
            self.leave_leftovers(pid);
        } else {
            self.stop_leftovers(stand);
        }
        self.options.duties.status(status)
    }

    /// Runs nothing: reaps until a signal asks to end (a pod's pause container).
    fn pause(&mut self, stand: &Stand) -> u8 {
        let quiet = Quiet::new(0, 0, self.reaper.wakes(false), |signal| match signal {
            libc::SIGTERM | libc::SIGINT => Route::Wake,
            _ => Route::Drop,
        });
        self.let_go();
        while !matches!(self.next(None, Some(&quiet)), Some(libc::SIGTERM | libc::SIGINT)) {}
        if self.first {
            self.stop_leftovers(stand);
        }
        0
    }

    /// Whoever goes by another init's name and isn't PID 1 leaves what the child has left, as that
    /// one does; dumb-init asks the child's session to end, in the words that it has for that.
    fn leave_leftovers(&self, pid: i32) {
        let duties = &self.options.duties;
        if let Some(signal) = duties.rewritten(libc::SIGTERM).filter(|_| duties.session) {
            signals::send(-pid, signal);
        }
    }

    /// Are the child's start and end told, where more than warnings are? tini does so from one
    /// `-v` on.
    fn tells_steps(&self) -> bool {
        self.report.names_each() || self.options.duties.drop_in
    }

    /// Keeps nothing that somebody else may wait for. A directory that somebody is in can't be
    /// unmounted. The name of a configuration may be relative to this one, and whoever looks for
    /// the boot's status goes by it.
    fn let_go(&self) {
        spawn::close_from(3);
        if self.options.config.as_ref().is_none_or(|file| file.is_absolute()) {
            let _ = std::env::set_current_dir("/");
        }
    }

    fn start_workload(&mut self, stand: &Stand) -> io::Result<i32> {
        if let Some(begun) = self.begun {
            self.reaper.wait_for(begun.pid);
            return Ok(begun.pid);
        }
        let on_terminal = terminal::attached();
        let session = self.options.duties.session;
        let same_group = self.options.duties.same_group;
        let listens = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == process::id().to_string());
        let as_this_one = stand.variables.is_empty() && stand.become_user.is_none() && !listens;
        if as_this_one
            && !(on_terminal || session || same_group)
            && self.ignored == Ignored::default()
            && self.mounts.is_empty()
            && let Some(pid) = start::plainly(&self.options.command, &self.mask)
        {
            self.reaper.wait_for(pid);
            return Ok(pid);
        }
        let Some((name, arguments)) = self.options.command.split_first() else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        let mut command = Command::new(name);
        command.args(arguments);
        let variables = stand.variables.iter().map(|(name, value)| {
            Ok((CString::new(name.as_bytes())?, CString::new(value.as_bytes())?))
        });
        let credentials = stand.become_user.as_ref().map(|(uid, gid, groups)| Credentials {
            uid: *uid,
            gid: *gid,
            groups: groups.iter().map(|g| Gid::from_raw(*g)).collect(),
        });
        if session && terminal::attached() {
            terminal::give_up();
        }
        self.lent = !session && !same_group && terminal::is_all_ours();
        let setup = spawn::Setup {
            own_group: !same_group,
            own_session: session,
            foreground: self.lent,
            credentials,
            parent_death: None,
            mask: Some(self.mask),
            ignored: self.ignored,
            variables: variables.collect::<io::Result<_>>()?,
            listens,
            directory: self.working_directory(),
            program: program::find(name, &stand.variables)
                .filter(|file| program::foreign(file).is_some())
                .and_then(|file| program::call(&file, &self.options.command)),
        };
        spawn::prepare(&mut command, setup);
        let pid = pid_of(&command.spawn()?);
        self.reaper.wait_for(pid);
        Ok(pid)
    }

    /// Where the workload starts, by its name: the boot may have mounted over the directory that
    /// this process was started in. `None` leaves it there.
    fn working_directory(&self) -> Option<CString> {
        if self.mounts.is_empty() {
            return None;
        }
        CString::new(std::env::current_dir().ok()?.into_os_string().into_vec()).ok()
    }
}
