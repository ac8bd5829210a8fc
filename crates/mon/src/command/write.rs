//! Commands that change something: decisions for the draft, and the answers that leave once they
//! are durable.

use seabed_denc::Bytes;

use super::{
    Answer, Command, Refusal, Reply, View, config_write, misc, osd_write, placement, pool_write,
};
use crate::draft::Draft;
use crate::map_log::Change;

/// Runs a command of the table that is marked as writing.
pub fn run(view: &View<'_>, draft: &mut Draft, command: &Command, input: &Bytes) -> Answer {
    let prefix = command.prefix.as_str();
    match prefix {
        "health mute" => {
            let code = command.need("code")?;
            if !view.health().contains_key(code.as_str()) {
                let text = format!("health alert {code} is not currently raised");
                return Err(Refusal::not_found(text));
            }
            draft.change(Change::Mute { code, muted: true });
            Ok(Reply::default())
        }
        "health unmute" => {
            let codes: Vec<String> = match command.str("code") {
                Some(code) => vec![code],
                None => view.state.mutes.keys().cloned().collect(),
            };
            for code in codes.into_iter().filter(|c| view.state.mutes.contains_key(c)) {
                draft.change(Change::Mute { code, muted: false });
            }
            Ok(Reply::default())
        }
        _ if prefix.starts_with("config") => config_write::run(view, draft, command, input),
        "pg scrub" | "pg deep-scrub" | "pg repair" => {
            placement::need_pg(view.map(), command)?;
            Err(Refusal::new(seabed_cluster::Errno::EOPNOTSUPP, "scrubbing is not supported yet"))
        }
        "pg repeer" => placement::repeer(draft, command),
        _ if prefix.starts_with("auth ") => misc::auth(command),
        _ if prefix.starts_with("osd pool ") => pool_write::run(view, draft, command),
        _ if prefix.starts_with("osd ") => osd_write::run(draft, command, input),
        _ => Err(Refusal::invalid(format!("command '{prefix}' is not supported"))),
    }
}
