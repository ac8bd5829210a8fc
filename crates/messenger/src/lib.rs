//! seabed-messenger
