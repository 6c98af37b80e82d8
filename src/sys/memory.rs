//! The memory that this program's own file takes.
//!
//! A process that has done its one large thing and will supervise for weeks needs next to nothing
//! of what it has read in. The pages of the file are the page cache's, and can be given back:
//! `madvise(2)`, MADV_DONTNEED; [`quiet`](super::quiet) does it.
#![allow(unsafe_code)]

use super::bare;

/// Makes the pages that hold addresses `from` to `to` of this program a mapping of their own, by
/// an advice that the neighbours don't have (MADV_RANDOM). What the kernel maps around a page that
/// is asked for ends at the mapping's borders, so they come back without their neighbourhood.
#[inline(always)]
pub(super) fn keep_apart((from, to): (usize, usize)) {
    let start = from & !(PAGE - 1);
    let length = (to.wrapping_add(PAGE - 1) & !(PAGE - 1)).wrapping_sub(start);
    let advice = libc::MADV_RANDOM as usize;
    // SAFETY: an advice of how pages are read; their content and protection stay.
    unsafe {
        bare::call(libc::SYS_madvise, start, length, advice, 0, 0);
    }
}

/// The smallest page that a kernel has. Where pages are larger, an advice for a part of one is
/// refused, and more memory stays in use.
const PAGE: usize = 4096;

/// More read-only segments than a linker makes.
pub(super) const SEGMENTS: usize = 8;

/// Address and length of each loaded segment that is not writable, in whole pages that belong
/// to no other segment. Those that are written are not among them, nor those that the dynamic
/// relocation has written. What isn't needed of the array has the length 0.
pub(super) fn read_only_segments() -> [(usize, usize); SEGMENTS] {
    let mut found = [(0, 0); SEGMENTS];
    // SAFETY: getauxval(3) reads the vector that the kernel gave this process; AT_PHDR is the
    // address of AT_PHNUM program headers that stay mapped.
    unsafe {
        let headers = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        find_segments(headers, libc::getauxval(libc::AT_PHNUM) as usize, found.as_mut_ptr());
    }
    found
}

/// The same without the C library.
///
/// # Safety
/// There are `count` headers, unless the pointer is null, and room for SEGMENTS.
#[inline(always)]
pub(super) unsafe fn find_segments(
    headers: *const libc::Elf64_Phdr,
    count: usize,
    found: *mut (usize, usize),
) {
    let count = if headers.is_null() { 0 } else { count };
    let (mut base, mut known, mut number, mut places) = (0usize, false, 0, 0);
    // SAFETY: the caller's promise.
    unsafe {
        while number < count {
            let header = headers.add(number);
            if (*header).p_type == libc::PT_PHDR {
                base = (headers as usize).wrapping_sub((*header).p_vaddr as usize);
                known = true;
            }
            number += 1;
        }
        number = 0;
        while number < count && known && places < SEGMENTS {
            let header = headers.add(number);
            if (*header).p_type == libc::PT_LOAD && (*header).p_flags & libc::PF_W == 0 {
                let from = base.wrapping_add((*header).p_vaddr as usize);
                let to = from.wrapping_add((*header).p_memsz as usize);
                let (start, end) = (from & !(PAGE - 1), to & !(PAGE - 1));
                (&raw mut (*found.add(places)).0).write_volatile(start);
                (&raw mut (*found.add(places)).1).write_volatile(end.wrapping_sub(start));
                places += 1;
            }
            number += 1;
        }
        while places < SEGMENTS {
            (&raw mut (*found.add(places)).1).write_volatile(0);
            places += 1;
        }
    }
}
