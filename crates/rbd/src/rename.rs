//! Another name for an image.

use seabed_cluster::Errno;
use seabed_denc::Encode;
use seabed_rados::Operation;

use crate::call::{rbd, set};
use crate::error::{during, unless};
use crate::notice::Notice;
use crate::{Images, RbdError, names};

impl Images {
    /// Gives an image another name; who has it open goes on.
    ///
    /// Errors: [`RbdError::Exists`] if the name is taken. Stopped half way, the image has its old
    /// name, and the new one may be taken.
    pub async fn rename(&self, name: &str, new: &str) -> Result<(), RbdError> {
        names::check(new)?;
        let id = self.id(name).await?;
        let taken = |error: RbdError| match error.errno() {
            Some(Errno::EEXIST) => RbdError::Exists(new.to_owned()),
            _ => error,
        };
        // The name first: of two who want it one gets it.
        let operation = rbd(Operation::new().create(true), "set_id", id.as_str());
        let named = self.pool.operate(names::id_of(new), operation).await;
        named.map_err(during("rename")).map_err(taken)?;
        let input = (name, new, id.as_str());
        if let Err(error) = set(&self.pool, names::DIRECTORY, "dir_rename_image", input).await {
            let back = self.pool.remove(names::id_of(new)).await.map_err(during("rename"));
            unless(back, Errno::ENOENT)?;
            return Err(taken(error));
        }
        let gone = self.pool.remove(names::id_of(name)).await.map_err(during("rename"));
        unless(gone, Errno::ENOENT)?;
        let told = self.pool.notify(names::header(&id), Notice::HeaderUpdate.to_bytes(0), 5).await;
        if let Err(error) = told {
            tracing::debug!(name, new, %error, "the new name was not told");
        }
        Ok(())
    }
}
