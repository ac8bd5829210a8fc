//! The gRPC interfaces of Seabed: what is generated from the `.proto` files beside this crate.
//!
//! Invariant: nothing but what the interfaces say; who serves and who calls them decides.

#![forbid(unsafe_code)]
// The comments of the .proto files are the documentation; the generator adds items without any.
#![allow(missing_docs, unreachable_pub, clippy::all)]

mod secret;

/// The Container Storage Interface.
pub mod csi {
    tonic::include_proto!("csi.v1");
}

/// Who owns a node's user-space devices, and how the node plugin speaks with it.
pub mod attachd {
    tonic::include_proto!("seabed.attachd.v1");
}
