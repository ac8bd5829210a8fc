//! seabed-storage
