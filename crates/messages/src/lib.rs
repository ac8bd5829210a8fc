//! seabed-messages
