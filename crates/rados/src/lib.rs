//! seabed-rados
