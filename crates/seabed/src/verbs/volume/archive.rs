//! Whole images with their snapshots, from files and to files (Ceph's export format 2).

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use seabed_rbd::{
    CreateOptions, DiffFormat, DiffReader, DiffRecord, Image, ImageArchive, ImageArchiveReader,
    Images, SnapshotNamespace,
};

use super::changes::{Stream, apply};
use super::progress::Bar;
use super::transfer::into_new;
use super::{closing, interruptible};

/// Bytes read from a file at a time.
const PIECE: usize = 1 << 20;

/// Writes an image, with its snapshots if it is the head that is open.
pub(super) async fn export(
    images: &Images,
    name: &str,
    snapshot: Option<&str>,
    file: &Path,
) -> Result<()> {
    if file == Path::new("-") {
        let mut output = std::io::stdout();
        return interruptible(write(images, name, snapshot, &mut output)).await;
    }
    into_new(file, async |output| write(images, name, snapshot, output).await).await
}

async fn write(
    images: &Images,
    name: &str,
    snapshot: Option<&str>,
    output: &mut dyn Write,
) -> Result<()> {
    let image = Image::open_read(images, name, snapshot).await?;
    let header = image.header().await?;
    let users = header.snapshots.iter().rev().filter(|s| s.namespace == SnapshotNamespace::User);
    let snapshots: Vec<_> = if snapshot.is_some() { Vec::new() } else { users.cloned().collect() };
    let layout = header.layout;
    let archive = ImageArchive {
        order: layout.order(),
        features: header.features,
        striping: (layout.stripe_unit(), layout.stripe_count()),
        metadata: image.metadata().await?,
        streams: snapshots.len() as u64 + 1,
    };
    output.write_all(&archive.to_bytes())?;
    let mut from: Option<&str> = None;
    for snapshot in &snapshots {
        let at = Image::open_read(images, name, Some(&snapshot.name)).await?;
        let protected = Some(snapshot.protection == 2);
        let stream = Stream { from, to: Some(&snapshot.name), protected, format: DiffFormat::V2 };
        stream.write(&at, output).await?;
        from = Some(&snapshot.name);
    }
    let last = Stream { from, to: None, protected: None, format: DiffFormat::V2 };
    last.write(&image, output).await?;
    Ok(output.flush()?)
}

/// Makes an image of such a file. One that is not finished is removed again.
pub(super) async fn import(
    file: &Path,
    images: &Images,
    name: &str,
    options: CreateOptions,
) -> Result<()> {
    let mut input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(file).with_context(|| file.display().to_string())?)
    };
    let mut buffer = vec![0; PIECE];
    let mut reader = ImageArchiveReader::new();
    let (archive, mut rest) = loop {
        if let Some(found) = reader.next_archive()? {
            break found;
        }
        let read = input.read(&mut buffer)?;
        if read == 0 {
            bail!("the file ends before the image begins");
        }
        reader.feed(&buffer[..read]);
    };
    // A stripe unit of a whole object is none.
    let plain = archive.striping.1 <= 1 && archive.striping.0 == 1 << archive.order.min(63);
    let striping = if plain { (0, 0) } else { archive.striping };
    let options = CreateOptions { size: 0, order: archive.order, striping, ..options };
    images.create(name, &options).await?;
    let result = async {
        let image = Image::open(images, name).await?;
        closing(&image, async {
            for (key, value) in &archive.metadata {
                image.set_metadata(key, value.clone()).await?;
            }
            let bar = Bar::bytes("importing", None);
            for _ in 0..archive.streams {
                rest = one_stream(&image, rest, &mut *input, &mut buffer, &bar).await?;
            }
            Ok(())
        })
        .await
    }
    .await;
    if let Err(error) = result {
        let removed = remove(images, name).await;
        removed.with_context(|| format!("after: {error:#}: the unfinished image stays"))?;
        return Err(error);
    }
    Ok(())
}

/// Applies one stream; what was read behind it comes back.
async fn one_stream(
    image: &Image,
    begun: BytesMut,
    input: &mut dyn Read,
    buffer: &mut [u8],
    bar: &Bar,
) -> Result<BytesMut> {
    let mut reader = DiffReader::new();
    reader.feed(&begun);
    let mut protect = false;
    let to = apply(
        image,
        &mut reader,
        async |reader| {
            let read = input.read(buffer)?;
            if read == 0 {
                bail!("the file ends early");
            }
            reader.feed(&buffer[..read]);
            bar.add(read as u64);
            Ok(())
        },
        &mut |record| {
            if let DiffRecord::Protected(protected) = record {
                protect = *protected;
            }
        },
    )
    .await?;
    if let Some(name) = to {
        image.create_snapshot(&name).await?;
        if protect {
            image.protect_snapshot(&name).await?;
        }
    }
    Ok(reader.into_rest())
}

async fn remove(images: &Images, name: &str) -> Result<()> {
    let image = Image::open(images, name).await?;
    let header = image.header().await?;
    for snapshot in &header.snapshots {
        if snapshot.protection != 0 {
            image.unprotect_snapshot(&snapshot.name).await?;
        }
        image.remove_snapshot(&snapshot.name).await?;
    }
    image.close().await?;
    Ok(images.remove(name, &mut |_, _| {}).await?)
}
