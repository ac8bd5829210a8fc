//! CreateVolume: from nothing, a snapshot or another volume.
//!
//! The name is reserved in the directory first, then the image made under a drawn name, then both
//! records made ready in one step. Killed anywhere, the next call overtakes: it draws another
//! image name and removes what was left. What is not ready is listed nowhere.

use seabed_proto::csi::volume_content_source::{self as content, SnapshotSource, VolumeSource};
use seabed_proto::csi::{CreateVolumeRequest, CreateVolumeResponse, VolumeContentSource};
use seabed_rados::Pool;
use seabed_rbd::{Image, RbdError};

use super::{Context, image, shown};
use crate::fault::Fault;
use crate::rules::capability::Capability;
use crate::rules::create::{Step, Wanted, next};
use crate::rules::handle::{self, Place, SnapshotHandle, VolumeHandle};
use crate::rules::name;
use crate::rules::parameters::Parameters;
use crate::rules::size::Range;
use crate::state::record::{
    Draft, Name, Origin, Snapshot, Source, Volume, name_key, snapshot_key, volume_key,
};
use crate::state::{Change, Directory, Entry};

/// Others that come between, until this call gives way.
const ATTEMPTS: u32 = 10;

/// A source that was found: of how many bytes, and what a clone is made of.
struct Found {
    size: u64,
    origin: Origin,
}

pub(super) async fn create(
    context: &Context,
    request: CreateVolumeRequest,
) -> Result<CreateVolumeResponse, Fault> {
    let wanted = read(&request, &context.pool)?;
    let pool = context.link.pool(&wanted.parameters.pool).await?;
    let data_pool = match &wanted.parameters.data_pool {
        None => None,
        Some(name) => Some(context.link.pool(name).await?),
    };
    let directory = Directory::of(&pool);
    for _ in 0..ATTEMPTS {
        let key = name_key(&wanted.name);
        let known = directory.get::<Name>(&key).await?;
        let ready = match known.as_ref().map(|entry| &entry.value) {
            Some(Name::Ready { namespace, image }) => {
                let place = Place { namespace: namespace.clone(), image: image.clone() };
                let found = directory.get::<Volume>(&volume_key(&place)).await?;
                Some((place, found.map(|entry| entry.value)))
            }
            _ => None,
        };
        let volume = ready.as_ref().and_then(|(_, volume)| volume.as_ref());
        match next(&wanted, known.as_ref().map(|entry| &entry.value), volume)? {
            Step::Answer => {
                let Some((place, Some(volume))) = ready else { continue };
                return Ok(answer(&pool, &place, &volume));
            }
            Step::Reserve { orphans } => {
                let attempt =
                    Attempt { context, wanted: &wanted, pool: &pool, directory: &directory };
                let reserved = attempt.reserve(&key, known.as_ref(), orphans).await?;
                let Some((draft, orphans, size)) = reserved else { continue };
                return attempt.make(&key, draft, orphans, size, data_pool.as_ref()).await;
            }
        }
    }
    Err(Fault::aborted(format!("others make volume {:?} too; call again", wanted.name)))
}

fn read(request: &CreateVolumeRequest, pool: &str) -> Result<Wanted, Fault> {
    let name = name("name", &request.name)?.to_owned();
    Capability::read_all(&request.volume_capabilities)?;
    if let Some(name) = request.mutable_parameters.keys().next() {
        return Err(Fault::invalid(format!("mutable parameter {name:?}: there are none here")));
    }
    let parameters = Parameters::read(&request.parameters, pool)?;
    let range = Range::read(request.capacity_range.as_ref())?;
    let source = request.volume_content_source.as_ref().map(source).transpose()?;
    Ok(Wanted { name, parameters, range, source })
}

fn source(asked: &VolumeContentSource) -> Result<Source, Fault> {
    match &asked.r#type {
        Some(content::Type::Snapshot(from)) => Ok(Source::Snapshot(from.snapshot_id.clone())),
        Some(content::Type::Volume(from)) => Ok(Source::Volume(from.volume_id.clone())),
        None => Err(Fault::invalid("volume_content_source names neither snapshot nor volume")),
    }
}

pub(super) fn shown_source(source: &Source) -> VolumeContentSource {
    let kind = match source.clone() {
        Source::Snapshot(snapshot_id) => content::Type::Snapshot(SnapshotSource { snapshot_id }),
        Source::Volume(volume_id) => content::Type::Volume(VolumeSource { volume_id }),
    };
    VolumeContentSource { r#type: Some(kind) }
}

fn answer(pool: &Pool, place: &Place, volume: &Volume) -> CreateVolumeResponse {
    CreateVolumeResponse { volume: Some(shown(pool.name(), place, volume)) }
}

/// One attempt at making a volume.
struct Attempt<'a> {
    context: &'a Context,
    wanted: &'a Wanted,
    pool: &'a Pool,
    directory: &'a Directory,
}

impl Attempt<'_> {
    /// Writes down which image will be made. Nothing: somebody else was faster.
    async fn reserve(
        &self,
        key: &str,
        known: Option<&Entry<Name>>,
        orphans: Vec<Draft>,
    ) -> Result<Option<(Draft, Vec<Draft>, u64)>, Fault> {
        let image = handle::drawn(handle::IMAGE_PREFIX, rand::random());
        let found = match &self.wanted.source {
            None => None,
            Some(Source::Snapshot(id)) => Some(self.snapshot(id).await?),
            Some(Source::Volume(id)) => Some(self.volume(id, &image).await?),
        };
        let size = self.wanted.range.choose(found.as_ref().map(|found| found.size))?;
        let namespace = self.wanted.parameters.namespace.clone();
        let draft = Draft { namespace, image, origin: found.map(|found| found.origin) };
        let name = Name::Creating { draft: draft.clone(), orphans: orphans.clone() };
        let change = match known {
            None => Change::make(key.to_owned(), &name)?,
            Some(entry) => Change::replace(key.to_owned(), entry, &name)?,
        };
        let reserved = self.directory.change(&[change]).await?;
        Ok(reserved.then_some((draft, orphans, size)))
    }

    async fn make(
        &self,
        key: &str,
        draft: Draft,
        orphans: Vec<Draft>,
        size: u64,
        data_pool: Option<&Pool>,
    ) -> Result<CreateVolumeResponse, Fault> {
        for orphan in &orphans {
            image::unmake(self.pool, orphan).await?;
        }
        let Wanted { name, parameters, source, .. } = self.wanted;
        image::make(self.pool, &draft, name, size, data_pool).await?;
        let place = draft.place();
        let volume = Volume {
            name: Some(name.clone()),
            size,
            data_pool: parameters.data_pool.clone(),
            source: source.clone(),
            ..Volume::default()
        };
        let creating = self.directory.get::<Name>(key).await?;
        let still_ours = creating.filter(
            |entry| matches!(&entry.value, Name::Creating { draft: now, .. } if *now == draft),
        );
        let made = match &still_ours {
            None => false,
            Some(entry) => {
                let ready =
                    Name::Ready { namespace: place.namespace.clone(), image: place.image.clone() };
                let changes = [
                    Change::replace(key.to_owned(), entry, &ready)?,
                    Change::make(volume_key(&place), &volume)?,
                ];
                self.directory.change(&changes).await?
            }
        };
        if made {
            return Ok(answer(self.pool, &place, &volume));
        }
        image::unmake(self.pool, &draft).await?;
        Err(Fault::aborted(format!("volume {name:?} is made by another controller; call again")))
    }

    async fn snapshot(&self, id: &str) -> Result<Found, Fault> {
        let missing = || Fault::not_found(format!("there is no snapshot {id:?}"));
        let handle = SnapshotHandle::parse(id).ok_or_else(missing)?;
        let (_, directory) = self.context.directory(&handle.pool).await?.ok_or_else(missing)?;
        let found = directory.get::<Snapshot>(&snapshot_key(&handle.name)).await?;
        let record = found.map(|entry| entry.value).filter(|snapshot| !snapshot.deleting);
        let record = record.ok_or_else(missing)?;
        let origin = Origin {
            pool: handle.pool,
            namespace: record.namespace,
            image_id: record.image_id,
            snapshot: handle.name,
            own: false,
        };
        Ok(Found { size: record.size, origin })
    }

    async fn volume(&self, id: &str, clone: &str) -> Result<Found, Fault> {
        let missing = || Fault::not_found(format!("there is no volume {id:?}"));
        let handle = VolumeHandle::parse(id).ok_or_else(missing)?;
        let (pool, ..) = self.context.volume(&handle).await?;
        let images = image::images(&pool, &handle.place.namespace);
        let opened = match Image::open_read(&images, &handle.place.image, None).await {
            Err(RbdError::NoImage(_)) => return Err(missing()),
            opened => opened?,
        };
        let origin = Origin {
            pool: handle.pool,
            namespace: handle.place.namespace,
            image_id: opened.id().to_owned(),
            snapshot: clone.to_owned(),
            own: true,
        };
        Ok(Found { size: opened.size().await?, origin })
    }
}
