//! What the kernel is asked for, in its words: one line, parts between spaces, options between
//! commas. Pure. What cannot be said in that form is refused.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::AttachError;

/// An image to be mapped.
#[derive(Clone, PartialEq, Eq)]
pub struct MapRequest {
    /// Monitors, by their addresses of the second messenger.
    pub monitors: Vec<SocketAddr>,
    /// Whose key it is, without `client.`.
    pub user: String,
    /// The key in base64, on a cluster that has keys.
    pub secret: Option<String>,
    /// The image's pool.
    pub pool: String,
    /// The image's namespace in its pool, or nothing.
    pub namespace: String,
    /// The image.
    pub image: String,
    /// A snapshot of it; then it is read-only.
    pub snapshot: Option<String>,
    /// The device cannot be written.
    pub read_only: bool,
    /// After this time an I/O is an error. At least a second.
    pub io_timeout: Duration,
}

impl fmt::Debug for MapRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the secret.
        let MapRequest { pool, namespace, image, snapshot, .. } = self;
        f.debug_struct("MapRequest")
            .field("pool", pool)
            .field("namespace", namespace)
            .field("image", image)
            .field("snapshot", snapshot)
            .finish_non_exhaustive()
    }
}

impl MapRequest {
    /// The line for `/sys/bus/rbd/add_single_major`.
    ///
    /// `noshare`: a client of its own, which can be fenced without any other. Never `exclusive`:
    /// the kernel would answer requests for the lock with EROFS, and no other client could take
    /// a snapshot.
    pub fn line(&self) -> Result<String, AttachError> {
        let refused =
            |what: &str, reason| Err(AttachError::Invalid { what: what.to_owned(), reason });
        if self.monitors.is_empty() {
            return refused("", "no monitors");
        }
        if self.io_timeout < Duration::from_secs(1) {
            return refused("io_timeout", "an I/O has a second at least");
        }
        let monitors: Vec<String> = self.monitors.iter().map(SocketAddr::to_string).collect();
        let snapshot = self.snapshot.as_deref().unwrap_or("-");
        for word in [&self.pool, &self.image] {
            if !is_word(word) {
                return refused(word, "empty, or has white space: the kernel cannot be told it");
            }
        }
        if !is_word(snapshot) || self.snapshot.as_deref() == Some("-") {
            return refused(snapshot, "the kernel cannot be told this snapshot");
        }
        let mut options = vec![format!("name={}", self.user)];
        options.extend(self.secret.as_ref().map(|secret| format!("secret={secret}")));
        options.push("noshare".into());
        options.push("ms_mode=prefer-crc".into());
        options.push(format!("osd_request_timeout={}", self.io_timeout.as_secs()));
        if !self.namespace.is_empty() {
            options.push(format!("_pool_ns={}", self.namespace));
        }
        let read_only = self.read_only || self.snapshot.is_some();
        options.push(if read_only { "ro" } else { "rw" }.into());
        let free = [Some(&self.user), self.secret.as_ref(), Some(&self.namespace)];
        for value in free.into_iter().flatten() {
            if value.contains(',') || (!value.is_empty() && !is_word(value)) {
                // Which value is not said: it may be the secret.
                return refused("options", "a comma or white space in a value");
            }
        }
        let (pool, image) = (&self.pool, &self.image);
        Ok(format!("{} {} {pool} {image} {snapshot}", monitors.join(","), options.join(",")))
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// A client's address as it is fenced: never of nonce 0, which would mean the whole host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddr {
    /// Its address and port.
    pub socket: SocketAddr,
    /// What tells it from other clients of that address.
    pub nonce: u32,
}

impl ClientAddr {
    /// From `client_addr` in sysfs: `ADDRESS:PORT/NONCE`.
    pub fn parse(text: &str) -> Option<Self> {
        let (socket, nonce) = text.trim().split_once('/')?;
        let addr = ClientAddr { socket: socket.parse().ok()?, nonce: nonce.parse().ok()? };
        (addr.nonce != 0).then_some(addr)
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.socket, self.nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> MapRequest {
        MapRequest {
            monitors: vec!["10.0.0.1:3300".parse().unwrap(), "[fd00::2]:3300".parse().unwrap()],
            user: "admin".into(),
            secret: None,
            pool: "rbd".into(),
            namespace: String::new(),
            image: "csi-vol-1".into(),
            snapshot: None,
            read_only: false,
            io_timeout: Duration::from_secs(120),
        }
    }

    #[test]
    fn the_line() {
        assert_eq!(
            request().line().unwrap(),
            "10.0.0.1:3300,[fd00::2]:3300 \
             name=admin,noshare,ms_mode=prefer-crc,osd_request_timeout=120,rw rbd csi-vol-1 -"
        );
        let other = MapRequest {
            secret: Some("AQ==".into()),
            namespace: "tenant".into(),
            snapshot: Some("s1".into()),
            ..request()
        };
        assert_eq!(
            other.line().unwrap(),
            "10.0.0.1:3300,[fd00::2]:3300 name=admin,secret=AQ==,noshare,ms_mode=prefer-crc,\
             osd_request_timeout=120,_pool_ns=tenant,ro rbd csi-vol-1 s1"
        );
    }

    #[test]
    fn the_lock_is_never_kept_from_others() {
        for read_only in [false, true] {
            let line = MapRequest { read_only, ..request() }.line().unwrap();
            assert!(!line.contains("exclusive"), "{line}");
        }
    }

    #[test]
    fn what_would_be_read_as_something_else_is_refused() {
        let bad = |change: fn(&mut MapRequest)| {
            let mut request = request();
            change(&mut request);
            assert!(matches!(request.line(), Err(AttachError::Invalid { .. })), "{request:?}");
        };
        bad(|r| r.monitors.clear());
        bad(|r| r.image = "a b".into());
        bad(|r| r.image.clear());
        bad(|r| r.pool = "rbd\n".into());
        bad(|r| r.snapshot = Some("-".into()));
        bad(|r| r.snapshot = Some(String::new()));
        bad(|r| r.user = "admin,exclusive".into());
        bad(|r| r.namespace = "n,exclusive".into());
        bad(|r| r.secret = Some("AQ==,share".into()));
        bad(|r| r.io_timeout = Duration::from_millis(999));
    }

    #[test]
    fn secrets_are_in_no_message() {
        let secret = "AQsecret==,x";
        let request = MapRequest { secret: Some(secret.into()), ..request() };
        let error = request.line().unwrap_err();
        assert!(!format!("{error} {error:?} {request:?}").contains("AQsecret"));
    }

    #[test]
    fn addresses_of_clients() {
        let addr = ClientAddr::parse("10.0.0.5:0/3134567890\n").unwrap();
        assert_eq!(addr.nonce, 3_134_567_890);
        assert_eq!(addr.to_string(), "10.0.0.5:0/3134567890");
        assert_eq!(ClientAddr::parse("[fd00::5]:0/7").unwrap().to_string(), "[fd00::5]:0/7");
        for bad in ["", "10.0.0.5:0", "10.0.0.5:0/0", "10.0.0.5/7", "x/7", "10.0.0.5:0/-1"] {
            assert_eq!(ClientAddr::parse(bad), None, "{bad}");
        }
    }
}
