//! New images.

use seabed_classes::rbd::wire::feature;
use seabed_cluster::Errno;
use seabed_denc::Encode;
use seabed_rados::{Operation, Pool};

use crate::call::{rbd, set};
use crate::error::{during, unless};
use crate::{DEFAULT_FEATURES, Images, Layout, RbdError, feature as known, names, object_map};

/// What a new image is to be.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// Bytes.
    pub size: u64,
    /// log2 of the size of its objects.
    pub order: u8,
    /// Bytes of a stripe unit, and how many objects take turns; 0 and 0 for no striping.
    pub striping: (u64, u64),
    /// Bits of [`crate::feature_bits`]; those that other fields ask for are added.
    pub features: u64,
    /// Where its data is, if not in the pool of its header.
    pub data_pool: Option<Pool>,
}

impl CreateOptions {
    /// As Ceph makes them: objects of 4 MiB, Ceph's default features.
    pub fn sized(size: u64) -> Self {
        CreateOptions {
            size,
            order: 22,
            striping: (0, 0),
            features: DEFAULT_FEATURES,
            data_pool: None,
        }
    }

    /// The layout and the complete features.
    pub(crate) fn checked(&self) -> Result<(Layout, u64), RbdError> {
        let (unit, count) = self.striping;
        let layout = Layout::striped(self.order, unit, count)?;
        let mut features = self.features & !(feature::STRIPINGV2 | feature::DATA_POOL);
        if layout.is_striped() {
            features |= feature::STRIPINGV2;
        }
        if self.data_pool.is_some() {
            features |= feature::DATA_POOL;
        }
        known::check_new(features)?;
        let mapped = features & feature::OBJECT_MAP != 0;
        if mapped && layout.objects(self.size) > object_map::OBJECTS_MAX {
            let reason = "an object map has no room for so many objects";
            return Err(RbdError::Invalid { what: "size".into(), reason });
        }
        Ok((layout, features))
    }
}

/// What Ceph writes into [`names::INFO`] of a pool in which snapshots can be made.
const VALIDATED: &[u8] = b"overwrite validated";

impl Images {
    /// Makes an image. What fails half way is undone.
    ///
    /// Errors: [`RbdError::Exists`]; [`RbdError::Unsupported`] for features that are not built.
    pub async fn create(&self, name: &str, options: &CreateOptions) -> Result<String, RbdError> {
        names::check(name)?;
        let (layout, features) = options.checked()?;
        let pool = &self.pool;
        match pool.stat(names::format_1(name)).await {
            Ok(_) => return Err(RbdError::Exists(name.to_owned())),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(during("create")(error)),
        }
        validate(pool).await?;
        if let Some(data) = &options.data_pool {
            validate(data).await?;
        }
        let id = names::fresh_id(pool.cluster().id(), rand::random());
        self.take_name(name, &id).await?;
        let made = self.make_objects(&id, layout, features, options).await;
        if let Err(error) = made {
            self.undo(name, &id).await;
            return Err(error);
        }
        Ok(id)
    }

    /// The name first: of two who want it one gets it.
    pub(crate) async fn take_name(&self, name: &str, id: &str) -> Result<(), RbdError> {
        let taken = |error: RbdError| match error.errno() {
            Some(Errno::EEXIST) => RbdError::Exists(name.to_owned()),
            _ => error,
        };
        let operation = rbd(Operation::new().create(true), "set_id", id);
        let named = self.pool.operate(names::id_of(name), operation).await;
        named.map_err(during("create")).map_err(taken)?;
        let listed = set(&self.pool, names::DIRECTORY, "dir_add_image", (name, id)).await;
        if let Err(error) = listed {
            forget(&self.pool, &names::id_of(name)).await;
            return Err(taken(error));
        }
        Ok(())
    }

    async fn make_objects(
        &self,
        id: &str,
        layout: Layout,
        features: u64,
        options: &CreateOptions,
    ) -> Result<(), RbdError> {
        let own = self.pool.id();
        let data = options.data_pool.as_ref().map(Pool::id).filter(|id| *id != own);
        let prefix = match data {
            Some(_) => format!("rbd_data.{}.{id}", own.0),
            None => format!("rbd_data.{id}"),
        };
        let features = if data.is_some() { features } else { features & !feature::DATA_POOL };
        let data = data.map_or(-1, |id| id.0);
        let mut input = (options.size, layout.order(), features).to_bytes(0).to_vec();
        input.extend_from_slice(&(prefix.as_str(), data).to_bytes(0));
        let mut header = Operation::new().create(true).exec("rbd", "create", input);
        if layout.is_striped() {
            let striping = (layout.stripe_unit(), layout.stripe_count());
            // The method looks at the features that `create` leaves: an operation of its own.
            let object = names::header(id);
            self.pool.operate(&object, header).await.map_err(during("create"))?;
            header = rbd(Operation::new(), "set_stripe_unit_count", striping);
        }
        self.pool.operate(names::header(id), header).await.map_err(during("create"))?;
        if features & feature::OBJECT_MAP != 0 {
            let input = (layout.objects(options.size), object_map::NONEXISTENT);
            set(&self.pool, &names::object_map(id, None), "object_map_resize", input).await?;
        }
        Ok(())
    }

    /// Takes back what [`Images::create`] has made, the name last.
    async fn undo(&self, name: &str, id: &str) {
        forget(&self.pool, &names::object_map(id, None)).await;
        forget(&self.pool, &names::header(id)).await;
        let unlisted = set(&self.pool, names::DIRECTORY, "dir_remove_image", (name, id)).await;
        if let Err(error) = unless(unlisted, Errno::ENOENT) {
            tracing::warn!(name, id, %error, "an unfinished image stays in the directory");
        }
        forget(&self.pool, &names::id_of(name)).await;
    }
}

/// Removes an object of an image that never was; says so when it stays.
async fn forget(pool: &Pool, object: &str) {
    match pool.remove(object).await {
        Err(error) if !error.is_not_found() => {
            tracing::warn!(object, %error, "an object of an unfinished image stays");
        }
        _ => {}
    }
}

/// Makes sure, once for each pool, that snapshots of applications can be made in it.
async fn validate(pool: &Pool) -> Result<(), RbdError> {
    match pool.read(names::INFO, 0, 0).await {
        Ok(found) if found == VALIDATED => return Ok(()),
        Ok(_) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(during("rbd_info")(error)),
    }
    let snap = pool.create_snap_id().await.map_err(during("rbd_info"))?;
    pool.remove_snap_id(snap).await.map_err(during("rbd_info"))?;
    pool.write(names::INFO, 0, VALIDATED).await.map_err(during("rbd_info"))
}
