//! The C library's allocator, set up for threads that hand their memory on.

/// Keeps glibc from giving every thread a heap of its own.
///
/// Decoder threads fill buffers that the consumer frees: what is freed stays in the heap of the thread that took it, and the memory
/// bound means little. They take few and large pieces, so that sharing a heap costs no time. Whoever set `MALLOC_ARENA_MAX` or
/// `GLIBC_TUNABLES` has chosen for himself.
pub fn share_one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let chosen = ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"];
        if chosen.iter().any(|name| std::env::var_os(name).is_some()) {
            return;
        }
        // SAFETY: takes two integers, and may be called at any time; heaps that are there already stay.
        #[allow(unsafe_code)]
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}
