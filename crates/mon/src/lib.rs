//! seabed-mon
