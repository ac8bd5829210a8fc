//! Snapshots: made, listed, removed. They outlive their volume.
//!
//! As with volumes the name is reserved first, then the snapshot made, then shown. A snapshot of a
//! drawn name in its image is made whole or not at all, so a repeated call takes what is there.

use prost_types::Timestamp;
use seabed_proto::csi::*;
use seabed_rados::Pool;
use seabed_rbd::{Image, RbdError};

use super::list::{Position, entries};
use super::{Context, delete, image};
use crate::fault::Fault;
use crate::rules::handle::{self, SnapshotHandle, VolumeHandle};
use crate::rules::parameters::Parameters;
use crate::rules::size::shown as bytes;
use crate::rules::{name, required};
use crate::state::record::{
    SNAPSHOTS, Snapshot as Record, SnapshotName, snapshot_key, snapshot_name_key,
};
use crate::state::{Change, Directory};

const ATTEMPTS: u32 = 10;

pub(super) async fn create(
    context: &Context,
    request: CreateSnapshotRequest,
) -> Result<CreateSnapshotResponse, Fault> {
    let name = name("name", &request.name)?;
    let id = required("source_volume_id", &request.source_volume_id)?;
    Parameters::none(&request.parameters)?;
    let handle = VolumeHandle::of_existing(id)?;
    let (pool, directory, _) = context.volume(&handle).await?;
    let key = snapshot_name_key(name);
    for _ in 0..ATTEMPTS {
        let reserved = match directory.get::<SnapshotName>(&key).await? {
            Some(entry) => entry.value,
            None => {
                let snapshot = handle::drawn(handle::SNAPSHOT_PREFIX, rand::random());
                let reserved = SnapshotName { snapshot, volume: id.to_owned() };
                let change = Change::make(key.clone(), &reserved)?;
                if !directory.change(&[change]).await? {
                    continue;
                }
                reserved
            }
        };
        if reserved.volume != id {
            return Err(Fault::exists(format!(
                "snapshot {name:?} exists, of volume {:?}; use another name",
                reserved.volume
            )));
        }
        let snapshot_key = snapshot_key(&reserved.snapshot);
        if let Some(entry) = directory.get::<Record>(&snapshot_key).await? {
            return Ok(answer(&pool, &reserved.snapshot, &entry.value));
        }
        let record = make(&pool, &handle, name, &reserved.snapshot).await?;
        if directory.change(&[Change::make(snapshot_key, &record)?]).await? {
            return Ok(answer(&pool, &reserved.snapshot, &record));
        }
    }
    Err(Fault::aborted(format!("others make snapshot {name:?} too; call again")))
}

/// Makes the snapshot in its image, or finds it there.
async fn make(
    pool: &Pool,
    handle: &VolumeHandle,
    name: &str,
    snapshot: &str,
) -> Result<Record, Fault> {
    let images = image::images(pool, &handle.place.namespace);
    let opened = match Image::open(&images, &handle.place.image).await {
        Err(RbdError::NoImage(_)) => {
            let id = handle.to_string();
            return Err(Fault::not_found(format!("there is no volume {id:?}")));
        }
        opened => opened?,
    };
    image::closing(opened, async |image| {
        match image.create_snapshot(snapshot).await {
            Ok(_) | Err(RbdError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let header = image.header().await?;
        let made = header.snapshot(snapshot).ok_or_else(|| {
            Fault::aborted(format!("snapshot {name:?} was removed meanwhile; call again"))
        })?;
        Ok(Record {
            name: name.to_owned(),
            volume: handle.to_string(),
            namespace: handle.place.namespace.clone(),
            image_id: image.id().to_owned(),
            size: made.size,
            seconds: i64::from(made.timestamp.sec),
            nanos: i32::try_from(made.timestamp.nsec).unwrap_or_default(),
            deleting: false,
        })
    })
    .await
}

fn shown(pool: &Pool, name: &str, record: &Record) -> Snapshot {
    let handle = SnapshotHandle { pool: pool.name().to_owned(), name: name.to_owned() };
    Snapshot {
        size_bytes: bytes(record.size),
        snapshot_id: handle.to_string(),
        source_volume_id: record.volume.clone(),
        creation_time: Some(Timestamp { seconds: record.seconds, nanos: record.nanos }),
        ready_to_use: true,
        group_snapshot_id: String::new(),
    }
}

fn answer(pool: &Pool, name: &str, record: &Record) -> CreateSnapshotResponse {
    CreateSnapshotResponse { snapshot: Some(shown(pool, name, record)) }
}

pub(super) async fn delete(
    context: &Context,
    request: DeleteSnapshotRequest,
) -> Result<DeleteSnapshotResponse, Fault> {
    let done = Ok(DeleteSnapshotResponse {});
    let id = required("snapshot_id", &request.snapshot_id)?;
    let Some(handle) = SnapshotHandle::parse(id) else { return done };
    let Some((pool, directory)) = context.directory(&handle.pool).await? else { return done };
    let key = snapshot_key(&handle.name);
    for _ in 0..ATTEMPTS {
        let Some(entry) = directory.get::<Record>(&key).await? else { return done };
        if !entry.value.deleting {
            let record = Record { deleting: true, ..entry.value.clone() };
            let mut changes = vec![Change::replace(key.clone(), &entry, &record)?];
            let name_key = snapshot_name_key(&record.name);
            if let Some(named) = directory.get::<SnapshotName>(&name_key).await?
                && named.value.snapshot == handle.name
            {
                changes.push(Change::remove(name_key, &named));
            }
            directory.change(&changes).await?;
            continue;
        }
        remove(&pool, &handle.name, &entry.value).await?;
        directory.change(&[Change::remove(key, &entry)]).await?;
        delete::sweep(&pool, &directory).await?;
        return done;
    }
    Err(Fault::aborted(format!("others keep changing snapshot {id:?}; call again")))
}

/// Removes a snapshot from its image. Clones keep what they need of it.
async fn remove(pool: &Pool, name: &str, record: &Record) -> Result<(), Fault> {
    let images = image::images(pool, &record.namespace);
    let opened = match Image::open_id(&images, &record.image_id).await {
        Err(error) if error.is_not_found() => return Ok(()),
        opened => opened?,
    };
    image::closing(opened, async |image| match image.remove_snapshot(name).await {
        Ok(()) | Err(RbdError::NoSnapshot(_)) => Ok(()),
        Err(error) => Err(error.into()),
    })
    .await
}

pub(super) async fn list(
    context: &Context,
    request: ListSnapshotsRequest,
) -> Result<ListSnapshotsResponse, Fault> {
    let max = entries(request.max_entries)?;
    if !request.snapshot_id.is_empty() {
        return one(context, &request).await;
    }
    let cluster = context.link.cluster().await?;
    let from = Position::read(&request.starting_token)?;
    let mut found: Vec<list_snapshots_response::Entry> = Vec::new();
    for (pool, after) in from.pools(&cluster).await? {
        let directory = Directory::of(&pool);
        let (page, _) = directory.list::<Record>(SNAPSHOTS, &after, usize::MAX).await?;
        for (name, record) in page {
            let source = &request.source_volume_id;
            if record.deleting || (!source.is_empty() && record.volume != *source) {
                continue;
            }
            if found.len() == max {
                let last = found.last().and_then(|entry| entry.snapshot.as_ref());
                let next_token = last.map(|last| last.snapshot_id.clone()).unwrap_or_default();
                return Ok(ListSnapshotsResponse { entries: found, next_token });
            }
            let snapshot = Some(shown(&pool, &name, &record));
            found.push(list_snapshots_response::Entry { snapshot });
        }
    }
    Ok(ListSnapshotsResponse { entries: found, next_token: String::new() })
}

/// The snapshot of an id, if there is one.
async fn one(
    context: &Context,
    request: &ListSnapshotsRequest,
) -> Result<ListSnapshotsResponse, Fault> {
    let nothing = ListSnapshotsResponse::default();
    let Some(handle) = SnapshotHandle::parse(&request.snapshot_id) else { return Ok(nothing) };
    let Some((pool, directory)) = context.directory(&handle.pool).await? else {
        return Ok(nothing);
    };
    let found = directory.get::<Record>(&snapshot_key(&handle.name)).await?;
    let source = &request.source_volume_id;
    let wanted =
        |record: &Record| !record.deleting && (source.is_empty() || record.volume == *source);
    let Some(record) = found.map(|entry| entry.value).filter(wanted) else { return Ok(nothing) };
    let snapshot = Some(shown(&pool, &handle.name, &record));
    let entries = vec![list_snapshots_response::Entry { snapshot }];
    Ok(ListSnapshotsResponse { entries, next_token: String::new() })
}
