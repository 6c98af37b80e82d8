//! Where the kernel enters the program.

use std::arch::naked_asm;

unsafe extern "C" {
    /// The C library's start.
    fn _start();
}

/// Calls [`early`](super::early), then goes on as the C library begins: with the kernel's stack, and with what a dynamic linker
/// has left for it in a register.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = "agent_early")]
unsafe extern "C" fn agent_enter() {
    naked_asm!(
        "xor ebp, ebp",
        "mov r12, rdx",
        "mov r13, rsp",
        "mov rdi, rsp",
        "and rsp, -16",
        "call {early}",
        "mov rsp, r13",
        "mov rdx, r12",
        "jmp {start}",
        early = sym super::early,
        start = sym _start,
    )
}

/// As above.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = "agent_early")]
unsafe extern "C" fn agent_enter() {
    naked_asm!(
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x19, x0",
        "mov x0, sp",
        "bl {early}",
        "mov x0, x19",
        "b {start}",
        early = sym super::early,
        start = sym _start,
    )
}
