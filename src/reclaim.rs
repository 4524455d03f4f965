//! Freeing large values away from everybody.
//!
//! For: a thread that drops what takes long to drop. May touch: nothing but what it is given, which is
//! detached.
//! Always: what is handed over is out of every table; the thread ends when the last handle is gone.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

/// A handle to the thread.
pub struct Reclaim {
    sender: Sender<Box<dyn Any + Send>>,
    waiting: Arc<AtomicU64>,
    freed: Arc<AtomicU64>,
}

impl Reclaim {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start() -> std::io::Result<Reclaim> {
        let (sender, receiver) = channel::<Box<dyn Any + Send>>();
        let waiting = Arc::new(AtomicU64::new(0));
        let freed = Arc::new(AtomicU64::new(0));
        let (waits, frees) = (Arc::clone(&waiting), Arc::clone(&freed));
        std::thread::Builder::new().name("ochre-reclaim".into()).spawn(move || {
            for value in receiver {
                drop(value);
                // In this order: who sees that nothing waits any more also sees all of it counted.
                frees.fetch_add(1, Ordering::Relaxed);
                waits.fetch_sub(1, Ordering::Release);
            }
        })?;
        Ok(Reclaim { sender, waiting, freed })
    }

    /// Frees a value there.
    pub fn free<T: Send + 'static>(&self, value: T) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // The thread lives as long as a sender does; if it could not go on, the value is freed here.
        let _ = self.sender.send(Box::new(value));
    }

    /// Values that wait (INFO `lazyfree_pending_objects`).
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Acquire)
    }

    /// Begins to count anew what is freed.
    pub fn reset(&self) {
        self.freed.store(0, Ordering::Relaxed);
    }

    /// Values freed so far (INFO `lazyfreed_objects`).
    pub fn freed(&self) -> u64 {
        self.freed.load(Ordering::Relaxed)
    }
}
