//! Objects written, read, guarded and watched: `objects CEPH_CONF POOL`.

use std::collections::BTreeMap;

use seabed_denc::Bytes;
use seabed_rados::{Cluster, Conf, Operation};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(conf), Some(pool)) = (arguments.next(), arguments.next()) else {
        return Err("usage: objects CEPH_CONF POOL".into());
    };
    let cluster = Cluster::connect(&Conf::load(conf.as_ref())?).await?;
    let pool = cluster.pool(&pool).await?.with_namespace("example");

    // Plain data.
    pool.write_full("greeting", "hello").await?;
    assert_eq!(pool.read("greeting", 0, 0).await?, "hello");
    assert_eq!(pool.stat("greeting").await?.size, 5);

    // Several ops, all or none: made only if it is not there, with its first entry.
    let first = BTreeMap::from([(Bytes::from("owner"), Bytes::from("nobody"))]);
    let make = Operation::new().create(true).omap_set(&first);
    pool.operate("record", make.clone()).await?;
    assert!(pool.operate("record", make).await.is_err());

    // Changed only if it is still as it was read: of two who try, one wins.
    let mine = BTreeMap::from([(Bytes::from("owner"), Bytes::from("me"))]);
    let take = Operation::new().omap_compare(&first).omap_set(&mine);
    pool.operate("record", take.clone()).await?;
    let refused = pool.operate("record", take).await;
    assert_eq!(refused.err().and_then(|e| e.errno()), Some(seabed_cluster::Errno::ECANCELED));
    assert_eq!(pool.omap("record").await?, mine);

    // Watchers hear what is notified, and answer.
    let mut watch = pool.watch("record").await?;
    let told = tokio::spawn({
        let pool = pool.clone();
        async move { pool.notify("record", "look", 10).await }
    });
    let notification = watch.next().await?;
    assert_eq!(notification.payload, "look");
    watch.ack(&notification, "seen").await?;
    let end = told.await??;
    assert!(end.acks.iter().any(|(_, answer)| answer == "seen"));
    watch.end().await?;

    for listed in pool.list().await? {
        pool.remove(&listed.name).await?;
    }
    cluster.shutdown().await;
    println!("objects: all as it must be");
    Ok(())
}
