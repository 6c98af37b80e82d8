//! System calls without the C library: for code that runs before the library has started, in a
//! child that still has its parent's memory, or where no other page of the program is to be
//! touched. Everything is inlined into the caller, whose section it then lies in.
//!
//! Bytes are read and written one at a time, as volatile: of a loop over bytes, or an assignment of
//! many, the compiler makes a call of the library's `strlen` or `memcpy`.
#![allow(unsafe_code)]

use std::ffi::c_char;
use std::mem::MaybeUninit;

/// How large the kernel's own signal set is, in bytes.
const SET_SIZE: usize = 8;

/// `rt_sigtimedwait(2)` for every signal, for ever. A negative number is an interrupted wait.
#[inline(always)]
pub(super) fn next_signal() -> i32 {
    take_signal(u64::MAX, 0)
}

/// One that has come already, and isn't SIGCHLD; a negative number is none.
#[inline(always)]
pub(super) fn other_signal() -> i32 {
    let mut at_once = MaybeUninit::<[usize; 2]>::uninit();
    let place = at_once.as_mut_ptr().cast::<usize>();
    // SAFETY: there is room for both words of a `struct timespec`.
    unsafe {
        place.write_volatile(0);
        place.add(1).write_volatile(0);
    }
    take_signal(!(1 << (libc::SIGCHLD - 1)), place as usize)
}

/// `limit`: the address of a `struct timespec`, or 0 for none.
#[inline(always)]
fn take_signal(set: u64, limit: usize) -> i32 {
    let set = &raw const set as usize;
    // SAFETY: the set outlives the call, and so does the time; no information is asked for.
    let got = unsafe { call(libc::SYS_rt_sigtimedwait, set, 0, limit, SET_SIZE, 0) };
    got as i32
}

/// `wait4(2)`: one child that has ended or was stopped. 0 is none of them, a negative number
/// no child at all.
#[inline(always)]
pub(super) fn reap() -> (i32, i32) {
    let mut status = 0i32;
    let how = (libc::WNOHANG | libc::WUNTRACED) as usize;
    // SAFETY: the status outlives the call; -1 is any child; no resource usage is asked for.
    let pid = unsafe { call(libc::SYS_wait4, usize::MAX, &raw mut status as usize, how, 0, 0) };
    (pid as i32, status)
}

/// Waits for the end of child `pid` (`wait4(2)`).
#[inline(always)]
pub(super) fn reap_one(pid: i32) {
    // SAFETY: no status and no resource usage are asked for.
    unsafe { call(libc::SYS_wait4, pid as usize, 0, 0, 0, 0) };
}

/// Sends SIGCHLD to this process: children that have ended are still to be reaped.
#[inline(always)]
pub(super) fn remind_of_children() {
    // SAFETY: the call takes nothing.
    let me = unsafe { call(libc::SYS_getpid, 0, 0, 0, 0, 0) };
    send(me as i32, libc::SIGCHLD);
}

/// `kill(2)`; somebody who is gone is no error. A leader who has left its group empty gets the
/// group's signals.
#[inline(always)]
pub(super) fn send(to: i32, signal: i32) {
    // SAFETY: two integers; no memory of ours is touched.
    let done = unsafe { call(libc::SYS_kill, to as isize as usize, signal as usize, 0, 0, 0) };
    if done == -(libc::ESRCH as isize) && to < -1 {
        // SAFETY: as above.
        unsafe { call(libc::SYS_kill, -to as usize, signal as usize, 0, 0, 0) };
    }
}

/// Sets the signal mask (`rt_sigprocmask(2)`), and returns the one that was in force.
#[inline(always)]
pub(super) fn set_mask(mask: u64) -> u64 {
    let mut before = 0u64;
    let (new, old) = (&raw const mask as usize, &raw mut before as usize);
    // SAFETY: both sets outlive the call.
    unsafe {
        call(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK as usize, new, old, SET_SIZE, 0);
    }
    before
}

/// Lets go of pages of this program's file: `madvise(2)`, MADV_DONTNEED. What is needed again
/// comes back from the page cache.
#[inline(always)]
pub(super) fn let_go(start: usize, length: usize) {
    let advice = libc::MADV_DONTNEED as usize;
    // SAFETY: the range is a whole segment of this program's file that is mapped privately
    // and never written: the next access reads the same bytes from the file. A length of 0
    // is nothing.
    unsafe { call(libc::SYS_madvise, start, length, advice, 0, 0) };
}

/// `exit_group(2)`.
#[inline(always)]
pub(super) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: an integer; the call doesn't return.
        unsafe { call(libc::SYS_exit_group, status as usize, 0, 0, 0, 0) };
    }
}

/// Is nobody else in the namespace of this PID 1, neither one that lives nor one to be reaped
/// (`kill(2)`, -1)?
#[inline(always)]
pub(super) fn nobody_else() -> bool {
    // SAFETY: two integers; signal 0 only asks.
    let got = unsafe { call(libc::SYS_kill, usize::MAX, 0, 0, 0, 0) };
    got == -(libc::ESRCH as isize)
}

/// A byte of a text.
///
/// # Safety
/// It is in the text, or the NUL at its end.
#[inline(always)]
pub(super) unsafe fn at(text: *const c_char, place: usize) -> u8 {
    // SAFETY: the caller's promise.
    unsafe { text.add(place).cast::<u8>().read_volatile() }
}

/// What follows `prefix` in `text`, if it begins so.
///
/// # Safety
/// Both end with NUL.
#[inline(always)]
pub(super) unsafe fn behind_prefix(
    text: *const c_char,
    prefix: *const c_char,
) -> Option<*const c_char> {
    let mut place = 0;
    // SAFETY: the first difference ends it, the end of `text` at the latest.
    unsafe {
        while at(prefix, place) != 0 {
            if at(text, place) != at(prefix, place) {
                return None;
            }
            place += 1;
        }
        Some(text.add(place))
    }
}

/// A text that is put together in a place of the caller's.
pub(super) struct Text {
    place: *mut u8,
    room: usize,
    length: usize,
}

impl Text {
    /// Nothing yet, in `room` bytes at `place`.
    #[inline(always)]
    pub(super) fn new(place: *mut u8, room: usize) -> Self {
        Self { place, room, length: 0 }
    }

    /// Adds `text` up to its NUL, or up to `mark`. Returns where it stopped.
    ///
    /// # Safety
    /// `text` ends so, and the room is there.
    #[inline(always)]
    pub(super) unsafe fn push(&mut self, text: *const c_char, mark: u8) -> *const c_char {
        let mut next = text;
        // SAFETY: the caller's promise.
        unsafe {
            while at(next, 0) != 0 && at(next, 0) != mark {
                self.push_byte(at(next, 0));
                next = next.add(1);
            }
        }
        next
    }

    /// Adds one byte.
    ///
    /// # Safety
    /// The room is there.
    #[inline(always)]
    pub(super) unsafe fn push_byte(&mut self, byte: u8) {
        if self.length < self.room {
            // SAFETY: within the room.
            unsafe { self.place.add(self.length).write_volatile(byte) };
        }
        self.length = self.length.wrapping_add(1);
    }

    /// Is nothing in it?
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The text with its NUL; `None` where it was too long.
    ///
    /// # Safety
    /// The room is there.
    #[inline(always)]
    pub(super) unsafe fn end(mut self) -> Option<*const c_char> {
        // SAFETY: the caller's promise.
        unsafe { self.push_byte(0) };
        (self.length <= self.room).then_some(self.place.cast_const().cast())
    }
}

/// One system call of up to five arguments, a sixth is 0 (`syscall(2)` has the registers). A negative result is
/// the error's number.
///
/// # Safety
/// As the call itself: pointers among the arguments must be good for what it does.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn call(
    number: libc::c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
) -> isize {
    let result;
    // SAFETY: the kernel changes rax, rcx and r11 and keeps the rest; the stack isn't used.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            in("r9") 0,
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
pub(super) unsafe fn call(
    number: libc::c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
) -> isize {
    let result;
    // SAFETY: the kernel changes x0 and keeps the rest; the stack isn't used.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") 0,
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
pub(super) unsafe fn call(
    number: libc::c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
) -> isize {
    // SAFETY: the caller's promise.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, 0) as isize };
    if result == -1 { -(nix::errno::Errno::last_raw() as isize) } else { result }
}

/// A child that has this process's memory, and this process waits, until it has become another
/// program or has ended: `clone(2)` with CLONE_VM and CLONE_VFORK, which copies nothing. The child
/// runs `body(argument)`, a little below this stack. Returns its pid, or an error's negative
/// number. Every signal must be blocked: a handler would run in both.
///
/// # Safety
/// `body` returns nowhere, and does nothing but bare calls and what `argument` is good for.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn vfork<T>(body: unsafe extern "C" fn(*mut T) -> !, argument: *mut T) -> i32 {
    let flags = (libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD) as usize;
    let pid: isize;
    // SAFETY: what lies below this stack's end (and below the 128 bytes that may be in use there)
    // is nobody's while this process waits. The child sees the registers that the parent had.
    unsafe {
        core::arch::asm!(
            "lea rsi, [rsp - 512]",
            "and rsi, -16",
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone as isize => pid,
            in("rdi") flags, out("rsi") _, in("rdx") 0, in("r10") 0, in("r8") 0,
            in("r12") argument, in("r13") body,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    pid as i32
}

/// As above.
///
/// # Safety
/// As above.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) unsafe fn vfork<T>(body: unsafe extern "C" fn(*mut T) -> !, argument: *mut T) -> i32 {
    let flags = (libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD) as isize;
    let pid: isize;
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "sub x1, sp, #512",
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x9",
            "blr x10",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone,
            inlateout("x0") flags => pid,
            out("x1") _, in("x2") 0, in("x3") 0, in("x4") 0,
            in("x9") argument, in("x10") body,
        );
    }
    pid as i32
}

/// Elsewhere there is only the usual way.
///
/// # Safety
/// As above.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline(always)]
pub(super) unsafe fn vfork<T>(_: unsafe extern "C" fn(*mut T) -> !, _: *mut T) -> i32 {
    -libc::ENOSYS
}
