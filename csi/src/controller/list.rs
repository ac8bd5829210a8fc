//! What there is: volumes, one volume and its condition, room; and what a volume is good for.

use std::time::Duration;

use seabed_proto::csi::validate_volume_capabilities_response::Confirmed;
use seabed_proto::csi::*;
use seabed_rados::{Cluster, Pool};

use super::{Context, image, shown};
use crate::fault::Fault;
use crate::rules::capability::Capability;
use crate::rules::handle::{Place, VolumeHandle};
use crate::rules::parameters::Parameters;
use crate::rules::{required, size};
use crate::state::Directory;
use crate::state::record::{VOLUMES, Volume as Record};

/// A cluster that takes longer to show an image's header is not well.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn volumes(
    context: &Context,
    request: ListVolumesRequest,
) -> Result<ListVolumesResponse, Fault> {
    let max = entries(request.max_entries)?;
    let cluster = context.link.cluster().await?;
    let from = Position::read(&request.starting_token)?;
    let mut found: Vec<list_volumes_response::Entry> = Vec::new();
    for (pool, after) in from.pools(&cluster).await? {
        let directory = Directory::of(&pool);
        let (page, _) = directory.list::<Record>(VOLUMES, &after, usize::MAX).await?;
        for (place, record) in page {
            // Of an adopted image nothing is known but where it is published.
            let listed = record.name.is_some() || !record.nodes.is_empty();
            let Some(place) = Place::parse(&place).filter(|_| listed) else { continue };
            if found.len() == max {
                let last = found.last().and_then(|entry| entry.volume.as_ref());
                let next_token = last.map(|volume| volume.volume_id.clone()).unwrap_or_default();
                return Ok(ListVolumesResponse { entries: found, next_token });
            }
            let status = list_volumes_response::VolumeStatus {
                published_node_ids: record.nodes.keys().cloned().collect(),
                volume_condition: Some(well()),
            };
            let volume = Some(shown(pool.name(), &place, &record));
            found.push(list_volumes_response::Entry { volume, status: Some(status) });
        }
    }
    Ok(ListVolumesResponse { entries: found, next_token: String::new() })
}

fn well() -> VolumeCondition {
    VolumeCondition { abnormal: false, message: String::new() }
}

/// How many entries an answer may have.
pub(super) fn entries(max: i32) -> Result<usize, Fault> {
    match usize::try_from(max) {
        Ok(0) => Ok(usize::MAX),
        Ok(max) => Ok(max),
        Err(_) => Err(Fault::invalid(format!("max_entries is {max}"))),
    }
}

/// Where a listing goes on: behind `POOL/REST`.
pub(super) struct Position {
    pool: String,
    after: String,
}

impl Position {
    /// Of a token; it names what was listed last, which may be gone since.
    pub(super) fn read(token: &str) -> Result<Self, Fault> {
        if token.is_empty() {
            return Ok(Position { pool: String::new(), after: String::new() });
        }
        let (pool, after) = token
            .split_once('/')
            .ok_or_else(|| Fault::aborted(format!("starting_token {token:?} is none of ours")))?;
        Ok(Position { pool: pool.to_owned(), after: after.to_owned() })
    }

    /// The pools to look into, by name, and behind what in each.
    pub(super) async fn pools(&self, cluster: &Cluster) -> Result<Vec<(Pool, String)>, Fault> {
        let mut names: Vec<(String, seabed_cluster::PoolId)> = cluster
            .pools()
            .await?
            .into_iter()
            .map(|(id, name)| (name, id))
            .filter(|(name, _)| *name >= self.pool)
            .collect();
        names.sort_unstable();
        let mut pools = Vec::with_capacity(names.len());
        for (name, id) in names {
            let after = if name == self.pool { self.after.clone() } else { String::new() };
            match cluster.pool_by_id(id).await {
                Ok(pool) => pools.push((pool, after)),
                // Removed meanwhile.
                Err(seabed_rados::RadosError::NoPool(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(pools)
    }
}

pub(super) async fn volume(
    context: &Context,
    request: ControllerGetVolumeRequest,
) -> Result<ControllerGetVolumeResponse, Fault> {
    let handle = VolumeHandle::of_existing(required("volume_id", &request.volume_id)?)?;
    let (pool, _, record) = context.volume(&handle).await?;
    let status = controller_get_volume_response::VolumeStatus {
        published_node_ids: record.nodes.keys().cloned().collect(),
        volume_condition: Some(condition(&pool, &handle.place, &record).await),
    };
    let volume = Some(shown(pool.name(), &handle.place, &record));
    Ok(ControllerGetVolumeResponse { volume, status: Some(status) })
}

/// How a volume's image is.
async fn condition(pool: &Pool, place: &Place, record: &Record) -> VolumeCondition {
    let abnormal = |message: String| VolumeCondition { abnormal: true, message };
    match tokio::time::timeout(PATIENCE, image::size(pool, place)).await {
        Ok(Ok(Some(size))) if size >= record.size => well(),
        Ok(Ok(Some(size))) => {
            let wanted = record.size;
            abnormal(format!("image {place} has {size} bytes, fewer than the volume's {wanted}"))
        }
        Ok(Ok(None)) => abnormal(format!("image {place} is gone")),
        Ok(Err(fault)) => abnormal(fault.to_string()),
        Err(_) => abnormal("the cluster does not answer; look at `ceph -s`".to_owned()),
    }
}

pub(super) async fn capacity(
    context: &Context,
    request: GetCapacityRequest,
) -> Result<GetCapacityResponse, Fault> {
    if !request.volume_capabilities.is_empty() {
        Capability::read_all(&request.volume_capabilities)?;
    }
    let parameters = Parameters::read(&request.parameters, &context.pool)?;
    let cluster = context.link.cluster().await?;
    let pool = cluster.pool(parameters.data_pool.as_deref().unwrap_or(&parameters.pool)).await?;
    let map = cluster.map().await?;
    let copies = map.pools.get(&pool.id()).map_or(1, |pool| u64::from(pool.size).max(1));
    let free = cluster.statfs().await?.kb_available.saturating_mul(1024) / copies;
    Ok(GetCapacityResponse {
        available_capacity: size::shown(free),
        maximum_volume_size: Some(size::shown(size::MAX)),
        minimum_volume_size: Some(size::shown(size::UNIT)),
    })
}

pub(super) async fn validate(
    context: &Context,
    request: ValidateVolumeCapabilitiesRequest,
) -> Result<ValidateVolumeCapabilitiesResponse, Fault> {
    let id = required("volume_id", &request.volume_id)?;
    if request.volume_capabilities.is_empty() {
        return Err(Fault::invalid("volume_capabilities are missing"));
    }
    context.volume(&VolumeHandle::of_existing(id)?).await?;
    let refused = Capability::read_all(&request.volume_capabilities)
        .map(drop)
        .and_then(|()| Parameters::read(&request.parameters, &context.pool).map(drop))
        .err();
    let refused = match (refused, request.mutable_parameters.keys().next()) {
        (Some(fault), _) => Some(fault.to_string()),
        (None, Some(name)) => Some(format!("mutable parameter {name:?}: there are none here")),
        (None, None) => None,
    };
    Ok(match refused {
        Some(message) => ValidateVolumeCapabilitiesResponse { confirmed: None, message },
        None => ValidateVolumeCapabilitiesResponse {
            confirmed: Some(Confirmed {
                volume_context: request.volume_context,
                volume_capabilities: request.volume_capabilities,
                parameters: request.parameters,
                mutable_parameters: Default::default(),
            }),
            message: String::new(),
        },
    })
}
