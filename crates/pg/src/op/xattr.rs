//! Ops on attributes. A client's attribute `x` is stored as `_x`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Encode};
use seabed_messages::{OpArgs, OsdOp};

use super::execution::{DONE, Done, Execution, Failure};

pub(super) fn stored_name(name: &[u8]) -> Bytes {
    [b"_", name].concat().into()
}

/// Name and value of the op's input.
fn parts(op: &OsdOp) -> Result<(Bytes, Bytes), Failure> {
    op.xattr_parts().ok_or(Errno::EINVAL.into())
}

/// The name alone: reads do not always say a length of value that is there.
fn name(op: &OsdOp) -> Result<Bytes, Failure> {
    let OpArgs::Xattr { name_len, .. } = op.args else { return Err(Errno::EINVAL.into()) };
    if name_len as usize > op.indata.len() {
        return Err(Errno::EINVAL.into());
    }
    Ok(op.indata.slice(..name_len as usize))
}

/// Whether `operand <op> stored` holds, by CEPH_OSD_CMPXATTR_OP_*.
pub(super) fn holds(op: u8, order: Ordering) -> Result<bool, Failure> {
    Ok(match op {
        1 => order.is_eq(),
        2 => order.is_ne(),
        3 => order.is_gt(),
        4 => order.is_ge(),
        5 => order.is_lt(),
        6 => order.is_le(),
        _ => return Err(Errno::EINVAL.into()),
    })
}

/// The number that decimal text starts with, as C's `atoll` reads it.
fn leading_number(text: &[u8]) -> u64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let mut n = 0i64;
    for digit in digits.iter().take_while(|b| b.is_ascii_digit()) {
        n = n.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    }
    if negative { n.wrapping_neg() as u64 } else { n as u64 }
}

impl Execution<'_> {
    /// GETXATTR.
    pub(super) fn get_xattr(&mut self, op: &OsdOp, answered: &mut OsdOp) -> Done {
        let value = self.attr(&name(op)?)?;
        if let OpArgs::Xattr { value_len, .. } = &mut answered.args {
            *value_len = value.len() as u32;
        }
        Ok((value, 0))
    }

    /// A client's attribute.
    pub(super) fn attr(&mut self, name: &[u8]) -> Result<Bytes, Failure> {
        let value = self.store.get_attr(self.coll, &self.object, &stored_name(name));
        self.count_read(value.as_ref().map_or(0, Bytes::len));
        value.map_err(|e| self.failed(&e))
    }

    /// GETXATTRS.
    pub(super) fn get_xattrs(&mut self) -> Done {
        let out = self.attrs()?.to_bytes(0);
        self.count_read(out.len());
        Ok((out, 0))
    }

    /// All of the client's attributes; the caller counts the read.
    pub(super) fn attrs(&mut self) -> Result<BTreeMap<Bytes, Bytes>, Failure> {
        let attrs = self.store.get_attrs(self.coll, &self.object);
        let attrs = attrs.map_err(|e| self.failed(&e))?;
        let theirs = attrs.into_iter().filter(|(name, _)| name.len() > 1 && name[0] == b'_');
        Ok(theirs.map(|(name, value)| (name.slice(1..), value)).collect())
    }

    /// CMPXATTR: `operand <op> stored`, as text or as a number. An absent attribute is empty.
    pub(super) fn compare_xattr(&mut self, op: &OsdOp) -> Done {
        let OpArgs::Xattr { cmp_op, cmp_mode, .. } = op.args else {
            return Err(Errno::EINVAL.into());
        };
        let name_part = name(op)?;
        let stored = self.store.get_attr(self.coll, &self.object, &stored_name(&name_part));
        let stored = match stored.map_err(|e| self.failed(&e)) {
            Ok(value) => value,
            Err(f) if f == Errno::ENODATA.into() => Bytes::new(),
            Err(f) => return Err(f),
        };
        self.count_read(stored.len());
        let order = match cmp_mode {
            1 => parts(op)?.1.cmp(&stored),
            2 => {
                let operand = op.indata.slice(name_part.len()..);
                let operand = operand.first_chunk::<8>().ok_or(Failure::from(Errno::EINVAL))?;
                u64::from_le_bytes(*operand).cmp(&leading_number(&stored))
            }
            _ => return Err(Errno::EINVAL.into()),
        };
        if holds(cmp_op, order)? { Ok((Bytes::new(), 1)) } else { Err(Errno::ECANCELED.into()) }
    }

    /// SETXATTR.
    pub(super) fn set_xattr(&mut self, op: &OsdOp) -> Done {
        let OpArgs::Xattr { name_len, value_len, .. } = op.args else {
            return Err(Errno::EINVAL.into());
        };
        let limits = self.env.limits;
        if limits.attr_value > 0 && value_len as usize > limits.attr_value {
            return Err(Errno::EFBIG.into());
        }
        if name_len as usize > limits.attr_name {
            return Err(Errno::ENAMETOOLONG.into());
        }
        let (name, value) = parts(op)?;
        self.make_object();
        self.change().set_attr(stored_name(&name), Some(value));
        self.stats.num_wr += 1;
        DONE
    }

    /// RMXATTR: an absent attribute is no error.
    pub(super) fn rm_xattr(&mut self, op: &OsdOp) -> Done {
        self.require_object()?;
        let name = stored_name(&name(op)?);
        self.change().set_attr(name, None);
        self.stats.num_wr += 1;
        DONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        assert_eq!(leading_number(b"  42xyz"), 42);
        assert_eq!(leading_number(b"-1"), u64::MAX);
        assert_eq!(leading_number(b""), 0);
        assert_eq!(leading_number(b"99999999999999999999"), i64::MAX as u64);
    }
}
