//! `fuse-loop`: the image as the only file of a FUSE file system, with a loop device on it.
//!
//! Works on any kernel with FUSE and loop devices. The order of things: own the name, heal what is
//! left of it, mount, serve, set the loop device up, look whether it is what was asked for. A
//! process that dies anywhere leaves nothing that its successor does not find again.

mod apart;
mod heal;
mod loop_device;
mod memory;
mod mount;
mod server;
mod volume;

use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuser::{BackgroundSession, Config, Session, SessionACL};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

pub use heal::{Healed, heal_by_force, heal_dead};
pub use memory::Limits;
pub use volume::Condition;

use crate::error::{at, during};
use crate::state::{self, Owner, Record};
use crate::{AttachError, BlockImage, Device, IO_TIMEOUT, LOGICAL_BLOCK, Release, StateFolder};
use crate::{Way, blocking, process, sysfs};
use apart::apart;
use loop_device::LoopDevice;
use server::Server;
use volume::Volume;

/// The oldest kernel: loop devices are set up in one step since then.
pub const KERNEL_MIN: Release = Release(5, 8);

/// How long the kernel may take to let go of a file system that nobody uses.
const LET_GO_WITHIN: Duration = Duration::from_secs(30);

/// How an image is attached.
#[derive(Debug, Clone)]
pub struct Options {
    /// The device cannot be written.
    pub read_only: bool,
    /// After this time an I/O is an error; one that waited for memory first, twice the time. While
    /// the image answers nothing at all, one I/O at a time is tried and the others are errors at
    /// once: a long queue does not add its times up. At least a second.
    pub io_timeout: Duration,
    /// Memory for its I/O.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Options { read_only: false, io_timeout: IO_TIMEOUT, limits: Limits::default() }
    }
}

/// An image attached by this process.
#[derive(Debug)]
pub struct FuseLoop<I> {
    state: StateFolder,
    name: String,
    volume: Arc<Volume<I>>,
    mount_point: PathBuf,
    device: LoopDevice,
    /// `None` once it is detached.
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    owner: Owner,
    /// `None` once the kernel has no more use for it.
    session: Option<BackgroundSession>,
    /// The session's end of the connection.
    serving: RawFd,
    /// Its name among the kernel's connections.
    connection: u32,
    mounted: bool,
}

/// The name of a volume's file and file system.
fn marked(state: &StateFolder, name: &str) -> String {
    format!("seabed-{}-{name}", state.mark())
}

impl<I: BlockImage> FuseLoop<I> {
    /// Attaches an image under a name that is free in this folder; what a dead owner left of that
    /// name is healed first. The image's I/O runs in the runtime that this is called in, which
    /// must have its timer.
    ///
    /// Errors: [`AttachError::Busy`] if the name has a living owner.
    pub async fn attach(
        state: &StateFolder,
        name: &str,
        image: I,
        options: Options,
    ) -> Result<Self, AttachError> {
        state::check_name(name)?;
        check(&options)?;
        if !process::is_flusher() {
            tracing::warn!("not an I/O flusher: may deadlock when memory is short");
        }
        let size = size(&image, options.io_timeout).await?;
        if size < LOGICAL_BLOCK.into() {
            let reason = "smaller than a block";
            return Err(AttachError::Invalid { what: format!("image of {size} bytes"), reason });
        }
        let marked = marked(state, name);
        let Options { read_only, io_timeout, limits } = options;
        let volume = Arc::new(Volume::new(image, marked, size, read_only, io_timeout));
        let (state, name) = (state.clone(), name.to_owned());
        let runtime = Handle::current();
        // FUSE calls back while these calls wait for it.
        blocking(move || Self::set_up(&state, &name, volume, limits, runtime)).await
    }

    fn set_up(
        state: &StateFolder,
        name: &str,
        volume: Arc<Volume<I>>,
        limits: Limits,
        runtime: Handle,
    ) -> Result<Self, AttachError> {
        let Some((owner, left)) = Owner::take(state, name)? else {
            return Err(AttachError::Busy { what: name.into(), reason: "another process owns it" });
        };
        heal::take_away(state, name, left)?;
        let mount_point = state.mount_point(name);
        std::fs::create_dir(&mount_point).map_err(at(&mount_point))?;
        let served = mount::mount_fuse(&volume.name, &mount_point)?;
        let serving = served.as_raw_fd();
        let mut owner = owner;
        let server = Server::new(Arc::clone(&volume), limits, runtime);
        let ready = serve(server, served).and_then(|session| {
            let connection = connection(&volume, &mount_point)?;
            let device = set_up_loop(&volume, &mount_point, serving)?;
            let record = Record { boot: sysfs::boot_id()?, loop_device: device.number, connection };
            owner.note(&record)?;
            Ok((session, device, connection))
        });
        match ready {
            Ok((session, device, connection)) => {
                let held =
                    Held { owner, session: Some(session), serving, connection, mounted: true };
                let (state, name, held) = (state.clone(), name.to_owned(), Mutex::new(Some(held)));
                Ok(FuseLoop { state, name, volume, mount_point, device, held })
            }
            Err(error) => {
                // The name stays as for a dead owner if even this fails.
                heal::take_away(state, name, None)?;
                owner.release()?;
                Err(error)
            }
        }
    }

    /// Bytes of the device; the last part of a block is no block.
    pub fn size(&self) -> u64 {
        let size = self.volume.size();
        size - size % u64::from(LOGICAL_BLOCK)
    }

    /// How its I/O goes.
    pub fn condition(&self) -> Condition {
        self.volume.condition()
    }

    /// The image.
    pub fn image(&self) -> &I {
        &self.volume.image
    }

    /// Takes the device away whoever uses it: I/O under way and all that comes is an error. What is
    /// still mounted or held keeps a dead device until it lets go. Nothing is flushed. Also while
    /// [`Device::detach`] or [`Device::grow`] waits for I/O, which then ends.
    pub async fn detach_by_force(&self) -> Result<Healed, AttachError> {
        let (state, name) = (self.state.clone(), self.name.clone());
        let healed = blocking(move || heal_by_force(&state, &name)).await?;
        // Who waited in there has its error by now.
        let mut slot = self.held.lock().await;
        let Some(mut held) = slot.take() else { return Ok(healed) };
        if let Some(session) = held.session.take() {
            let ended = blocking(move || session.join().map_err(during("FUSE")));
            match tokio::time::timeout(LET_GO_WITHIN, ended).await {
                // How a session ends whose connection is gone is no matter.
                Ok(ended) => tracing::debug!(name = self.name, ?ended, "aborted"),
                Err(_) => return Err(AttachError::TimedOut("the end of FUSE's session".into())),
            }
        }
        held.owner.release()?;
        Ok(healed)
    }

    /// All steps of taking it away that were not done yet.
    async fn take_down(&self, held: &mut Held) -> Result<(), AttachError> {
        if held.mounted {
            let (device, point) = (self.device.clone(), self.mount_point.clone());
            let (name, read_only) = (self.volume.name.clone(), self.volume.read_only);
            let (serving, connection) = (held.serving, held.connection);
            blocking(move || {
                apart(serving, move || device.detach(&name, read_only))?;
                mount::unmount_lazily(&point)?;
                // All is written and nobody uses it. Copies of the mount in other namespaces (every
                // container that began meanwhile has one) would hold the session for ever.
                if let Err(error) =
                    mount::need_connections().and_then(|()| mount::abort(connection))
                {
                    tracing::warn!(%error, "other mount namespaces may hold the session");
                }
                Ok(())
            })
            .await?;
            held.mounted = false;
        }
        if let Some(session) = held.session.take() {
            let ended = tokio::time::timeout(
                LET_GO_WITHIN,
                blocking(move || session.join().map_err(during("FUSE"))),
            );
            match ended.await {
                // Aborted or not: how it ends says nothing more.
                Ok(ended) => tracing::debug!(name = self.name, ?ended, "the session is over"),
                Err(_) => return Err(AttachError::TimedOut("the end of FUSE's session".into())),
            }
        }
        let flush = tokio::time::timeout(self.volume.timeout, self.volume.image.flush()).await;
        match flush {
            Ok(flushed) => flushed.map_err(image_error("flush")),
            Err(_) => Err(AttachError::TimedOut("the image's flush".into())),
        }
    }
}

impl<I: BlockImage> Device for FuseLoop<I> {
    fn way(&self) -> Way {
        Way::FuseLoop
    }

    fn path(&self) -> &Path {
        &self.device.path
    }

    async fn grow(&self) -> Result<u64, AttachError> {
        // Held so that it is not detached meanwhile, and grows once at a time.
        let held = self.held.lock().await;
        let Some(Held { serving, mounted: true, .. }) = *held else {
            let what = self.device.path.display().to_string();
            return Err(AttachError::Invalid { what, reason: "detached" });
        };
        let image = size(&self.volume.image, self.volume.timeout).await?;
        let device = self.volume.size();
        if image < device {
            return Err(AttachError::Shrunk { device, image });
        }
        // In this order: what the file says, what the kernel knows of the file, the device.
        self.volume.set_size(image);
        let file = self.mount_point.join(&self.volume.name);
        let device = self.device.clone();
        let grow = move || {
            mount::open_direct(&file, false)?.set_len(image).map_err(at(&file))?;
            device.set_capacity()?;
            let size = device.size()?;
            // The last part of a block is no block.
            if size == image - image % u64::from(LOGICAL_BLOCK) {
                return Ok(size);
            }
            let what = device.path.display().to_string();
            let found = format!("{size} bytes");
            Err(AttachError::NotAsAsked { what, found, wanted: "the size of its image" })
        };
        blocking(move || apart(serving, grow)).await
    }

    async fn detach(&self) -> Result<(), AttachError> {
        let mut slot = self.held.lock().await;
        let Some(held) = slot.as_mut() else { return Ok(()) };
        self.take_down(held).await?;
        let Some(held) = slot.take() else { return Ok(()) };
        std::fs::remove_dir(&self.mount_point)
            .or_else(state::already_gone)
            .map_err(at(&self.mount_point))?;
        held.owner.release()
    }
}

fn check(options: &Options) -> Result<(), AttachError> {
    let Limits { request, large, small } = options.limits;
    let reason = if options.io_timeout < Duration::from_secs(1) {
        "an I/O has a second at least"
    } else if !(Limits::SMALL..=1 << 20).contains(&request) || request % 4096 != 0 {
        "a request is of whole pages, from 16 KiB to 1 MiB"
    } else if large == 0 || small == 0 {
        "requests of both kinds need memory"
    } else {
        return Ok(());
    };
    Err(AttachError::Invalid { what: format!("{options:?}"), reason })
}

async fn size<I: BlockImage>(image: &I, timeout: Duration) -> Result<u64, AttachError> {
    match tokio::time::timeout(timeout, image.size()).await {
        Ok(size) => size.map_err(image_error("size")),
        Err(_) => Err(AttachError::TimedOut("the image's size".into())),
    }
}

fn image_error<E: std::error::Error + Send + Sync + 'static>(
    what: &'static str,
) -> impl FnOnce(E) -> AttachError {
    move |source| AttachError::Image { what, source: Box::new(source) }
}

fn serve<I: BlockImage>(
    server: Server<I>,
    served: std::os::fd::OwnedFd,
) -> Result<BackgroundSession, AttachError> {
    // Who may look is the kernel's matter: it lets root in, and its own workers.
    let session = Session::from_fd(server, served, SessionACL::All, Config::default());
    session.and_then(Session::spawn).map_err(during("FUSE"))
}

/// What the kernel calls the connection of a mounted volume.
fn connection<I>(volume: &Volume<I>, mount_point: &Path) -> Result<u32, AttachError> {
    mount::mounts()?
        .into_iter()
        .rfind(|mount| mount.target == mount_point && mount.source == volume.name)
        .map(|mount| mount.minor)
        .ok_or_else(|| AttachError::NotAsAsked {
            what: mount_point.display().to_string(),
            found: "not mounted".into(),
            wanted: "the FUSE file system",
        })
}

fn set_up_loop<I>(
    volume: &Volume<I>,
    mount_point: &Path,
    serving: RawFd,
) -> Result<LoopDevice, AttachError> {
    let (name, read_only) = (volume.name.clone(), volume.read_only);
    let path = mount_point.join(&name);
    apart(serving, move || {
        let file = mount::open_direct(&path, read_only)?;
        LoopDevice::set_up(&file, &name, read_only)
    })
}
