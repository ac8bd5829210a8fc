//! `seabed volume diff`, `export-diff` and `import-diff`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use seabed_rbd::{DiffFormat, DiffReader, DiffRecord, Extent, Image};
use serde_json::{Value, json};

use super::output::Format;
use super::progress::Bar;
use super::transfer::into_new;

/// Bytes read from an image or a stream at a time.
const PIECE: u64 = 4 << 20;

/// Prints what differs; by whole objects if those are wanted and object maps tell them.
pub(super) async fn show(
    image: &Image,
    from: Option<&str>,
    whole: bool,
    output: Format,
) -> Result<()> {
    let mut extents = Vec::new();
    let fast = match whole {
        true => image.diff_objects(from).await?,
        false => None,
    };
    match fast {
        Some(fast) => extents = fast,
        None => image.diff(from, |extent| extents.push(extent)).await?,
    }
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

/// One of Ceph's streams.
pub(super) struct Stream<'a> {
    /// The snapshot that it begins at.
    pub(super) from: Option<&'a str>,
    /// The snapshot that it ends at.
    pub(super) to: Option<&'a str>,
    /// In whole images: whether that is protected.
    pub(super) protected: Option<bool>,
    /// Which form.
    pub(super) format: DiffFormat,
}

/// Writes what differs as Ceph's stream.
pub(super) async fn export(image: &Image, stream: Stream<'_>, file: &Path) -> Result<()> {
    if file == Path::new("-") {
        let mut output = std::io::stdout();
        return super::interruptible(stream.write(image, &mut output)).await;
    }
    into_new(file, async |output| stream.write(image, output).await).await
}

impl Stream<'_> {
    /// Writes all of it: what is open, as it differs from where the stream begins.
    pub(super) async fn write(&self, image: &Image, output: &mut dyn Write) -> Result<()> {
        let format = self.format;
        let size = image.size().await?;
        let bar = Bar::bytes("exporting", Some(size));
        let mut head = BytesMut::from(format.banner());
        if let Some(from) = self.from {
            format.put(&DiffRecord::From(from.to_owned()), &mut head);
        }
        if let Some(to) = self.to {
            format.put(&DiffRecord::To(to.to_owned()), &mut head);
        }
        if let Some(protected) = self.protected {
            format.put(&DiffRecord::Protected(protected), &mut head);
        }
        format.put(&DiffRecord::Size(size), &mut head);
        output.write_all(&head)?;
        for batch in 0.. {
            let Some(extents) = image.diff_batch(self.from, batch).await? else { break };
            for extent in extents {
                self.put(image, extent, output).await?;
                bar.at(extent.offset + extent.length, size);
            }
        }
        let mut end = BytesMut::new();
        format.put(&DiffRecord::End, &mut end);
        output.write_all(&end)?;
        Ok(output.flush()?)
    }

    async fn put(&self, image: &Image, extent: Extent, output: &mut dyn Write) -> Result<()> {
        let format = self.format;
        let end = extent.offset + extent.length;
        let mut offset = extent.offset;
        while offset < end {
            let length = if extent.exists { PIECE.min(end - offset) } else { end - offset };
            let mut out = BytesMut::new();
            let bytes = match extent.exists {
                true => Some(image.read(offset, length).await?),
                false => None,
            };
            match bytes.filter(|bytes| bytes.iter().any(|byte| *byte != 0)) {
                None => format.put(&DiffRecord::Zero { offset, length }, &mut out),
                Some(bytes) => {
                    format.put(&DiffRecord::Write { offset, length }, &mut out);
                    format.put(&DiffRecord::Data(bytes), &mut out);
                }
            }
            output.write_all(&out)?;
            offset += length;
        }
        Ok(())
    }
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
    let mut buffer = vec![0; PIECE as usize];
    let feed = async |reader: &mut DiffReader| {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            bail!("the stream ends early: what has come of it is applied, without its snapshot");
        }
        reader.feed(&buffer[..read]);
        bar.add(read as u64);
        Ok(())
    };
    if let Some(name) = apply(image, &mut reader, feed, &mut |_| {}).await? {
        image.create_snapshot(&name).await?;
    }
    Ok(())
}

/// Applies a stream to its end; `feed` gets more of it. Returns the snapshot that it ends at, which
/// is not made yet. `seen` sees every record.
pub(super) async fn apply(
    image: &Image,
    reader: &mut DiffReader,
    mut feed: impl AsyncFnMut(&mut DiffReader) -> Result<()>,
    seen: &mut dyn FnMut(&DiffRecord),
) -> Result<Option<String>> {
    let mut to = None;
    let mut at = 0;
    while !reader.is_ended() {
        let Some(record) = reader.next_record()? else {
            feed(reader).await?;
            continue;
        };
        seen(&record);
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
            DiffRecord::Protected(_) | DiffRecord::End => {}
        }
    }
    Ok(to)
}
