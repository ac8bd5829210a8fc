//! LIST_SNAPS.

use seabed_cluster::{Errno, SnapId};
use seabed_denc::{Bytes, BytesMut, Encode, encode_versioned};

use crate::op::execution::{Done, Execution, Failure};

impl Execution<'_> {
    /// LIST_SNAPS: the clones, oldest first, and the head if it exists.
    pub(in crate::op) fn list_snaps(&mut self) -> Done {
        self.stats.num_rd += 1;
        let set = &self.before.snapset;
        let mut clones = BytesMut::new();
        for id in &set.clones {
            let known =
                (set.clone_snaps.get(id), set.clone_overlap.get(id), set.clone_size.get(id));
            let (Some(snaps), Some(overlap), Some(size)) = known else {
                return Err(Failure::from(Errno::EINVAL));
            };
            let snaps: Vec<SnapId> = snaps.iter().rev().copied().collect();
            encode_clone(&mut clones, *id, &snaps, &overlap.iter().collect::<Vec<_>>(), *size);
        }
        let head = self.exists;
        if head {
            encode_clone(&mut clones, SnapId::HEAD, &[], &[], self.info.size);
        }
        let mut out = BytesMut::with_capacity(18 + clones.len());
        encode_versioned(&mut out, 2, 1, |out| {
            ((set.clones.len() + usize::from(head)) as u32).encode(out, 0);
            out.extend_from_slice(&clones);
            set.seq.encode(out, 0);
        });
        Ok((Bytes::from(out), 0))
    }
}

fn encode_clone(
    out: &mut BytesMut,
    id: SnapId,
    snaps: &[SnapId],
    overlap: &[(u64, u64)],
    size: u64,
) {
    encode_versioned(out, 1, 1, |out| {
        id.encode(out, 0);
        snaps.to_vec().encode(out, 0);
        overlap.to_vec().encode(out, 0);
        size.encode(out, 0);
    });
}
