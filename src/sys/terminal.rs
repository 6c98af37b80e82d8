//! The controlling terminal.

use nix::unistd;
use std::io::{self, IsTerminal};

/// Is standard error a terminal, so that a person is watching?
pub fn watched() -> bool {
    io::stderr().is_terminal()
}

/// Takes the foreground of the terminal on standard input back for this process's
/// own group. Signals must be blocked, else a background process is stopped.
pub fn take_foreground() {
    let _ = unistd::tcsetpgrp(io::stdin(), unistd::getpgrp());
}
