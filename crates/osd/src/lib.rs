//! seabed-osd
