//! seabed-pg
