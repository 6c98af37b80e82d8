//! Taking a secret out of this process's own environment, for good.
//!
//! `std::env::remove_var` forgets the pointer but leaves the bytes, and
//! `/proc/PID/environ` shows those bytes (`proc_pid_environ(5)`: "the initial
//! environment that was set when the currently executing program was started").
//! So the bytes themselves are overwritten.
#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

unsafe extern "C" {
    static environ: *const *mut libc::c_char;
}

/// Takes the variable `name` out of the environment and wipes its value from the
/// memory that `/proc/self/environ` shows. Returns the value it had.
///
/// Call it only while the process has one thread.
pub fn take(name: &str) -> Option<OsString> {
    let mut taken = None;
    // SAFETY: called while the process has one thread (PID 1 at its start, and the
    // boot before its runtime starts), so nobody writes `environ` while it is read;
    // each entry is a NUL-terminated string in writable memory (execve(2)).
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            if let Some(value) = value_of(text, name) {
                let length = value.len();
                let offset = text.len() - length;
                taken.get_or_insert_with(|| OsString::from_vec(value.to_vec()));
                let start = (*entry).add(offset);
                for i in 0..length {
                    // A volatile write is not optimised away as dead.
                    std::ptr::write_volatile(start.add(i), 0);
                }
            }
            entry = entry.add(1);
        }
        std::env::remove_var(OsStr::from_bytes(name.as_bytes()));
    }
    taken
}

fn value_of<'a>(entry: &'a [u8], name: &str) -> Option<&'a [u8]> {
    entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}
