//! seabed-cephx
