//! What the out-of-memory killer has done in this control group, as [`cgroup`](crate::sys::cgroup) finds
//! it: the count at the start, against which a later one is held.

use super::NOT_COUNTED;
use crate::sys::bare::{self, Text};
use std::ffi::c_char;

/// Room for each of: this process's groups, a path, a file of the group.
const ROOM: usize = 4096;

/// How many processes of the group it has ended so far.
#[inline(never)]
#[unsafe(link_section = "agent_early")]
pub(super) fn so_far() -> u64 {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: memory of its own, which nobody else knows, given back below.
    unsafe {
        let place = bare::call(
            libc::SYS_mmap,
            0,
            3 * ROOM,
            protection as usize,
            flags as usize,
            usize::MAX,
        );
        if place < 0 {
            return NOT_COUNTED;
        }
        let count = look(place as *mut u8);
        bare::call(libc::SYS_munmap, place as usize, 3 * ROOM, 0, 0, 0);
        count
    }
}

/// Lines such as `4:memory:/a/b` (version 1) and `0::/a/b` (version 2).
#[inline(always)]
unsafe fn look(place: *mut u8) -> u64 {
    // SAFETY: three times ROOM bytes at `place`; what is read ends with NUL within its ROOM.
    unsafe {
        if !read(c"/proc/self/cgroup".as_ptr(), place) {
            return NOT_COUNTED;
        }
        let mut next: *const c_char = place.cast();
        while bare::at(next, 0) != 0 {
            next = behind(next, b':');
            let controllers = next;
            next = behind(next, b':');
            let path = next;
            next = behind(next, b'\n');
            let mut count = NOT_COUNTED;
            if bare::at(controllers, 0) == b':' {
                let file = c"/memory.events".as_ptr();
                count = of_group(c"".as_ptr(), path, file, place);
                if count == NOT_COUNTED {
                    count = of_group(c"/unified".as_ptr(), path, file, place);
                }
            } else if lists_memory(controllers) {
                count = of_group(c"/memory".as_ptr(), path, c"/memory.oom_control".as_ptr(), place);
            }
            if count != NOT_COUNTED {
                return count;
            }
        }
    }
    NOT_COUNTED
}

/// The count of the group at `path` of a hierarchy, or else at its root: in a control group
/// namespace the path of the outside means nothing.
#[inline(always)]
unsafe fn of_group(
    hierarchy: *const c_char,
    path: *const c_char,
    file: *const c_char,
    place: *mut u8,
) -> u64 {
    // SAFETY: as the caller's.
    unsafe {
        let mut with_path = true;
        loop {
            let mut name = Text::new(place.add(ROOM), ROOM);
            name.push(c"/sys/fs/cgroup".as_ptr(), 0);
            name.push(hierarchy, 0);
            if with_path {
                name.push(path, b'\n');
            }
            name.push(file, 0);
            if let Some(name) = name.end()
                && read(name, place.add(2 * ROOM))
            {
                return counted_in(place.add(2 * ROOM).cast());
            }
            if !with_path {
                return NOT_COUNTED;
            }
            with_path = false;
        }
    }
}

/// The number in the line `oom_kill 3`.
#[inline(always)]
unsafe fn counted_in(mut line: *const c_char) -> u64 {
    // SAFETY: the text ends with NUL; each step stops there.
    unsafe {
        while bare::at(line, 0) != 0 {
            if let Some(mut digits) = bare::behind_prefix(line, c"oom_kill ".as_ptr()) {
                let mut count = 0u64;
                while bare::at(digits, 0).is_ascii_digit() {
                    count =
                        count.wrapping_mul(10).wrapping_add(u64::from(bare::at(digits, 0) - b'0'));
                    digits = digits.add(1);
                }
                return count;
            }
            line = behind(line, b'\n');
        }
    }
    NOT_COUNTED
}

/// Is `memory` one of these words (`cpu,memory:`)?
#[inline(always)]
unsafe fn lists_memory(mut words: *const c_char) -> bool {
    // SAFETY: the text ends with NUL; each step stops there.
    unsafe {
        loop {
            if let Some(end) = bare::behind_prefix(words, c"memory".as_ptr())
                && (bare::at(end, 0) == b',' || bare::at(end, 0) == b':')
            {
                return true;
            }
            while bare::at(words, 0) != b',' {
                if bare::at(words, 0) == 0 || bare::at(words, 0) == b':' {
                    return false;
                }
                words = words.add(1);
            }
            words = words.add(1);
        }
    }
}

/// What follows the next `mark`, or the end.
#[inline(always)]
unsafe fn behind(mut text: *const c_char, mark: u8) -> *const c_char {
    // SAFETY: the text ends with NUL.
    unsafe {
        while bare::at(text, 0) != 0 {
            text = text.add(1);
            if bare::at(text.sub(1), 0) == mark {
                break;
            }
        }
    }
    text
}

/// Reads a file's beginning, less than ROOM, and ends it with NUL. Files of the kernel are read whole by one call.
#[inline(always)]
unsafe fn read(name: *const c_char, place: *mut u8) -> bool {
    let here = libc::AT_FDCWD as isize as usize;
    let how = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    // SAFETY: the name ends with NUL; `place` has ROOM bytes.
    unsafe {
        let file = bare::call(libc::SYS_openat, here, name as usize, how, 0, 0);
        if file < 0 {
            return false;
        }
        let length = bare::call(libc::SYS_read, file as usize, place as usize, ROOM - 1, 0, 0);
        bare::call(libc::SYS_close, file as usize, 0, 0, 0, 0);
        if length >= 0 {
            place.add(length as usize).write_volatile(0);
        }
        length >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::cgroup::Memory;

    #[test]
    fn it_finds_what_is_found_otherwise() {
        let known = Memory::own().and_then(|m| m.kills()).unwrap_or(NOT_COUNTED);
        assert_eq!(so_far(), known);
    }

    #[test]
    fn the_count_is_that_of_its_line() {
        // SAFETY: strings that end with NUL.
        let of = |text: &std::ffi::CStr| unsafe { counted_in(text.as_ptr()) };
        assert_eq!(of(c"oom_kill_disable 0\nunder_oom 0\noom_kill 37\n"), 37);
        assert_eq!(of(c"low 0\noom 4\noom_kill 5\noom_group_kill 6\n"), 5);
        assert_eq!(of(c"low 0\noom 4\n"), NOT_COUNTED);
        assert_eq!(of(c""), NOT_COUNTED);
    }

    #[test]
    fn memory_is_a_word_of_its_own() {
        // SAFETY: strings that end with NUL.
        let of = |text: &std::ffi::CStr| unsafe { lists_memory(text.as_ptr()) };
        assert!(of(c"memory:/a\n") && of(c"cpu,memory:/a\n") && of(c"memory,cpu:/a\n"));
        assert!(!of(c"cpu:/memory:\n") && !of(c"name=memory:/a\n") && !of(c"memorys:/a\n"));
    }
}
