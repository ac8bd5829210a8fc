//! Commands that change something: decisions for the draft, and the answers that leave once they
//! are durable.

use seabed_cluster::{Errno, UTime};
use seabed_denc::Bytes;

use super::{
    Answer, Command, Refusal, Reply, View, config_write, misc, osd_write, placement, pool_write,
};
use crate::draft::Draft;
use crate::map_log::Change;
use crate::service::mute::{Mute, parse_span};

/// Health checks muted at most: sticky ones may name what is never raised.
const MUTES_MAX: usize = 1000;

/// Runs a command of the table that is marked as writing.
pub fn run(view: &View<'_>, draft: &mut Draft, command: &Command, input: &Bytes) -> Answer {
    let prefix = command.prefix.as_str();
    match prefix {
        "health mute" => {
            let code = command.need("code")?;
            let sticky = command.flag("sticky");
            let until = match command.str("ttl") {
                Some(ttl) => view.now.wall + parse_span(&ttl)?,
                None => UTime::ZERO,
            };
            let checks = view.health();
            let check = checks.get(code.as_str());
            if check.is_none() && !sticky {
                let text = format!("health alert {code} is not currently raised");
                return Err(Refusal::not_found(text));
            }
            if view.state.mutes.len() >= MUTES_MAX && !view.state.mutes.contains_key(&code) {
                return Err(Refusal::new(Errno::ENOSPC, "too many mutes"));
            }
            let mute = Some(Mute::new(check, until, sticky));
            draft.change(Change::Mute { code, mute });
            Ok(Reply::default())
        }
        "health unmute" => {
            let codes: Vec<String> = match command.str("code") {
                Some(code) => vec![code],
                None => view.state.mutes.keys().cloned().collect(),
            };
            for code in codes.into_iter().filter(|c| view.state.mutes.contains_key(c)) {
                draft.change(Change::Mute { code, mute: None });
            }
            Ok(Reply::default())
        }
        _ if prefix.starts_with("config") => config_write::run(view, draft, command, input),
        "pg scrub" | "pg deep-scrub" | "pg repair" => {
            placement::need_pg(view.map(), command)?;
            Err(Refusal::new(Errno::EOPNOTSUPP, "scrubbing is not supported yet"))
        }
        "pg repeer" => placement::repeer(draft, command),
        _ if prefix.starts_with("auth ") => misc::auth(command),
        _ if prefix.starts_with("osd pool ") => pool_write::run(view, draft, command),
        _ if prefix.starts_with("osd ") => osd_write::run(draft, command, input),
        _ => Err(Refusal::invalid(format!("command '{prefix}' is not supported"))),
    }
}
