//! Declared messages: a message is its list of fields, and both directions follow from the list.
//!
//! ```text
//! message! {
//!     /// What it is for.
//!     pub struct MName { field: Type, later: Type [since 2], other: Type = default }
//!     middle name;            // optional: the middle segment, as it is
//!     data name: Type;        // optional: the data segment, see `Segment`
//! }
//! ```
//!
//! Id, versions and priority stand in [`crate::registry`]. What a newer sender put behind the
//! known fields, and segments that a kind does not use, are kept in [`Foreign`] and written again.

use seabed_denc::{Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader};

/// The parts of a message that depend on its kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// Version of the front's layout.
    pub version: u16,
    /// The oldest layout a reader must know to make sense of it.
    pub compat: u16,
    /// The fields.
    pub front: Bytes,
    /// Empty in nearly all kinds.
    pub middle: Bytes,
    /// Bulk data.
    pub data: Bytes,
}

/// What the registry says about a kind.
pub trait Kind {
    /// Ceph's name.
    const NAME: &'static str;
    /// The id.
    const KIND: u16;
    /// The version written and the newest known.
    const VERSION: u16;
    /// The compat version written.
    const COMPAT: u16;
    /// The oldest version read.
    const OLDEST: u16;
    /// The priority it is sent with unless the sender says otherwise.
    const PRIORITY: u16;
}

/// One kind's layout.
pub trait Body: Kind + Sized {
    /// From segments.
    fn decode_parts(parts: Parts) -> Result<Self, DecodeError>;
    /// To segments, for a peer with `features`.
    fn encode_parts(&self, features: Features) -> Parts;
}

/// The form in which a message was received where that is not the form in which we write it, with
/// the bytes that were not understood: what followed the fields, and segments the kind has no use
/// for. It is no part of what a message says: any two compare equal.
#[derive(Clone, Default)]
pub struct Foreign(Option<Box<Parts>>);

impl Foreign {
    /// Remembers `rest` unless it is exactly our own form.
    pub fn new(rest: Parts, version: u16, compat: u16) -> Self {
        if (rest.version, rest.compat) == (version, compat)
            && rest.front.is_empty()
            && rest.middle.is_empty()
            && rest.data.is_empty()
        {
            return Self::default();
        }
        Self(Some(Box::new(Parts { front: Bytes::copy_from_slice(&rest.front), ..rest })))
    }

    /// The version to write.
    pub fn version(&self, own: u16) -> u16 {
        self.0.as_ref().map_or(own, |p| p.version)
    }

    /// The compat version to write.
    pub fn compat(&self, own: u16) -> u16 {
        self.0.as_ref().map_or(own, |p| p.compat)
    }

    /// What followed the known fields of the front.
    pub fn tail(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |p| &p.front)
    }

    /// A segment the kind has no use for, or `own`.
    pub fn middle_or(&self, own: Bytes) -> Bytes {
        self.0.as_ref().filter(|p| !p.middle.is_empty()).map_or(own, |p| p.middle.clone())
    }

    /// A segment the kind has no use for, or `own`.
    pub fn data_or(&self, own: Bytes) -> Bytes {
        self.0.as_ref().filter(|p| !p.data.is_empty()).map_or(own, |p| p.data.clone())
    }

    /// Puts the kept parts around an encoded front.
    pub fn wrap<T: Kind>(&self, mut front: BytesMut, middle: Bytes, data: Bytes) -> Parts {
        front.extend_from_slice(self.tail());
        Parts {
            version: self.version(T::VERSION),
            compat: self.compat(T::COMPAT),
            front: front.freeze(),
            middle: self.middle_or(middle),
            data: self.data_or(data),
        }
    }
}

impl PartialEq for Foreign {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Foreign {}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            None => f.write_str("own"),
            Some(p) => write!(f, "v{}/{}+{}B", p.version, p.compat, p.front.len()),
        }
    }
}

/// What a data segment can be.
pub trait Segment: Sized + Default {
    /// From the whole segment.
    fn from_segment(bytes: Bytes) -> Result<Self, DecodeError>;
    /// To the whole segment.
    fn to_segment(&self, features: Features) -> Bytes;
}

/// As it is.
impl Segment for Bytes {
    fn from_segment(bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(bytes)
    }
    fn to_segment(&self, _: Features) -> Bytes {
        self.clone()
    }
}

/// One value, or an empty segment for none.
impl<T: Encode + Decode> Segment for Option<T> {
    fn from_segment(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.is_empty() { Ok(None) } else { T::from_bytes(bytes).map(Some) }
    }
    fn to_segment(&self, features: Features) -> Bytes {
        self.as_ref().map_or_else(Bytes::new, |v| v.to_bytes(features))
    }
}

/// An envelope that is passed on and not looked into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opaque(pub Bytes);

impl Encode for Opaque {
    fn encode(&self, out: &mut BytesMut, _: Features) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Opaque {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        const HEAD: usize = 6;
        let [_, _, a, b, c, d] = *r
            .peek()
            .first_chunk::<HEAD>()
            .ok_or(DecodeError::Short { need: HEAD, have: r.remaining() })?;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        Ok(Opaque(r.take(HEAD.saturating_add(len))?))
    }
}

/// See the file's head.
macro_rules! message {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[$fmeta:meta])*
                $field:ident : $ty:ty $([since $since:literal])? $(= $default:expr)?
            ),* $(,)?
        }
        $( middle $middle:ident; )?
        $( data $data:ident : $dty:ty; )?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub struct $name {
            $( $(#[$fmeta])* pub $field: $ty, )*
            $( pub $middle: seabed_denc::Bytes, )?
            $( pub $data: $dty, )?
            pub foreign: $crate::Foreign,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $( $field: seabed_denc::__field_default!($($default)?), )*
                    $( $middle: seabed_denc::Bytes::new(), )?
                    $( $data: Default::default(), )?
                    foreign: $crate::Foreign::default(),
                }
            }
        }

        impl $crate::Body for $name {
            #[allow(unused_mut)]
            fn decode_parts(mut parts: $crate::Parts) -> Result<Self, seabed_denc::DecodeError> {
                let mut r = seabed_denc::Reader::new(std::mem::take(&mut parts.front));
                let mut message = Self::default();
                $(
                    if parts.version >= seabed_denc::__field_since!($($since)?) {
                        message.$field = seabed_denc::Decode::decode(&mut r)?;
                    }
                )*
                $( message.$middle = std::mem::take(&mut parts.middle); )?
                $(
                    let data = std::mem::take(&mut parts.data);
                    message.$data = $crate::Segment::from_segment(data)?;
                )?
                parts.front = r.take_rest();
                use $crate::Kind;
                message.foreign = $crate::Foreign::new(parts, Self::VERSION, Self::COMPAT);
                Ok(message)
            }

            #[allow(unused_mut, unused_variables, unused_assignments)]
            fn encode_parts(&self, features: seabed_denc::Features) -> $crate::Parts {
                use $crate::Kind;
                let version = self.foreign.version(Self::VERSION);
                let mut front = seabed_denc::BytesMut::new();
                $(
                    if version >= seabed_denc::__field_since!($($since)?) {
                        seabed_denc::Encode::encode(&self.$field, &mut front, features);
                    }
                )*
                let (mut middle, mut data) = (seabed_denc::Bytes::new(), seabed_denc::Bytes::new());
                $( middle = self.$middle.clone(); )?
                $( data = $crate::Segment::to_segment(&self.$data, features); )?
                self.foreign.wrap::<Self>(front, middle, data)
            }
        }
    };
}
pub(crate) use message;
