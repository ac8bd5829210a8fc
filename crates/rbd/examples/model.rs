//! Random operations on images, beside arrays that say what must come of them:
//! `model CEPH_CONF POOL OPERATIONS [SEED]`. What differs ends it, and says where; the seed, which
//! is printed, brings the same operations again.
//!
//! Images are small, with small objects: every operation crosses objects, and meets snapshots and
//! parents. The cluster may be hurt meanwhile; nothing may fail for it.

use std::error::Error;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use seabed_rados::{Cluster, Conf};
use seabed_rbd::{CloneVersion, CreateOptions, Image, Images, MapCheck, RbdError};

type Outcome = Result<(), Box<dyn Error>>;

/// log2 of the size of objects.
const ORDER: u8 = 14;
const SIZE_MAX: usize = 40 << ORDER;
const IMAGES_MAX: usize = 4;
const SNAPSHOTS_MAX: usize = 5;

/// An image, and what it must hold.
struct Twin {
    name: String,
    image: Image,
    head: Vec<u8>,
    snapshots: Vec<(String, Vec<u8>)>,
}

struct Model {
    images: Images,
    chance: StdRng,
    twins: Vec<Twin>,
    named: usize,
}

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [conf, pool, operations, seed @ ..] = &arguments[..] else {
        return Err("usage: model CEPH_CONF POOL OPERATIONS [SEED]".into());
    };
    let operations: usize = operations.parse()?;
    let seed = match seed.first() {
        Some(seed) => seed.parse()?,
        None => rand::random(),
    };
    println!("model: seed {seed}");
    let cluster = Cluster::connect(&Conf::load(conf.as_ref())?).await?;
    let images = Images::new(cluster.pool(pool).await?);
    let chance = StdRng::seed_from_u64(seed);
    let mut model = Model { images, chance, twins: Vec::new(), named: 0 };
    model.create().await?;
    for number in 0..operations {
        let step = model.step().await;
        step.map_err(|error| format!("seed {seed}, operation {number}: {error}"))?;
        if (number + 1) % 500 == 0 {
            println!("model: {} operations", number + 1);
        }
    }
    model.end().await.map_err(|error| format!("seed {seed}, at the end: {error}"))?;
    cluster.shutdown().await;
    println!("model: {operations} operations, all as it must be");
    Ok(())
}

impl Model {
    async fn step(&mut self) -> Outcome {
        let at = self.chance.random_range(0..self.twins.len());
        match self.chance.random_range(0..100) {
            0..25 => self.write(at).await,
            25..30 => self.burst(at).await,
            30..38 => self.zero(at).await,
            38..44 => self.compare_and_write(at).await,
            44..69 => self.read(at).await,
            69..73 => self.resize(at).await,
            73..80 => self.create_snapshot(at).await,
            80..84 => self.remove_snapshot(at).await,
            84..87 => self.roll_back(at).await,
            87..91 => self.clone_snapshot(at).await,
            91..93 => self.flatten(at).await,
            93..95 => self.remove(at).await,
            95..97 => self.copy(at).await,
            97..99 => self.reopen(at).await,
            _ if self.twins.len() < IMAGES_MAX => self.create().await,
            _ => self.read(at).await,
        }
    }

    fn fresh_name(&mut self) -> String {
        self.named += 1;
        // Not those of a run that was stopped.
        format!("model{}-{}", std::process::id(), self.named)
    }

    async fn create(&mut self) -> Outcome {
        let (name, size) = (self.fresh_name(), self.chance.random_range(1..SIZE_MAX));
        let striped = self.chance.random_bool(0.3);
        let striping = if striped { (1 << (ORDER - 2), 3) } else { (0, 0) };
        let options = CreateOptions { order: ORDER, striping, ..CreateOptions::sized(size as u64) };
        self.images.create(&name, &options).await?;
        let image = Image::open(&self.images, &name).await?;
        self.twins.push(Twin { name, image, head: vec![0; size], snapshots: Vec::new() });
        Ok(())
    }

    /// A range of an image, often at the edge of an object; empty if the image is.
    fn range(&mut self, at: usize) -> std::ops::Range<usize> {
        let size = self.twins[at].head.len();
        if size == 0 {
            return 0..0;
        }
        let mut start = self.chance.random_range(0..size);
        if self.chance.random_bool(0.3) {
            start = start >> ORDER << ORDER;
        }
        let most = match self.chance.random_range(0..3) {
            0 => 4096,
            1 => 1 << ORDER,
            _ => 5 << ORDER,
        };
        let length = self.chance.random_range(1..=most).min(size - start);
        start..start + length
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.chance.fill(&mut bytes[..]);
        bytes
    }

    async fn write(&mut self, at: usize) -> Outcome {
        let range = self.range(at);
        let bytes = self.bytes(range.len());
        let twin = &mut self.twins[at];
        twin.image.write(range.start as u64, bytes.clone()).await?;
        twin.head[range].copy_from_slice(&bytes);
        Ok(())
    }

    /// Several writes at a time, next to each other.
    async fn burst(&mut self, at: usize) -> Outcome {
        let range = self.range(at);
        let bytes = self.bytes(range.len());
        let twin = &mut self.twins[at];
        let mut running = tokio::task::JoinSet::new();
        for (number, piece) in bytes.chunks(3000).enumerate() {
            let (image, piece) = (twin.image.clone(), piece.to_vec());
            let offset = (range.start + number * 3000) as u64;
            running.spawn(async move { image.write(offset, piece).await });
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        twin.head[range].copy_from_slice(&bytes);
        Ok(())
    }

    async fn zero(&mut self, at: usize) -> Outcome {
        let (range, discards) = (self.range(at), self.chance.random_bool(0.5));
        let twin = &mut self.twins[at];
        let (offset, length) = (range.start as u64, range.len() as u64);
        match discards {
            true => twin.image.discard(offset, length).await?,
            false => twin.image.write_zeroes(offset, length).await?,
        }
        twin.head[range].fill(0);
        Ok(())
    }

    async fn compare_and_write(&mut self, at: usize) -> Outcome {
        let mut range = self.range(at);
        let unit = 1 << (ORDER - 2);
        range.end = range.end.min((range.start / unit + 1) * unit);
        if range.is_empty() {
            return Ok(());
        }
        let new = self.bytes(range.len());
        let wrong = self.chance.random_bool(0.5).then(|| self.chance.random_range(range.clone()));
        let twin = &mut self.twins[at];
        let mut old = twin.head[range.clone()].to_vec();
        if let Some(wrong) = wrong {
            old[wrong - range.start] ^= 1;
        }
        let done = twin.image.compare_and_write(range.start as u64, old, new.clone()).await;
        match (done, wrong) {
            (Ok(()), None) => twin.head[range].copy_from_slice(&new),
            (Err(RbdError::Mismatch { offset }), Some(wrong)) if offset == wrong as u64 => {}
            (done, _) => return Err(format!("{range:?}, wrong at {wrong:?}: {done:?}").into()),
        }
        Ok(())
    }

    async fn read(&mut self, at: usize) -> Outcome {
        let range = self.range(at);
        let twin = &self.twins[at];
        let bytes = twin.image.read(range.start as u64, range.len() as u64).await?;
        same(&twin.name, range.start, &bytes, &twin.head[range])?;
        if !twin.snapshots.is_empty() {
            let (name, held) = &twin.snapshots[self.chance.random_range(0..twin.snapshots.len())];
            check(&self.images, twin, Some(name), held).await?;
        }
        Ok(())
    }

    async fn resize(&mut self, at: usize) -> Outcome {
        let size = self.chance.random_range(0..SIZE_MAX);
        let twin = &mut self.twins[at];
        twin.image.resize(size as u64, &mut |_, _| {}).await?;
        twin.head.resize(size, 0);
        Ok(())
    }

    async fn create_snapshot(&mut self, at: usize) -> Outcome {
        if self.twins[at].snapshots.len() >= SNAPSHOTS_MAX {
            return self.remove_snapshot(at).await;
        }
        let name = self.fresh_name();
        let twin = &mut self.twins[at];
        twin.image.create_snapshot(&name).await?;
        twin.snapshots.push((name, twin.head.clone()));
        Ok(())
    }

    /// One of an image's snapshots.
    fn snapshot(&mut self, at: usize) -> Option<usize> {
        let count = self.twins[at].snapshots.len();
        (count > 0).then(|| self.chance.random_range(0..count))
    }

    async fn remove_snapshot(&mut self, at: usize) -> Outcome {
        let Some(which) = self.snapshot(at) else { return Ok(()) };
        let twin = &mut self.twins[at];
        let (name, _) = twin.snapshots.remove(which);
        Ok(twin.image.remove_snapshot(&name).await?)
    }

    async fn roll_back(&mut self, at: usize) -> Outcome {
        let Some(which) = self.snapshot(at) else { return Ok(()) };
        let twin = &mut self.twins[at];
        let (name, held) = &twin.snapshots[which];
        match twin.image.rollback(name, &mut |_, _| {}).await {
            // Refused before anything is changed: the head must be what it was.
            Err(RbdError::Unsupported { .. }) => check(&self.images, twin, None, &twin.head).await,
            done => {
                done?;
                twin.head = held.clone();
                Ok(())
            }
        }
    }

    async fn clone_snapshot(&mut self, at: usize) -> Outcome {
        let Some(which) = self.snapshot(at) else { return self.create_snapshot(at).await };
        if self.twins.len() >= IMAGES_MAX {
            return self.remove(at).await;
        }
        let name = self.fresh_name();
        let parent = &self.twins[at];
        let (snapshot, held) = parent.snapshots[which].clone();
        let options = CreateOptions { order: ORDER, ..CreateOptions::sized(0) };
        let version = CloneVersion::V2;
        self.images.clone_snapshot(&parent.image, &snapshot, &name, version, &options).await?;
        let image = Image::open(&self.images, &name).await?;
        self.twins.push(Twin { name, image, head: held, snapshots: Vec::new() });
        Ok(())
    }

    async fn flatten(&mut self, at: usize) -> Outcome {
        let twin = &self.twins[at];
        match twin.image.flatten(&mut |_, _| {}).await {
            Ok(()) | Err(RbdError::Invalid { .. } | RbdError::Unsupported { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        check(&self.images, twin, None, &twin.head).await
    }

    /// Removes an image that has neither snapshots nor clones.
    async fn remove(&mut self, at: usize) -> Outcome {
        let twin = &self.twins[at];
        let needed = !twin.image.header().await?.snapshots.is_empty();
        if needed || self.twins.len() < 2 {
            return Ok(());
        }
        let twin = self.twins.remove(at);
        twin.image.close().await?;
        Ok(self.images.remove(&twin.name, &mut |_, _| {}).await?)
    }

    async fn copy(&mut self, at: usize) -> Outcome {
        if self.twins.len() >= IMAGES_MAX {
            return self.remove(at).await;
        }
        let name = self.fresh_name();
        let source = &self.twins[at];
        let options = CreateOptions { order: ORDER, ..CreateOptions::sized(0) };
        source.image.copy(&self.images, &name, &options, &mut |_, _| {}).await?;
        let image = Image::open(&self.images, &name).await?;
        let (head, snapshots) = (source.head.clone(), source.snapshots.clone());
        let copy = Twin { name, image, head, snapshots };
        for (snapshot, held) in &copy.snapshots {
            check(&self.images, &copy, Some(snapshot), held).await?;
        }
        self.twins.push(copy);
        Ok(())
    }

    async fn reopen(&mut self, at: usize) -> Outcome {
        let twin = &mut self.twins[at];
        twin.image.clone().close().await?;
        twin.image = Image::open(&self.images, &twin.name).await?;
        check(&self.images, twin, None, &twin.head).await
    }

    /// Looks at everything, and removes it.
    async fn end(&mut self) -> Outcome {
        for twin in &self.twins {
            check(&self.images, twin, None, &twin.head).await?;
            for (snapshot, held) in &twin.snapshots {
                check(&self.images, twin, Some(snapshot), held).await?;
            }
            let found = twin.image.check_object_map(&mut |_, _| {}).await?;
            if found != MapCheck::default() {
                return Err(format!("the object maps of {}: {found:?}", twin.name).into());
            }
        }
        for twin in &self.twins {
            for (snapshot, _) in &twin.snapshots {
                twin.image.remove_snapshot(snapshot).await?;
            }
        }
        // Clones first: those that were made last.
        while let Some(twin) = self.twins.pop() {
            twin.image.close().await?;
            self.images.remove(&twin.name, &mut |_, _| {}).await?;
        }
        Ok(())
    }
}

/// Reads all of an image, or of a snapshot, as another client does.
async fn check(images: &Images, twin: &Twin, snapshot: Option<&str>, held: &[u8]) -> Outcome {
    let what = format!("{}@{}", twin.name, snapshot.unwrap_or("head"));
    let image = Image::open_read(images, &twin.name, snapshot).await?;
    let size = image.size().await?;
    if size != held.len() as u64 {
        return Err(format!("{what} has {size} bytes, not {}", held.len()).into());
    }
    same(&what, 0, &image.read(0, size).await?, held)
}

fn same(what: &str, start: usize, found: &[u8], want: &[u8]) -> Outcome {
    if found == want {
        return Ok(());
    }
    let at = found.iter().zip(want).position(|(one, other)| one != other);
    let at = at.unwrap_or(found.len().min(want.len()));
    let of = |bytes: &[u8]| bytes.get(at).copied();
    let byte = start + at;
    Err(format!("{what} differs at {byte}: {:?}, not {:?}", of(found), of(want)).into())
}
