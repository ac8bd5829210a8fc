//! seabed-sim
