//! Commands to the monitor, to a daemon ("tell") and to the manager. A command is one JSON string
//! in a list; its input and its output are the data segments; the answer has the request's tid.
//!
//! ```text
//! mon_command (50) v1: paxos; fsid; list<str>
//! mon_command_ack (51): paxos; s32; str; list<str>
//! command (97), mgr_command (0x709): fsid; list<str>   replies (98, 0x70a): s32 result; str status
//! ```

use seabed_cluster::Uuid;
use seabed_denc::Bytes;

use crate::Paxos;
use crate::declare::message;

message! {
    /// A command to the monitor.
    pub struct MMonCommand {
        paxos: Paxos,
        fsid: Uuid,
        command: Vec<String>,
    }
    data input: Bytes;
}

message! {
    /// Its answer. The kernel has room for a front of 512 bytes: leave `command` empty.
    pub struct MMonCommandAck {
        paxos: Paxos,
        /// Negative errno.
        result: i32,
        /// For people.
        status: String,
        command: Vec<String>,
    }
    data output: Bytes;
}

message! {
    /// A command to an OSD or a monitor itself.
    pub struct MCommand {
        fsid: Uuid,
        command: Vec<String>,
    }
    data input: Bytes;
}

message! {
    /// Its answer.
    pub struct MCommandReply {
        /// Negative errno.
        result: i32,
        /// For people.
        status: String,
    }
    data output: Bytes;
}

message! {
    /// A command to the manager.
    pub struct MMgrCommand {
        fsid: Uuid,
        command: Vec<String>,
    }
    data input: Bytes;
}

message! {
    /// Its answer.
    pub struct MMgrCommandReply {
        /// Negative errno.
        result: i32,
        /// For people.
        status: String,
    }
    data output: Bytes;
}
