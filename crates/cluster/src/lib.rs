//! seabed-cluster
