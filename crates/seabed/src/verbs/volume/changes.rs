//! `seabed volume diff`, `export-diff` and `import-diff`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use seabed_rbd::{DiffFormat, DiffReader, DiffRecord, Image};
use serde_json::{Value, json};

use super::output::Format;
use super::progress::Bar;
use super::transfer::into_new;

/// Bytes read from an image or a stream at a time.
const PIECE: u64 = 4 << 20;

/// Prints what differs.
pub(super) async fn show(image: &Image, from: Option<&str>, output: Format) -> Result<()> {
    let mut extents = Vec::new();
    image.diff(from, |extent| extents.push(extent)).await?;
    if let Format::Plain = output {
        let lines = extents.iter().map(|e| {
            let what = if e.exists { "data" } else { "zero" };
            format!("{} {} {what}", e.offset, e.length)
        });
        return output.list(&lines.collect::<Vec<_>>());
    }
    let all: Vec<Value> = extents
        .iter()
        .map(|e| {
            let exists = if e.exists { "true" } else { "false" };
            json!({ "offset": e.offset, "length": e.length, "exists": exists })
        })
        .collect();
    output.show(&all.into())
}

/// Writes what differs as Ceph's stream.
pub(super) async fn export(
    image: &Image,
    (from, to): (Option<&str>, Option<&str>),
    file: &Path,
    format: DiffFormat,
) -> Result<()> {
    if file == Path::new("-") {
        let mut output = std::io::stdout();
        return super::interruptible(write(image, from, to, &mut output, format)).await;
    }
    into_new(file, async |output| write(image, from, to, output, format).await).await
}

async fn write(
    image: &Image,
    from: Option<&str>,
    to: Option<&str>,
    output: &mut dyn Write,
    format: DiffFormat,
) -> Result<()> {
    let size = image.size().await?;
    let bar = Bar::bytes("exporting", Some(size));
    let mut head = BytesMut::from(format.banner());
    if let Some(from) = from {
        format.put(&DiffRecord::From(from.to_owned()), &mut head);
    }
    if let Some(to) = to {
        format.put(&DiffRecord::To(to.to_owned()), &mut head);
    }
    format.put(&DiffRecord::Size(size), &mut head);
    output.write_all(&head)?;
    for batch in 0.. {
        let Some(extents) = image.diff_batch(from, batch).await? else { break };
        for extent in extents {
            let end = extent.offset + extent.length;
            let mut offset = extent.offset;
            while offset < end {
                let length = if extent.exists { PIECE.min(end - offset) } else { end - offset };
                let mut out = BytesMut::new();
                if extent.exists {
                    let bytes = image.read(offset, length).await?;
                    if bytes.iter().all(|byte| *byte == 0) {
                        format.put(&DiffRecord::Zero { offset, length }, &mut out);
                    } else {
                        format.put(&DiffRecord::Write { offset, length }, &mut out);
                        format.put(&DiffRecord::Data(bytes), &mut out);
                    }
                } else {
                    format.put(&DiffRecord::Zero { offset, length }, &mut out);
                }
                output.write_all(&out)?;
                offset += length;
            }
            bar.at(end, size);
        }
    }
    let mut end = BytesMut::new();
    format.put(&DiffRecord::End, &mut end);
    output.write_all(&end)?;
    Ok(output.flush()?)
}

/// Applies a stream to an image, and makes the snapshot that it ends at.
pub(super) async fn import(image: &Image, file: &Path) -> Result<()> {
    let mut input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(file).with_context(|| file.display().to_string())?)
    };
    let bar = Bar::bytes("importing", None);
    let mut reader = DiffReader::new();
    let mut to = None;
    let mut at = 0;
    let mut buffer = vec![0; PIECE as usize];
    while !reader.is_ended() {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            bail!("the stream ends early: what has come of it is applied, without its snapshot");
        }
        reader.feed(&buffer[..read]);
        bar.add(read as u64);
        while let Some(record) = reader.next_record()? {
            match record {
                DiffRecord::From(name) => {
                    let header = image.header().await?;
                    header.snapshot(&name).with_context(|| {
                        format!("the stream begins at snapshot {name}, which is not there")
                    })?;
                }
                DiffRecord::To(name) => {
                    if image.header().await?.snapshot(&name).is_some() {
                        bail!("the stream ends at snapshot {name}, which exists");
                    }
                    to = Some(name);
                }
                DiffRecord::Size(size) => {
                    if image.size().await? != size {
                        image.resize(size, &mut |_, _| {}).await?;
                    }
                }
                DiffRecord::Write { offset, .. } => at = offset,
                DiffRecord::Data(bytes) => {
                    let length = bytes.len() as u64;
                    image.write(at, bytes).await?;
                    at += length;
                }
                DiffRecord::Zero { offset, length } => image.write_zeroes(offset, length).await?,
                DiffRecord::End => {}
            }
        }
    }
    if let Some(name) = to {
        image.create_snapshot(&name).await?;
    }
    Ok(())
}
