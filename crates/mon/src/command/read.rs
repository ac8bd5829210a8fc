//! Commands that change nothing.

use serde_json::json;

use super::{
    Answer, Command, Format, Reply, View, blocklist, config_read, crush_read, df, misc, osd_df,
    osd_read, pg_read, pool_read, status, table,
};

/// Answers a command of the table that is marked as reading.
pub fn run(view: &View<'_>, command: &Command) -> Answer {
    let prefix = command.prefix.as_str();
    let plain = command.format == Format::Plain;
    match prefix {
        "get_command_descriptions" => Ok(Reply::text(table::descriptions().to_string())),
        "status" => status::run(view, command),
        "health" => {
            let detail = command.str("detail").as_deref() == Some("detail");
            let checks = view.health();
            let told = view.told(&checks);
            if plain {
                Ok(Reply::text(told.text(detail)))
            } else {
                Ok(Reply::json(&told.json(detail), command.format))
            }
        }
        "df" => df::run(view, command),
        "fsid" => {
            let fsid = view.state.monmap.fsid.to_string();
            if plain {
                Ok(Reply::text(fsid + "\n"))
            } else {
                Ok(Reply::json(&json!({"fsid": fsid}), command.format))
            }
        }
        "version" => {
            let version = &view.config.version;
            if plain {
                Ok(Reply::text(format!("{version}\n")))
            } else {
                Ok(Reply::json(&json!({"version": version}), command.format))
            }
        }
        "versions" | "features" => misc::census(view, command),
        "report" => {
            let value = json!({
                "cluster_fingerprint": view.state.monmap.fsid.to_string(),
                "version": view.config.version,
                "timestamp": view.now.wall.to_string(),
                "health": view.told(&view.health()).json(true),
                "osdmap": view.map().dump(),
                "crushmap": view.map().crush.dump(),
                "monmap": super::mon_dump::monmap(&view.state.monmap),
            });
            Ok(Reply::json(&value, command.format))
        }
        "time-sync-status" => misc::time_sync(command),
        "node ls" => misc::node_ls(view, command),
        "log last" => misc::log_last(view, command),
        "quorum_status" | "mon_status" => misc::mon(view, command),
        _ if prefix.starts_with("mon ") => misc::mon(view, command),
        "osd stat" => {
            if plain {
                Ok(Reply::text(status::osd_counts_text(view, true) + "\n"))
            } else {
                Ok(Reply::json(&status::osd_counts(view), command.format))
            }
        }
        _ if prefix.starts_with("osd crush") => crush_read::run(view, command),
        _ if prefix.starts_with("osd pool") => pool(view, command),
        _ if prefix.starts_with("osd ") => osd(view, command),
        _ if prefix.starts_with("pg ") => pg(view, command),
        _ if prefix.starts_with("config-key") => config_read::keys(view, command),
        _ if prefix.starts_with("config") => config_read::config(view, command),
        _ if prefix.starts_with("auth") => misc::auth(command),
        _ if prefix.starts_with("fs ") || prefix.starts_with("mds ") => misc::fs(command),
        _ => misc::mgr(view, command),
    }
}

fn osd(view: &View<'_>, command: &Command) -> Answer {
    match command.prefix.as_str() {
        "osd info" => osd_read::info(view, command),
        "osd getmaxosd" => {
            let (max, epoch) = (view.map().max_osd, view.map().epoch);
            if command.format == Format::Plain {
                Ok(Reply::text(format!("max_osd = {max} in epoch {epoch}\n")))
            } else {
                Ok(Reply::json(&json!({"epoch": epoch.0, "max_osd": max}), command.format))
            }
        }
        "osd find" => osd_read::find_osd(view, command),
        "osd metadata" => osd_read::metadata(view, command),
        "osd count-metadata" => {
            let key = command.str("property").unwrap_or_default();
            Ok(Reply::json(&json!(osd_read::count_by(view, &key)), command.format))
        }
        "osd versions" => {
            Ok(Reply::json(&json!(osd_read::count_by(view, "ceph_version")), command.format))
        }
        "osd numa-status" => {
            let host = |o: &seabed_cluster::OsdId| {
                let meta = view.state.osd_metadata.get(o);
                meta.and_then(|m| m.get("hostname")).cloned().unwrap_or_default()
            };
            let list: Vec<_> =
                view.map().osds().map(|o| json!({"osd": o.0, "host": host(&o)})).collect();
            Ok(Reply::json(&json!(list), command.format))
        }
        "osd map" => osd_read::map_object(view, command),
        "osd lspools" => pool_read::lspools(view, command),
        "osd df" => osd_df::df(view, command),
        "osd perf" => osd_df::perf(view, command),
        "osd blocked-by" => osd_df::blocked_by(view, command),
        "osd utilization" => osd_df::utilization(view, command),
        "osd status" => osd_df::osd_status(view, command),
        "osd ok-to-stop" => osd_read::ok_to_stop(view, command),
        "osd safe-to-destroy" => osd_read::safe_to_destroy(view, command),
        "osd blocklist ls" | "osd blacklist ls" => blocklist::list(view, command),
        "osd get-require-min-compat-client" => osd_read::min_compat_client(view),
        "osd erasure-code-profile ls" | "osd erasure-code-profile get" => {
            osd_read::profiles(view, command)
        }
        _ => osd_read::of_epoch(view, command),
    }
}

fn pool(view: &View<'_>, command: &Command) -> Answer {
    match command.prefix.as_str() {
        "osd pool get" => pool_read::get(view, command),
        "osd pool get-quota" => pool_read::get_quota(view, command),
        "osd pool application get" => pool_read::application_get(view, command),
        "osd pool stats" => pool_read::stats(view, command),
        "osd pool autoscale-status" => pool_read::autoscale_status(view, command),
        _ => pool_read::ls(view, command),
    }
}

fn pg(view: &View<'_>, command: &Command) -> Answer {
    match command.prefix.as_str() {
        "pg stat" => pg_read::stat(view, command),
        "pg dump" | "pg dump_json" | "pg dump_pools_json" => pg_read::dump(view, command),
        "pg dump_stuck" => pg_read::dump_stuck(view, command),
        "pg map" => pg_read::map(view, command),
        "pg debug" => pg_read::debug(view, command),
        _ => pg_read::ls(view, command),
    }
}
