//! Groups: images that belong together, and the snapshots of all of them at one moment.
//!
//! A group's header names its images, and each image its group; of an image that only one of them
//! names, adding or removing was stopped half way, and can be repeated.

use std::collections::BTreeMap;

use seabed_classes::rbd::wire::{GroupImageSpec, GroupImageStatus, GroupSpec, op_feature};
use seabed_cluster::{Errno, PoolId};
use seabed_denc::{Bytes, Encode};
use seabed_rados::{Operation, Pool};

use crate::call::{get, set, text};
use crate::error::{during, optional, unless};
use crate::header::all_pages;
use crate::notice::Notice;
use crate::{Header, Images, RbdError, names};

/// Entries asked for at a time.
const PAGE: u64 = 1024;
/// `GROUP_IMAGE_LINK_STATE_*`.
const ATTACHED: u8 = 0;
const INCOMPLETE: u8 = 1;

/// The groups of a pool, or of a namespace in it.
#[derive(Debug, Clone)]
pub struct Groups {
    pub(crate) pool: Pool,
}

/// An image of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupImage {
    /// Its pool.
    pub pool: PoolId,
    /// Its id.
    pub id: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// False if adding or removing it was stopped half way.
    pub attached: bool,
}

impl Groups {
    /// The groups of a pool; of a namespace, if the pool is in one.
    pub fn new(pool: Pool) -> Self {
        Groups { pool }
    }

    /// Where they are.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Names and ids of all groups.
    pub async fn list(&self) -> Result<BTreeMap<String, String>, RbdError> {
        let all: BTreeMap<Bytes, Bytes> =
            all_pages(&self.pool, names::GROUPS, "group_dir_list", Bytes::new()).await?;
        Ok(all.into_iter().map(|(name, id)| (text(&name), text(&id))).collect())
    }

    /// Makes a group without images.
    ///
    /// Errors: [`RbdError::Exists`].
    pub async fn create(&self, name: &str) -> Result<(), RbdError> {
        names::check(name)?;
        let id = names::fresh_id(self.pool.cluster().id(), rand::random());
        match set(&self.pool, names::GROUPS, "group_dir_add", (name, id.as_str())).await {
            Err(error) if error.errno() == Some(Errno::EEXIST) => {
                return Err(RbdError::Exists(name.to_owned()));
            }
            added => added?,
        }
        let made = self.pool.operate(names::group(&id), Operation::new().create(true)).await;
        if let Err(error) = made.map_err(during("create group")) {
            let input = (name, id.as_str());
            set(&self.pool, names::GROUPS, "group_dir_remove", input).await?;
            return Err(error);
        }
        Ok(())
    }

    /// Removes a group with its snapshots; its images stay.
    pub async fn remove(&self, name: &str) -> Result<(), RbdError> {
        let id = self.id(name).await?;
        for snapshot in self.snapshots(name).await? {
            self.remove_snapshot(name, &snapshot.name).await?;
        }
        for image in self.members(&id).await? {
            let pool = self.pool_of(image.spec.pool_id).await?;
            self.part(&id, &pool, &text(&image.spec.image_id)).await?;
        }
        let gone = self.pool.remove(names::group(&id)).await.map_err(during("remove group"));
        unless(gone, Errno::ENOENT)?;
        set(&self.pool, names::GROUPS, "group_dir_remove", (name, id.as_str())).await
    }

    /// Gives a group another name.
    ///
    /// Errors: [`RbdError::Exists`].
    pub async fn rename(&self, name: &str, new: &str) -> Result<(), RbdError> {
        names::check(new)?;
        let id = self.id(name).await?;
        let input = (name, new, id.as_str());
        match set(&self.pool, names::GROUPS, "group_dir_rename", input).await {
            Err(error) if error.errno() == Some(Errno::EEXIST) => {
                Err(RbdError::Exists(new.to_owned()))
            }
            renamed => renamed,
        }
    }

    /// The images of a group.
    pub async fn images(&self, name: &str) -> Result<Vec<GroupImage>, RbdError> {
        let id = self.id(name).await?;
        let mut images = Vec::new();
        for member in self.members(&id).await? {
            let pool = self.pool_of(member.spec.pool_id).await?;
            let id = text(&member.spec.image_id);
            images.push(GroupImage {
                pool: pool.id(),
                name: optional(Images::new(pool).name(&id).await)?,
                id,
                attached: member.state == ATTACHED,
            });
        }
        Ok(images)
    }

    /// Adds an image; it may be of another pool, in the namespace of the same name.
    ///
    /// Errors: [`RbdError::Busy`] if it is in another group.
    pub async fn add(&self, name: &str, images: &Images, image: &str) -> Result<(), RbdError> {
        let (group, id) = (self.id(name).await?, images.id(image).await?);
        if images.pool.namespace() != self.pool.namespace() {
            let reason = "a group and its images must be in namespaces of the same name";
            return Err(RbdError::Invalid { what: image.to_owned(), reason });
        }
        let header = names::group(&group);
        let spec = member_spec(&images.pool, &id);
        let status =
            |state| GroupImageStatus { spec: spec.clone(), state, ..GroupImageStatus::default() };
        set(&self.pool, &header, "group_image_set", status(INCOMPLETE)).await?;
        let owner = self.spec(&group);
        let added = set(&images.pool, &names::header(&id), "image_group_add", owner).await;
        if let Err(error) = added {
            set(&self.pool, &header, "group_image_remove", spec).await?;
            return Err(match error.errno() {
                Some(Errno::EEXIST) => RbdError::Busy {
                    what: image.to_owned(),
                    reason: "it is in another group".to_owned(),
                },
                _ => error,
            });
        }
        tell(&images.pool, &id).await;
        set(&self.pool, &header, "group_image_set", status(ATTACHED)).await
    }

    /// Takes an image out of its group. What snapshots of the group hold of it stays.
    pub async fn take_out(&self, name: &str, images: &Images, image: &str) -> Result<(), RbdError> {
        let (group, id) = (self.id(name).await?, images.id(image).await?);
        let there = |m: &GroupImageStatus| m.spec == member_spec(&images.pool, &id);
        if !self.members(&group).await?.iter().any(there) {
            return Err(RbdError::NoImage(format!("{image} in group {name}")));
        }
        self.part(&group, &images.pool, &id).await
    }

    async fn part(&self, group: &str, pool: &Pool, id: &str) -> Result<(), RbdError> {
        let header = names::group(group);
        let spec = member_spec(pool, id);
        let status =
            GroupImageStatus { spec: spec.clone(), state: INCOMPLETE, ..Default::default() };
        set(&self.pool, &header, "group_image_set", status).await?;
        let owner = self.spec(group);
        let parted = set(pool, &names::header(id), "image_group_remove", owner).await;
        unless(parted, Errno::ENOENT)?;
        tell(pool, id).await;
        unless(set(&self.pool, &header, "group_image_remove", spec).await, Errno::ENOENT)
    }

    /// The id of a group.
    ///
    /// Errors: [`RbdError::NoGroup`].
    pub async fn id(&self, name: &str) -> Result<String, RbdError> {
        names::check(name)?;
        match get::<Bytes>(&self.pool, names::GROUPS, "dir_get_id", name).await {
            Ok(id) => Ok(text(&id)),
            Err(error) if error.is_not_found() => Err(RbdError::NoGroup(name.to_owned())),
            Err(error) => Err(error),
        }
    }

    fn spec(&self, group: &str) -> GroupSpec {
        GroupSpec {
            pool_id: self.pool.id().0,
            group_id: group.to_owned().into(),
            ..GroupSpec::default()
        }
    }

    /// A pool of members, in the group's namespace.
    pub(crate) async fn pool_of(&self, id: i64) -> Result<Pool, RbdError> {
        let pool = self.pool.cluster().pool_by_id(PoolId(id)).await.map_err(during("group"))?;
        Ok(pool.with_namespace(self.pool.namespace().clone()))
    }

    pub(crate) async fn members(&self, group: &str) -> Result<Vec<GroupImageStatus>, RbdError> {
        let mut all: Vec<GroupImageStatus> = Vec::new();
        loop {
            let after = all.last().map(|last| last.spec.clone()).unwrap_or_default();
            let page: Vec<GroupImageStatus> =
                get(&self.pool, &names::group(group), "group_image_list", (after, PAGE)).await?;
            let more = page.len() as u64 >= PAGE;
            // A server that answers the same page for ever must not hold us.
            if page.first().is_some_and(|first| all.iter().any(|one| one.spec == first.spec)) {
                return Err(RbdError::Malformed("group_image_list"));
            }
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }
}

impl Images {
    /// The group that an image is in: its pool and id.
    pub async fn group_of(&self, image: &str) -> Result<Option<(PoolId, String)>, RbdError> {
        let id = self.id(image).await?;
        let header = Header::read(&self.pool, &id).await?;
        if header.op_features & op_feature::GROUP == 0 {
            return Ok(None);
        }
        let spec: GroupSpec = get(&self.pool, &names::header(&id), "image_group_get", ()).await?;
        Ok((spec.pool_id >= 0).then(|| (PoolId(spec.pool_id), text(&spec.group_id))))
    }
}

fn member_spec(pool: &Pool, id: &str) -> GroupImageSpec {
    GroupImageSpec {
        image_id: id.to_owned().into(),
        pool_id: pool.id().0,
        ..GroupImageSpec::default()
    }
}

/// Tells those who have an image open that its header has changed.
async fn tell(pool: &Pool, id: &str) {
    let told = pool.notify(names::header(id), Notice::HeaderUpdate.to_bytes(0), 5).await;
    if let Err(error) = told {
        tracing::debug!(id, %error, "not told");
    }
}
