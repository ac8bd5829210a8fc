//! Every transaction that real OSDs sent each other decodes and re-encodes to the same bytes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use base64::Engine;
use bytes::Bytes;
use seabed_cluster::{Collection, GhObject, HObject, PgId, PoolId, SnapId, SpgId};
use seabed_denc::{Decode, Encode};
use seabed_storage::{Transaction, TxOp};

const OSD_REPOP: u64 = 112;

/// Where the recordings are, `SEABED_VECTORS` or beside the work tree.
fn recording() -> Option<std::path::PathBuf> {
    let root = std::env::var_os("SEABED_VECTORS")
        .map(Into::into)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"));
    let file = root.join("daemons/osd-osd.jsonl.gz");
    file.exists().then_some(file)
}

#[test]
fn recorded_transactions_survive_the_round_trip() {
    let Some(path) = recording() else {
        eprintln!("skipped: no recording of OSDs here");
        return;
    };
    let file = flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap());
    let (mut seen, mut ops) = (0, 0);
    for line in BufReader::new(file).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if line["type"] != OSD_REPOP {
            continue;
        }
        let data = line["data"].as_str().unwrap_or_default();
        let data: Bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap().into();
        // Release 20 moves an envelope of version 10 into the middle segment.
        if data.first() != Some(&9) {
            continue;
        }
        let tx = Transaction::from_bytes(data.clone())
            .unwrap_or_else(|e| panic!("{e}: {}", line["situation"]));
        assert_eq!(tx.to_bytes(0), data, "{}: {tx:?}", line["situation"]);
        seen += 1;
        ops += tx.ops.len();
    }
    println!("{seen} transactions, {ops} operations");
    assert!(seen > 100, "only {seen}");
}

#[test]
fn every_operation_survives_the_round_trip() {
    let pg = SpgId::replicated(PgId::new(PoolId(3), 1));
    let (c, d) = (Collection::Pg(pg), Collection::Temp(pg));
    let o: GhObject = HObject::new(PoolId(3), "ns", "key", "name", SnapId::HEAD).into();
    let to: GhObject = HObject::new(PoolId(3), "ns", "key", "name", SnapId(4)).into();
    let map: BTreeMap<Bytes, Bytes> =
        [("a".into(), "1".into()), ("b".into(), "".into())].into_iter().collect();
    let ops = vec![
        TxOp::Touch,
        TxOp::Create,
        TxOp::Write { offset: 7, data: "bytes".into() },
        TxOp::Zero { offset: 1, length: 2 },
        TxOp::Truncate { size: 9 },
        TxOp::Remove,
        TxOp::SetAttr { name: "n".into(), value: "v".into() },
        TxOp::SetAttrs(map.clone()),
        TxOp::RmAttr { name: "n".into() },
        TxOp::RmAttrs,
        TxOp::Clone { to: to.clone() },
        TxOp::CloneRange { to: to.clone(), offset: 1, length: 2, to_offset: 3 },
        TxOp::OmapClear,
        TxOp::OmapSetKeys(map),
        TxOp::OmapRmKeys(vec!["a".into(), "z".into()]),
        TxOp::OmapRmKeyRange { first: "a".into(), last: "b".into() },
        TxOp::OmapSetHeader("h".into()),
        TxOp::SetAllocHint { expected_object_size: 1, expected_write_size: 2, flags: 3 },
        TxOp::MoveRename { to_collection: d, to: to.clone() },
        TxOp::TryRename { to },
    ];
    let mut tx = Transaction { fadvise_flags: 4, ..Transaction::new() };
    for op in ops {
        tx.push(&c, &o, op);
    }
    for op in [
        TxOp::MakeCollection { bits: 1 },
        TxOp::RemoveCollection,
        TxOp::SplitCollection { bits: 2, rem: 1, to: d },
        TxOp::SetCollectionBits { bits: 2 },
        TxOp::MergeCollection { bits: 1, to: d },
        TxOp::CollectionHint { kind: 1, hint: "hint".into() },
    ] {
        tx.push_collection(&c, op);
    }
    let bytes = tx.to_bytes(0);
    assert_eq!(Transaction::from_bytes(bytes.clone()), Ok(tx));
    for cut in 0..bytes.len() {
        assert!(Transaction::from_bytes(bytes.slice(..cut)).is_err());
    }
}

proptest::proptest! {
    /// Damaged in one place, a transaction is refused or read as another; nothing panics.
    #[test]
    fn damaged_transactions(at: proptest::sample::Index, byte: u8) {
        let c = Collection::Pg(SpgId::replicated(PgId::new(PoolId(3), 1)));
        let o: GhObject = HObject::new(PoolId(3), "", "", "name", SnapId::HEAD).into();
        let mut tx = Transaction::new();
        tx.write(&c, &o, 0, &b"some bytes"[..]).set_attr(&c, &o, "n", "v");
        tx.omap_set(&c, &o, [("k".into(), "v".into())].into_iter().collect());
        let mut bytes = tx.to_bytes(0).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Transaction::from_bytes(bytes.into());
    }
}
