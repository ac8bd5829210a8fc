//! Read leases: until when a primary may serve reads, and what its peers agreed to.

use seabed_denc::versioned;

use crate::Span;

versioned! {
    /// `pg_lease_t` v1, in spans of the primary's monotonic clock.
    pub struct PgLease(1, 1) {
        /// The primary may serve until then.
        readable_until: Span,
        /// The upper bound that this lease asks the peers to honour.
        readable_until_ub: Span,
        /// Length of a lease.
        interval: Span,
    }
}

versioned! {
    /// `pg_lease_ack_t` v1.
    pub struct PgLeaseAck(1, 1) {
        /// The largest bound received, unchanged.
        readable_until_ub: Span,
    }
}
