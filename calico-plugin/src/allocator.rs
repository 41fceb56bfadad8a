//! Where memory comes from.
//!
//! Musl's own allocator gives memory back to the kernel as soon as one block's attributes are dropped, and asks for it again for the
//! next: reading a thousand full blocks took three times as long, most of it in the kernel.

use dlmalloc::GlobalDlmalloc;

#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;
