//! What a sandbox without the server around it reaches of the host: stores in a folder of the test's, and ways out without any secret.
//! Nothing here is a fake; a test that needs one puts it in the place of a field.

use std::path::Path;
use std::sync::Arc;

use cofferdam::sandbox::settings::Book;
use cofferdam::sandbox::{Outside, Ports};
use cofferdam::storage::{Stores, sqlite};

/// Where plugins keep what they keep.
pub(crate) fn stores(folder: &Path) -> Stores {
    sqlite::open(&folder.join("cofferdam.db")).expect("the database opens")
}

pub(crate) async fn ports(stores: &Stores) -> Ports {
    let settings = Book::open(stores.plugins.clone()).await.expect("settings can be read");
    let outside = Outside::network(Arc::new(|_| Err("is not set".into())));
    Ports { kv: stores.kv.clone(), settings: Arc::new(settings), outside }
}
