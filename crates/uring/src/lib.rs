//! seabed-uring
