//! Declared encodings: a type is its list of fields, and both directions follow from the list.
//!
//! [`versioned!`](crate::versioned) makes a struct in an envelope, [`plain!`](crate::plain) one
//! without. Fields are encoded in the order written. A value that arrived in another release's
//! form is written again in that form: [`Kept`] holds the version it had and the bytes behind the
//! known fields.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{DecodeError, Envelope, Reader, decode_versioned};

/// The form in which a value was received, where that is not the form in which we write it.
///
/// Values made here hold nothing. The form is no part of what a value says: any two compare equal.
#[derive(Clone, Default)]
pub struct Kept(Option<Box<Envelope>>);

impl Kept {
    /// Remembers `envelope` unless it is exactly version `version`, compat `compat`, no tail.
    pub fn new(envelope: Envelope, version: u8, compat: u8) -> Self {
        let own =
            envelope.version == version && envelope.compat == compat && envelope.tail.is_empty();
        Self((!own).then(|| Box::new(envelope)))
    }

    /// Version and compat to write, given this release's own.
    pub fn versions(&self, version: u8, compat: u8) -> (u8, u8) {
        self.0.as_ref().map_or((version, compat), |e| (e.version, e.compat))
    }

    /// What followed the known fields.
    pub fn tail(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |e| &e.tail)
    }

    /// Writes an envelope in the kept form, else as `version`, `compat`; `body` is told which
    /// version it must write.
    pub fn encode(
        &self,
        out: &mut BytesMut,
        version: u8,
        compat: u8,
        body: impl FnOnce(&mut BytesMut, u8),
    ) {
        let (version, compat) = self.versions(version, compat);
        crate::encode_versioned(out, version, compat, |out| {
            body(out, version);
            out.put_slice(self.tail());
        });
    }

    /// Reads an envelope around `body` and returns the value with the form it had.
    pub fn decode<T>(
        r: &mut Reader,
        what: &'static str,
        version: u8,
        compat: u8,
        body: impl FnOnce(&mut Reader, u8) -> Result<T, DecodeError>,
    ) -> Result<(T, Self), DecodeError> {
        let (value, envelope) = decode_versioned(r, what, version, body)?;
        // The tail would otherwise keep the whole receive buffer alive for as long as the value.
        let envelope = Envelope { tail: Bytes::copy_from_slice(&envelope.tail), ..envelope };
        Ok((value, Self::new(envelope, version, compat)))
    }
}

impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Kept {}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            None => f.write_str("own"),
            Some(e) => write!(f, "v{}/{}+{}B", e.version, e.compat, e.tail.len()),
        }
    }
}

/// A field's value in a new instance: the one written, else the type's default.
#[doc(hidden)]
#[macro_export]
macro_rules! __field_default {
    () => {
        ::core::default::Default::default()
    };
    ($e:expr) => {
        $e
    };
}

/// The version from which on a field is present: 1 unless written.
#[doc(hidden)]
#[macro_export]
macro_rules! __field_since {
    () => {
        1
    };
    ($n:literal) => {
        $n
    };
}

/// A struct in an envelope: `versioned! { pub struct Name(version, compat) { field: Type, … } }`.
///
/// After a type may stand `[since N]`: the field exists from version `N` on; and `= value`: what
/// it is in `Default` and when an older sender left it out. All fields are public; one more,
/// `kept`, is added. `Debug, Clone, PartialEq, Eq, Default, Encode, Decode` are implemented.
#[macro_export]
macro_rules! versioned {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($version:literal, $compat:literal) {
            $(
                $(#[$fmeta:meta])*
                $field:ident : $ty:ty $([since $since:literal])? $(= $default:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub struct $name {
            $( $(#[$fmeta])* pub $field: $ty, )*
            pub kept: $crate::Kept,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $( $field: $crate::__field_default!($($default)?), )*
                    kept: $crate::Kept::default(),
                }
            }
        }

        impl $crate::Encode for $name {
            fn encode(&self, out: &mut $crate::BytesMut, features: $crate::Features) {
                self.kept.encode(out, $version, $compat, |_out, _version| {
                    $(
                        if _version >= $crate::__field_since!($($since)?) {
                            $crate::Encode::encode(&self.$field, _out, features);
                        }
                    )*
                });
            }
        }

        impl $crate::Decode for $name {
            fn decode(r: &mut $crate::Reader) -> Result<Self, $crate::DecodeError> {
                let what = stringify!($name);
                let (mut value, kept) =
                    $crate::Kept::decode(r, what, $version, $compat, |_r, _version| {
                        #[allow(unused_mut)] // A struct may have no fields.
                        let mut value = Self::default();
                        $(
                            if _version >= $crate::__field_since!($($since)?) {
                                value.$field = $crate::Decode::decode(_r)?;
                            }
                        )*
                        Ok(value)
                    })?;
                value.kept = kept;
                Ok(value)
            }
        }
    };
}

/// A struct without an envelope, fields back to back: `plain! { pub struct Name { field: Type } }`.
/// Derives what `versioned!` derives; `= value` sets a default as there.
#[macro_export]
macro_rules! plain {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$fmeta:meta])* $field:ident : $ty:ty $(= $default:expr)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub struct $name {
            $( $(#[$fmeta])* pub $field: $ty, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::__field_default!($($default)?), )* }
            }
        }

        impl $crate::Encode for $name {
            fn encode(&self, out: &mut $crate::BytesMut, features: $crate::Features) {
                $( $crate::Encode::encode(&self.$field, out, features); )*
            }
        }

        impl $crate::Decode for $name {
            fn decode(r: &mut $crate::Reader) -> Result<Self, $crate::DecodeError> {
                Ok(Self { $( $field: $crate::Decode::decode(r)?, )* })
            }
        }
    };
}

/// An enum that is one integer on the wire; other values are refused:
/// `wire_enum! { pub enum Name: u8 { One = 1 } }`.
#[macro_export]
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $repr:ty {
            $( $(#[$vmeta:meta])* $variant:ident = $value:literal ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum $name {
            $( $(#[$vmeta])* $variant, )*
        }

        impl $name {
            /// The value on the wire.
            pub const fn value(self) -> $repr {
                match self {
                    $( Self::$variant => $value, )*
                }
            }
        }

        impl $crate::Encode for $name {
            fn encode(&self, out: &mut $crate::BytesMut, features: $crate::Features) {
                $crate::Encode::encode(&self.value(), out, features);
            }
        }

        impl $crate::Decode for $name {
            fn decode(r: &mut $crate::Reader) -> Result<Self, $crate::DecodeError> {
                match <$repr as $crate::Decode>::decode(r)? {
                    $( $value => Ok(Self::$variant), )*
                    #[allow(clippy::cast_sign_loss, clippy::cast_lossless)]
                    other => Err($crate::DecodeError::Invalid {
                        what: stringify!($name),
                        value: other as u64,
                    }),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::{Decode, Encode};

    versioned! {
        /// Version 2 added `b`.
        #[allow(unreachable_pub)]
        pub struct Two(2, 1) {
            a: u8,
            b: u16 [since 2] = 7,
        }
    }

    #[test]
    fn own_older_and_newer_forms_survive() {
        let own = Two { a: 1, ..Two::default() }.to_bytes(0);
        assert_eq!(&own[..], [2, 1, 3, 0, 0, 0, 1, 7, 0]);
        for form in [&[1, 1, 1, 0, 0, 0, 9][..], &[3, 2, 5, 0, 0, 0, 1, 5, 0, 8, 8], &own] {
            let value = Two::from_bytes(form.to_vec().into()).unwrap();
            assert_eq!(&value.to_bytes(0)[..], form, "{value:?}");
        }
        let old = Two::from_bytes(vec![1, 1, 1, 0, 0, 0, 9].into()).unwrap();
        assert_eq!((old.a, old.b), (9, 7));
        assert!(Two::from_bytes(vec![4, 3, 0, 0, 0, 0].into()).is_err());
    }
}
