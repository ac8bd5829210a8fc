//! Namespaces: images of a pool that are apart from its others.

use seabed_cluster::Errno;
use seabed_denc::Bytes;
use seabed_rados::Pool;

use crate::call::{get, set, text};
use crate::error::{optional, unless};
use crate::{Images, RbdError, names};

/// Where a pool's namespaces are listed.
const NAMESPACES: &str = "rbd_namespace";
/// `DIRECTORY_STATE_*`.
const READY: u8 = 0;
const ADD_DISABLED: u8 = 1;

/// The namespaces of a pool.
pub async fn namespaces(pool: &Pool) -> Result<Vec<String>, RbdError> {
    const PAGE: u64 = 1024;
    let pool = pool.with_namespace(Bytes::new());
    let mut all: Vec<String> = Vec::new();
    loop {
        let after = all.last().cloned().unwrap_or_default();
        let page: Result<Vec<Bytes>, RbdError> =
            get(&pool, NAMESPACES, "namespace_list", (after.as_str(), PAGE)).await;
        let page = optional(page)?.unwrap_or_default();
        let more = page.len() as u64 >= PAGE;
        // A server that does not get on must not hold us.
        if page.first().is_some_and(|first| text(first) <= after) && !after.is_empty() {
            return Err(RbdError::Malformed("namespace_list"));
        }
        all.extend(page.iter().map(|name| text(name)));
        if !more {
            return Ok(all);
        }
    }
}

/// Makes a namespace.
///
/// Errors: [`RbdError::Exists`].
pub async fn create_namespace(pool: &Pool, name: &str) -> Result<(), RbdError> {
    names::check(name)?;
    let outer = pool.with_namespace(Bytes::new());
    match set(&outer, NAMESPACES, "namespace_add", name).await {
        Err(error) if error.errno() == Some(Errno::EEXIST) => {
            return Err(RbdError::Exists(name.to_owned()));
        }
        result => result?,
    }
    let inner = pool.with_namespace(Bytes::copy_from_slice(name.as_bytes()));
    set(&inner, names::DIRECTORY, "dir_state_set", READY).await
}

/// Removes a namespace that has no images, none in its trash either.
pub async fn remove_namespace(pool: &Pool, name: &str) -> Result<(), RbdError> {
    names::check(name)?;
    let busy = |reason: &str| RbdError::Busy { what: name.to_owned(), reason: reason.to_owned() };
    let inner = pool.with_namespace(Bytes::copy_from_slice(name.as_bytes()));
    match set(&inner, names::DIRECTORY, "dir_state_set", ADD_DISABLED).await {
        Err(error) if error.errno() == Some(Errno::EBUSY) => return Err(busy("it has images")),
        result => unless(result, Errno::ENOENT)?,
    }
    if !Images::new(inner.clone()).trashed().await?.is_empty() {
        set(&inner, names::DIRECTORY, "dir_state_set", READY).await?;
        return Err(busy("it has images in its trash"));
    }
    set(&pool.with_namespace(Bytes::new()), NAMESPACES, "namespace_remove", name).await
}
