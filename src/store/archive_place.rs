//! Where the archive is: in the parcels' database, or in one of its own that is opened when it is first needed, so that the
//! program starts and checks without it.

use std::sync::Arc;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::{OnceCell, oneshot};

use crate::store::error::StoreError;
use crate::store::{Connections, Store, WholeStore};

/// The archive's database. A clone is the same one.
#[derive(Clone)]
pub struct ArchivePlace(Arc<Place>);

enum Place {
    Here(Store),
    Apart {
        url: String,
        connections: Connections,
        opened: OnceCell<Store>,
    },
}

impl ArchivePlace {
    /// The database of the parcels.
    pub fn here(store: Store) -> Self {
        Self(Arc::new(Place::Here(store)))
    }

    /// The database at `url`. It gets all tables, and uses that of the archive.
    pub fn apart(url: &str, connections: Connections) -> Self {
        Self(Arc::new(Place::Apart {
            url: url.to_owned(),
            connections,
            opened: OnceCell::new(),
        }))
    }

    /// The database, opened and migrated.
    ///
    /// # Errors
    /// If it cannot be opened now; the next call tries again.
    pub async fn store(&self) -> Result<Store, StoreError> {
        match self.0.as_ref() {
            Place::Here(store) => Ok(store.clone()),
            Place::Apart {
                url,
                connections,
                opened,
            } => {
                let open = || open(url.clone(), connections.clone());
                opened.get_or_try_init(open).await.cloned()
            }
        }
    }

    /// Closes a database of the archive's own. That of the parcels stays open.
    pub async fn close(&self) {
        if let Place::Apart { opened, .. } = self.0.as_ref()
            && let Some(store) = opened.get()
        {
            store.clone().close().await;
        }
    }
}

/// Opens and migrates a database on a thread of its own, which no stop waits for: the compiler cannot tell that a task may be
/// made of what the migrator does, and it waits for an hour if another program migrates the same database.
async fn open(url: String, connections: Connections) -> Result<Store, StoreError> {
    let (done, opened) = oneshot::channel();
    let runtime = Handle::current();
    let opening = move || {
        let opened = runtime.block_on(async {
            let opened = WholeStore::open(&url, connections).await?;
            opened.migrate().await?;
            Ok(opened.store())
        });
        // One who has gone away waits no more.
        drop(done.send(opened));
    };
    let thread = thread::Builder::new().name("archive".to_owned());
    let started = thread.spawn(opening);
    started.map_err(|error| StoreError::busy(format!("cannot start a thread: {error}")))?;
    let opened = opened.await;
    opened.unwrap_or_else(|_| Err(StoreError::busy("the thread that opened it has died")))
}
