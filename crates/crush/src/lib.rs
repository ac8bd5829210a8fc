//! seabed-crush
