//! Clients that the cluster refuses: fencing.
//!
//! The monitor's map names them; an OSD refuses them once it has that map. Who takes a resource
//! over must have the map too: OSDs that lag get it from there, before the first operation.

use std::time::Duration;

use seabed_cluster::{EntityAddr, Epoch, Errno};
use seabed_denc::Bytes;

use crate::{Cluster, RadosError};

impl Cluster {
    /// Has the cluster refuse a client from now on, for some time (without one: for the monitor's
    /// `mon_osd_blocklist_default_expire`, an hour). Returns, once this client has it, the epoch of
    /// a map that says so.
    ///
    /// Errors: an address with nonce 0, which stands for every client of a host, is refused with
    /// EINVAL, as is one without an address.
    pub async fn blocklist(
        &self,
        client: &EntityAddr,
        expire: Option<Duration>,
    ) -> Result<Epoch, RadosError> {
        self.change_blocklist("blocklist", "add", client, expire).await
    }

    /// Lets a client in again, as [`Cluster::blocklist`] shut it out. What was shut out and lives
    /// may have I/O left that it sends then.
    pub async fn unblocklist(&self, client: &EntityAddr) -> Result<Epoch, RadosError> {
        self.change_blocklist("unblocklist", "rm", client, None).await
    }

    async fn change_blocklist(
        &self,
        what: &'static str,
        verb: &str,
        client: &EntityAddr,
        expire: Option<Duration>,
    ) -> Result<Epoch, RadosError> {
        let Some(command) = command(verb, client, expire) else {
            return Err(RadosError::Refused { what, errno: Errno::EINVAL });
        };
        let reply = self.mon_command(&command, Bytes::new()).await?;
        if let Some(errno) = Errno::from_wire(reply.code) {
            tracing::debug!(%client, %errno, text = reply.text, what, "refused");
            return Err(RadosError::Refused { what, errno });
        }
        Ok(self.wait_for_latest_map().await?.epoch)
    }
}

/// The command; without a word for the protocol, since a client is shut out of all.
fn command(verb: &str, client: &EntityAddr, expire: Option<Duration>) -> Option<String> {
    let (socket, nonce) = (client.addr?, client.nonce);
    let expire = match expire {
        None => String::new(),
        Some(time) => format!(r#","expire":{:.1}"#, time.as_secs_f64()),
    };
    (nonce != 0).then(|| {
        let prefix = r#""prefix":"osd blocklist""#;
        format!(r#"{{{prefix},"blocklistop":"{verb}","addr":"{socket}/{nonce}"{expire}}}"#)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_named_never_a_host() {
        let client: EntityAddr = "v2:10.0.0.1:0/77".parse().unwrap();
        let hour = Some(Duration::from_secs(3600));
        let begin = r#"{"prefix":"osd blocklist","blocklistop":"#;
        assert_eq!(
            command("add", &client, hour).unwrap(),
            format!(r#"{begin}"add","addr":"10.0.0.1:0/77","expire":3600.0}}"#)
        );
        let client: EntityAddr = "[fd00::1]:0/77".parse().unwrap();
        assert_eq!(
            command("rm", &client, None).unwrap(),
            format!(r#"{begin}"rm","addr":"[fd00::1]:0/77"}}"#)
        );
        let host: EntityAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(command("add", &host, None), None);
        assert_eq!(command("add", &EntityAddr::default(), None), None);
    }
}
