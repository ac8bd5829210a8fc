//! The images of a pool (or of a namespace in it): their names and ids.

use std::collections::BTreeMap;

use seabed_denc::Bytes;
use seabed_rados::Pool;

use crate::call::{get, text};
use crate::header::all_pages;
use crate::{RbdError, names};

/// A pool seen as a set of images.
#[derive(Debug, Clone)]
pub struct Images {
    pub(crate) pool: Pool,
}

impl Images {
    /// The images of a pool; of a namespace, if the pool is in one.
    pub fn new(pool: Pool) -> Self {
        Images { pool }
    }

    /// Where they are.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Names and ids of all images.
    pub async fn list(&self) -> Result<BTreeMap<String, String>, RbdError> {
        let all: BTreeMap<Bytes, Bytes> =
            all_pages(&self.pool, names::DIRECTORY, "dir_list", Bytes::new()).await?;
        Ok(all.into_iter().map(|(name, id)| (text(&name), text(&id))).collect())
    }

    /// The id of an image.
    ///
    /// Errors: [`RbdError::NoImage`].
    pub async fn id(&self, name: &str) -> Result<String, RbdError> {
        names::check(name)?;
        match get::<Bytes>(&self.pool, &names::id_of(name), "get_id", ()).await {
            Ok(id) => Ok(text(&id)),
            Err(error) if error.is_not_found() => Err(RbdError::NoImage(name.to_owned())),
            Err(error) => Err(error),
        }
    }

    /// The name of the image with an id.
    pub async fn name(&self, id: &str) -> Result<String, RbdError> {
        match get::<Bytes>(&self.pool, names::DIRECTORY, "dir_get_name", id).await {
            Ok(name) => Ok(text(&name)),
            Err(error) if error.is_not_found() => Err(RbdError::NoImage(id.to_owned())),
            Err(error) => Err(error),
        }
    }
}
