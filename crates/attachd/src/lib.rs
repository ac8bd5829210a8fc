//! The owner of a node's user-space block devices, `seabed csi attachd`, and how it is called.
//!
//! | module | what it is |
//! |---|---|
//! | [`Server`] | the process: one for a state folder, ends when it holds nothing |
//! | `table`, `volume` | what it holds; the life of one volume |
//! | [`Client`], [`Launcher`] | how it is called over its Unix socket, and started where absent |
//!
//! A process of its own, because whoever does a mounted device's I/O must outlive everything that
//! is restarted: the driver, its containers, an upgrade. It is found by the socket in its state
//! folder and nothing else; the folder's lock says that it lives.
//!
//! Invariants: every volume has a client of its own, whose address is known before its first I/O,
//! so that a fence hits that volume alone. An I/O ends within the declared time. A call that was
//! refused has changed nothing. The process never ends while a device is attached, unless killed;
//! and whoever comes after a killed one heals what it left before the first call is answered.

#![forbid(unsafe_code)]

mod client;
mod error;
mod image;
mod launch;
mod lock;
mod server;
mod service;
mod table;
mod volume;

pub use client::{Client, ClientError};
pub use error::ServeError;
pub use image::AttachedImage;
pub use launch::{Launcher, ensure_running};
pub use seabed_proto::attachd::{AttachResponse, OpenRequest, OpenResponse, Volume};
pub use server::{GRACE, Options, Server};

use std::path::{Path, PathBuf};

/// Where the process of a state folder is called.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("attachd.sock")
}

/// Where a process that was started by [`Launcher`] says what it does.
pub fn log_path(state_dir: &Path) -> PathBuf {
    state_dir.join("attachd.log")
}
