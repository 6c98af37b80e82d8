//! Giving memory back to the kernel.
#![allow(unsafe_code)]

/// Lets go of the pages of this program's own file that have been read in so far: code and
/// constants. They are the page cache's; what is needed again comes back without being read
/// from the disk, a few pages at a time (`madvise(2)`, MADV_DONTNEED on file mappings).
///
/// A process that has done its one large thing and will supervise for weeks keeps so only what
/// supervising needs. Segments that are written, relocated ones among them, are left alone.
pub fn let_go_of_program() {
    for (start, length) in read_only_segments() {
        // SAFETY: the range is a whole segment of this program's file that is mapped privately
        // and never written (no PF_W): the next access reads the same bytes from the file.
        unsafe {
            libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED);
        }
    }
}

/// Address and length of each loaded segment that is not writable, in whole pages that belong
/// to no other segment.
fn read_only_segments() -> Vec<(usize, usize)> {
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
    let page = 4096;
    let base = (headers.as_ptr() as usize).wrapping_sub(own.p_vaddr as usize);
    headers
        .iter()
        .filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_W == 0)
        .map(|h| {
            let start = base.wrapping_add(h.p_vaddr as usize) & !(page - 1);
            let end = (base.wrapping_add((h.p_vaddr + h.p_memsz) as usize)) & !(page - 1);
            (start, end.saturating_sub(start))
        })
        .collect()
}
