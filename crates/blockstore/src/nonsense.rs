//! Damaged records are errors, never panics, and take no more memory than they have bytes.

use bytes::Bytes;
use proptest::prelude::*;
use seabed_denc::{Decode, Encode};

use crate::extent::{Segment, Slot};
use crate::keys;
use crate::label::Label;
use crate::onode::{CollectionRecord, Onode, Super};
use crate::shared::Shared;

/// Records of every kind, each perhaps damaged in one place.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let mut segment = Segment::default();
    for index in 0..40u8 {
        segment.slots.insert(index * 3, Slot { block: 20 + u64::from(index), checksum: 9 });
    }
    let attrs = [("_".into(), "value".into()), ("snapset".into(), "".into())];
    let onode = Onode { id: 7, size: 99, attrs: attrs.into_iter().collect(), ..Onode::default() };
    let records = vec![
        segment.to_bytes(0),
        onode.to_bytes(0),
        Super::default().to_bytes(0),
        Shared { len: 3, owners: 2 }.to_bytes(0),
        CollectionRecord { bits: 3 }.to_bytes(0),
    ];
    let one = (proptest::sample::select(records), any::<prop::sample::Index>(), any::<u8>());
    one.prop_map(|(record, at, byte)| {
        let mut record = record.to_vec();
        let at = at.index(record.len());
        record[at] = byte;
        record
    })
}

fn decode_all(bytes: Vec<u8>) {
    let bytes = Bytes::from(bytes);
    let _ = keys::parse_object(&bytes);
    let _ = keys::parse_collection(&bytes);
    let _ = keys::parse_extents(&bytes);
    let _ = keys::parse_number(&bytes);
    let _ = Label::from_block(&bytes, 1 << 30);
    let _ = Segment::from_bytes(bytes.clone());
    let _ = Onode::from_bytes(bytes.clone());
    let _ = Super::from_bytes(bytes.clone());
    let _ = Shared::from_bytes(bytes.clone());
    let _ = CollectionRecord::from_bytes(bytes);
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        decode_all(bytes);
    }

    #[test]
    fn damaged_records(bytes in damaged()) {
        decode_all(bytes);
    }

    #[test]
    fn keys_cut_short(cut in 0usize..60) {
        let o = seabed_cluster::HObject::new(
            seabed_cluster::PoolId(1), "space", "key", "a-name", seabed_cluster::SnapId::HEAD);
        let key = keys::object(&seabed_cluster::Collection::Meta, &o.into());
        let cut = cut.min(key.len() - 1);
        prop_assert_eq!(keys::parse_object(&key[..cut]), None);
    }
}
