//! The memory that this program's own file takes.
//!
//! A process that has done its one large thing and will supervise for weeks needs next to nothing
//! of what it has read in. The pages of the file are the page cache's, and can be given back:
//! `madvise(2)`, MADV_DONTNEED; [`quiet`](super::quiet) does it.
#![allow(unsafe_code)]

/// Makes the pages that hold addresses `from` to `to` of this program a mapping of their own, by
/// an advice that the neighbours don't have (MADV_RANDOM). What the kernel maps around a page that
/// is asked for ends at the mapping's borders, so they come back without their neighbourhood.
pub fn keep_apart((from, to): (usize, usize)) {
    let start = from & !(PAGE - 1);
    let length = to.next_multiple_of(PAGE) - start;
    // SAFETY: an advice of how pages are read; their content and protection stay.
    unsafe {
        libc::madvise(start as *mut libc::c_void, length, libc::MADV_RANDOM);
    }
}

/// The smallest page that a kernel has. Where pages are larger, an advice for a part of one is
/// refused, and more memory stays in use.
const PAGE: usize = 4096;

/// Address and length of each loaded segment that is not writable, in whole pages that belong
/// to no other segment. Those that are written are not among them, nor those that the dynamic
/// relocation has written.
pub fn read_only_segments() -> Vec<(usize, usize)> {
    // SAFETY: getauxval(3) reads the vector that the kernel gave this process; AT_PHDR is the
    // address of AT_PHNUM program headers that stay mapped.
    let headers: &[libc::Elf64_Phdr] = unsafe {
        let at = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        let count = libc::getauxval(libc::AT_PHNUM) as usize;
        if at.is_null() || count == 0 {
            return Vec::new();
        }
        std::slice::from_raw_parts(at, count)
    };
    let Some(own) = headers.iter().find(|h| h.p_type == libc::PT_PHDR) else {
        return Vec::new();
    };
    let base = (headers.as_ptr() as usize).wrapping_sub(own.p_vaddr as usize);
    headers
        .iter()
        .filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_W == 0)
        .map(|h| {
            let start = base.wrapping_add(h.p_vaddr as usize) & !(PAGE - 1);
            let end = (base.wrapping_add((h.p_vaddr + h.p_memsz) as usize)) & !(PAGE - 1);
            (start, end.saturating_sub(start))
        })
        .collect()
}
