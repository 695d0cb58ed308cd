//! Readers that the threads keep by themselves: one a thread and cache, made when first needed and dropped
//! with the thread.
//!
//! Invariants: a thread's list has each cache once; a cache that has gone is taken off when the thread next
//! adds one. A call within a call for the same cache finds the thread's reader in use, and takes the
//! current state under the mutex instead.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use base::sync::Arc;
use base::sync::atomic::Ordering::Relaxed;

use super::{Reader, Shared, ThreadCache};

/// A reader that does not say of what.
trait LocalReader: Any {
    /// Whether the cache has gone.
    fn is_closed(&self) -> bool;
}

struct Local<T> {
    reader: RefCell<Reader<T>>,
    shared: Arc<Shared<T>>,
}

impl<T: 'static> LocalReader for Local<T> {
    fn is_closed(&self) -> bool {
        self.shared.closed.load(Relaxed)
    }
}

std::thread_local! {
    /// By the address of what the cache shares, which stands as long as the reader does.
    static READERS: RefCell<Vec<(usize, Rc<dyn LocalReader>)>> = const { RefCell::new(Vec::new()) };
}

impl<T: Send + Sync + 'static> ThreadCache<T> {
    /// Hands the state to `read`, through the calling thread's own reader. Takes no lock, unless the thread
    /// comes for the first time, the state was replaced since the last time, or this is a call within a call.
    pub fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        match self.local() {
            Some(local) => {
                if let Ok(mut reader) = local.reader.try_borrow_mut() {
                    return read(&reader.get());
                }
                read(&self.current())
            }
            // The thread is exiting, and its list has gone.
            None => read(&self.current()),
        }
    }

    fn local(&self) -> Option<Rc<Local<T>>> {
        let address = Arc::as_ptr(&self.shared).addr();
        let found = READERS.try_with(|readers| {
            let readers = readers.borrow();
            readers.iter().find(|(other, _)| *other == address).map(|(_, reader)| Rc::clone(reader))
        });
        let reader: Rc<dyn Any> = match found.ok()? {
            Some(reader) => reader,
            None => self.add_local(address)?,
        };
        reader.downcast().ok()
    }

    #[cold]
    fn add_local(&self, address: usize) -> Option<Rc<dyn LocalReader>> {
        let reader: Rc<dyn LocalReader> = Rc::new(Local {
            reader: RefCell::new(self.reader()),
            shared: Arc::clone(&self.shared),
        });
        // Dropped after the list is free again: a state's destructor may come here.
        let closed: Vec<_> = READERS
            .try_with(|readers| {
                let mut readers = readers.borrow_mut();
                let closed = readers.extract_if(.., |(_, reader)| reader.is_closed()).collect();
                readers.push((address, Rc::clone(&reader)));
                closed
            })
            .ok()?;
        drop(closed);
        Some(reader)
    }
}
