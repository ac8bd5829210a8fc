//! A file as a block device, until standard input ends: `owner STATE NAME FILE MILLISECONDS [ro]`.
//!
//! Prints the device's path, then answers lines: `grow`, `condition`, `detach`, `log` (what the
//! image was asked for since the last time); and how the image is to behave: `work`, `fail`
//! (errors), `failflush` (errors to flushes only), `hang` (no answers).

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use seabed_attach::fuse_loop::{FuseLoop, Options};
use seabed_attach::{AttachError, BlockImage, Device, StateFolder, process};

const WORKS: u8 = 0;
const FAILS: u8 = 1;
const HANGS: u8 = 2;
const FLUSH_FAILS: u8 = 3;

/// An image in a file, which can be told to fail.
struct FileImage {
    file: File,
    mode: AtomicU8,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    discarded: u64,
    zeroed: u64,
    flushes: u64,
}

impl FileImage {
    async fn answer(&self) -> io::Result<()> {
        match self.mode.load(Ordering::Acquire) {
            WORKS | FLUSH_FAILS => Ok(()),
            FAILS => Err(io::Error::other("told to fail")),
            _ => std::future::pending().await,
        }
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(&self.file, flags, offset, length)?)
    }

    fn note(&self, note: impl FnOnce(&mut Asked)) {
        note(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl BlockImage for FileImage {
    type Error = io::Error;

    async fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    async fn read(&self, offset: u64, length: u64) -> io::Result<Bytes> {
        self.answer().await?;
        let mut out = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut out, offset)?;
        Ok(out.into())
    }

    async fn write(&self, offset: u64, data: Bytes) -> io::Result<()> {
        self.answer().await?;
        self.file.write_all_at(&data, offset)
    }

    async fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        self.answer().await?;
        self.note(|asked| asked.discarded += length);
        self.zero(offset, length)
    }

    async fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        self.answer().await?;
        self.note(|asked| asked.zeroed += length);
        self.zero(offset, length)
    }

    async fn flush(&self) -> io::Result<()> {
        self.answer().await?;
        if self.mode.load(Ordering::Acquire) == FLUSH_FAILS {
            return Err(io::Error::other("told to fail flushes"));
        }
        self.note(|asked| asked.flushes += 1);
        self.file.sync_all()
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    // Before the runtime: its threads are as this one is.
    let prepared = [process::become_io_flusher(), process::lock_memory()];
    for refused in prepared.into_iter().filter_map(Result::err) {
        eprintln!("{refused}");
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()?
        .block_on(run())
}

async fn run() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [state, name, file, milliseconds, rest @ ..] = arguments.as_slice() else {
        return Err("usage: owner STATE NAME FILE MILLISECONDS [ro]".into());
    };
    let io_timeout = Duration::from_millis(milliseconds.parse()?);
    let read_only = rest.first().is_some_and(|word| word == "ro");
    let file = File::options().read(true).write(true).open(file)?;
    let image = FileImage { file, mode: AtomicU8::new(WORKS), asked: Mutex::default() };
    let state = StateFolder::open(Path::new(state))?;
    let options = Options { read_only, io_timeout, ..Options::default() };
    let device = FuseLoop::attach(&state, name, image, options).await?;
    say(&device.path().display().to_string())?;
    loop {
        let line = tokio::task::spawn_blocking(|| io::stdin().lock().lines().next()).await?;
        let Some(line) = line.transpose()? else { break };
        let answer = answer(&device, &line).await.unwrap_or_else(|error| format!("error: {error}"));
        say(&answer)?;
    }
    Ok(device.detach().await?)
}

async fn answer(device: &FuseLoop<FileImage>, line: &str) -> Result<String, AttachError> {
    let mode = |mode| {
        device.image().mode.store(mode, Ordering::Release);
        "ok".to_owned()
    };
    Ok(match line {
        "grow" => device.grow().await?.to_string(),
        "work" => mode(WORKS),
        "fail" => mode(FAILS),
        "failflush" => mode(FLUSH_FAILS),
        "hang" => mode(HANGS),
        "condition" => format!("{:?}", device.condition()),
        "log" => {
            let asked = &device.image().asked;
            let last = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
            format!("discarded {} zeroed {} flushes {}", last.discarded, last.zeroed, last.flushes)
        }
        "detach" => {
            device.detach().await?;
            "ok".to_owned()
        }
        other => format!("error: {other}?"),
    })
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
