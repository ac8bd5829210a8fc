//! Watch and notify, OSD to client.
//!
//! ```text
//! watch_notify (44) v3: u8 1; u8 opcode; u64 cookie; u64 ver; u64 notify_id; bl payload;
//!   s32 return_code (v2); u64 notifier (v3)
//! data, of NOTIFY_COMPLETE: map<(u64 client, u64 cookie), bl> acks; list<(u64, u64)> missed
//! ```

use seabed_denc::{Bytes, plain};

use crate::declare::message;

/// What a [`MWatchNotify`] says.
#[allow(missing_docs)]
pub mod watch_event {
    pub const NOTIFY: u8 = 1;
    pub const NOTIFY_COMPLETE: u8 = 2;
    pub const DISCONNECT: u8 = 3;
}

message! {
    /// A notify for a watcher, its end for the notifier, or the end of a watch.
    pub struct MWatchNotify {
        /// Always 1.
        message_version: u8 = 1,
        /// Of [`watch_event`].
        opcode: u8,
        /// The watcher's; of a completion, the notifier's.
        cookie: u64,
        version: u64,
        notify_id: u64,
        payload: Bytes,
        return_code: i32 [since 2],
        /// The client that asked.
        notifier: u64 [since 3],
    }
    data result: Bytes;
}

plain! {
    /// The data segment of a completion.
    pub struct NotifyResult {
        /// By client and cookie, with what each answered.
        acks: Vec<((u64, u64), Bytes)>,
        missed: Vec<(u64, u64)>,
    }
}
