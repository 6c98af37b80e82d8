//! Reading a command line, the same way in both programs.

use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;

/// Exit status for a command line that cannot be understood (`sysexits.h`, EX_USAGE).
/// clap's own would be 2, which means "degraded" here.
pub const USAGE: u8 = 64;

/// Reads `arguments`, the program's name first.
///
/// # Errors
/// What was to be said has been said (an error, or the help that was asked for); the
/// value is the exit status.
pub fn read<T: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<T, u8> {
    T::try_parse_from(arguments).map_err(|e| {
        let _ = e.print();
        match e.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
            _ => USAGE,
        }
    })
}
