//! Which command lines ask for nothing but COMMAND, under each name that this program goes by.

use crate::sys::bare;
use crate::sys::quiet::Plain;
use std::ffi::c_char;

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// COMMAND and its arguments.
    pub(super) command: *const *const c_char,
    /// How the init stands to it.
    pub(super) duties: Plain,
}

/// `agent init --no-boot [--] COMMAND`, `tini [--] COMMAND`, `catatonit [--] COMMAND`, without one
/// of their variables; the last two also by the names that engines give them. dumb-init has more
/// to do first. `None` is everything else.
#[inline(always)]
pub(super) unsafe fn asked_for(
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> Option<Asked> {
    // SAFETY: both lists end with a null pointer, and nothing behind that is read; each entry
    // ends with NUL.
    unsafe {
        if (*arguments).is_null() {
            return None;
        }
        if wants_more(environment) {
            return None;
        }
        let name = last_part(*arguments);
        let rest = arguments.add(1);
        if is(name, c"agent".as_ptr()) {
            if !is(*rest, c"init".as_ptr()) || !is(*rest.add(1), c"--no-boot".as_ptr()) {
                return None;
            }
            return asked(rest.add(2), Plain { group: true, stops: true });
        }
        let catatonit = is(name, c"catatonit".as_ptr()) || is(name, c"podman-init".as_ptr());
        let tini = is(name, c"tini".as_ptr())
            || is(name, c"tini-static".as_ptr())
            || is(name, c"docker-init".as_ptr());
        if !(catatonit || tini) {
            return None;
        }
        asked(rest, Plain { group: false, stops: false })
    }
}

/// A command behind `--`, or one that is no option.
#[inline(always)]
unsafe fn asked(mut rest: *const *const c_char, duties: Plain) -> Option<Asked> {
    // SAFETY: as the caller's.
    unsafe {
        if is(*rest, c"--".as_ptr()) {
            rest = rest.add(1);
        } else if (*rest).is_null() || bare::at(*rest, 0) == b'-' {
            return None;
        }
        if (*rest).is_null() { None } else { Some(Asked { command: rest, duties }) }
    }
}

/// Is one of tini's or catatonit's variables there, or one that has to name the child
/// (`sd_listen_fds(3)`)?
#[inline(always)]
unsafe fn wants_more(mut environment: *const *const c_char) -> bool {
    // SAFETY: as the caller's.
    unsafe {
        while !(*environment).is_null() {
            let entry = *environment;
            if bare::behind_prefix(entry, c"TINI_".as_ptr()).is_some()
                || bare::behind_prefix(entry, c"CATATONIT_".as_ptr()).is_some()
                || bare::behind_prefix(entry, c"LISTEN_PID=".as_ptr()).is_some()
            {
                return true;
            }
            environment = environment.add(1);
        }
    }
    false
}

/// What is behind the last slash of a path.
#[inline(always)]
unsafe fn last_part(path: *const c_char) -> *const c_char {
    let (mut part, mut next) = (path, path);
    // SAFETY: the path ends with NUL.
    unsafe {
        while bare::at(next, 0) != 0 {
            next = next.add(1);
            if bare::at(next.sub(1), 0) == b'/' {
                part = next;
            }
        }
    }
    part
}

/// Is it this word? A null pointer is none.
#[inline(always)]
unsafe fn is(text: *const c_char, word: *const c_char) -> bool {
    // SAFETY: both end with NUL.
    unsafe {
        if text.is_null() {
            return false;
        }
        match bare::behind_prefix(text, word) {
            Some(rest) => bare::at(rest, 0) == 0,
            None => false,
        }
    }
}
