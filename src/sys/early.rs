//! PID 1 before the C library: a plain init, from its start to the first thing that wants a decision.
//!
//! The kernel enters the program here, not at the C library's `_start`. What an init without a
//! boot has to do first, starting COMMAND and waiting, needs no library, and a library's own start
//! costs more than that: in a virtual machine glibc's asks the processor 68 times what it can
//! do, and each time the hypervisor answers. So COMMAND starts first. The library starts when
//! something is to be decided, said or stopped, with the stack as the kernel left it; the init
//! then takes over what has [`begun`]. Where COMMAND just ends and leaves nobody, it never does.
//!
//! Whatever isn't exactly that (options, a boot, a terminal, sockets handed over, not PID 1, a command that
//! cannot be executed) starts as if this file weren't there.
//!
//! Nothing here may call the C library; [`start`](super::start) says what that means.
#![allow(unsafe_code)]

#[cfg(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod entry;
mod kills;
mod plain;

use super::memory::{self, SEGMENTS};
use super::quiet::{self, Plain, Quiet, Woken};
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
        let Some(plain) = plain::asked_for(arguments, environment) else { return };
        if !alone() || ignores_children() {
            return;
        }
        let mask = bare::set_mask(signals::ALL);
        let program =
            Program { arguments: plain.command, environment, mask, failed: Cell::new(false) };
        let Some(pid) = start::start(&program) else {
            bare::set_mask(mask);
            return;
        };
        // What somebody passed through is the child's, and whoever waits for its end waits for all.
        bare::call(libc::SYS_close_range, 3, u32::MAX as usize, 0, 0, 0);
        bare::call(libc::SYS_chdir, c"/".as_ptr() as usize, 0, 0, 0, 0);
        let kills = kills::so_far();
        let woken = supervise(pid, plain.duties, kills, environment);
        MASK.store(mask, Relaxed);
        KILLS.store(kills, Relaxed);
        WOKEN.0.store(woken.0, Relaxed);
        WOKEN.1.store(woken.1, Relaxed);
        PID.store(pid, Relaxed);
    }
}

/// Until something wants a decision. The end of COMMAND, where nobody is left, is the end of this process.
#[inline(always)]
unsafe fn supervise(
    pid: i32,
    duties: Plain,
    kills: u64,
    environment: *const *const c_char,
) -> (i32, i32) {
    let mut place = MaybeUninit::<Quiet>::uninit();
    let mut program = MaybeUninit::<[(usize, usize); SEGMENTS]>::uninit();
    // SAFETY: both are filled before they are used; `environment` is the caller's.
    let (quiet, program) = unsafe {
        quiet::plain(place.as_mut_ptr(), pid, duties, kills != NOT_COUNTED);
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
            bare::remind_of_children();
            continue;
        }
        let signal = libc::WTERMSIG(status);
        let end = match libc::WIFEXITED(status) {
            true => libc::WEXITSTATUS(status),
            false => 128 + signal,
        };
        // Where it failed, the out-of-memory killer may have had a hand in it.
        if signal != libc::SIGKILL && bare::nobody_else() && (end == 0 || kills::so_far() == kills)
        {
            bare::exit(end);
        }
        return (who, status);
    }
}

/// Is this PID 1, with three standard descriptors, and without a terminal?
#[inline(always)]
unsafe fn alone() -> bool {
    let mut terminal = MaybeUninit::<[u8; 256]>::uninit();
    // SAFETY: the calls take integers, and the last one writes a `struct termios`, which is
    // smaller.
    unsafe {
        if bare::call(libc::SYS_getpid, 0, 0, 0, 0, 0) != 1 {
            return false;
        }
        let mut descriptor = 0;
        while descriptor < 3 {
            if bare::call(libc::SYS_fcntl, descriptor, libc::F_GETFD as usize, 0, 0, 0) < 0 {
                return false;
            }
            descriptor += 1;
        }
        let place = terminal.as_mut_ptr() as usize;
        bare::call(libc::SYS_ioctl, 0, libc::TCGETS as usize, place, 0, 0) < 0
    }
}

/// Was this process started with SIGCHLD ignored? The child is to ignore it, and this process not.
#[inline(always)]
unsafe fn ignores_children() -> bool {
    let mut action = MaybeUninit::<[usize; 8]>::uninit();
    let (place, size) = (action.as_mut_ptr() as usize, size_of::<u64>());
    // SAFETY: the call writes the kernel's `struct sigaction`, which is smaller; its first word is
    // the handler.
    unsafe {
        bare::call(libc::SYS_rt_sigaction, libc::SIGCHLD as usize, 0, place, size, 0) == 0
            && action.as_ptr().cast::<usize>().read() == libc::SIG_IGN
    }
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
