//! Methods of the classes `rbd` and `lock`, called one by one or several in one operation.

use seabed_cluster::SnapId;
use seabed_denc::{Bytes, Decode, Encode, Reader};
use seabed_rados::{OpReply, Operation, Pool};

use crate::RbdError;
use crate::error::during;

/// The head, where a method asks for a snapshot.
pub(crate) const HEAD: SnapId = SnapId::HEAD;

/// Adds a call of class `rbd`.
pub(crate) fn rbd(operation: Operation, method: &str, input: impl Encode) -> Operation {
    operation.exec("rbd", method, input.to_bytes(0))
}

/// Calls a method of class `rbd` that answers.
pub(crate) async fn get<T: Decode>(
    pool: &Pool,
    object: &str,
    method: &'static str,
    input: impl Encode,
) -> Result<T, RbdError> {
    let reply = pool.operate(object, rbd(Operation::new(), method, input)).await;
    Answers::new(method, reply.map_err(during(method))?).next()
}

/// Calls a method of class `rbd` that only changes something.
pub(crate) async fn set(
    pool: &Pool,
    object: &str,
    method: &'static str,
    input: impl Encode,
) -> Result<(), RbdError> {
    let operation = rbd(Operation::new(), method, input);
    pool.operate(object, operation).await.map(drop).map_err(during(method))
}

/// Calls a method of class `lock`.
pub(crate) async fn lock(
    pool: &Pool,
    object: &str,
    method: &'static str,
    input: impl Encode,
) -> Result<Bytes, RbdError> {
    let operation = Operation::new().exec("lock", method, input.to_bytes(0));
    let reply = pool.operate(object, operation).await.map_err(during(method))?;
    Ok(reply.ops.into_iter().next().map(|(_, output)| output).unwrap_or_default())
}

/// The outputs of an operation, in order.
pub(crate) struct Answers {
    what: &'static str,
    ops: std::vec::IntoIter<(i32, Bytes)>,
}

impl Answers {
    pub(crate) fn new(what: &'static str, reply: OpReply) -> Self {
        Answers { what, ops: reply.ops.into_iter() }
    }

    /// The next output; bytes behind what is known are a later release's.
    pub(crate) fn next<T: Decode>(&mut self) -> Result<T, RbdError> {
        let (_, output) = self.ops.next().ok_or(RbdError::Malformed(self.what))?;
        decode(self.what, output)
    }
}

pub(crate) fn decode<T: Decode>(what: &'static str, bytes: Bytes) -> Result<T, RbdError> {
    T::decode(&mut Reader::new(bytes)).map_err(|_| RbdError::Malformed(what))
}

/// Text that is shown to people, as good as it can be.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
