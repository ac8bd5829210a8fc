//! The daemons' own one-line renderings say what our fields say. Bytes that come back do not prove
//! that two fields of one size are not taken for each other; this does, for the kinds it knows.

mod common;

use std::collections::BTreeMap;

use seabed_cluster::Span;
use seabed_messages::{Message, Packet, ScanOp, failure_flag, ping_op, watch_event};

/// What the rendering must contain; `None` for a kind that is not rendered here.
fn render(packet: &Packet) -> Option<Vec<String>> {
    requests(packet).or_else(|| monitor(&packet.message)).or_else(|| osd_to_osd(&packet.message))
}

fn requests(packet: &Packet) -> Option<Vec<String>> {
    Some(match &packet.message {
        Message::OsdOp(m) => {
            let snaps: Vec<String> = m.snaps.iter().map(|s| format!("{:x}", s.0)).collect();
            let names: Vec<&str> = m.ops.iter().map(|o| o.op.name()).collect();
            vec![
                format!("osd_op(unknown.0.{}:{} {} ", m.client_inc, packet.tid, m.pg),
                format!(" snapc {:x}=[{}] ", m.snap_seq.0, snaps.join(",")),
                format!(" e{})", m.epoch),
                format!("[{}", names[0]),
                String::from_utf8_lossy(&m.object).into_owned(),
            ]
        }
        Message::OsdOpReply(m) => vec![
            format!("osd_op_reply({} {} [", packet.tid, String::from_utf8_lossy(&m.object)),
            format!("v{} uv{}", m.replay_version, m.user_version),
            format!(" = {}", m.result),
        ],
        Message::WatchNotify(m) => {
            let name = match m.opcode {
                watch_event::NOTIFY => "notify",
                watch_event::NOTIFY_COMPLETE => "notify_complete",
                _ => "disconnect",
            };
            vec![format!(
                "watch-notify({name} ({}) cookie {} notify {} ret {})",
                m.opcode, m.cookie, m.notify_id, m.return_code
            )]
        }
        Message::PoolOpReply(m) => {
            vec![
                format!("pool_op_reply(tid {} ({}) ", packet.tid, m.code),
                format!(" v{})", m.paxos.version),
            ]
        }
        _ => return None,
    })
}

fn monitor(message: &Message) -> Option<Vec<String>> {
    Some(vec![match message {
        Message::OsdMap(m) => {
            format!("osd_map({}..{} src has {}..{})", m.first()?, m.last()?, m.oldest, m.newest)
        }
        Message::MonGetVersion(m) => format!("(what={} handle={})", m.what, m.handle),
        Message::MonGetVersionReply(m) => format!("(handle={} version={})", m.handle, m.newest),
        Message::LogAck(m) => format!("log(last {})", m.last),
        Message::Config(m) => format!("config({} keys)", m.options.len()),
        Message::MgrMap(m) => format!("mgrmap(e {})", m.map.epoch),
        Message::PgStats(m) => {
            let (n, seq) = (m.pg_stats.len(), m.osd_stat.seq);
            format!("pg_stats({n} pgs seq {seq} v {})", m.paxos.version)
        }
        Message::OsdBoot(m) => format!(
            "osd_boot(osd.{} booted {} features {} v{})",
            m.superblock.whoami.0, m.boot_epoch, m.features, m.paxos.version
        ),
        Message::OsdBeacon(m) => format!(
            " lec {} last_purged_snaps_scrub {} osd_beacon_report_interval {} v{})",
            m.min_last_epoch_clean, m.last_purged_snaps_scrub, m.report_interval, m.paxos.version
        ),
        Message::OsdAlive(m) => {
            format!("osd_alive(want up_thru {} have {})", m.want, m.paxos.version)
        }
        Message::OsdPgCreated(m) => format!("osd_pg_created({})", m.pg),
        Message::OsdPgReadyToMerge(m) => format!(
            "({} sv {} tv {} les/c {}/{} ready v{})",
            m.pg,
            m.source_version,
            m.target_version,
            m.last_epoch_started,
            m.last_epoch_clean,
            m.paxos.version
        ),
        Message::OsdFull(m) => format!("osd_full(e{} ", m.epoch),
        Message::OsdMarkMeDead(m) => {
            format!("(osd.{}, epoch {}, fsid={})", m.target.0, m.epoch, m.fsid)
        }
        Message::OsdMarkMeDown(m) => format!(
            "(request_ack={}, down_and_dead={}, osd.{}, ",
            u8::from(m.request_ack),
            u8::from(m.down_and_dead),
            m.target.0
        ),
        Message::OsdFailure(m) => format!(
            "osd_failure({} {} osd.{} {} for {}sec e{} v{})",
            if m.flags & failure_flag::FAILED != 0 { "failed" } else { "recovered" },
            if m.flags & failure_flag::IMMEDIATE != 0 { "immediate" } else { "timeout" },
            m.target.0,
            m.target_addrs,
            m.failed_for_seconds,
            m.epoch,
            m.paxos.version
        ),
        Message::OsdPgTemp(m) => format!("osd_pgtemp(e{} {{", m.epoch),
        _ => return None,
    }])
}

/// Daemons print spans as single floats: compared are the whole seconds.
fn seconds(span: Span) -> String {
    let sign = if span.nanos() < 0 { "-" } else { "" };
    format!("{sign}{}.", span.nanos().unsigned_abs() / 1_000_000_000)
}

fn osd_to_osd(message: &Message) -> Option<Vec<String>> {
    Some(vec![match message {
        Message::OsdPing(m) => {
            let name = match m.op {
                ping_op::PING => "ping",
                ping_op::PING_REPLY => "ping_reply",
                _ => "you_died",
            };
            return Some(vec![
                format!(
                    "osd_ping({name} e{} up_from {} ping_stamp {}",
                    m.map_epoch, m.up_from, m.ping_stamp
                ),
                format!("/{}", seconds(m.mono_ping_stamp)),
                format!(" send_stamp {}", seconds(m.mono_send_stamp)),
                m.delta_ub.map_or(")".into(), |d| format!(" delta_ub {}", seconds(d))),
            ]);
        }
        Message::PgQuery2(m) => {
            let sent = m.query.epoch_sent;
            format!("epoch_sent {sent}) e{sent}/{sent})")
        }
        Message::PgNotify2(m) => format!(
            "(query:{} sent:{} {}(",
            m.notify.query_epoch, m.notify.epoch_sent, m.notify.info.pgid
        ),
        Message::PgInfo2(m) => {
            let h = &m.info.history;
            return Some(vec![
                format!("sis={}", h.same_interval_since),
                format!("lis/c={}/{}", h.last_interval_started, h.last_interval_clean),
                format!(
                    "les/c/f={}/{}/{}",
                    h.last_epoch_started, h.last_epoch_clean, h.last_epoch_marked_full
                ),
                format!(
                    "local-lis/les={}/{}",
                    m.info.last_interval_started, m.info.last_epoch_started
                ),
                format!(" e{}/{})", m.epoch_sent, m.min_epoch),
            ]);
        }
        Message::PgLog(m) => format!(" e{}/{})", m.epoch, m.query_epoch),
        Message::PgLease(m) => {
            let l = &m.lease;
            return Some(vec![
                format!("pg_lease(ru {}", seconds(l.readable_until)),
                format!(" ub {}", seconds(l.readable_until_ub)),
                format!(" int {}", seconds(l.interval)),
                format!(" e{}/", m.epoch),
            ]);
        }
        Message::PgLeaseAck(m) => {
            format!("pg_lease_ack(ruub {}", seconds(m.lease_ack.readable_until_ub))
        }
        Message::OsdRepOp(m) => {
            format!("osd_repop({} {} e{}/{})", m.reqid, m.pg, m.epoch, m.min_epoch)
        }
        Message::OsdRepOpReply(m) => {
            format!("osd_repop_reply({} {} e{}/{})", m.reqid, m.pg, m.epoch, m.min_epoch)
        }
        Message::PgUpdateLogMissing(m) => {
            format!("({} epoch {}/{} rep_tid {} ", m.pg, m.epoch, m.min_epoch, m.rep_tid)
        }
        Message::PgUpdateLogMissingReply(m) => format!(
            "({} epoch {}/{} rep_tid {} lcod {})",
            m.pg, m.epoch, m.min_epoch, m.rep_tid, m.last_complete_ondisk
        ),
        Message::PgTrim(m) => format!("pg_trim({} {} e{}/", m.pg, m.trim_to, m.epoch),
        Message::PgScan(m) => {
            let op = if m.op == ScanOp::Digest { "digest" } else { "get_digest" };
            return Some(vec![
                format!("pg_scan({op} {} ", m.pg),
                format!(" e {}/{})", m.epoch, m.query_epoch),
            ]);
        }
        Message::PgBackfill(m) => format!(" {} e {}/{} lb ", m.pg, m.epoch, m.query_epoch),
        Message::PgPush(m) => format!("MOSDPGPush({} {}/{} [", m.pg, m.epoch, m.min_epoch),
        Message::PgPushReply(m) => format!("({} {}/{} [", m.pg, m.epoch, m.min_epoch),
        Message::PgPull(m) => format!("({} e{}/{} cost {})", m.pg, m.epoch, m.min_epoch, m.cost),
        Message::PgRecoveryDelete(m) => format!("({} e{},{} ", m.pg, m.epoch, m.min_epoch),
        Message::PgRecoveryDeleteReply(m) => format!("({} e{},{} ", m.pg, m.epoch, m.min_epoch),
        Message::BackfillReserve(m) => format!("({} ", m.pg),
        Message::RecoveryReserve(m) => format!("({} ", m.pg),
        Message::ScrubReserve(m) => {
            format!("({} {} e{})", m.pg, format!("{:?}", m.op).to_uppercase(), m.epoch)
        }
        Message::RepScrub(m) => {
            return Some(vec![
                format!(
                    "pg: {},from:{},to:{},epoch:{}/{},start:",
                    m.pg, m.scrub_from, m.scrub_to, m.epoch, m.min_epoch
                ),
                format!(
                    "chunky:{},deep:{},version:9,allow_preemption:{},priority={}",
                    u8::from(m.chunky),
                    u8::from(m.deep),
                    u8::from(m.allow_preemption),
                    m.priority
                ),
            ]);
        }
        Message::RepScrubMap(m) => format!("rep_scrubmap({} e{} from shard", m.pg, m.epoch),
        _ => return None,
    }])
}

/// After a hang the recorder gave two pings the texts of others that had queued up; and 20.2 has
/// another rendering of reservations.
fn misleading(label: &str, release: &str) -> bool {
    label.contains("osd_ping unhang") || release == "20.2.4" && label.contains("scrub_reserve")
}

#[test]
fn fields_say_what_the_daemons_say() {
    let (mut seen, mut wrong) = (BTreeMap::<&str, usize>::new(), Vec::new());
    for sample in common::committed().iter().flat_map(|path| common::read(path)) {
        let Ok(packet) = Packet::decode(sample.raw) else { continue };
        let Some(parts) = render(&packet) else { continue };
        if sample.text.is_empty() || misleading(&sample.label, &sample.release) {
            continue;
        }
        *seen.entry(packet.message.name()).or_default() += 1;
        if let Some(part) = parts.iter().find(|part| !sample.text.contains(*part)) {
            wrong.push(format!("{}: {part:?} is not in {}", sample.label, sample.text));
        }
    }
    println!("{} texts of {} kinds: {seen:?}", seen.values().sum::<usize>(), seen.len());
    wrong.truncate(30);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen.len() > 35);
}
