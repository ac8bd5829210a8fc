//! Puts frames together from bytes that arrive cut anywhere.
//!
//! Small pieces go through one staging buffer and are copied into a segment of exactly their
//! size, so that a short name kept for long never holds a large buffer. Where much of a segment is
//! still to come, the hand reads straight into it ([`Receiver::space`]): a data segment is one
//! contiguous allocation, aligned for direct I/O, and copied at most as far as it lay in staging.
//!
//! Invariants: nothing is allocated for a frame before its preamble passed the limits and, for a
//! message, before the owner granted its size; a frame leaves only with every checksum right.

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use seabed_denc::ceph_crc32c;

use super::{
    EPILOGUE_BYTES, Frame, LATE_ABORTED, LATE_COMPLETE, PREAMBLE_BYTES, Preamble, SEGMENT_SEED, Tag,
};
use crate::{CloseReason, Limits, banner};

/// One read of many small frames; more only costs memory per connection.
const STAGING_BYTES: usize = 16 << 10;
/// From here on the hand reads into the segment itself.
const DIRECT_BYTES_MIN: usize = 8 << 10;
/// Data segments from this size on start at a multiple of it, as O_DIRECT wants.
const ALIGN: usize = 4096;

/// What came out of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Banner,
    Frame(Frame),
    /// A message of that many bytes waits until [`Receiver::grant`].
    Gate(usize),
}

#[derive(Debug)]
pub(crate) struct Receiver {
    staging: BytesMut,
    state: State,
}

#[derive(Debug)]
enum State {
    Banner,
    Preamble,
    Gate { preamble: Preamble, told: bool },
    Body(Box<Body>),
}

#[derive(Debug)]
struct Body {
    preamble: Preamble,
    part: Part,
    segments: [Segment; 4],
    header_crc: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Segment(usize),
    HeaderCrc,
    Epilogue,
}

#[derive(Debug, Default)]
struct Segment {
    buf: BytesMut,
    len: usize,
    /// Running crc over the first `summed` bytes.
    crc: u32,
    summed: usize,
}

impl Segment {
    fn new(len: usize, aligned: bool) -> Self {
        let buf = if aligned && len >= ALIGN {
            let mut buf = BytesMut::with_capacity(len + ALIGN);
            let pad = buf.as_ptr().align_offset(ALIGN).min(ALIGN);
            buf.resize(pad, 0);
            buf.advance(pad);
            buf
        } else {
            BytesMut::with_capacity(len)
        };
        Segment { buf, len, crc: SEGMENT_SEED, summed: 0 }
    }

    fn missing(&self) -> usize {
        self.len - self.buf.len()
    }

    /// Sums what has come since the last call, while it is warm.
    fn sum(&mut self) {
        self.crc = ceph_crc32c(self.crc, &self.buf[self.summed..]);
        self.summed = self.buf.len();
    }
}

impl Body {
    fn new(preamble: Preamble) -> Self {
        let segments = std::array::from_fn(|i| Segment::new(preamble.lengths[i] as usize, i == 3));
        Body { preamble, part: Part::Segment(0), segments, header_crc: 0 }
    }

    /// Takes what it needs from `staging`; true when the frame is complete.
    fn fill(&mut self, staging: &mut BytesMut) -> Result<bool, CloseReason> {
        loop {
            match self.part {
                Part::Segment(i) => {
                    let segment = &mut self.segments[i];
                    let n = segment.missing().min(staging.len());
                    segment.buf.put_slice(&staging[..n]);
                    staging.advance(n);
                    segment.sum();
                    if segment.missing() > 0 {
                        return Ok(false);
                    }
                    self.part = match i {
                        0 if segment.len > 0 => Part::HeaderCrc,
                        _ if i + 1 < self.preamble.segments => Part::Segment(i + 1),
                        _ if self.preamble.has_epilogue() => Part::Epilogue,
                        _ => return Ok(true),
                    };
                }
                Part::HeaderCrc => {
                    if staging.len() < 4 {
                        return Ok(false);
                    }
                    self.header_crc = staging.get_u32_le();
                    check(0, self.segments[0].crc, self.header_crc)?;
                    if self.preamble.segments == 1 {
                        return Ok(true);
                    }
                    self.part = Part::Segment(1);
                }
                Part::Epilogue => {
                    if staging.len() < EPILOGUE_BYTES {
                        return Ok(false);
                    }
                    return Ok(true);
                }
            }
        }
    }

    /// Checks the epilogue, if there is one. `None`: the sender aborted the frame.
    fn finish(self, staging: &mut BytesMut) -> Result<Option<Frame>, CloseReason> {
        if self.preamble.has_epilogue() {
            let late = staging.get_u8() & 0x0f;
            let crcs: [u32; 3] = std::array::from_fn(|_| staging.get_u32_le());
            match late {
                LATE_COMPLETE => {}
                LATE_ABORTED => return Ok(None),
                _ => return Err(CloseReason::Malformed("late status")),
            }
            for i in 1..self.preamble.segments {
                check(i, self.segments[i].crc, crcs[i - 1])?;
            }
        }
        let segments = self.segments.map(|s| s.buf.freeze());
        Ok(Some(Frame { tag: self.preamble.tag, segments }))
    }

    fn direct(&self) -> Option<usize> {
        match self.part {
            Part::Segment(i) if self.segments[i].missing() >= DIRECT_BYTES_MIN => Some(i),
            _ => None,
        }
    }
}

fn check(segment: usize, found: u32, expected: u32) -> Result<(), CloseReason> {
    if found == expected {
        Ok(())
    } else {
        Err(CloseReason::SegmentCrc { segment, found, expected })
    }
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Receiver { staging: BytesMut::new(), state: State::Banner }
    }

    /// Where the next bytes go. Whatever is appended there is taken by the next [`Receiver::next`].
    pub(crate) fn space(&mut self) -> Limit<&mut BytesMut> {
        if self.staging.is_empty()
            && let State::Body(body) = &mut self.state
            && let Some(i) = body.direct()
        {
            let segment = &mut body.segments[i];
            let missing = segment.missing();
            return (&mut segment.buf).limit(missing);
        }
        let room = STAGING_BYTES - self.staging.len().min(STAGING_BYTES);
        self.staging.reserve(room);
        (&mut self.staging).limit(room)
    }

    /// True while a message waits for its grant: nothing behind it is to be read.
    pub(crate) fn is_gated(&self) -> bool {
        matches!(self.state, State::Gate { .. })
    }

    /// Lets the waiting message in.
    pub(crate) fn grant(&mut self) {
        if let State::Gate { preamble, .. } = self.state {
            self.state = State::Body(Box::new(Body::new(preamble)));
        }
    }

    /// The next thing that is complete, or `None` when bytes are missing (or a gate was told).
    pub(crate) fn next(&mut self, limits: &Limits) -> Result<Option<Incoming>, CloseReason> {
        loop {
            match &mut self.state {
                State::Banner => {
                    let Some(n) = banner::parse(&self.staging)? else {
                        return Ok(None);
                    };
                    self.staging.advance(n);
                    self.state = State::Preamble;
                    return Ok(Some(Incoming::Banner));
                }
                State::Preamble => {
                    let Some(head) = self.staging.first_chunk::<PREAMBLE_BYTES>() else {
                        return Ok(None);
                    };
                    let preamble = Preamble::decode(head)?;
                    limits.check(&preamble)?;
                    self.staging.advance(PREAMBLE_BYTES);
                    self.state = if preamble.tag == Tag::Message {
                        State::Gate { preamble, told: false }
                    } else {
                        State::Body(Box::new(Body::new(preamble)))
                    };
                }
                State::Gate { told: true, .. } => return Ok(None),
                State::Gate { preamble, told } => {
                    *told = true;
                    return Ok(Some(Incoming::Gate(preamble.payload_bytes())));
                }
                State::Body(body) => {
                    if !body.fill(&mut self.staging)? {
                        return Ok(None);
                    }
                    let State::Body(body) = std::mem::replace(&mut self.state, State::Preamble)
                    else {
                        return Ok(None);
                    };
                    if let Some(frame) = body.finish(&mut self.staging)? {
                        return Ok(Some(Incoming::Frame(frame)));
                    }
                }
            }
        }
    }
}

/// Segment `i` of a frame, as the empty buffer if absent.
pub(crate) fn segment(frame: &mut Frame, i: usize) -> Bytes {
    std::mem::take(&mut frame.segments[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::seal::{Sums, Transmit};

    fn wire(tag: Tag, segments: &[Bytes; 4]) -> Bytes {
        let mut tx = Transmit::default();
        tx.frame(tag, segments, Sums::of(segments));
        tx.copy_to_bytes(tx.remaining())
    }

    fn feed(r: &mut Receiver, mut bytes: &[u8], step: usize) -> Result<Vec<Incoming>, CloseReason> {
        let limits = Limits::default();
        let mut got = Vec::new();
        while !bytes.is_empty() {
            let mut space = r.space();
            let n = space.remaining_mut().min(step).min(bytes.len());
            space.put_slice(&bytes[..n]);
            bytes = &bytes[n..];
            while let Some(x) = r.next(&limits)? {
                match x {
                    Incoming::Gate(_) => r.grant(),
                    x => got.push(x),
                }
            }
        }
        Ok(got)
    }

    fn receiver() -> Receiver {
        let mut r = Receiver::new();
        let mut b = BytesMut::new();
        banner::encode(&mut b);
        assert_eq!(feed(&mut r, &b, 3), Ok(vec![Incoming::Banner]));
        r
    }

    fn message(data: usize) -> [Bytes; 4] {
        let fill = |n: usize| (0..n).map(|i| (i * 7 + 3) as u8).collect::<Bytes>();
        [fill(41), fill(100), Bytes::new(), fill(data)]
    }

    #[test]
    fn frames_cut_at_every_size_come_out_whole() {
        for data in [0, 1, 5000, 70_000] {
            let segments = message(data);
            let mut bytes = BytesMut::new();
            for _ in 0..3 {
                bytes.extend_from_slice(&wire(Tag::Message, &segments));
                bytes.extend_from_slice(&wire(Tag::Wait, &Default::default()));
            }
            for step in [1, 2, 31, 32, 33, 4096, 1 << 20] {
                let got = feed(&mut receiver(), &bytes, step).unwrap();
                assert_eq!(got.len(), 6);
                for pair in got.chunks(2) {
                    let want = Frame { tag: Tag::Message, segments: segments.clone() };
                    assert_eq!(pair[0], Incoming::Frame(want));
                }
            }
        }
    }

    #[test]
    fn large_data_is_aligned_and_read_directly() {
        let segments = message(1 << 20);
        let bytes = wire(Tag::Message, &segments);
        let mut r = receiver();
        let got = feed(&mut r, &bytes, 1 << 21).unwrap();
        let Incoming::Frame(frame) = &got[0] else { panic!("{got:?}") };
        assert_eq!(frame.segments[3].as_ptr().align_offset(ALIGN), 0);
        assert_eq!(frame.segments, segments);
    }

    #[test]
    fn every_flipped_bit_is_noticed_or_only_an_alignment() {
        let segments = message(50);
        let good = wire(Tag::Message, &segments);
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            match feed(&mut receiver(), &bad, 1 << 16) {
                Err(_) => {}
                // The high nibble of late_status has no meaning yet.
                Ok(got) => assert_eq!(got.len(), 1, "bit {bit}"),
            }
        }
    }

    #[test]
    fn an_aborted_frame_is_skipped() {
        let segments = message(50);
        let mut bytes = wire(Tag::Message, &segments).to_vec();
        let at = bytes.len() - EPILOGUE_BYTES;
        bytes[at] = LATE_ABORTED;
        bytes.extend_from_slice(&wire(Tag::Wait, &Default::default()));
        let got = feed(&mut receiver(), &bytes, 77).unwrap();
        assert!(matches!(&got[..], [Incoming::Frame(Frame { tag: Tag::Wait, .. })]));
    }

    #[test]
    fn a_message_is_not_allocated_before_its_grant() {
        let mut r = receiver();
        let segments = message(1 << 20);
        let bytes = wire(Tag::Message, &segments);
        let limits = Limits::default();
        r.space().put_slice(&bytes[..PREAMBLE_BYTES]);
        let size = segments.iter().map(Bytes::len).sum();
        assert_eq!(r.next(&limits), Ok(Some(Incoming::Gate(size))));
        assert!(r.is_gated());
        assert_eq!(r.next(&limits), Ok(None));
        assert!(r.space().remaining_mut() <= STAGING_BYTES);
        r.grant();
        let got = feed(&mut r, &bytes[PREAMBLE_BYTES..], 5000).unwrap();
        assert_eq!(got.len(), 1);
    }

    #[test]
    fn absurd_lengths_are_refused_at_the_preamble() {
        let p = Preamble::new(Tag::Message, [41, u32::MAX, 0, 0]).encode();
        let got = feed(&mut receiver(), &p, 64);
        assert!(matches!(got, Err(CloseReason::TooLarge { segment: 1, .. })));
        let p = Preamble::new(Tag::Hello, [1 << 20, 0, 0, 0]).encode();
        assert!(matches!(feed(&mut receiver(), &p, 64), Err(CloseReason::TooLarge { .. })));
        let p = Preamble::new(Tag::Message, [40, 0, 0, 0]).encode();
        assert!(matches!(feed(&mut receiver(), &p, 64), Err(CloseReason::Malformed(_))));
        let p = Preamble::new(Tag::Ack, [8, 8, 0, 0]).encode();
        assert!(matches!(feed(&mut receiver(), &p, 64), Err(CloseReason::Malformed(_))));
    }
}
