//! An image made, written, snapshot, cloned, flattened and removed: `image CEPH_CONF POOL`.

use seabed_rados::{Cluster, Conf};
use seabed_rbd::{CloneVersion, CreateOptions, Image, Images};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(conf), Some(pool)) = (arguments.next(), arguments.next()) else {
        return Err("usage: image CEPH_CONF POOL".into());
    };
    let cluster = Cluster::connect(&Conf::load(conf.as_ref())?).await?;
    let images = Images::new(cluster.pool(&pool).await?);
    let options = CreateOptions::sized(64 << 20);

    images.create("example", &options).await?;
    let image = Image::open(&images, "example").await?;
    image.write(4096, "hello").await?;
    image.create_snapshot("before").await?;
    image.write(4096, "world").await?;
    assert_eq!(image.read(4096, 5).await?, "world");
    let mut changed = Vec::new();
    image.diff(Some("before"), |extent| changed.push((extent.offset, extent.length))).await?;
    assert_eq!(changed, [(4096, 5)]);
    image.close().await?;

    // A clone shows the snapshot until it is written.
    let parent = Image::open_read(&images, "example", Some("before")).await?;
    images.clone_snapshot(&parent, "before", "clone", CloneVersion::V2, &options).await?;
    let clone = Image::open(&images, "clone").await?;
    assert_eq!((clone.read(4096, 5).await?, clone.depth()), ("hello".into(), 1));
    clone.flatten(&mut |_, _| {}).await?;
    assert_eq!((clone.read(4096, 5).await?, clone.depth()), ("hello".into(), 0));
    clone.close().await?;
    images.remove("clone", &mut |_, _| {}).await?;

    // A snapshot that is removed under a clone goes with it; for that the parent's lock is asked
    // of the handle that has it, though it is of the same process.
    let image = Image::open(&images, "example").await?;
    image.create_snapshot("kept").await?;
    images.clone_snapshot(&image, "kept", "clone", CloneVersion::V2, &options).await?;
    image.remove_snapshot("kept").await?;
    images.remove("clone", &mut |_, _| {}).await?;
    assert_eq!(image.header().await?.snapshots.len(), 1);
    image.write(4096, "world").await?;
    // What is open is not removed, not even here.
    let refused = images.remove("example", &mut |_, _| {}).await;
    assert_eq!(refused.err().and_then(|error| error.errno()), Some(seabed_cluster::Errno::EBUSY));
    image.close().await?;

    let image = Image::open(&images, "example").await?;
    image.rollback("before", &mut |_, _| {}).await?;
    assert_eq!(image.read(4096, 5).await?, "hello");
    image.remove_snapshot("before").await?;
    image.close().await?;
    images.remove("example", &mut |_, _| {}).await?;
    cluster.shutdown().await;
    println!("image: all as it must be");
    Ok(())
}
