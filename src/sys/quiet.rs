//! The part of supervising that runs for weeks: wait for a signal, send it on or reap, wait.
//!
//! Whatever needs no decision is done here, by bare system calls and in a section of the program
//! of its own, a page or two. Everything else of the program can be given back to the kernel
//! meanwhile ([`memory`]): a call of anything outside would bring 64 KiB of it back (the kernel
//! maps that much around a page that is asked for, `fault_around_bytes`).
#![allow(unsafe_code)]

use super::bare;
use super::memory::{self, SEGMENTS};
use super::process::{self, Reaped};

/// Signals are 1 to 64 (`signal(7)`).
const SIGNALS: usize = 65;

/// How many children are reaped before the signals that came meanwhile are looked at: some may
/// end as fast as they are reaped.
pub const BATCH: u32 = 256;

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

/// Which children's ends somebody wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wakes {
    /// The awaited one's alone.
    Awaited,
    /// Also those that SIGKILL has ended.
    Killed,
    /// All.
    Every,
}

/// What is done without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Where signals go: a process, or the group `-pid`.
    to: i32,
    /// The child whose end, and whose stop, somebody waits for; 0 is none.
    awaited: i32,
    /// Of which other children somebody wants to know.
    wakes: Wakes,
    /// For each signal the one that is sent, [`DROP`] or [`WAKE`].
    routes: [u8; SIGNALS],
}

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
    /// reaping. `awaited` is the child that is waited for; `wakes` says which others' ends, too,
    /// are somebody's matter.
    pub fn new(to: i32, awaited: i32, wakes: Wakes, route: impl Fn(i32) -> Route) -> Self {
        let mut routes = [DROP; SIGNALS];
        for (signal, place) in (0..).zip(&mut routes).skip(1) {
            *place = match route(signal) {
                Route::Drop => DROP,
                Route::Wake => WAKE,
                Route::Send(other) => u8::try_from(other).unwrap_or(DROP),
            };
        }
        Self { to, awaited, wakes, routes }
    }

    /// What is done for the child `pid` before anybody has read what is wished: that is nothing
    /// but a start of it ([`early`](super::early)).
    #[cfg(test)]
    pub(crate) fn of_early(pid: i32, duties: Plain, kills: bool) -> Self {
        let mut quiet = Self { to: 0, awaited: 0, wakes: Wakes::Awaited, routes: [DROP; SIGNALS] };
        // SAFETY: there is room for one.
        unsafe { plain(&raw mut quiet, pid, duties, kills) };
        quiet
    }

    /// Keeps the quiet until something wants a decision. Every signal must be blocked
    /// ([`block_all`](super::signals::block_all)).
    pub fn keep(&self) -> Woken {
        memory::keep_apart(section());
        // Whatever runs between letting go and waiting would come back.
        let program = memory::read_only_segments();
        woken(wait(self, &program))
    }
}

/// What [`wait`] returned.
pub(super) fn woken(by: (i32, i32)) -> Woken {
    match by {
        (0, signal) => Woken::Signal(signal),
        (pid, status) => {
            process::of_status(pid, status).map_or(Woken::Signal(libc::SIGCHLD), Woken::Child)
        }
    }
}

/// How an init that nobody has wished anything of stands to its child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Its group gets the signals, or it alone.
    pub group: bool,
    /// TERM begins a stop that somebody decides on, or is sent on like the others.
    pub stops: bool,
}

/// What such an init does for its child `pid`, without the C library.
///
/// # Safety
/// `place` has room for one.
#[inline(always)]
pub(super) unsafe fn plain(place: *mut Quiet, pid: i32, duties: Plain, kills: bool) {
    let mut signal = 0;
    // SAFETY: the caller's promise; each field is written.
    unsafe {
        (&raw mut (*place).to).write_volatile(if duties.group { -pid } else { pid });
        (&raw mut (*place).awaited).write_volatile(pid);
        let wakes = if kills { Wakes::Killed } else { Wakes::Awaited };
        (&raw mut (*place).wakes).write_volatile(wakes);
        while signal < SIGNALS {
            let route = match signal as i32 {
                0 | libc::SIGTTIN | libc::SIGTTOU => DROP,
                libc::SIGTERM if duties.stops => WAKE,
                other => other as u8,
            };
            (&raw mut (*place).routes).cast::<u8>().add(signal).write_volatile(route);
            signal += 1;
        }
    }
}

/// Returns `(0, signal)` or `(pid, wait status)`. Two numbers, as nothing outside of the section
/// is to be called, a `memcpy` neither.
#[inline(never)]
#[cfg_attr(target_os = "linux", unsafe(link_section = "agent_quiet"))]
pub(super) fn wait(quiet: &Quiet, program: &[(usize, usize); SEGMENTS]) -> (i32, i32) {
    for (start, length) in program {
        if *length != 0 {
            bare::let_go(*start, *length);
        }
    }
    let mut more = false;
    loop {
        let signal = if more { bare::other_signal() } else { bare::next_signal() };
        if signal == libc::SIGCHLD || (more && signal < 0) {
            more = true;
            let mut left = BATCH;
            while left > 0 {
                let (pid, status) = bare::reap();
                if pid <= 0 {
                    more = false;
                    break;
                }
                let killed = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL;
                let stopped = libc::WIFSTOPPED(status);
                let told = match quiet.wakes {
                    Wakes::Awaited => false,
                    Wakes::Killed => killed && !stopped,
                    Wakes::Every => true,
                };
                if told || pid == quiet.awaited {
                    return (pid, status);
                }
                left -= 1;
            }
        } else if signal > 0 && (signal as usize) < SIGNALS {
            match quiet.routes[signal as usize] {
                DROP => {}
                WAKE => {
                    if more {
                        bare::remind_of_children();
                    }
                    return (0, signal);
                }
                sent => bare::send(quiet.to, i32::from(sent)),
            }
        }
    }
}

/// Where the linker put [`wait`]: it names the bounds of a section whose name is an identifier.
pub(super) fn section() -> (usize, usize) {
    unsafe extern "C" {
        #[link_name = "__start_agent_quiet"]
        static START: u8;
        #[link_name = "__stop_agent_quiet"]
        static STOP: u8;
    }
    (&raw const START as usize, &raw const STOP as usize)
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
        let quiet = Quiet::new(-7, 7, Wakes::Killed, |signal| match signal {
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
