//! Questions to this process: commands of `ceph tell mon.a`, and pings.

use seabed_cluster::Now;
use seabed_messages::{MPing, Packet};

use super::Monitor;
use super::propose::ReplyTo;
use crate::authorize::{Request, authorize};
use crate::command::{Command, Format, Refusal, Reply, misc, tell};
use crate::session::{Outbox, SessionId};

impl Monitor {
    /// Answers a command that is for this process.
    pub(super) fn tell(&mut self, now: Now, to: ReplyTo, strings: &[String], out: &mut Outbox) {
        let reply = self.told(now, &to, strings).unwrap_or_else(Reply::from);
        out.send(to.session, to.packet(reply));
    }

    fn told(&mut self, now: Now, to: &ReplyTo, strings: &[String]) -> Result<Reply, Refusal> {
        let command = Command::parse(strings)?;
        let writes = tell::permission(&command.prefix)?.contains('w');
        let session = &self.sessions[&to.session];
        authorize(session, Request::Command { prefix: &command.prefix, writes })
            .map_err(|e| Refusal::new(e, "access denied"))?;
        let me = format!("mon.{}", self.config.name);
        if let Some(answer) = self.layers.answer(&me, &command) {
            return answer.map(|value| Reply::json(&value, command.format));
        }
        tell::run(&self.view(now), &command)
    }

    /// A ping gets the monitor's state and the cluster's health.
    pub(super) fn pong(&self, now: Now, id: SessionId, tid: u64, out: &mut Outbox) {
        let view = self.view(now);
        let status = misc::mon_status(&view);
        let health = view.told(&view.health()).json(false);
        let both = serde_json::json!({"health": health, "mon_status": status});
        let report = crate::command::format::json(&both, Format::JsonPretty) + "\n";
        out.send(id, Packet::with_tid(tid, MPing { report, ..MPing::default() }));
    }
}
