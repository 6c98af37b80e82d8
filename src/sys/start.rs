//! Starting a program for which there is little to set up: without a copy of this process.
//!
//! A fork copies the page tables, and each page that parent and child write to afterwards; the
//! child of [`start`] has its parent's memory until its exec. So nothing of the C library may
//! run in it.
#![allow(unsafe_code)]

use super::bare::{self, Text};
use nix::sys::signal::SigSet;
use std::cell::Cell;
use std::ffi::{CString, OsString, c_char};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// A program to start, in the terms of `execve(2)`.
#[repr(C)]
pub(super) struct Program {
    /// Ends with a null pointer; the first is the program's name.
    pub(super) arguments: *const *const c_char,
    /// Ends with a null pointer.
    pub(super) environment: *const *const c_char,
    /// The signal mask that it gets.
    pub(super) mask: u64,
    /// The child says here that it has failed; the parent reads it.
    pub(super) failed: Cell<bool>,
}

/// The longest path that is tried.
const LONGEST: usize = 4096;

/// Starts `command`, in the environment of this process and found on its PATH as `execvp(3)` does: leader of a
/// process group of its own, with the signal mask `mask`. `None` where that fails: a start the
/// usual way then tells why, or does it (a script without `#!`). Every signal must be blocked.
pub fn plainly(command: &[OsString], mask: &SigSet) -> Option<i32> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    if !cfg!(target_env = "gnu") {
        return None; // Rust's start has run, and SIGPIPE is ignored
    }
    let words: Vec<CString> =
        command.iter().map(|w| CString::new(w.as_bytes())).collect::<Result<_, _>>().ok()?;
    let mut arguments: Vec<*const c_char> = words.iter().map(|w| w.as_ptr()).collect();
    arguments.push(ptr::null());
    // SAFETY: a set of the C library begins with the kernel's (`sigset_t`). Nobody writes the
    // environment meanwhile: this process has one thread.
    let (mask, environment) =
        unsafe { (ptr::from_ref(mask.as_ref()).cast::<u64>().read(), environ) };
    let program =
        Program { arguments: arguments.as_ptr(), environment, mask, failed: Cell::new(false) };
    // SAFETY: the words and both lists outlive the call, and end as they must.
    unsafe { start(&program) }
}

/// Starts `program`. `None` where that fails. Calls nothing of the C library.
///
/// # Safety
/// What `program` points to is as it says. Every signal is blocked.
#[inline(never)]
#[unsafe(link_section = "agent_early")]
pub(super) unsafe fn start(program: &Program) -> Option<i32> {
    // SAFETY: the child does bare calls alone; `program` lives on this stack or above.
    let pid = unsafe { bare::vfork(in_child, ptr::from_ref(program).cast_mut()) };
    if pid < 0 {
        return None;
    }
    // SAFETY: the child wrote it, if it did, before this process went on.
    if unsafe { program.failed.as_ptr().read_volatile() } {
        bare::reap_one(pid);
        return None;
    }
    Some(pid)
}

#[unsafe(link_section = "agent_early")]
unsafe extern "C" fn in_child(program: *mut Program) -> ! {
    // SAFETY: the caller of `start` promised; the calls take integers and what `execve` takes.
    unsafe {
        bare::call(libc::SYS_setpgid, 0, 0, 0, 0, 0);
        bare::set_mask((*program).mask);
        let name = *(*program).arguments;
        let error = if name.is_null() {
            libc::ENOENT
        } else if has_slash(name) || bare::at(name, 0) == 0 {
            execute(name, program)
        } else {
            search(name, program)
        };
        (*program).failed.as_ptr().write_volatile(true);
        // Nobody sees the status, but where the kernel is an emulator's (qemu-user) that makes a
        // copy of the memory all the same, and the parent goes on.
        bare::exit(if error == libc::ENOENT { 127 } else { 126 })
    }
}

/// Tries each directory of PATH in turn; returns the last error where none has it, or one that
/// does can't be executed.
#[inline(never)]
#[unsafe(link_section = "agent_early")]
unsafe fn search(name: *const c_char, program: *mut Program) -> i32 {
    let mut place = MaybeUninit::<[u8; LONGEST]>::uninit();
    // SAFETY: strings end with NUL, the list with a null pointer; the place has LONGEST bytes.
    unsafe {
        let mut path = path_in((*program).environment);
        let mut error = libc::ENOENT;
        loop {
            let mut file = Text::new(place.as_mut_ptr().cast(), LONGEST);
            path = file.push(path, b':');
            // An empty one is the directory that this process is in.
            if !file.is_empty() {
                file.push_byte(b'/');
            }
            file.push(name, 0);
            if let Some(file) = file.end() {
                error = execute(file, program);
                match error {
                    // As execvp(3) and glibc's: what is nowhere, or closed, may be further on.
                    libc::ENOENT
                    | libc::ENOTDIR
                    | libc::EACCES
                    | libc::ESTALE
                    | libc::ENODEV
                    | libc::ETIMEDOUT => {}
                    _ => return error,
                }
            }
            if bare::at(path, 0) == 0 {
                return error;
            }
            path = path.add(1);
        }
    }
}

/// Becomes `file`; returns the error's number where that fails.
#[inline(always)]
unsafe fn execute(file: *const c_char, program: *mut Program) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let (arguments, environment) = ((*program).arguments, (*program).environment);
        let (file, arguments, environment) =
            (file as usize, arguments as usize, environment as usize);
        -bare::call(libc::SYS_execve, file, arguments, environment, 0, 0) as i32
    }
}

/// The value of PATH in this environment; where there is none, what `execvp(3)` takes for it.
#[inline(always)]
unsafe fn path_in(mut environment: *const *const c_char) -> *const c_char {
    // SAFETY: the list ends with a null pointer, each entry with NUL.
    unsafe {
        while !(*environment).is_null() {
            if let Some(value) = bare::behind_prefix(*environment, c"PATH=".as_ptr()) {
                return value;
            }
            environment = environment.add(1);
        }
    }
    c"/bin:/usr/bin".as_ptr()
}

/// Is there a slash in this string?
#[inline(always)]
unsafe fn has_slash(mut text: *const c_char) -> bool {
    // SAFETY: the string ends with NUL.
    unsafe {
        while bare::at(text, 0) != 0 {
            if bare::at(text, 0) == b'/' {
                return true;
            }
            text = text.add(1);
        }
    }
    false
}
