//! Integers, bool, f64, fixed byte arrays and tuples.

use bytes::{BufMut, BytesMut};

use crate::{Decode, DecodeError, Encode, Features, Reader};

macro_rules! integer {
    ($($t:ty),*) => {$(
        impl Encode for $t {
            fn encode(&self, out: &mut BytesMut, _: Features) {
                out.put_slice(&self.to_le_bytes());
            }
        }
        impl Decode for $t {
            fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
                Ok(<$t>::from_le_bytes(r.array()?))
            }
        }
    )*};
}
integer!(u8, i8, u16, i16, u32, i32, u64, i64, f64);

impl Encode for bool {
    fn encode(&self, out: &mut BytesMut, _: Features) {
        out.put_u8(u8::from(*self));
    }
}

/// Any non-zero byte is true, as Ceph reads it.
impl Decode for bool {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(u8::decode(r)? != 0)
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, out: &mut BytesMut, _: Features) {
        out.put_slice(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        r.array()
    }
}

impl Encode for () {
    fn encode(&self, _: &mut BytesMut, _: Features) {}
}

impl Decode for () {
    fn decode(_: &mut Reader) -> Result<Self, DecodeError> {
        Ok(())
    }
}

macro_rules! tuple {
    ($($name:ident $i:tt),+) => {
        impl<$($name: Encode),+> Encode for ($($name,)+) {
            fn encode(&self, out: &mut BytesMut, features: Features) {
                $(self.$i.encode(out, features);)+
            }
        }
        impl<$($name: Decode),+> Decode for ($($name,)+) {
            fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
                Ok(($($name::decode(r)?,)+))
            }
        }
    };
}
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        (**self).encode(out, features);
    }
}
