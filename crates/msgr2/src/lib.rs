//! seabed-msgr2
