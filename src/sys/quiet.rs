//! The part of supervising that runs for weeks: wait for a signal, send it on or reap, wait.
//!
//! Whatever needs no decision is done here, by bare system calls and in a section of the program
//! of its own, a page or two. Everything else of the program can be given back to the kernel
//! meanwhile ([`memory`]): a call of anything outside would bring 64 KiB of it back (the kernel
//! maps that much around a page that is asked for, `fault_around_bytes`).
#![allow(unsafe_code)]

use super::memory;
use super::process::{self, Reaped};

/// Signals are 1 to 64 (`signal(7)`).
const SIGNALS: usize = 65;

/// What becomes of a signal here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Nothing.
    Drop,
    /// It is sent on to the workload, as this one.
    Send(i32),
    /// Somebody has to decide.
    Wake,
}

/// What is done without asking anybody.
#[derive(Clone, Debug)]
pub struct Quiet {
    /// Where signals go: a process, or the group `-pid`.
    to: i32,
    /// The child whose end, and whose stop, somebody waits for; 0 is none.
    awaited: i32,
    /// Does somebody want to know of every child that SIGKILL has ended?
    kills: bool,
    /// For each signal the one that is sent, [`DROP`] or [`WAKE`].
    routes: [u8; SIGNALS],
}

/// More read-only segments than a linker makes.
const SEGMENTS: usize = 8;

const DROP: u8 = 0;
const WAKE: u8 = u8::MAX;

/// Why the quiet is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// A signal that wants a decision.
    Signal(i32),
    /// A child, reaped; there may be more that have ended.
    Child(Reaped),
}

impl Quiet {
    /// Signals go `to` a process or a group `-pid` by the `route` of each; SIGCHLD is answered by
    /// reaping. `awaited` is the child that is waited for; `kills`: wake for every other one, too,
    /// that SIGKILL has ended.
    pub fn new(to: i32, awaited: i32, kills: bool, route: impl Fn(i32) -> Route) -> Self {
        let mut routes = [DROP; SIGNALS];
        for (signal, place) in (0..).zip(&mut routes).skip(1) {
            *place = match route(signal) {
                Route::Drop => DROP,
                Route::Wake => WAKE,
                Route::Send(other) => u8::try_from(other).unwrap_or(DROP),
            };
        }
        Self { to, awaited, kills, routes }
    }

    /// Keeps the quiet until something wants a decision. Every signal must be blocked
    /// ([`block_all`](super::signals::block_all)).
    pub fn keep(&self) -> Woken {
        memory::keep_apart(section());
        // Whatever runs between letting go and waiting would come back.
        let mut program = [(0, 0); SEGMENTS];
        for (place, found) in program.iter_mut().zip(memory::read_only_segments()) {
            *place = found;
        }
        match wait(self, &program) {
            (0, signal) => Woken::Signal(signal),
            (pid, status) => {
                process::of_status(pid, status).map_or(Woken::Signal(libc::SIGCHLD), Woken::Child)
            }
        }
    }
}

/// Returns `(0, signal)` or `(pid, wait status)`. Two numbers, as nothing outside of the section
/// is to be called, a `memcpy` neither.
#[inline(never)]
#[cfg_attr(target_os = "linux", unsafe(link_section = "agent_quiet"))]
fn wait(quiet: &Quiet, program: &[(usize, usize); SEGMENTS]) -> (i32, i32) {
    for (start, length) in program {
        if *length > 0 {
            bare::let_go(*start, *length);
        }
    }
    loop {
        let signal = bare::next_signal();
        if signal == libc::SIGCHLD {
            loop {
                let (pid, status) = bare::reap();
                if pid <= 0 {
                    break;
                }
                let killed = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL;
                let stopped = libc::WIFSTOPPED(status);
                if pid == quiet.awaited || (quiet.kills && killed && !stopped) {
                    return (pid, status);
                }
            }
        } else if signal > 0 && (signal as usize) < SIGNALS {
            match quiet.routes[signal as usize] {
                DROP => {}
                WAKE => return (0, signal),
                sent => bare::send(quiet.to, i32::from(sent)),
            }
        }
    }
}

/// Where the linker put [`wait`]: it names the bounds of a section whose name is an identifier.
fn section() -> (usize, usize) {
    unsafe extern "C" {
        #[link_name = "__start_agent_quiet"]
        static START: u8;
        #[link_name = "__stop_agent_quiet"]
        static STOP: u8;
    }
    (&raw const START as usize, &raw const STOP as usize)
}

/// System calls without the C library's wrappers around them.
mod bare {
    /// How large the kernel's own signal set is, in bytes.
    const SET_SIZE: usize = 8;

    /// `rt_sigtimedwait(2)` for every signal, for ever. A negative number is an interrupted wait.
    #[inline(always)]
    pub(super) fn next_signal() -> i32 {
        let all = u64::MAX;
        // SAFETY: the set outlives the call; no information and no time are asked for.
        let got =
            unsafe { call(libc::SYS_rt_sigtimedwait, &raw const all as usize, 0, 0, SET_SIZE) };
        got as i32
    }

    /// `wait4(2)`: one child that has ended or was stopped. 0 is none of them, a negative number
    /// no child at all.
    #[inline(always)]
    pub(super) fn reap() -> (i32, i32) {
        let mut status = 0i32;
        let how = (libc::WNOHANG | libc::WUNTRACED) as usize;
        // SAFETY: the status outlives the call; -1 is any child; no resource usage is asked for.
        let pid = unsafe { call(libc::SYS_wait4, usize::MAX, &raw mut status as usize, how, 0) };
        (pid as i32, status)
    }

    /// `kill(2)`; somebody who is gone is no error. A leader who has left its group empty gets the
    /// group's signals.
    #[inline(always)]
    pub(super) fn send(to: i32, signal: i32) {
        // SAFETY: two integers; no memory of ours is touched.
        let done = unsafe { call(libc::SYS_kill, to as isize as usize, signal as usize, 0, 0) };
        if done == -(libc::ESRCH as isize) && to < -1 {
            // SAFETY: as above.
            unsafe { call(libc::SYS_kill, -to as usize, signal as usize, 0, 0) };
        }
    }

    /// Lets go of pages of this program's file: `madvise(2)`, MADV_DONTNEED. What is needed again
    /// comes back from the page cache.
    #[inline(always)]
    pub(super) fn let_go(start: usize, length: usize) {
        let advice = libc::MADV_DONTNEED as usize;
        // SAFETY: the range is a whole segment of this program's file that is mapped privately
        // and never written: the next access reads the same bytes from the file.
        unsafe { call(libc::SYS_madvise, start, length, advice, 0) };
    }

    /// One system call of up to four arguments (`syscall(2)` has the registers).
    ///
    /// # Safety
    /// As the call itself: pointers among the arguments must be good for what it does.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn call(number: libc::c_long, a: usize, b: usize, c: usize, d: usize) -> isize {
        let result;
        // SAFETY: the kernel changes rax, rcx and r11 and keeps the rest; the stack isn't used.
        unsafe {
            core::arch::asm!(
                "syscall",
                inlateout("rax") number as isize => result,
                in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
                lateout("rcx") _, lateout("r11") _,
                options(nostack),
            );
        }
        result
    }

    /// As above.
    ///
    /// # Safety
    /// As above.
    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    unsafe fn call(number: libc::c_long, a: usize, b: usize, c: usize, d: usize) -> isize {
        let result;
        // SAFETY: the kernel changes x0 and keeps the rest; the stack isn't used.
        unsafe {
            core::arch::asm!(
                "svc 0",
                in("x8") number,
                inlateout("x0") a as isize => result,
                in("x1") b, in("x2") c, in("x3") d,
                options(nostack),
            );
        }
        result
    }

    /// Elsewhere the C library's way will do: it costs memory alone.
    ///
    /// # Safety
    /// As above.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    #[inline(always)]
    unsafe fn call(number: libc::c_long, a: usize, b: usize, c: usize, d: usize) -> isize {
        // SAFETY: the caller's promise.
        unsafe { libc::syscall(number, a, b, c, d) as isize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_small_and_holds_the_loop() {
        let (start, stop) = section();
        let at = wait as fn(&Quiet, &[(usize, usize); SEGMENTS]) -> (i32, i32) as usize;
        assert!((start..stop).contains(&at), "{at:#x} in {start:#x}..{stop:#x}");
        assert!(stop - start < 4096, "{}", stop - start);
    }

    #[test]
    fn each_signal_has_its_route() {
        let quiet = Quiet::new(-7, 7, true, |signal| match signal {
            libc::SIGTERM => Route::Wake,
            libc::SIGHUP => Route::Send(libc::SIGUSR1),
            64 => Route::Send(64),
            _ => Route::Drop,
        });
        let of = |signal: i32| quiet.routes[signal as usize];
        assert_eq!((of(libc::SIGTERM), of(libc::SIGHUP), of(64)), (WAKE, libc::SIGUSR1 as u8, 64));
        assert_eq!((of(libc::SIGINT), of(63)), (DROP, DROP));
    }
}
