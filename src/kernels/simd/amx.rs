//! Intel's tiles (Architecture Instruction Set Extensions, chapter 3): whether they can be used, and what has to be said
//! before.

use std::arch::asm;
use std::arch::x86_64::__cpuid;
#[cfg(target_os = "linux")]
use std::arch::x86_64::__cpuid_count;

/// Whether this CPU has tiles of bf16 and the system lets this process use them, from now on, in all of its threads.
#[cfg(target_os = "linux")]
pub(super) fn is_there() -> bool {
    /// Bits of EDX in leaf 7 of cpuid.
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    /// Of arch_prctl (Documentation/arch/x86/xstate.rst): asks for a part of the state, and which one.
    const REQUEST: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    let leaves = __cpuid(0).eax;
    let wanted = BF16 | TILE;
    if leaves < 7 || __cpuid_count(7, 0).edx & wanted != wanted {
        return false;
    }
    // SAFETY: it changes nothing but what the process may use.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) == 0 }
}

/// Whether the CPU is Intel's.
pub(super) fn is_intel() -> bool {
    let vendor = __cpuid(0);
    [vendor.ebx, vendor.edx, vendor.ecx]
        .map(u32::to_le_bytes)
        .as_flattened()
        == b"GenuineIntel"
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_there() -> bool {
    false
}

/// All tiles hold sixteen lines while it lives.
pub(crate) struct Configured;

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_a_row: [u16; 16],
    rows: [u8; 16],
}

impl Configured {
    /// On this thread.
    ///
    /// # Safety
    /// The CPU has what [`super::Simd::Amx`] names.
    pub unsafe fn new() -> Self {
        let mut all = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes_a_row: [0; 16],
            rows: [0; 16],
        };
        all.bytes_a_row[..8].fill(64);
        all.rows[..8].fill(16);
        // The compiler uses no tiles: nothing but crane's own instructions see them.
        asm!("ldtilecfg [{}]", in(reg) &raw const all, options(nostack, readonly));
        Self
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: `new` was called on this thread.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
