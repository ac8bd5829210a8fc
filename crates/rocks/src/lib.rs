//! seabed-rocks
