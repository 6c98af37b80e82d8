//! PID 1 before the C library: a plain init, from its start to the first thing that wants a decision.
//!
//! The kernel enters the program here, not at the C library's `_start`. What an init without a
//! boot has to do first, starting COMMAND and waiting, needs no library, and a library's own start
//! costs more than that: in a virtual machine glibc's asks the processor 68 times what it can
//! do, and each time the hypervisor answers. So COMMAND starts first. The library starts when
//! something is to be decided, said or stopped, with the stack as the kernel left it; the init
//! then takes over what has [`begun`]. Where COMMAND just ends and leaves nobody, it never does.
//!
//! Whatever isn't exactly that (options, a boot, a terminal, not PID 1, a command that cannot be
//! executed) starts as if this file weren't there.
//!
//! Nothing here may call the C library; [`start`](super::start) says what that means.
#![allow(unsafe_code)]

#[cfg(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod entry;
mod kills;

use super::memory::{self, SEGMENTS};
use super::quiet::{self, Quiet, Woken};
use super::start::{self, Program};
use super::{bare, signals};
use nix::sys::signal::SigSet;
use std::cell::Cell;
use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

/// What was done before the C library started.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// The workload.
    pub pid: i32,
    /// The signal mask that was in force; every signal is blocked.
    pub mask: SigSet,
    /// How many processes of the control group the out-of-memory killer had ended.
    pub kills: Option<u64>,
    /// What ended the quiet.
    pub woken: Woken,
}

static PID: AtomicI32 = AtomicI32::new(0);
static MASK: AtomicU64 = AtomicU64::new(0);
static KILLS: AtomicU64 = AtomicU64::new(NOT_COUNTED);
static WOKEN: (AtomicI32, AtomicI32) = (AtomicI32::new(0), AtomicI32::new(0));

/// Nothing is known of the out-of-memory killer.
const NOT_COUNTED: u64 = u64::MAX;

/// What has begun; `None` in every process but a PID 1 that started this way.
pub fn begun() -> Option<Begun> {
    let pid = PID.load(Relaxed);
    let kills = Some(KILLS.load(Relaxed)).filter(|k| *k != NOT_COUNTED);
    let woken = quiet::woken((WOKEN.0.load(Relaxed), WOKEN.1.load(Relaxed)));
    (pid != 0).then(|| Begun { pid, mask: signals::of_kernel(MASK.load(Relaxed)), kills, woken })
}

/// `stack` is what the kernel left at a program's start: the number of arguments, the arguments,
/// the environment, the auxiliary vector (`getauxval(3)`). Comes back where the C library is
/// needed.
///
/// # Safety
/// Called once, before anything else.
#[unsafe(link_section = "agent_early")]
unsafe extern "C" fn early(stack: *const usize) {
    // SAFETY: the lists are as the kernel makes them, each but the first with a null at its end.
    unsafe {
        let arguments = stack.add(1).cast::<*const c_char>();
        let environment = arguments.add(*stack + 1);
        let Some(command) = command_in(arguments) else { return };
        if !alone() {
            return;
        }
        let mask = bare::set_mask(signals::ALL);
        let program = Program { arguments: command, environment, mask, failed: Cell::new(false) };
        let Some(pid) = start::start(&program) else {
            bare::set_mask(mask);
            return;
        };
        bare::call(libc::SYS_chdir, c"/".as_ptr() as usize, 0, 0, 0, 0);
        let kills = kills::so_far();
        let woken = supervise(pid, kills, environment);
        MASK.store(mask, Relaxed);
        KILLS.store(kills, Relaxed);
        WOKEN.0.store(woken.0, Relaxed);
        WOKEN.1.store(woken.1, Relaxed);
        PID.store(pid, Relaxed);
    }
}

/// Until something wants a decision. The end of COMMAND, where nobody is left, is the end of this process.
#[inline(always)]
unsafe fn supervise(pid: i32, kills: u64, environment: *const *const c_char) -> (i32, i32) {
    let mut place = MaybeUninit::<Quiet>::uninit();
    let mut program = MaybeUninit::<[(usize, usize); SEGMENTS]>::uninit();
    // SAFETY: both are filled before they are used; `environment` is the caller's.
    let (quiet, program) = unsafe {
        quiet::plain(place.as_mut_ptr(), pid, kills != NOT_COUNTED);
        let (headers, count) = headers_behind(environment);
        memory::find_segments(headers, count, program.as_mut_ptr().cast());
        (place.assume_init_ref(), program.assume_init_ref())
    };
    memory::keep_apart(quiet::section());
    loop {
        let (who, status) = quiet::wait(quiet, program);
        if who != pid {
            return (who, status);
        }
        // PID 1 is nobody's job: a workload that was stopped stays so until somebody sends CONT,
        // but for one that asks for a terminal.
        if libc::WIFSTOPPED(status) {
            if matches!(libc::WSTOPSIG(status), libc::SIGTTIN | libc::SIGTTOU) {
                return (who, status);
            }
            continue;
        }
        let signal = libc::WTERMSIG(status);
        let end = match libc::WIFEXITED(status) {
            true => libc::WEXITSTATUS(status),
            false => 128 + signal,
        };
        // Where it failed, the out-of-memory killer may have had a hand in it.
        if signal != libc::SIGKILL && bare::childless() && (end == 0 || kills::so_far() == kills) {
            bare::exit(end);
        }
        return (who, status);
    }
}

/// The command of `agent init --no-boot [--] COMMAND [ARGUMENT…]`.
#[inline(always)]
unsafe fn command_in(arguments: *const *const c_char) -> Option<*const *const c_char> {
    // SAFETY: the list ends with a null pointer, and nothing behind that is read.
    unsafe {
        if (*arguments).is_null()
            || !is(*arguments.add(1), c"init".as_ptr())
            || !is(*arguments.add(2), c"--no-boot".as_ptr())
        {
            return None;
        }
        // By the name of another init this would be something else.
        if !is_named_agent(*arguments) {
            return None;
        }
        let mut command = arguments.add(3);
        if is(*command, c"--".as_ptr()) {
            command = command.add(1);
        } else if (*command).is_null() || bare::at(*command, 0) == b'-' {
            return None;
        }
        (!(*command).is_null()).then_some(command)
    }
}

/// Is this PID 1, with three standard descriptors, and without a terminal?
#[inline(always)]
unsafe fn alone() -> bool {
    let mut terminal = MaybeUninit::<[u8; 256]>::uninit();
    // SAFETY: the calls take integers, and the last one writes a `struct termios`, which is
    // smaller.
    unsafe {
        let mut open = bare::call(libc::SYS_getpid, 0, 0, 0, 0, 0) == 1;
        let mut descriptor = 0;
        while descriptor < 3 {
            let flags = bare::call(libc::SYS_fcntl, descriptor, libc::F_GETFD as usize, 0, 0, 0);
            open = open && flags >= 0;
            descriptor += 1;
        }
        let place = terminal.as_mut_ptr() as usize;
        open && bare::call(libc::SYS_ioctl, 0, libc::TCGETS as usize, place, 0, 0) < 0
    }
}

/// Is the last part of this path `agent`?
#[inline(always)]
unsafe fn is_named_agent(path: *const c_char) -> bool {
    let (mut name, mut next) = (path, path);
    // SAFETY: the path ends with NUL.
    unsafe {
        while bare::at(next, 0) != 0 {
            next = next.add(1);
            if bare::at(next, 0) != 0 && bare::at(next.sub(1), 0) == b'/' {
                name = next;
            }
        }
        is(name, c"agent".as_ptr())
    }
}

/// Is it this word? A null pointer is none.
#[inline(always)]
unsafe fn is(text: *const c_char, word: *const c_char) -> bool {
    let mut place = 0;
    // SAFETY: both end with NUL, and the first difference ends the comparison.
    unsafe {
        while !text.is_null() && bare::at(text, place) == bare::at(word, place) {
            if bare::at(word, place) == 0 {
                return true;
            }
            place += 1;
        }
    }
    false
}

/// The program's headers, out of the auxiliary vector, which lies behind the environment.
#[inline(always)]
unsafe fn headers_behind(
    mut environment: *const *const c_char,
) -> (*const libc::Elf64_Phdr, usize) {
    let (mut headers, mut count) = (std::ptr::null(), 0);
    // SAFETY: the environment ends with a null pointer; the vector are pairs, the last AT_NULL.
    unsafe {
        while !(*environment).is_null() {
            environment = environment.add(1);
        }
        let mut pair = environment.add(1).cast::<usize>();
        while *pair != libc::AT_NULL as usize {
            if *pair == libc::AT_PHDR as usize {
                headers = *pair.add(1) as *const libc::Elf64_Phdr;
            }
            if *pair == libc::AT_PHNUM as usize {
                count = *pair.add(1);
            }
            pair = pair.add(2);
        }
    }
    (headers, count)
}
