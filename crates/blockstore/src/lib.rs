//! seabed-blockstore
