//! Which objects and which bits a collection may have.

use seabed_cluster::{Collection, GhObject};

/// Whether an object may be in a collection of `bits` bits.
pub(crate) fn belongs(c: &Collection, bits: u32, o: &GhObject) -> bool {
    if o.hobj.max {
        return false;
    }
    match c {
        Collection::Meta | Collection::Temp(_) => true,
        Collection::Pg(pg) => {
            let pool = pg.pg.pool.0;
            (o.hobj.pool.0 == pool || o.hobj.pool.0 == -2 - pool)
                && o.shard == pg.shard
                && pg.pg.contains_bits(bits, o.hobj.hash)
        }
    }
}

/// Whether a PG's seed has no bit beyond those that make its range.
pub(crate) fn seed_fits(c: &Collection, bits: u32) -> bool {
    match c {
        Collection::Meta | Collection::Temp(_) => true,
        Collection::Pg(pg) => bits <= 32 && (bits == 32 || pg.pg.seed >> bits == 0),
    }
}
