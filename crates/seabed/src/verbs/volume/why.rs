//! `seabed volume why` and `du`: who uses an image, what it uses.

use anyhow::{Context, Result};
use seabed_rados::Cluster;
use seabed_rbd::{Image, Images, RbdError, Snapshot, SnapshotNamespace, feature_names};
use serde_json::{Map, Value, json};

use super::output::Format;
use super::place::{ImageSpec, PoolSpec};

/// Says why an image is in use, or cannot be removed.
pub(super) async fn why(cluster: &Cluster, spec: &ImageSpec, output: Format) -> Result<()> {
    let (images, name) = spec.open(cluster).await?;
    let image = match Image::open_read(&images, name, None).await {
        Err(RbdError::NoImage(_)) => return in_trash(&images, name, output).await,
        image => image?,
    };
    let header = image.header().await?;
    let mut reasons = Vec::new();
    let mut found = Map::new();
    let watchers = image.watchers().await?;
    for watcher in &watchers {
        reasons.push(format!(
            "open by {} at {}; close it there, or fence that client: `ceph osd blocklist add`",
            watcher.client, watcher.addr
        ));
    }
    found.insert(
        "watchers".into(),
        watchers
            .iter()
            .map(|w| json!({ "client": w.client.to_string(), "address": w.addr.to_string() }))
            .collect(),
    );
    let locks = image.locks().await?;
    for lock in &locks {
        let lives = watchers.iter().any(|w| w.client == lock.client);
        let dead = if lives { "" } else { ", which has no watch: the next writer breaks the lock" };
        reasons.push(format!("locked by {} ({}){dead}", lock.client, lock.cookie));
    }
    found.insert(
        "locks".into(),
        locks.iter().map(|l| json!({ "locker": l.client.to_string(), "id": l.cookie })).collect(),
    );
    for snapshot in header.snapshots.iter().rev() {
        reasons.push(format!("{}: {}", what(snapshot), remedy(&image, snapshot)));
    }
    found.insert(
        "snapshots".into(),
        header.snapshots.iter().rev().map(|s| json!({ "id": s.id.0, "name": s.name })).collect(),
    );
    let mut children = Vec::new();
    for child in image.children().await? {
        let pool = cluster.pool_by_id(child.pool).await?;
        let theirs = Images::new(pool.with_namespace(child.namespace.clone()));
        let name = match theirs.name(&child.id).await {
            Ok(name) => name,
            Err(error) if error.is_not_found() => format!("{} (in the trash)", child.id),
            Err(error) => return Err(error.into()),
        };
        reasons.push(format!(
            "{}/{name} is a clone of snapshot {}; `seabed volume flatten` parts them",
            pool.name(),
            child.snapshot.0
        ));
        children.push(json!({ "pool": pool.name(), "image": name, "id": child.id }));
    }
    found.insert("children".into(), children.into());
    if let Some((pool, group)) = images.group_of(name).await? {
        let pool = cluster.pool_by_id(pool).await?;
        let names = seabed_rbd::Groups::new(pool.with_namespace(images.pool().namespace().clone()))
            .list()
            .await?;
        let group = names.into_iter().find(|(_, id)| *id == group).map_or(group, |(name, _)| name);
        reasons.push(format!(
            "it is in group {}/{group}; `seabed volume group remove` takes it out",
            pool.name()
        ));
        found.insert("group".into(), json!(group));
    }
    let unknown = seabed_rbd::features_not_kept(header.features);
    if unknown != 0 {
        let names = feature_names(unknown).join(", ");
        reasons.push(format!("it has features that are not built here: {names}"));
    }
    found.insert("reasons".into(), json!(reasons));
    match output {
        Format::Plain if reasons.is_empty() => {
            output.list(&["nobody uses it; it can be removed".to_owned()])
        }
        Format::Plain => output.list(&reasons),
        _ => output.show(&found.into()),
    }
}

/// An image that has no name may be in the trash, by its id or by the name it had.
async fn in_trash(images: &Images, name: &str, output: Format) -> Result<()> {
    let trashed = images.trashed().await?;
    let mut there = trashed.iter().filter(|(id, image)| *id == name || image.name == name);
    let (id, image) = there.next().with_context(|| format!("no such image: {name}"))?;
    let reason = format!(
        "it is in the trash since {} as {id} ({}), kept until {}; `seabed volume trash restore` \
         gives it its name back",
        image.since,
        super::trash::source(image.source),
        image.until
    );
    match output {
        Format::Plain => output.list(&[reason]),
        _ => output.show(&json!({ "trash": { "id": id }, "reasons": [reason] })),
    }
}

fn what(snapshot: &Snapshot) -> String {
    match &snapshot.namespace {
        SnapshotNamespace::User => format!("snapshot {}", snapshot.name),
        SnapshotNamespace::Group(_) => format!("snapshot {}, of a group", snapshot.id.0),
        SnapshotNamespace::Trash(was) => format!(
            "snapshot {}, once {}, kept for its clones",
            snapshot.id.0,
            String::from_utf8_lossy(&was.original_name)
        ),
        _ => format!("snapshot {}, of another program", snapshot.id.0),
    }
}

fn remedy(image: &Image, snapshot: &Snapshot) -> String {
    match &snapshot.namespace {
        SnapshotNamespace::User if snapshot.protection != 0 => {
            format!(
                "protected; `seabed volume snap unprotect …/{}@{}`",
                image.name(),
                snapshot.name
            )
        }
        SnapshotNamespace::User => {
            format!("`seabed volume snap rm …/{}@{}`", image.name(), snapshot.name)
        }
        SnapshotNamespace::Group(_) => "`seabed volume group snap rm` removes it".into(),
        SnapshotNamespace::Trash(_) => {
            format!("gone with the last of {} clones", snapshot.child_count)
        }
        _ => "it is removed by that program".into(),
    }
}

/// Shows how much of an image, or of all of a pool, is in use, its snapshots each for themselves.
pub(super) async fn du(cluster: &Cluster, place: &str, output: Format) -> Result<()> {
    let mut rows: Vec<Value> = Vec::new();
    match place.parse::<ImageSpec>() {
        Ok(spec) => {
            let (images, name) = spec.open(cluster).await?;
            // POOL/NAMESPACE looks like POOL/NAME.
            match of_image(&images, name).await {
                Err(error) if is_no_image(&error) => {
                    let pool: PoolSpec = place.parse().map_err(|_| error)?;
                    of_pool(&pool.open(cluster).await?, &mut rows).await?;
                }
                found => rows.extend(found?),
            }
        }
        Err(_) => {
            let pool: PoolSpec = place.parse().map_err(anyhow::Error::msg)?;
            of_pool(&pool.open(cluster).await?, &mut rows).await?;
        }
    }
    if let Format::Plain = output {
        let line = |row: &Value| {
            let name = row["name"].as_str().unwrap_or_default();
            let at = row["snapshot"].as_str().map(|s| format!("@{s}")).unwrap_or_default();
            format!("{name}{at} {} {}", row["provisioned_size"], row["used_size"])
        };
        return output.list(&rows.iter().map(line).collect::<Vec<_>>());
    }
    output.show(&json!({ "images": rows }))
}

fn is_no_image(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(RbdError::NoImage(_)))
}

async fn of_pool(images: &Images, rows: &mut Vec<Value>) -> Result<()> {
    for name in images.list().await?.into_keys() {
        match of_image(images, &name).await {
            // Removed meanwhile.
            Err(error) if is_no_image(&error) => {}
            found => rows.extend(found?),
        }
    }
    Ok(())
}

async fn of_image(images: &Images, name: &str) -> Result<Vec<Value>> {
    let head = Image::open_read(images, name, None).await?;
    let header = head.header().await?;
    let mut rows = Vec::new();
    let mut before: Option<String> = None;
    let users = header.snapshots.iter().rev().filter(|s| s.namespace == SnapshotNamespace::User);
    for snapshot in users {
        let at = Image::open_read(images, name, Some(&snapshot.name)).await?;
        let used = used(&at, before.as_deref()).await?;
        rows.push(json!({
            "name": name,
            "snapshot": snapshot.name,
            "provisioned_size": snapshot.size,
            "used_size": used,
        }));
        before = Some(snapshot.name.clone());
    }
    let used = used(&head, before.as_deref()).await?;
    rows.push(json!({
        "name": name,
        "provisioned_size": header.size,
        "used_size": used,
    }));
    Ok(rows)
}

/// By whole objects where maps tell them; else by what is read of each.
async fn used(image: &Image, since: Option<&str>) -> Result<u64> {
    let mut bytes = 0;
    if let Some(extents) = image.diff_objects(since).await? {
        return Ok(extents.iter().filter(|e| e.exists).map(|e| e.length).sum());
    }
    image.diff(since, |e| bytes += if e.exists { e.length } else { 0 }).await?;
    Ok(bytes)
}
