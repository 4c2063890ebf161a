//! Memory that was freed, back to the system.

/// Gives back what the allocator keeps for later, so that what a process holds is what it uses. Nothing happens where
/// the allocator knows no such call.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: malloc_trim(3) takes any pad, may be called from any thread and touches free memory alone.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
