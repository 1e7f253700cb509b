//! The one tokio runtime of the process.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

/// A session is one task, so that more threads gain nothing but for tunnels with many sessions; one
/// that has nothing to do costs its stack's first page.
const MOST_THREADS: usize = 16;

/// The runtime's handle. The first call starts its threads; they are never stopped, so that a
/// process can exit at any time without waiting for a tunnel.
pub(crate) fn handle() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            Builder::new_multi_thread()
                .worker_threads(cores.min(MOST_THREADS))
                .thread_name("sshtunnel")
                .enable_all()
                .build()
                .expect("the system gives a process its threads and an epoll descriptor")
        })
        .handle()
}
