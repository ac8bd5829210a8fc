//! The owner of a node's user-space block devices, `seabed csi attachd`.

#![forbid(unsafe_code)]

mod image;

pub use image::AttachedImage;
