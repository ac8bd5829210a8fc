//! Names and values that users and clients keep with an image.

use std::collections::BTreeMap;

use seabed_denc::Bytes;

use crate::call::{set, text};
use crate::header::all_pages;
use crate::image::Image;
use crate::notice::Notice;
use crate::{RbdError, names};

impl Image {
    /// All of them.
    pub async fn metadata(&self) -> Result<BTreeMap<String, Bytes>, RbdError> {
        let header = names::header(&self.inner.id);
        let all: BTreeMap<Bytes, Bytes> =
            all_pages(&self.inner.pool, &header, "metadata_list", Bytes::new()).await?;
        Ok(all.into_iter().map(|(name, value)| (text(&name), value)).collect())
    }

    /// Sets one.
    pub async fn set_metadata(&self, name: &str, value: impl Into<Bytes>) -> Result<(), RbdError> {
        let entry = BTreeMap::from([(Bytes::copy_from_slice(name.as_bytes()), value.into())]);
        self.change_metadata("metadata_set", entry).await
    }

    /// Removes one; no error if it is not there.
    pub async fn remove_metadata(&self, name: &str) -> Result<(), RbdError> {
        self.change_metadata("metadata_remove", name).await
    }

    async fn change_metadata(
        &self,
        method: &'static str,
        input: impl seabed_denc::Encode,
    ) -> Result<(), RbdError> {
        let inner = &self.inner;
        if inner.access == crate::Access::Read {
            return Err(inner.read_only());
        }
        set(&inner.pool, &names::header(&inner.id), method, input).await?;
        inner.tell(Notice::HeaderUpdate).await;
        Ok(())
    }
}
