//! Whole images from files and to files.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use seabed_rbd::{CreateOptions, Image, Images};
use tokio::task::JoinSet;

use super::progress::Bar;
use super::{closing, interruptible};

/// Pieces that are read ahead, or written behind.
const IN_FLIGHT: usize = 8;

/// Makes an image of a file. One that is not finished is removed again.
pub(super) async fn import(
    file: &Path,
    images: &Images,
    name: &str,
    options: CreateOptions,
) -> Result<()> {
    let mut input: Box<dyn Read + Send> = Box::new(std::io::stdin());
    let mut size = None;
    if file != Path::new("-") {
        let mut opened = File::open(file).with_context(|| file.display().to_string())?;
        // The end of a block device is where it can be sought to, too.
        size = Some(opened.seek(SeekFrom::End(0)).with_context(|| file.display().to_string())?);
        opened.seek(SeekFrom::Start(0))?;
        input = Box::new(opened);
    }
    let options = CreateOptions { size: size.unwrap_or_default(), ..options };
    images.create(name, &options).await?;
    let result = async {
        let image = Image::open(images, name).await?;
        closing(&image, fill(&image, input, size, 1 << options.order)).await
    }
    .await;
    if let Err(error) = result {
        let removed = images.remove(name, &mut |_, _| {}).await;
        removed.with_context(|| format!("after: {error:#}: the unfinished image stays"))?;
        return Err(error);
    }
    Ok(())
}

/// Writes what a file holds to an image, which grows with it if its size is not known.
async fn fill(
    image: &Image,
    mut input: Box<dyn Read + Send>,
    size: Option<u64>,
    piece: usize,
) -> Result<()> {
    let bar = Bar::bytes("importing", size);
    let mut running: JoinSet<Result<(), seabed_rbd::RbdError>> = JoinSet::new();
    let mut offset = 0;
    loop {
        let (bytes, back) = tokio::task::spawn_blocking(move || {
            let read = read_piece(&mut input, piece);
            read.map(|bytes| (bytes, input))
        })
        .await??;
        input = back;
        let length = bytes.len() as u64;
        if size.is_none() && length > 0 {
            // Grown by much at a time: each change of the size is several operations.
            let now = image.size().await?;
            if now < offset + length {
                let room = (offset + length).max(now.saturating_mul(2));
                while let Some(done) = running.join_next().await {
                    done??;
                }
                image.resize(room, &mut |_, _| {}).await?;
            }
        }
        if bytes.iter().any(|byte| *byte != 0) {
            if running.len() >= IN_FLIGHT
                && let Some(done) = running.join_next().await
            {
                done??;
            }
            let image = image.clone();
            running.spawn(async move { image.write(offset, bytes).await });
        }
        bar.add(length);
        offset += length;
        if length < piece as u64 {
            break;
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    match size {
        None => Ok(image.resize(offset, &mut |_, _| {}).await?),
        Some(size) if size != offset => bail!("the file had {size} bytes, now it has {offset}"),
        Some(_) => Ok(()),
    }
}

/// A whole piece; less of it only at the end.
fn read_piece(input: &mut dyn Read, length: usize) -> std::io::Result<Bytes> {
    let mut piece = Vec::with_capacity(length);
    input.take(length as u64).read_to_end(&mut piece)?;
    Ok(piece.into())
}

/// Writes an image to a file; where that can be sought, holes stay holes.
pub(super) async fn export(image: &Image, file: &Path) -> Result<()> {
    if file == Path::new("-") {
        return interruptible(drain(image, &mut std::io::stdout(), None)).await;
    }
    into_new(file, async |output| {
        let sparse = output.try_clone()?;
        drain(image, output, Some(sparse)).await
    })
    .await
}

/// Makes a file, durable when this returns; one that is not finished is removed again.
pub(super) async fn into_new(
    file: &Path,
    fill: impl AsyncFnOnce(&mut File) -> Result<()>,
) -> Result<()> {
    let mut output = match File::create_new(file) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists: it is not overwritten", file.display())
        }
        made => made.with_context(|| file.display().to_string())?,
    };
    let result = interruptible(fill(&mut output)).await;
    if result.is_err()
        && let Err(error) = std::fs::remove_file(file)
    {
        eprintln!("seabed: the unfinished {} stays: {error}", file.display());
    }
    result?;
    Ok(output.sync_all()?)
}

async fn drain(image: &Image, output: &mut dyn Write, sparse: Option<File>) -> Result<()> {
    let size = image.size().await?;
    let piece = image.header().await?.layout.object_size();
    let bar = Bar::bytes("exporting", Some(size));
    let mut running = std::collections::VecDeque::new();
    let (mut asked, mut written) = (0, 0);
    let mut sparse = sparse;
    while written < size {
        while running.len() < IN_FLIGHT && asked < size {
            let (image, offset) = (image.clone(), asked);
            let length = piece.min(size - asked);
            running
                .push_back(Reading(tokio::spawn(async move { image.read(offset, length).await })));
            asked += length;
        }
        let Some(mut next) = running.pop_front() else { break };
        let bytes = (&mut next.0).await??;
        let length = bytes.len() as u64;
        match &mut sparse {
            Some(file) if bytes.iter().all(|byte| *byte == 0) => {
                file.seek(SeekFrom::Current(length.try_into().context("offset")?))?;
            }
            _ => output.write_all(&bytes)?,
        }
        written += length;
        bar.add(length);
    }
    output.flush()?;
    if let Some(file) = sparse {
        file.set_len(size)?;
    }
    Ok(())
}

/// A read that is under way; it ends with its owner.
struct Reading(tokio::task::JoinHandle<Result<Bytes, seabed_rbd::RbdError>>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}
