//! `pg_history_t`: when things last happened to a PG. Peers merge theirs field by field.

use seabed_denc::versioned;

use crate::{EVersion, Epoch, Span, UTime};

versioned! {
    /// `pg_history_t` v10: all epochs, then scrub stamps, then what leases need.
    pub struct PgHistory(10, 4) {
        /// The PG was created in this epoch.
        epoch_created: Epoch,
        /// The last epoch in which all of an acting set had activated it.
        last_epoch_started: Epoch,
        last_epoch_clean: Epoch,
        /// The last epoch in which it was split off or split.
        last_epoch_split: Epoch,
        /// First epoch with the present up and acting sets.
        same_interval_since: Epoch,
        same_up_since: Epoch,
        same_primary_since: Epoch,
        last_scrub: EVersion,
        last_scrub_stamp: UTime,
        last_deep_scrub: EVersion,
        last_deep_scrub_stamp: UTime,
        last_clean_scrub_stamp: UTime,
        last_epoch_marked_full: Epoch,
        /// `same_interval_since` of the interval in which it last activated.
        last_interval_started: Epoch,
        last_interval_clean: Epoch,
        epoch_pool_created: Epoch,
        /// How much longer members of a former interval may still serve reads.
        prior_readable_until_ub: Span,
    }
}

impl PgHistory {
    /// Takes from `other` all that is newer. Returns whether anything changed.
    pub fn merge(&mut self, other: &PgHistory) -> bool {
        let before = self.clone();
        let max = |a: &mut Epoch, b: Epoch| *a = (*a).max(b);
        max(&mut self.epoch_created, other.epoch_created);
        max(&mut self.last_epoch_started, other.last_epoch_started);
        max(&mut self.last_interval_started, other.last_interval_started);
        max(&mut self.last_epoch_clean, other.last_epoch_clean);
        max(&mut self.last_interval_clean, other.last_interval_clean);
        max(&mut self.last_epoch_split, other.last_epoch_split);
        max(&mut self.last_epoch_marked_full, other.last_epoch_marked_full);
        max(&mut self.epoch_pool_created, other.epoch_pool_created);
        self.last_scrub = self.last_scrub.max(other.last_scrub);
        self.last_scrub_stamp = self.last_scrub_stamp.max(other.last_scrub_stamp);
        self.last_deep_scrub = self.last_deep_scrub.max(other.last_deep_scrub);
        self.last_deep_scrub_stamp = self.last_deep_scrub_stamp.max(other.last_deep_scrub_stamp);
        self.last_clean_scrub_stamp = self.last_clean_scrub_stamp.max(other.last_clean_scrub_stamp);
        *self != before
    }
}
