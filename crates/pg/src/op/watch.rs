//! Ops of watch and notify: what they write into the object's info, and what they ask of the PG.

use seabed_cluster::{Errno, WatchInfo};
use seabed_denc::{Bytes, BytesMut, Decode, DecodeError, Encode, Reader, encode_versioned};
use seabed_messages::op::watch_op;
use seabed_messages::{OpArgs, OsdOp};

use super::execution::{DONE, Done, Execution};
use crate::watch::{NewNotify, NotifyAck, WatchEffects};

impl Execution<'_> {
    fn effects(&mut self) -> &mut WatchEffects {
        self.watch.get_or_insert_default()
    }

    /// WATCH: begins, renews, confirms or ends the caller's watch of this cookie. A watch that is
    /// in the info already leaves the object as it is.
    pub(super) fn watch(&mut self, op: &OsdOp) -> Done {
        let OpArgs::Watch { cookie, op: what, timeout, .. } = op.args else {
            return Err(Errno::EINVAL.into());
        };
        // A whiteout can be watched: what it stands for may come back.
        if !self.is_stored() {
            return Err(Errno::ENOENT.into());
        }
        let limits = self.env.limits;
        let (client, addr) = self.env.caller;
        let watcher = (cookie, client);
        let timeout_seconds = if timeout == 0 { limits.watch_timeout_seconds } else { timeout };
        let info = WatchInfo { cookie, timeout_seconds, addr, ..WatchInfo::default() };
        let known = self.info.watchers.contains_key(&watcher);
        match what {
            watch_op::WATCH | watch_op::LEGACY_WATCH => {
                if !known {
                    if self.info.watchers.len() >= limits.watchers {
                        return Err(Errno::ENOSPC.into());
                    }
                    self.info.watchers.insert(watcher, info.clone());
                    self.change().touch();
                }
                self.effects().connects.push((info, what == watch_op::WATCH));
            }
            watch_op::RECONNECT if known => self.effects().connects.push((info, true)),
            watch_op::PING if known => {
                if !self.env.connected.contains(&cookie) {
                    return Err(Errno::ETIMEDOUT.into());
                }
                self.effects().pings.push(cookie);
            }
            watch_op::RECONNECT | watch_op::PING => return Err(Errno::ENOTCONN.into()),
            watch_op::UNWATCH => {
                if self.info.watchers.remove(&watcher).is_some() {
                    self.change().touch();
                    self.effects().ends.push((watcher, false));
                }
            }
            _ => return Err(Errno::EINVAL.into()),
        }
        DONE
    }

    /// The object goes: who watches it is told.
    pub(super) fn end_watches(&mut self) {
        for (watcher, _) in std::mem::take(&mut self.info.watchers) {
            self.effects().ends.push((watcher, true));
        }
    }

    /// NOTIFY: every watcher is told; the output names the notify. Input that cannot be read is an
    /// empty notify, as in Ceph.
    pub(super) fn notify(&mut self, op: &OsdOp) -> Done {
        let OpArgs::Notify { cookie } = op.args else { return Err(Errno::EINVAL.into()) };
        let (timeout, payload) = read_notify(op.indata.clone()).unwrap_or_default();
        let default = self.env.limits.notify_timeout_seconds;
        let timeout_seconds = if timeout == 0 { default } else { timeout };
        let (next, version) = (self.env.next_notify, self.info.user_version);
        let notifies = &mut self.effects().notifies;
        let id = next + notifies.len() as u64;
        notifies.push(NewNotify { id, cookie, version, timeout_seconds, payload });
        Ok((id.to_bytes(0), 0))
    }

    /// NOTIFY_ACK: a watcher's answer. Clients of old times name the notify in the arguments.
    pub(super) fn notify_ack(&mut self, op: &OsdOp) -> Done {
        let ack = read_ack(op.indata.clone()).unwrap_or_else(|_| {
            let id = op.args.to_array();
            let id = id.first_chunk().map_or(0, |c| u64::from_le_bytes(*c));
            NotifyAck { id, cookie: None, reply: Bytes::new() }
        });
        self.effects().acks.push(ack);
        DONE
    }

    /// LIST_WATCHERS, from the info.
    pub(super) fn list_watchers(&mut self) -> Done {
        let mut out = BytesMut::new();
        encode_versioned(&mut out, 1, 1, |out| {
            (self.info.watchers.len() as u32).encode(out, 0);
            for ((cookie, name), watch) in &self.info.watchers {
                encode_versioned(out, 2, 1, |out| {
                    name.encode(out, 0);
                    cookie.encode(out, 0);
                    watch.timeout_seconds.encode(out, 0);
                    watch.addr.encode(out, self.request.features);
                });
            }
        });
        self.stats.num_rd += 1;
        Ok((out.freeze(), 0))
    }
}

/// Time-out and payload; the version in front of them is of old times.
fn read_notify(input: Bytes) -> Result<(u32, Bytes), DecodeError> {
    let mut r = Reader::new(input);
    u32::decode(&mut r)?;
    Ok((u32::decode(&mut r)?, Bytes::decode(&mut r)?))
}

fn read_ack(input: Bytes) -> Result<NotifyAck, DecodeError> {
    let mut r = Reader::new(input);
    let (id, cookie) = (u64::decode(&mut r)?, Some(u64::decode(&mut r)?));
    let reply = if r.is_empty() { Bytes::new() } else { Bytes::decode(&mut r)? };
    Ok(NotifyAck { id, cookie, reply })
}
