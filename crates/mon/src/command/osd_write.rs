//! Commands that change the OSD map, pools excepted.

use std::collections::BTreeMap;

use seabed_cluster::osdmap::flag;
use seabed_cluster::{Errno, OsdId, OsdMap, Uuid, release_name};
use seabed_denc::Bytes;

use super::osd_read::{id_args, need_osd};
use super::text::float_g;
use super::{
    Answer, Command, Format, Refusal, Reply, blocklist, crush_write, erasure, osd_flags, placement,
};
use crate::draft::Draft;
use crate::map_log::Change;
use crate::service::crush_edit::{edit, fixed};
use crate::service::osd::boot::IN;

/// Runs one of `osd …` that change something.
pub fn run(draft: &mut Draft, command: &Command, input: &Bytes) -> Answer {
    match command.prefix.as_str() {
        "osd set" | "osd unset" | "osd pause" | "osd unpause" => osd_flags::of_map(draft, command),
        "osd set-group" | "osd unset-group" => osd_flags::of_group(draft, command),
        prefix if prefix.starts_with("osd add-no") || prefix.starts_with("osd rm-no") => {
            osd_flags::of_group(draft, command)
        }
        "osd down" | "osd stop" | "osd out" | "osd in" | "osd rm" => each(draft, command),
        "osd new" | "osd create" => new(draft, command),
        "osd lost" | "osd destroy" | "osd purge" => end(draft, command),
        "osd reweight" | "osd primary-affinity" => weight(draft, command),
        "osd reweightn" => weights(draft, command),
        "osd setmaxosd" => set_max_osd(draft, command),
        "osd set-full-ratio" | "osd set-backfillfull-ratio" | "osd set-nearfull-ratio" => {
            ratio(draft, command)
        }
        "osd require-osd-release" | "osd set-require-min-compat-client" => release(draft, command),
        "osd blocklist clear" | "osd blacklist clear" => blocklist::clear(draft),
        "osd blocklist" | "osd blacklist" => blocklist::change(draft, command),
        "osd pg-upmap"
        | "osd rm-pg-upmap"
        | "osd pg-upmap-items"
        | "osd rm-pg-upmap-items"
        | "osd pg-temp"
        | "osd primary-temp" => placement::run(draft, command),
        "osd erasure-code-profile set" | "osd erasure-code-profile rm" => {
            erasure::profile(draft, command)
        }
        prefix if prefix.starts_with("osd tier ") => erasure::tier(draft, command),
        "osd setcrushmap" => crush_write::set_crush(draft, command, input),
        "osd scrub" | "osd deep-scrub" | "osd repair" => {
            let who = command.need("who")?;
            for osd in id_args(draft.map(), &[who])? {
                if !draft.map().is_up(osd) {
                    return Err(Refusal::new(Errno::EAGAIN, format!("osd.{osd} is not up")));
                }
            }
            Err(Refusal::new(Errno::EOPNOTSUPP, "scrubbing is not supported yet"))
        }
        _ => crush_write::run(draft, command, input),
    }
}

fn each(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    let osds = id_args(&map, &command.list("ids"))?;
    if osds.is_empty() {
        return Err(Refusal::invalid("no OSD named"));
    }
    let mut text = String::new();
    let mut code = 0;
    let mut removed = false;
    for osd in osds {
        if !map.exists(osd) {
            text.push_str(&format!("osd.{osd} does not exist. "));
            continue;
        }
        match command.prefix.as_str() {
            "osd down" if map.is_down(osd) => {
                text.push_str(&format!("osd.{osd} is already down. "));
            }
            "osd down" => {
                draft.inc().new_state.insert(osd, flag::osd::UP);
                if command.flag("definitely_dead") {
                    mark_dead(draft, &map, osd);
                }
                text.push_str(&format!("marked down osd.{osd}. "));
            }
            "osd stop" => {
                let bits = flag::osd::STOP & !map.state(osd);
                let up = if map.is_up(osd) { flag::osd::UP } else { 0 };
                if bits | up != 0 {
                    draft.inc().new_state.insert(osd, bits | up);
                }
                text.push_str(&format!("stop osd.{osd}. "));
            }
            "osd out" if map.is_out(osd) => {
                text.push_str(&format!("osd.{osd} is already out. "));
            }
            "osd out" => {
                mark_out(draft, &map, osd);
                text.push_str(&format!("marked out osd.{osd}. "));
            }
            "osd in" if map.is_in(osd) => {
                text.push_str(&format!("osd.{osd} is already in. "));
            }
            "osd in" => {
                mark_in(draft, &map, osd);
                text.push_str(&format!("marked in osd.{osd}. "));
            }
            _ if map.is_up(osd) => {
                code = Errno::EBUSY.wire();
                text.push_str(&format!("osd.{osd} is still up; must be down before removal. "));
            }
            _ => {
                remove(draft, &map, osd);
                let word = if removed { ", " } else { "removed " };
                text.push_str(&format!("{word}osd.{osd}"));
                removed = true;
            }
        }
    }
    Ok(Reply { code, ..Reply::status(text) })
}

fn mark_dead(draft: &mut Draft, map: &OsdMap, osd: OsdId) {
    if let Some(x) = map.osd_xinfo.get(osd.index().unwrap_or_default()) {
        let mut x = x.clone();
        x.dead_epoch = map.epoch;
        draft.inc().new_xinfo.insert(osd, x);
    }
}

fn mark_out(draft: &mut Draft, map: &OsdMap, osd: OsdId) {
    let inc = draft.inc();
    inc.new_weight.insert(osd, 0);
    // Out by the administrator: it does not come back in by itself.
    let by_itself = map.state(osd) & flag::osd::AUTOOUT;
    if by_itself != 0 {
        *inc.new_state.entry(osd).or_insert(0) |= by_itself;
    }
}

fn mark_in(draft: &mut Draft, map: &OsdMap, osd: OsdId) {
    let x = map.osd_xinfo.get(osd.index().unwrap_or_default()).cloned().unwrap_or_default();
    let inc = draft.inc();
    // A weight clears "autoout" and "new" by itself.
    let weight = if x.old_weight > 0 { x.old_weight } else { IN };
    inc.new_weight.insert(osd, weight);
    if x.old_weight > 0 {
        inc.new_xinfo.insert(osd, seabed_cluster::OsdXInfo { old_weight: 0, ..x });
    }
}

fn remove(draft: &mut Draft, map: &OsdMap, osd: OsdId) {
    let state = map.state(osd);
    let inc = draft.inc();
    inc.new_state.insert(osd, state);
    inc.new_uuid.insert(osd, Uuid::ZERO);
    inc.new_weight.insert(osd, 0);
    draft.change(Change::OsdMetadata { osd, metadata: Default::default() });
}

fn new(draft: &mut Draft, command: &Command) -> Answer {
    let uuid: Uuid = match command.str("uuid") {
        Some(text) => {
            text.parse().map_err(|_| Refusal::invalid(format!("invalid UUID value '{text}'.")))?
        }
        None if command.prefix == "osd new" => {
            return Err(Refusal::invalid("requires the OSD's UUID to be specified."));
        }
        None => Uuid::ZERO,
    };
    let map = draft.map_arc();
    let answer = |osd: OsdId| {
        if command.format == Format::Plain {
            Ok(Reply::text(format!("{osd}\n")))
        } else {
            Ok(Reply::json(&serde_json::json!({"osdid": osd.0}), command.format))
        }
    };
    let wanted = command.osd("id")?;
    let known = map.osds().find(|o| {
        !uuid.is_zero() && map.osd_uuid.get(o.index().unwrap_or_default()) == Some(&uuid)
    });
    if let Some(osd) = known {
        if wanted.is_some_and(|w| w != osd) {
            let text = format!("uuid {uuid} already in use for different id {osd}");
            return Err(Refusal::new(Errno::EEXIST, text));
        }
        return answer(osd);
    }
    let osd = match wanted {
        Some(osd) if map.exists(osd) && map.state(osd) & flag::osd::DESTROYED == 0 => {
            let text = format!("id {osd} already in use and does not match uuid {uuid}");
            return Err(Refusal::invalid(text));
        }
        Some(osd) => osd,
        None => (0..).map(OsdId).find(|o| !map.exists(*o)).unwrap_or_default(),
    };
    if osd.0 >= seabed_cluster::osdmap::MAX_OSD {
        return Err(Refusal::new(Errno::ERANGE, "no OSD id is left"));
    }
    let state = map.state(osd);
    let inc = draft.inc();
    if osd.0 >= map.max_osd {
        inc.new_max_osd = osd.0 + 1;
    }
    // The weight makes it exist and clears "new"; states are flipped after that.
    inc.new_state.insert(osd, flag::osd::NEW | state & flag::osd::DESTROYED);
    inc.new_weight.insert(osd, IN);
    if !uuid.is_zero() {
        inc.new_uuid.insert(osd, uuid);
    }
    answer(osd)
}

fn end(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    let osd = command.need_osd("id")?;
    let sure = command.flag("yes_i_really_mean_it") || command.flag("force");
    if !sure {
        return Err(Refusal::new(
            Errno::EPERM,
            "data only this OSD holds would be lost for good; pass --yes-i-really-mean-it",
        ));
    }
    if !map.exists(osd) {
        let text = format!("osd.{osd} does not exist");
        return if command.prefix == "osd purge" {
            Ok(Reply::status(text))
        } else {
            Err(Refusal::not_found(text))
        };
    }
    if map.is_up(osd) {
        let down = if command.prefix == "osd lost" { "down" } else { "`down`." };
        return Err(Refusal::new(Errno::EBUSY, format!("osd.{osd} is not {down}")));
    }
    match command.prefix.as_str() {
        "osd lost" => {
            let at = map.info(osd).down_at;
            draft.inc().new_lost.insert(osd, at);
            Ok(Reply::status(format!("marked osd lost in epoch {at}")))
        }
        "osd destroy" => {
            let bits = flag::osd::DESTROYED & !map.state(osd);
            if bits != 0 {
                draft.inc().new_state.insert(osd, bits);
            }
            draft.inc().new_uuid.insert(osd, Uuid::ZERO);
            Ok(Reply::status(format!("destroyed osd.{osd}")))
        }
        _ => {
            edit(draft, |crush| {
                if crush.item_name(osd.0).is_some() {
                    crush.remove_item(osd.0, false)?;
                }
                Ok(())
            })?;
            remove(draft, &map, osd);
            Ok(Reply::status(format!("purged osd.{osd}")))
        }
    }
}

fn weight(draft: &mut Draft, command: &Command) -> Answer {
    let osd = need_osd(draft.map(), command, "id")?;
    let weight = command.need_float("weight")?;
    if !(0.0..=1.0).contains(&weight) {
        return Err(Refusal::invalid("weight must be in the range [0..1]"));
    }
    let value = fixed(weight);
    let shown = float_g(weight, 6);
    if command.prefix == "osd reweight" {
        draft.inc().new_weight.insert(osd, value);
        Ok(Reply::status(format!("reweighted osd.{osd} to {shown} ({value:x})")))
    } else {
        draft.inc().new_primary_affinity.insert(osd, value);
        Ok(Reply::status(format!("set osd.{osd} primary-affinity to {shown} ({value:x})")))
    }
}

/// `osd reweightn`: a JSON object of ids and weights in 16.16 fixed point.
fn weights(draft: &mut Draft, command: &Command) -> Answer {
    let text = command.need("weights")?;
    let bad = || Refusal::invalid(format!("unable to parse 'weights' value '{text}'"));
    let pairs: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&text).map_err(|_| bad())?;
    for (id, value) in pairs {
        let osd = seabed_cluster::admin::parse_osd(&id).ok_or_else(bad)?;
        let weight = value.as_str().map_or_else(|| value.as_u64(), |s| s.parse().ok());
        let weight = weight.and_then(|w| u32::try_from(w).ok()).filter(|w| *w <= IN);
        let weight = weight.ok_or_else(bad)?;
        if !draft.map().exists(osd) {
            return Err(Refusal::not_found(format!("unable to parse 'weights' value '{text}'")));
        }
        draft.inc().new_weight.insert(osd, weight);
    }
    Ok(Reply::default())
}

fn set_max_osd(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    let wanted = command.int("newmax")?.and_then(|n| i32::try_from(n).ok());
    let max = wanted
        .filter(|n| *n <= seabed_cluster::osdmap::MAX_OSD)
        .ok_or_else(|| Refusal::invalid("new max_osd is out of range"))?;
    if let Some(osd) = map.osds().find(|o| o.0 >= max) {
        let text = format!(
            "cannot shrink max_osd to {max} because osd.{osd} (and possibly others) still in use"
        );
        return Err(Refusal::new(Errno::EBUSY, text));
    }
    draft.inc().new_max_osd = max.max(0);
    Ok(Reply::status(format!("set new max_osd = {max}")))
}

fn ratio(draft: &mut Draft, command: &Command) -> Answer {
    let ratio = command.need_float("ratio")?;
    if !(0.0..=1.0).contains(&ratio) {
        return Err(Refusal::invalid("ratio must be in the range [0..1]"));
    }
    let inc = draft.inc();
    let field = match command.prefix.as_str() {
        "osd set-full-ratio" => &mut inc.new_full_ratio,
        "osd set-backfillfull-ratio" => &mut inc.new_backfillfull_ratio,
        _ => &mut inc.new_nearfull_ratio,
    };
    *field = ratio as f32;
    Ok(Reply::status(format!("{} {}", command.prefix, float_g(ratio, 6))))
}

fn release(draft: &mut Draft, command: &Command) -> Answer {
    let os = command.prefix == "osd require-osd-release";
    let word = command.str(if os { "release" } else { "version" }).unwrap_or_default();
    let number = (1..=20u8).find(|n| release_name(*n) == word).ok_or_else(|| {
        Refusal::invalid(match os {
            true => format!("unrecognized release {word}"),
            false => format!("version {word} is not recognized"),
        })
    })?;
    let map = draft.map_arc();
    if os {
        if number < map.require_osd_release {
            let text = "require_osd_release cannot be lowered once it has been set";
            return Err(Refusal::new(Errno::EPERM, text));
        }
        draft.inc().new_require_osd_release = number;
        return Ok(Reply::default());
    }
    draft.inc().new_require_min_compat_client = number;
    Ok(Reply::status(format!("set require_min_compat_client to {word}")))
}
