//! One op of a request: its code, its flags, its 28 bytes of arguments and its input.
//!
//! ```text
//! u16 code | u32 flags | 28 bytes of arguments, by code, zero padded | u32 length of the input
//! ```
//!
//! The inputs of all ops of a message follow each other in the data segment; so do the outputs in
//! a reply. Arguments that have no layout here stay as they came ([`OpArgs::Raw`]).

use bytes::{Buf, BufMut};
use seabed_cluster::SnapId;
use seabed_denc::{Bytes, BytesMut, Decode, DecodeError, Reader};

/// Bytes of arguments.
pub const ARGS_BYTES: usize = 28;
/// Bytes of an op in the front.
pub const OP_BYTES: usize = 2 + 4 + ARGS_BYTES + 4;

macro_rules! op_codes {
    ($( $variant:ident = $code:literal, $name:literal, $layout:ident; )*) => {
        /// The code of an op.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum OpCode {
            $( $variant, )*
            /// Not known here: answered with EOPNOTSUPP.
            Unknown(u16),
        }

        impl OpCode {
            /// The number on the wire: mode, type and number.
            pub const fn code(self) -> u16 {
                match self {
                    $( OpCode::$variant => $code, )*
                    OpCode::Unknown(code) => code,
                }
            }

            /// From the number on the wire.
            pub const fn from_code(code: u16) -> Self {
                match code {
                    $( $code => OpCode::$variant, )*
                    other => OpCode::Unknown(other),
                }
            }

            /// Ceph's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $( OpCode::$variant => $name, )*
                    OpCode::Unknown(_) => "???",
                }
            }

            const fn layout(self) -> Layout {
                match self {
                    $( OpCode::$variant => Layout::$layout, )*
                    OpCode::Unknown(_) => Layout::None,
                }
            }
        }
    };
}

/// Which arguments an op has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    None,
    Extent,
    Xattr,
    Class,
    List,
    Snap,
    Watch,
    Notify,
    Version,
    CopyGet,
    CopyFrom,
    AllocHint,
    WriteSame,
    Checksum,
}

op_codes! {
    Read = 0x1201, "read", Extent;
    Stat = 0x1202, "stat", None;
    MapExt = 0x1203, "mapext", Extent;
    MaskTrunc = 0x1204, "masktrunc", None;
    SparseRead = 0x1205, "sparse-read", Extent;
    Notify = 0x1206, "notify", Notify;
    NotifyAck = 0x1207, "notify-ack", None;
    AssertVer = 0x1208, "assert-version", Version;
    ListWatchers = 0x1209, "list-watchers", None;
    ListSnaps = 0x120a, "list-snaps", None;
    SyncRead = 0x120b, "sync_read", Extent;
    TmapGet = 0x120c, "tmapget", None;
    OmapGetKeys = 0x1211, "omap-get-keys", None;
    OmapGetVals = 0x1212, "omap-get-vals", None;
    OmapGetHeader = 0x1213, "omap-get-header", None;
    OmapGetValsByKeys = 0x1214, "omap-get-vals-by-keys", None;
    OmapCmp = 0x1219, "omap-cmp", None;
    IsDirty = 0x121d, "is-dirty", None;
    CopyGet = 0x121e, "copy-get", CopyGet;
    Checksum = 0x121f, "checksum", Checksum;
    CmpExt = 0x1220, "cmpext", Extent;
    GetXattr = 0x1301, "getxattr", Xattr;
    GetXattrs = 0x1302, "getxattrs", None;
    CmpXattr = 0x1303, "cmpxattr", Xattr;
    Call = 0x1401, "call", Class;
    PgLs = 0x1501, "pgls", List;
    PgLsFilter = 0x1502, "pgls-filter", List;
    PgHitSetLs = 0x1503, "pg-hitset-ls", None;
    PgHitSetGet = 0x1504, "pg-hitset-get", None;
    PgNls = 0x1505, "pgnls", List;
    PgNlsFilter = 0x1506, "pgnls-filter", List;
    ScrubLs = 0x1507, "scrubls", None;
    Write = 0x2201, "write", Extent;
    WriteFull = 0x2202, "writefull", Extent;
    Truncate = 0x2203, "truncate", Extent;
    Zero = 0x2204, "zero", Extent;
    Delete = 0x2205, "delete", None;
    Append = 0x2206, "append", Extent;
    StartSync = 0x2207, "startsync", None;
    SetTrunc = 0x2208, "settrunc", Extent;
    TrimTrunc = 0x2209, "trimtrunc", Extent;
    TmapPut = 0x220b, "tmapput", None;
    Create = 0x220d, "create", None;
    Rollback = 0x220e, "rollback", Snap;
    Watch = 0x220f, "watch", Watch;
    OmapSetVals = 0x2215, "omap-set-vals", None;
    OmapSetHeader = 0x2216, "omap-set-header", None;
    OmapClear = 0x2217, "omap-clear", None;
    OmapRmKeys = 0x2218, "omap-rm-keys", None;
    CopyFrom = 0x221a, "copy-from", CopyFrom;
    Undirty = 0x221c, "undirty", None;
    SetAllocHint = 0x2223, "set-alloc-hint", AllocHint;
    CachePin = 0x2224, "cache-pin", None;
    CacheUnpin = 0x2225, "cache-unpin", None;
    WriteSame = 0x2226, "writesame", WriteSame;
    SetRedirect = 0x2227, "set-redirect", CopyFrom;
    TierPromote = 0x2229, "tier-promote", None;
    UnsetManifest = 0x222a, "unset-manifest", None;
    OmapRmKeyRange = 0x222c, "omap-rm-key-range", None;
    CopyFrom2 = 0x222d, "copy-from2", CopyFrom;
    SetXattr = 0x2301, "setxattr", Xattr;
    SetXattrs = 0x2302, "setxattrs", None;
    ResetXattrs = 0x2303, "resetxattrs", None;
    RmXattr = 0x2304, "rmxattr", Xattr;
    TmapUp = 0x320a, "tmapup", None;
    Tmap2Omap = 0x3222, "tmap2omap", None;
    CacheFlush = 0x821f, "cache-flush", None;
    CacheEvict = 0x8220, "cache-evict", None;
    CacheTryFlush = 0x8221, "cache-try-flush", None;
    SetChunk = 0x8228, "set-chunk", None;
    TierFlush = 0x822b, "tier-flush", None;
    TierEvict = 0x822c, "tier-evict", None;
}

impl OpCode {
    const MODE_WRITE: u16 = 0x2000;
    const TYPE_MASK: u16 = 0x0f00;
    const TYPE_PG: u16 = 0x0500;

    /// Changes the object. [`OpCode::Call`] is not among them: its method decides.
    pub const fn is_write(self) -> bool {
        self.code() & Self::MODE_WRITE != 0
    }

    /// Speaks of the PG and not of an object.
    pub const fn is_pg(self) -> bool {
        self.code() & Self::TYPE_MASK == Self::TYPE_PG
    }
}

/// Flags of one op.
#[allow(missing_docs)]
pub mod op_flag {
    pub const EXCL: u32 = 1;
    pub const FAILOK: u32 = 2;
    pub const FADVISE_RANDOM: u32 = 4;
    pub const FADVISE_SEQUENTIAL: u32 = 8;
    pub const FADVISE_WILLNEED: u32 = 0x10;
    pub const FADVISE_DONTNEED: u32 = 0x20;
    pub const FADVISE_NOCACHE: u32 = 0x40;
    pub const WITH_REFERENCE: u32 = 0x80;
    pub const BYPASS_CLEAN_CACHE: u32 = 0x100;
}

/// Flags of a request ([`crate::MOsdOp::flags`]).
#[allow(missing_docs)]
pub mod request_flag {
    pub const ACK: u32 = 1;
    pub const ONNVRAM: u32 = 2;
    pub const ONDISK: u32 = 4;
    pub const RETRY: u32 = 8;
    pub const READ: u32 = 0x10;
    pub const WRITE: u32 = 0x20;
    pub const ORDERSNAP: u32 = 0x40;
    /// Formerly PEERSTAT; `rados rm` sends it.
    pub const PEERSTAT_OLD: u32 = 0x80;
    pub const BALANCE_READS: u32 = 0x100;
    pub const PARALLELEXEC: u32 = 0x200;
    pub const PGOP: u32 = 0x400;
    pub const EXEC: u32 = 0x800;
    pub const EXEC_PUBLIC: u32 = 0x1000;
    pub const LOCALIZE_READS: u32 = 0x2000;
    pub const RWORDERED: u32 = 0x4000;
    pub const IGNORE_CACHE: u32 = 0x8000;
    pub const SKIPRWLOCKS: u32 = 0x1_0000;
    pub const IGNORE_OVERLAY: u32 = 0x2_0000;
    pub const FLUSH: u32 = 0x4_0000;
    pub const MAP_SNAP_CLONE: u32 = 0x8_0000;
    pub const ENFORCE_SNAPC: u32 = 0x10_0000;
    pub const REDIRECTED: u32 = 0x20_0000;
    pub const KNOWN_IF_REDIRECTED: u32 = 0x40_0000;
    pub const FULL_TRY: u32 = 0x80_0000;
    pub const FULL_FORCE: u32 = 0x100_0000;
    pub const IGNORE_REDIRECT: u32 = 0x200_0000;
    pub const RETURNVEC: u32 = 0x400_0000;
    pub const SUPPORTSPOOLEIO: u32 = 0x800_0000;
}

/// What a [`OpCode::Watch`] wants.
#[allow(missing_docs)]
pub mod watch_op {
    pub const UNWATCH: u8 = 0;
    pub const LEGACY_WATCH: u8 = 1;
    pub const WATCH: u8 = 3;
    pub const RECONNECT: u8 = 5;
    pub const PING: u8 = 7;
}

/// The arguments of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OpArgs {
    /// All zero.
    None,
    Extent {
        offset: u64,
        length: u64,
        truncate_size: u64,
        truncate_seq: u32,
    },
    /// Input: name, then value.
    Xattr {
        name_len: u32,
        value_len: u32,
        cmp_op: u8,
        cmp_mode: u8,
    },
    /// Input: class, method, then the method's own input.
    Class {
        class_len: u8,
        method_len: u8,
        argc: u8,
        indata_len: u32,
    },
    List {
        count: u64,
        start_epoch: u32,
    },
    Snap {
        snap: SnapId,
    },
    Watch {
        cookie: u64,
        version: u64,
        /// Of [`watch_op`].
        op: u8,
        generation: u32,
        timeout: u32,
    },
    Notify {
        cookie: u64,
    },
    Version {
        unused: u64,
        version: u64,
    },
    CopyGet {
        max: u64,
    },
    CopyFrom {
        snap: SnapId,
        src_version: u64,
        flags: u8,
        src_fadvise_flags: u32,
    },
    AllocHint {
        expected_object_size: u64,
        expected_write_size: u64,
        flags: u32,
    },
    WriteSame {
        offset: u64,
        length: u64,
        data_length: u64,
    },
    Checksum {
        offset: u64,
        length: u64,
        chunk_size: u32,
        /// 0 xxhash32, 1 xxhash64, 2 crc32c.
        kind: u8,
    },
    /// As they came.
    Raw([u8; ARGS_BYTES]),
}

/// Appends one integer.
macro_rules! put_le {
    ($b:ident $value:ident u8) => {
        $b.put_u8($value)
    };
    ($b:ident $value:ident u32) => {
        $b.put_u32_le($value)
    };
    ($b:ident $value:ident u64) => {
        $b.put_u64_le($value)
    };
}

/// Takes one integer.
macro_rules! get_le {
    ($b:ident u8) => {
        $b.get_u8()
    };
    ($b:ident u32) => {
        $b.get_u32_le()
    };
    ($b:ident u64) => {
        $b.get_u64_le()
    };
}

/// Appends fields in the order written.
macro_rules! put {
    ($b:ident: $($field:ident $ty:ident),*) => {{ $( put_le!($b $field $ty); )* }};
}

/// Takes the fields of a variant in the order written.
macro_rules! get {
    ($b:ident: $variant:ident { $($field:ident $ty:ident),* }) => {
        OpArgs::$variant { $( $field: get_le!($b $ty), )* }
    };
}

impl OpArgs {
    /// The 28 bytes.
    pub fn to_array(self) -> [u8; ARGS_BYTES] {
        let mut out = [0; ARGS_BYTES];
        let mut b = &mut out[..];
        match self {
            OpArgs::None => {}
            OpArgs::Extent { offset, length, truncate_size, truncate_seq } => {
                put!(b: offset u64, length u64, truncate_size u64, truncate_seq u32);
            }
            OpArgs::Xattr { name_len, value_len, cmp_op, cmp_mode } => {
                put!(b: name_len u32, value_len u32, cmp_op u8, cmp_mode u8);
            }
            OpArgs::Class { class_len, method_len, argc, indata_len } => {
                put!(b: class_len u8, method_len u8, argc u8, indata_len u32);
            }
            OpArgs::List { count, start_epoch } => put!(b: count u64, start_epoch u32),
            OpArgs::Snap { snap: SnapId(snap) } => put!(b: snap u64),
            OpArgs::Watch { cookie, version, op, generation, timeout } => {
                put!(b: cookie u64, version u64, op u8, generation u32, timeout u32);
            }
            OpArgs::Notify { cookie } => put!(b: cookie u64),
            OpArgs::Version { unused, version } => put!(b: unused u64, version u64),
            OpArgs::CopyGet { max } => put!(b: max u64),
            OpArgs::CopyFrom { snap: SnapId(snap), src_version, flags, src_fadvise_flags } => {
                put!(b: snap u64, src_version u64, flags u8, src_fadvise_flags u32);
            }
            OpArgs::AllocHint { expected_object_size, expected_write_size, flags } => {
                put!(b: expected_object_size u64, expected_write_size u64, flags u32);
            }
            OpArgs::WriteSame { offset, length, data_length } => {
                put!(b: offset u64, length u64, data_length u64);
            }
            OpArgs::Checksum { offset, length, chunk_size, kind } => {
                put!(b: offset u64, length u64, chunk_size u32, kind u8);
            }
            OpArgs::Raw(bytes) => return bytes,
        }
        out
    }

    /// By the layout of `code`; what does not fit it exactly stays raw.
    pub fn from_array(code: OpCode, bytes: [u8; ARGS_BYTES]) -> Self {
        let args = Self::read(code.layout(), &bytes);
        if args.to_array() == bytes { args } else { OpArgs::Raw(bytes) }
    }

    /// No layout is longer than what there is: a test reads each.
    fn read(layout: Layout, mut b: &[u8]) -> Self {
        match layout {
            Layout::None => OpArgs::None,
            Layout::Extent => {
                get!(b: Extent { offset u64, length u64, truncate_size u64, truncate_seq u32 })
            }
            Layout::Xattr => {
                get!(b: Xattr { name_len u32, value_len u32, cmp_op u8, cmp_mode u8 })
            }
            Layout::Class => {
                get!(b: Class { class_len u8, method_len u8, argc u8, indata_len u32 })
            }
            Layout::List => get!(b: List { count u64, start_epoch u32 }),
            Layout::Snap => OpArgs::Snap { snap: SnapId(get_le!(b u64)) },
            Layout::Watch => {
                get!(b: Watch { cookie u64, version u64, op u8, generation u32, timeout u32 })
            }
            Layout::Notify => get!(b: Notify { cookie u64 }),
            Layout::Version => get!(b: Version { unused u64, version u64 }),
            Layout::CopyGet => get!(b: CopyGet { max u64 }),
            Layout::CopyFrom => OpArgs::CopyFrom {
                snap: SnapId(get_le!(b u64)),
                src_version: get_le!(b u64),
                flags: get_le!(b u8),
                src_fadvise_flags: get_le!(b u32),
            },
            Layout::AllocHint => {
                get!(b: AllocHint { expected_object_size u64, expected_write_size u64, flags u32 })
            }
            Layout::WriteSame => get!(b: WriteSame { offset u64, length u64, data_length u64 }),
            Layout::Checksum => {
                get!(b: Checksum { offset u64, length u64, chunk_size u32, kind u8 })
            }
        }
    }
}

/// One op of a request, or of a reply, where `indata` is its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsdOp {
    /// What to do.
    pub op: OpCode,
    /// Of [`op_flag`].
    pub flags: u32,
    /// With which arguments.
    pub args: OpArgs,
    /// The input; in a reply, the output.
    pub indata: Bytes,
}

impl OsdOp {
    /// An op without flags.
    pub fn new(op: OpCode, args: OpArgs, indata: Bytes) -> Self {
        OsdOp { op, flags: 0, args, indata }
    }

    /// An op that has no arguments in its 28 bytes.
    pub fn plain(op: OpCode, indata: impl Into<Bytes>) -> Self {
        Self::new(op, OpArgs::None, indata.into())
    }

    /// An op on a range; `indata` is what to write or compare.
    pub fn extent(op: OpCode, offset: u64, length: u64, indata: impl Into<Bytes>) -> Self {
        let args = OpArgs::Extent { offset, length, truncate_size: 0, truncate_seq: 0 };
        Self::new(op, args, indata.into())
    }

    /// An op on an attribute.
    pub fn xattr(op: OpCode, name: &[u8], value: &[u8]) -> Self {
        let args = OpArgs::Xattr {
            name_len: u32::try_from(name.len()).unwrap_or(u32::MAX),
            value_len: u32::try_from(value.len()).unwrap_or(u32::MAX),
            cmp_op: 0,
            cmp_mode: 0,
        };
        Self::new(op, args, [name, value].concat().into())
    }

    /// Calls a method of an object class. Class and method names are below 256 bytes.
    pub fn call(class: &str, method: &str, input: &[u8]) -> Self {
        let args = OpArgs::Class {
            class_len: u8::try_from(class.len()).unwrap_or(u8::MAX),
            method_len: u8::try_from(method.len()).unwrap_or(u8::MAX),
            argc: 0,
            indata_len: u32::try_from(input.len()).unwrap_or(u32::MAX),
        };
        Self::new(OpCode::Call, args, [class.as_bytes(), method.as_bytes(), input].concat().into())
    }

    /// The same with flags of [`op_flag`].
    pub fn with_flags(self, flags: u32) -> Self {
        OsdOp { flags, ..self }
    }

    /// Name and value of an op on an attribute; `None` if the input is not as long as it says.
    pub fn xattr_parts(&self) -> Option<(Bytes, Bytes)> {
        let OpArgs::Xattr { name_len, value_len, .. } = self.args else { return None };
        let mut r = Reader::new(self.indata.clone());
        let name = r.take(name_len as usize).ok()?;
        Some((name, r.take(value_len as usize).ok()?))
    }

    /// Class, method and input of a call; `None` if the input is not as long as it says.
    pub fn call_parts(&self) -> Option<(Bytes, Bytes, Bytes)> {
        let OpArgs::Class { class_len, method_len, indata_len, .. } = self.args else {
            return None;
        };
        let mut r = Reader::new(self.indata.clone());
        let class = r.take(class_len.into()).ok()?;
        let method = r.take(method_len.into()).ok()?;
        Some((class, method, r.take(indata_len as usize).ok()?))
    }
}

/// Writes the fixed part of each op.
pub(crate) fn encode_ops(out: &mut BytesMut, ops: &[OsdOp]) {
    for op in ops {
        out.put_u16_le(op.op.code());
        out.put_u32_le(op.flags);
        out.put_slice(&op.args.to_array());
        // Inputs are slices of a received segment or limited by the caller, far below 4 GiB.
        out.put_u32_le(u32::try_from(op.indata.len()).expect("an op's input fits u32"));
    }
}

/// The inputs one after the other.
pub(crate) fn join_indata(ops: &[OsdOp]) -> Bytes {
    let mut filled = ops.iter().filter(|op| !op.indata.is_empty());
    match (filled.next(), filled.next()) {
        (None, _) => Bytes::new(),
        // The usual case: bulk data is not copied.
        (Some(one), None) => one.indata.clone(),
        _ => {
            let mut out = BytesMut::with_capacity(ops.iter().map(|op| op.indata.len()).sum());
            ops.iter().for_each(|op| out.put_slice(&op.indata));
            out.freeze()
        }
    }
}

/// Reads the fixed part of `count` ops with their lengths.
pub(crate) fn decode_ops(r: &mut Reader, count: usize) -> Result<Vec<(OsdOp, usize)>, DecodeError> {
    if count.saturating_mul(OP_BYTES) > r.remaining() {
        let have = r.remaining();
        return Err(DecodeError::TooLong { what: "ops", count: count as u64, have });
    }
    let mut ops = Vec::with_capacity(count);
    for _ in 0..count {
        let op = OpCode::from_code(u16::decode(r)?);
        let flags = u32::decode(r)?;
        let args = OpArgs::from_array(op, r.array()?);
        let len = u32::decode(r)? as usize;
        ops.push((OsdOp { op, flags, args, indata: Bytes::new() }, len));
    }
    Ok(ops)
}

/// Gives each op its part of the data segment; what is left stays in `data`.
pub(crate) fn split_indata(
    ops: Vec<(OsdOp, usize)>,
    data: &mut Reader,
) -> Result<Vec<OsdOp>, DecodeError> {
    let give = |(op, len)| Ok(OsdOp { indata: data.take(len)?, ..op });
    ops.into_iter().map(give).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_arguments_come_back() {
        for code in 0..=u16::MAX {
            let op = OpCode::from_code(code);
            assert_eq!(op.code(), code);
            for bytes in [[0; ARGS_BYTES], [7; ARGS_BYTES], [0xff; ARGS_BYTES]] {
                assert_eq!(OpArgs::from_array(op, bytes).to_array(), bytes);
            }
        }
        let op = OsdOp::extent(OpCode::Write, 4096, 3, Bytes::from_static(b"abc"));
        assert_eq!(OpArgs::from_array(op.op, op.args.to_array()), op.args);
        let odd = [9; ARGS_BYTES];
        assert_eq!(OpArgs::from_array(OpCode::Notify, odd), OpArgs::Raw(odd));
        let call = OsdOp::call("lock", "lock", b"in");
        let (class, method, input) = call.call_parts().unwrap();
        assert_eq!((&class[..], &method[..], &input[..]), (&b"lock"[..], &b"lock"[..], &b"in"[..]));
    }
}
