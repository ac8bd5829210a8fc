//! Filters of listings: which objects a client wants to hear of, decided where they lie.
//!
//! A filter is named by its class and itself, `hello.hello`, or is built in; behind the name come
//! its arguments, which it reads itself.

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Decode, DecodeError, Reader};

/// Only objects that have this attribute with exactly this value. The name is that of the store: a
/// client's attribute `x` is `_x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeIs {
    /// The attribute.
    pub attribute: Bytes,
    /// Its value.
    pub value: Bytes,
}

impl Decode for AttributeIs {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(AttributeIs { attribute: Bytes::decode(r)?, value: Bytes::decode(r)? })
    }
}

/// Every filter of a class; both this one and the built-in one compare an attribute.
const FILTERS: &[&str] = &["hello.hello"];
/// The filter that needs no class.
const BUILT_IN: &str = "plain";

/// Reads a filter's name and arguments; what follows them stays in `r`. EINVAL for one that is not
/// there, as for one that cannot be read.
pub fn read_filter(r: &mut Reader) -> Result<AttributeIs, Errno> {
    let name = Bytes::decode(r).map_err(|_| Errno::EINVAL)?;
    let known = [BUILT_IN].iter().chain(FILTERS).any(|f| f.as_bytes() == name);
    if !known {
        return Err(Errno::EINVAL);
    }
    AttributeIs::decode(r).map_err(|_| Errno::EINVAL)
}
